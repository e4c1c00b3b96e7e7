#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "isotrope/base/file.h"
#include "isotrope/io/packed.h"

namespace isotrope {

struct Llama2cHeader {
  std::int64_t width, hidden_width, layers, heads, kv_heads, vocab_size, max_positions;
  bool tied;  ///< the head is the embedding
};

/// A model file of llama2.c (github.com/karpathy/llama2.c, its first format): seven 32-bit integers, then fp32 weights in a fixed order,
/// memory-mapped. A negative vocabulary size says that the head is stored on its own; the tables of angles in the middle are passed over.
/// Tensors are called as in GGUF. Throws InputError for numbers that make no model and for a length that is not exactly theirs.
class Llama2cFile {
 public:
  explicit Llama2cFile(const fs::path& path);
  /// A file's bytes in memory that outlives this object; `name` stands for the path in errors.
  Llama2cFile(std::span<const std::byte> bytes, const std::string& name);

  const Llama2cHeader& header() const { return header_; }
  const std::vector<PackedTensor>& tensors() const { return tensors_; }
  const fs::path& path() const { return path_; }

 private:
  void parse(std::span<const std::byte> bytes);

  MappedFile map_;
  fs::path path_;
  Llama2cHeader header_{};
  std::vector<PackedTensor> tensors_;
};

}  // namespace isotrope
