#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "isotrope/base/file.h"
#include "isotrope/io/dtype.h"

namespace isotrope {

/// One array of NumPy's .npy format, versions 1 to 3, memory-mapped: little-endian, C order, dtypes f2 f4 f8 i1 i2 i4 i8 u1 b1.
/// Throws InputError for anything else: another magic or version, a header that is no such dictionary, big-endian or Fortran data,
/// another dtype, and a file whose data is not exactly product(shape) · size of dtype bytes.
class NpyFile {
 public:
  explicit NpyFile(const fs::path& path);
  /// A file's bytes in memory that outlives this object; `name` stands for the path in errors.
  NpyFile(std::span<const std::byte> bytes, const std::string& name);

  DType dtype() const { return dtype_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::span<const std::byte> bytes() const { return data_; }
  const fs::path& path() const { return path_; }

 private:
  void parse(std::span<const std::byte> bytes);

  MappedFile map_;
  fs::path path_;
  DType dtype_ = DType::f32;
  std::vector<std::int64_t> shape_;
  std::span<const std::byte> data_;
};

/// Writes version 1.0, data at a multiple of 64 (AtomicFile). bytes.size() = product(shape) · dtype_size(dtype).
/// Throws WorkError for bf16 and fp8, which NumPy lacks, for a size that does not fit the shape, and when the file cannot be written.
void write_npy(const fs::path& path, DType dtype, std::span<const std::int64_t> shape, std::span<const std::byte> bytes);

}  // namespace isotrope
