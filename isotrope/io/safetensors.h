#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/base/file.h"
#include "isotrope/io/dtype.h"

namespace isotrope {

/// A named tensor in somebody else's memory: little-endian, C order, bytes.size() = product(shape) · dtype_size(dtype).
struct TensorView {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;

  std::int64_t count() const { return static_cast<std::int64_t>(bytes.size() / dtype_size(dtype)); }
};

/// One safetensors file, memory-mapped: the views stay valid as long as this object (or what it was moved into) lives.
/// Refuses, with one InputError that names file and tensor: a truncated or oversized (> 100 MB) header, JSON that is not the format's,
/// an unknown dtype, a name given twice, a size that is not product(shape) · size of dtype, and data with holes, overlaps or a wrong end.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const fs::path& path);
  /// A file's bytes in memory that outlives this object; `name` stands for the path in errors.
  SafetensorsFile(std::span<const std::byte> bytes, const std::string& name);

  const std::vector<TensorView>& tensors() const { return tensors_; }  ///< in the order of their bytes
  const TensorView* find(std::string_view name) const;                 ///< null when there is none
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const fs::path& path() const { return path_; }

 private:
  void parse(std::span<const std::byte> bytes);

  MappedFile map_;
  fs::path path_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::size_t, std::less<>> places_;
  std::map<std::string, std::string> metadata_;
};

/// The tensors of a Hugging Face folder: model.safetensors, else the shards that model.safetensors.index.json names;
/// also of a single .safetensors file or of an index file. The index decides which tensors there are and in which shard each lies.
/// Throws InputError as SafetensorsFile does, and when a shard or a tensor that the index names is absent or the name leaves the folder.
class TensorFolder {
 public:
  explicit TensorFolder(const fs::path& folder_or_file);

  const std::vector<TensorView>& tensors() const { return tensors_; }  ///< one file: in the order of their bytes; shards: by name
  const TensorView* find(std::string_view name) const;
  std::size_t total_bytes() const { return total_bytes_; }
  const std::map<std::string, std::string>& metadata() const { return files_.front().metadata(); }  ///< of the first file
  const fs::path& path() const { return path_; }

 private:
  void read_shards(const fs::path& index);

  fs::path path_;
  std::vector<SafetensorsFile> files_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::size_t, std::less<>> places_;
  std::size_t total_bytes_ = 0;
};

/// Writes the tensors in the order given, the header padded with spaces so that the data starts at a multiple of 8 (AtomicFile).
/// Throws WorkError when the file cannot be written, or when a view contradicts itself or a name stands twice.
void write_safetensors(const fs::path& path, std::span<const TensorView> tensors, const std::map<std::string, std::string>& metadata = {});

/// Writes model.safetensors into an existing folder that holds no other model; above `max_shard_bytes` of data,
/// model-00001-of-0000N.safetensors … and model.safetensors.index.json as transformers names them. Returns the files written.
/// A tensor is never split: one that is larger than a shard gets a shard of its own.
std::vector<fs::path> write_tensor_folder(const fs::path& folder, std::span<const TensorView> tensors,
                                          std::uint64_t max_shard_bytes = 5'000'000'000,
                                          const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace isotrope
