#include "isotrope/io/llama2c.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

constexpr std::string_view in_llama2c = "llama2c";
constexpr std::size_t header_integers = 7;

Llama2cHeader read_header(std::span<const std::byte> bytes, const std::string& file) {
  if (bytes.size() < header_integers * 4) throw InputError(in_llama2c, "{}: {} bytes are too few for a llama2.c model", file, bytes.size());
  std::int32_t read[header_integers];
  std::memcpy(read, bytes.data(), sizeof read);
  const std::int64_t vocabulary = read[5];
  const Llama2cHeader h{read[0], read[1], read[2], read[3], read[4], vocabulary < 0 ? -vocabulary : vocabulary, read[6], vocabulary > 0};
  const bool positive =
      std::ranges::all_of(std::initializer_list{h.width, h.hidden_width, h.layers, h.heads, h.kv_heads, h.vocab_size, h.max_positions},
                          [](auto value) { return value > 0; });
  if (!positive || h.width % h.heads != 0 || h.heads % h.kv_heads != 0 || h.width / h.heads % 2 != 0)
    throw InputError(in_llama2c, "{}: width {}, {} heads, {} key-value heads, {} layers, {} tokens make no model: not a llama2.c file?",
                     file, h.width, h.heads, h.kv_heads, h.layers, vocabulary);
  return h;
}

/// Hands out the weights one after another.
class Weights {
 public:
  Weights(std::span<const std::byte> bytes, const std::string& file) : left_(bytes), file_(file) {}

  PackedTensor take(std::string name, std::vector<std::int64_t> shape) {
    PackedTensor tensor{.name = std::move(name), .shape = std::move(shape)};
    tensor.bytes = skip(tensor.shape, tensor.name);
    return tensor;
  }
  std::span<const std::byte> skip(const std::vector<std::int64_t>& shape, const std::string& what) {
    std::uint64_t size = 4;
    for (const auto n : shape)
      if (__builtin_mul_overflow(size, static_cast<std::uint64_t>(n), &size)) size = std::numeric_limits<std::uint64_t>::max();
    if (size > left_.size())
      throw InputError(in_llama2c, "{}: {} {} takes {} bytes, the file has {} left: truncated?", file_, what, shape_text(shape), size,
                       left_.size());
    const auto taken = left_.first(size);
    left_ = left_.subspan(size);
    return taken;
  }
  std::size_t left() const { return left_.size(); }

 private:
  std::span<const std::byte> left_;
  const std::string& file_;
};

}  // namespace

Llama2cFile::Llama2cFile(const fs::path& path) : map_(path, in_llama2c), path_(path) { parse(map_.bytes()); }

Llama2cFile::Llama2cFile(std::span<const std::byte> bytes, const std::string& name) : path_(name) { parse(bytes); }

void Llama2cFile::parse(std::span<const std::byte> bytes) {
  const auto file = path_.string();
  header_ = read_header(bytes, file);
  const auto& h = header_;
  const auto head_width = h.width / h.heads, kv_width = h.kv_heads * head_width;
  Weights weights(bytes.subspan(header_integers * 4), file);
  const auto take = [&](const char* name, std::vector<std::int64_t> shape) { tensors_.push_back(weights.take(name, std::move(shape))); };
  // A kind of weight stands there for all layers before the next kind.
  const auto take_layers = [&](const char* name, const std::vector<std::int64_t>& shape) {
    for (std::int64_t i = 0; i < h.layers; ++i) tensors_.push_back(weights.take(fmt::format("blk.{}.{}.weight", i, name), shape));
  };
  take("token_embd.weight", {h.vocab_size, h.width});
  take_layers("attn_norm", {h.width});
  take_layers("attn_q", {h.width, h.width});
  take_layers("attn_k", {kv_width, h.width});
  take_layers("attn_v", {kv_width, h.width});
  take_layers("attn_output", {h.width, h.width});
  take_layers("ffn_norm", {h.width});
  take_layers("ffn_gate", {h.hidden_width, h.width});
  take_layers("ffn_down", {h.width, h.hidden_width});
  take_layers("ffn_up", {h.hidden_width, h.width});
  take("output_norm.weight", {h.width});
  weights.skip({h.max_positions, head_width}, "the table of angles");
  if (!h.tied) take("output.weight", {h.vocab_size, h.width});
  if (weights.left() > 0) throw InputError(in_llama2c, "{}: {} bytes follow the last weight", file, weights.left());
}

}  // namespace isotrope
