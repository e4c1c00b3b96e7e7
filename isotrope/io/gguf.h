#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "isotrope/base/file.h"
#include "isotrope/io/packed.h"

namespace isotrope {

struct GgufArray;
/// A value of GGUF's metadata; the alternative's place is the format's number of its type.
using GgufValue = std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float, bool,
                               std::string, GgufArray, std::uint64_t, std::int64_t, double>;
/// Elements of one type, in the same order of types.
struct GgufArray {
  std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>, std::vector<std::int16_t>,
               std::vector<std::uint32_t>, std::vector<std::int32_t>, std::vector<float>, std::vector<bool>, std::vector<std::string>,
               std::vector<GgufArray>, std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>
      elements;
};
using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;  ///< in the order of the file

/// A GGUF file of version 2 or 3, little-endian, memory-mapped: the views stay valid as long as this object (or what it was moved into)
/// lives. Refuses, with one InputError that names file and key or tensor: another magic or version, a truncated file, lengths and counts
/// that the file has no room for, arrays nested more than 4 deep, a key or name given twice, a type that is not read (by number), rows of
/// no whole blocks, a size that overflows, an alignment that is no power of two, and data that is not aligned, overlaps or ends outside the
/// file.
class GgufFile {
 public:
  explicit GgufFile(const fs::path& path);
  /// A file's bytes in memory that outlives this object; `name` stands for the path in errors.
  GgufFile(std::span<const std::byte> bytes, const std::string& name);

  std::uint32_t version() const { return version_; }
  const GgufMetadata& metadata() const { return metadata_; }
  const std::vector<PackedTensor>& tensors() const { return tensors_; }  ///< in the order of the file
  const PackedTensor* find(std::string_view name) const;                 ///< null when there is none
  const GgufValue* value(std::string_view key) const;                    ///< null when there is none
  const fs::path& path() const { return path_; }

  /// get_X(key) required, get_X(key, fallback) when it may be absent: InputError when it is absent or of another kind. Any integer type
  /// that holds the number serves as an integer, integers serve as numbers.
  std::int64_t get_int(std::string_view key) const;
  std::int64_t get_int(std::string_view key, std::int64_t fallback) const;
  double get_number(std::string_view key) const;
  double get_number(std::string_view key, double fallback) const;
  bool get_bool(std::string_view key, bool fallback) const;
  std::string get_string(std::string_view key) const;
  std::string get_string(std::string_view key, std::string_view fallback) const;
  const std::vector<std::string>& get_strings(std::string_view key) const;
  std::vector<std::int64_t> get_ints(std::string_view key) const;

 private:
  void parse(std::span<const std::byte> bytes);
  const GgufValue& required(std::string_view key) const;
  [[noreturn]] void wrong(std::string_view key, std::string_view expected, const GgufValue& got) const;

  MappedFile map_;
  fs::path path_;
  std::uint32_t version_ = 0;
  GgufMetadata metadata_;
  std::vector<PackedTensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> keys_, names_;
};

/// "an unsigned 32-bit integer", "a string": what a message calls this value.
std::string_view gguf_kind(const GgufValue& value);

/// A tensor to be written; the shape outermost first, the last dimension in whole blocks.
struct GgufEntry {
  std::string name;
  Packing packing = Packing::f32;
  std::vector<std::int64_t> shape;
};

/// Writes version 3 with data at multiples of 32 (AtomicFile). `data` gives the bytes of one entry at a time, in order, so that no more
/// than one tensor need be in memory beside the model. Throws WorkError for a key or name that stands twice, a shape of no whole blocks,
/// bytes that do not fit it, and when the file cannot be written.
void write_gguf(const fs::path& path, const GgufMetadata& metadata, std::span<const GgufEntry> entries,
                const std::function<std::vector<std::byte>(std::size_t entry)>& data);

}  // namespace isotrope
