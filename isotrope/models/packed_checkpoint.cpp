#include "isotrope/models/packed_checkpoint.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/io/llama2c.h"
#include "isotrope/models/gguf_family.h"
#include "isotrope/models/registry.h"

namespace isotrope {

namespace {

constexpr std::int64_t numbers_at_once = 1 << 16;  // a thread's buffer

/// How a tensor of `count` rows (the first dimension of `view`) is cut: rows a piece, so that pieces are whole blocks.
std::int64_t rows_at_once(const at::Tensor& view) {
  if (view.dim() < 2) return std::max<std::int64_t>(view.numel(), 1);
  return std::max<std::int64_t>(numbers_at_once / std::max<std::int64_t>(view.numel() / std::max<std::int64_t>(view.size(0), 1), 1), 1);
}

/// Calls work(first row, rows, offset of the first number, numbers) for the pieces of `view`, on all threads.
template <class Work>
void for_pieces(const at::Tensor& view, Work&& work) {
  if (view.numel() == 0) return;
  const auto all = view.dim() < 2 ? view.numel() : view.size(0), step = rows_at_once(view), row = view.numel() / all;
  at::parallel_for(0, (all + step - 1) / step, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto piece = begin; piece < end; ++piece) {
      const auto first = piece * step, rows = std::min(step, all - first);
      work(first, rows, first * row, rows * row);
    }
  });
}

std::span<const std::byte> part(const PackedTensor& tensor, std::int64_t offset, std::int64_t count) {
  return tensor.bytes.subspan(packed_bytes(tensor.packing, static_cast<std::size_t>(offset)),
                              packed_bytes(tensor.packing, static_cast<std::size_t>(count)));
}

/// The file's numbers into a parameter, piece by piece and without a copy of the whole tensor. `view`: the parameter in the file's order.
void fill(const at::Tensor& view, const PackedTensor& tensor, const std::string& file) {
  const bool narrow = view.scalar_type() == at::kHalf;
  for_pieces(view, [&](std::int64_t first, std::int64_t rows, std::int64_t offset, std::int64_t count) {
    std::vector<float> numbers(static_cast<std::size_t>(count));
    expand(tensor.packing, part(tensor, offset, count), numbers);
    if (narrow && std::ranges::any_of(numbers, [](float x) { return std::abs(x) > 65504.0F && std::isfinite(x); }))
      throw InputError("model", "{}: tensor {} has numbers that do not fit into float16", file, tensor.name);
    auto target = view.narrow(0, first, rows);
    target.copy_(at::from_blob(numbers.data(), target.sizes(), at::kFloat));
  });
}

/// Whether a parameter can stand for the file's blocks: a matrix that the model multiplies with or looks rows up in, as it lies.
bool can_stay(const Parameter& parameter, const PackedTensor& tensor, GgufOrder order) {
  return parameter.slot && order != GgufOrder::transposed && can_stay_packed(tensor.packing, parameter.value.size(1));
}

/// The blocks of a matrix, its rows put into the model's order.
at::Tensor blocks_of(const PackedTensor& tensor, const at::Tensor& parameter, GgufOrder order, const ModelShape& shape) {
  const auto N = parameter.size(0), row = static_cast<std::int64_t>(tensor.bytes.size()) / N;
  auto bytes = at::empty({N, row}, at::kByte);
  const auto places = in_file_order(at::arange(N, at::kLong).view({N, 1}), order, shape).contiguous().flatten();
  const auto* to_row = places.const_data_ptr<std::int64_t>();
  auto* to = bytes.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < N; ++i) std::memcpy(to + to_row[i] * row, tensor.bytes.data() + i * row, static_cast<std::size_t>(row));
  return bytes;
}

struct StoredWeight {
  const PackedTensor* tensor;
  GgufOrder order;
};

