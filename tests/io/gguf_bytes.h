#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace isotrope::test {

/// The bytes of a GGUF file, put together by hand so that any of them can be wrong.
class GgufBytes {
 public:
  explicit GgufBytes(std::uint64_t tensors = 0, std::uint64_t values = 0, std::uint32_t version = 3) {
    bytes_ = "GGUF";
    number(version).number(tensors).number(values);
  }
  template <class T>
  GgufBytes& number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  GgufBytes& text(std::string_view text) {
    number<std::uint64_t>(text.size());
    bytes_ += text;
    return *this;
  }
  template <class T>
  GgufBytes& value(std::string_view key, std::uint32_t type, T value) {
    return text(key).number(type).number(value);
  }
  /// An entry of the tensor table; dimensions innermost first, as the file has them.
  GgufBytes& tensor(std::string_view name, std::initializer_list<std::uint64_t> dimensions, std::uint32_t type, std::uint64_t offset) {
    text(name).number(static_cast<std::uint32_t>(dimensions.size()));
    for (const auto size : dimensions) number(size);
    return number(type).number(offset);
  }
  /// Padding to a multiple of `alignment` and `size` bytes of data.
  GgufBytes& data(std::size_t size, std::size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment + size);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace isotrope::test