/// The file's tensors by transformers' names. Those in `settings` say something about the model and are no weights.
std::map<std::string, StoredWeight, std::less<>> by_hf_name(std::span<const PackedTensor> tensors, std::span<const GgufName> names,
                                                            const std::set<std::string_view>& settings, const std::string& file) {
  std::map<std::string, StoredWeight, std::less<>> weights;
  for (const auto& tensor : tensors) {
    if (settings.contains(tensor.name)) continue;
    const auto hf = to_hf(names, tensor.name);
    if (!hf)
      throw InputError("model", "{}: tensor {} {} belongs to no parameter of this architecture", file, tensor.name,
                       shape_text(tensor.shape));
    weights[hf->name] = {&tensor, hf->order};
  }
  return weights;
}

/// Returns how many matrices have stayed packed, which `keep_packed` asks for.
int read_weights(Model& model, std::map<std::string, StoredWeight, std::less<>> weights, std::span<const GgufName> names,
                 const std::string& file, bool keep_packed = false) {
  int kept = 0;
  for (auto& parameter : model.parameters().all()) {
    const auto found = weights.find(parameter.name);
    if (found == weights.end()) {
      const auto name = to_gguf(names, parameter.name);
      throw InputError("model", "{}: tensor {} {} is missing", file, name ? name->name : parameter.name,
                       shape_text(parameter.value.sizes()));
    }
    const auto [tensor, order] = found->second;
    auto shape = parameter.value.sizes().vec();
    if (order == GgufOrder::transposed) std::ranges::reverse(shape);
    expect_shape("model", fmt::format("{}: tensor {}", file, tensor->name), shape, tensor->shape);
    if (keep_packed && can_stay(parameter, *tensor, order)) {
      isotrope::keep_packed(*parameter.slot, packed_matrix(tensor->packing, blocks_of(*tensor, parameter.value, order, model.shape()),
                                                           parameter.value.size(1)));
      weights.erase(found);
      ++kept;
      continue;
    }
    // detach(): a view that autograd does not watch, in whichever thread.
    fill(in_file_order(parameter.value.detach(), order, model.shape()), *tensor, file);
    weights.erase(found);
  }
  if (weights.empty()) return kept;
  const auto& surplus = *weights.begin()->second.tensor;
  throw InputError("model", "{}: tensor {} {} belongs to no parameter of this architecture", file, surplus.name, shape_text(surplus.shape));
}

/// The dtype of most numbers; fp32 where they are packed.
at::ScalarType main_dtype(std::span<const PackedTensor> tensors) {
  std::map<at::ScalarType, std::int64_t> numbers;
  for (const auto& tensor : tensors) {
    const auto type = tensor.packing == Packing::f16 ? at::kHalf : tensor.packing == Packing::bf16 ? at::kBFloat16 : at::kFloat;
    numbers[type] += tensor.count();
  }
  return numbers.empty() ? at::kFloat : std::ranges::max_element(numbers, {}, [](const auto& entry) { return entry.second; })->first;
}

}  // namespace

std::unique_ptr<Model> load_gguf(const fs::path& path, const LoadOptions& options) {
  const GgufFile file(path);
  if (const auto parts = file.get_int("split.count", 1); parts > 1)
    throw with_hint(InputError("gguf", "{}: is one of {} parts of a model", path.string(), parts), "llama-gguf-split --merge joins them");
  const auto architecture = file.get_string("general.architecture");
  const auto* family = gguf_family(architecture);
  if (!family)
    throw InputError("gguf", "{}: architecture {} is not supported (known: {})", path.string(), architecture,
                     fmt::join(gguf_architectures(), ", "));
  if (options.keep_packed && !options.device.is_cpu())
    throw InputError("model", "packed matrices stay on the CPU, {} is asked for", options.device.str());
  GgufFields fields(file, architecture);
  const auto config = family->read_config(fields);
  fields.finish();
  auto model = make_model(config, {options.dtype.value_or(main_dtype(file.tensors())), options.device}, path.string());
  const auto kept = read_weights(*model, by_hf_name(file.tensors(), family->names, {"rope_freqs.weight"}, path.string()), family->names,
                                 path.string(), options.keep_packed);
  if (options.keep_packed && kept == 0) throw InputError("model", "{}: holds no packed matrices to keep", path.string());
  return model;
}

std::unique_ptr<Model> load_llama2c(const fs::path& path, const LoadOptions& options) {
  const Llama2cFile file(path);
  const auto& h = file.header();
  const nlohmann::json config{{"architectures", {"LlamaForCausalLM"}},
                              {"model_type", "llama"},
                              {"hidden_act", "silu"},
                              {"hidden_size", h.width},
                              {"intermediate_size", h.hidden_width},
                              {"num_hidden_layers", h.layers},
                              {"num_attention_heads", h.heads},
                              {"num_key_value_heads", h.kv_heads},
                              {"max_position_embeddings", h.max_positions},
                              {"rms_norm_eps", 1e-5},
                              {"rope_theta", 10000.0},
                              {"vocab_size", h.vocab_size},
                              {"tie_word_embeddings", h.tied},
                              // llama2.c ends a text where the next one's <s> would begin.
                              {"bos_token_id", 1},
                              {"eos_token_id", {1, 2}}};
  auto model = make_model(config, {options.dtype.value_or(at::kFloat), options.device}, path.string());
  const auto names = llama_gguf_names();
  read_weights(*model, by_hf_name(file.tensors(), names, {}, path.string()), names, path.string());
  return model;
}

// ---- writing ------------------------------------------------------------------------------------------------------

namespace {

Packing packing_of(const std::string& name, const at::Tensor& view, const std::vector<std::int64_t>& shape, Packing asked) {
  if (shape.size() < 2 || name == "position_embd.weight") return Packing::f32;
  const bool whole = static_cast<std::size_t>(shape.back()) % block_size(asked) == 0;
  return whole && view.numel() > 0 ? asked : Packing::f16;
}

std::vector<std::byte> packed(const at::Tensor& view, Packing packing, const std::string& what) {
  std::vector<std::byte> bytes(packed_bytes(packing, static_cast<std::size_t>(view.numel())));
  try {
    for_pieces(view, [&](std::int64_t first, std::int64_t rows, std::int64_t offset, std::int64_t count) {
      const auto numbers = view.narrow(0, first, rows).to(at::kCPU, at::kFloat).contiguous();
      const auto at = packed_bytes(packing, static_cast<std::size_t>(offset));
      pack(packing, {numbers.const_data_ptr<float>(), static_cast<std::size_t>(count)},
           std::span(bytes).subspan(at, packed_bytes(packing, static_cast<std::size_t>(count))));
    });
  } catch (const InputError& error) {
    throw InputError("gguf", "{}: {}", what, error.message());
  }
  return bytes;
}

/// llama.cpp's number for what most of a file is packed as.
std::uint32_t file_type(Packing packing) {
  switch (packing) {
    case Packing::f32: return 0;
    case Packing::f16: return 1;
    case Packing::q4_0: return 2;
    case Packing::q4_1: return 3;
    case Packing::q8_0: return 7;
    case Packing::bf16: return 32;
    default: return 1024;  // guessed
  }
}

/// Ids of config.json that the vocabulary does not give. GGUF has three names for ids that end a text.
void add_special_ids(const nlohmann::json& config, const std::vector<std::int32_t>& other_ends, GgufMetadata& metadata,
                     const std::string& file) {
  const auto key = [](const char* name) { return fmt::format("tokenizer.ggml.{}_token_id", name); };
  const auto given = [&](const char* name) {
    return std::ranges::find_if(metadata, [&](const auto& entry) { return entry.first == key(name); });
  };
  const auto add = [&](const char* name, const nlohmann::json& id) {
    if (given(name) == metadata.end() && id.is_number_integer() && id.get<std::int64_t>() >= 0)
      metadata.emplace_back(key(name), id.get<std::uint32_t>());
  };
  const auto field = [&](const char* name) { return config.contains(name) ? config[name] : nlohmann::json(); };
  add("bos", field("bos_token_id"));
  add("padding", field("pad_token_id"));
  auto ends = other_ends.empty() ? field("eos_token_id") : nlohmann::json(other_ends);
  if (!ends.is_array()) ends = nlohmann::json::array({ends});
  std::erase_if(ends.get_ref<nlohmann::json::array_t&>(),
                [](const auto& id) { return !id.is_number_integer() || id.template get<std::int64_t>() < 0; });
  if (ends.empty()) return;
  add("eos", ends[0]);
  std::vector<std::uint32_t> said;
  std::vector<const char*> unused;
  for (const auto* name : {"eos", "eot", "eom"}) {
    const auto entry = given(name);
    if (entry == metadata.end()) unused.push_back(name);
    else if (const auto* id = std::get_if<std::uint32_t>(&entry->second)) said.push_back(*id);
  }
  std::size_t lost = 0;
  for (const auto& end : ends) {
    const auto id = end.get<std::uint32_t>();
    if (std::ranges::count(said, id) > 0) continue;
    if (said.push_back(id); unused.empty()) {
      ++lost;
    } else {
      metadata.emplace_back(key(unused.front()), id);
      unused.erase(unused.begin());
    }
  }
  if (lost > 0) warn_once("gguf-ends " + file, fmt::format("[gguf] {}: of {} ids that end a text, GGUF holds three", file, said.size()));
}

struct WrittenTensor {
  GgufEntry entry;
  at::Tensor view;
};

}  // namespace

void save_gguf(const Model& model, const fs::path& path, const GgufSaveOptions& options) {
  const auto type = model_type_of(model.config(), "config.json");
  const auto* family = gguf_family_of_model_type(type);
  if (!family)
    throw InputError("gguf", "{}: a model of type {} has no place in GGUF here (known architectures: {})", path.string(), type,
                     fmt::join(gguf_architectures(), ", "));
  // A file without output.weight is read as one whose head is tied to the embedding.
  if (!model.has_head())
    throw InputError("gguf", "{}: this model has no language-modelling head, which a GGUF file is read to have", path.string());
  GgufMetadata metadata{{"general.architecture", std::string(family->architecture)},
                        {"general.type", std::string("model")},
                        {"general.file_type", file_type(options.packing)},
                        {"general.quantization_version", std::uint32_t{2}}};
  if (!options.name.empty()) metadata.emplace_back("general.name", options.name);
  std::map<std::string, std::vector<float>> settings;
  try {
    family->write_config(model, metadata, settings);
  } catch (const InputError& error) {
    throw InputError("gguf", "{}: {}", path.string(), error.message());
  }
  metadata.insert(metadata.end(), options.vocabulary.begin(), options.vocabulary.end());
  add_special_ids(model.config(), options.ends, metadata, path.string());

  std::vector<WrittenTensor> tensors;
  for (auto& [name, numbers] : settings)
    tensors.push_back({{name, Packing::f32, {static_cast<std::int64_t>(numbers.size())}},
                       at::from_blob(numbers.data(), {static_cast<std::int64_t>(numbers.size())}, at::kFloat)});
  for (const auto& parameter : model.parameters().all()) {
    const auto name = to_gguf(family->names, parameter.name);
    if (!name) throw InputError("gguf", "{}: parameter {} has no name in GGUF", path.string(), parameter.name);
    const auto view = in_file_order(parameter.value.detach(), name->order, model.shape());
    auto shape = parameter.value.sizes().vec();
    if (name->order == GgufOrder::transposed) std::ranges::reverse(shape);
    const auto packing = packing_of(name->name, view, shape, options.packing);
    tensors.push_back({{name->name, packing, std::move(shape)}, view});
  }
  std::vector<GgufEntry> entries;
  for (const auto& tensor : tensors) entries.push_back(tensor.entry);
  write_gguf(path, metadata, entries, [&](std::size_t i) {
    return packed(tensors[i].view, entries[i].packing, fmt::format("{}: tensor {}", path.string(), entries[i].name));
  });
}

}  // namespace isotrope
