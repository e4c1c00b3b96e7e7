#include "isotrope/io/npy.h"

#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

constexpr std::string_view in_npy = "npy";
constexpr std::string_view npy_magic = "\x93NUMPY";

constexpr std::array<std::pair<std::string_view, DType>, 9> descriptions{{{"<f2", DType::f16},
                                                                          {"<f4", DType::f32},
                                                                          {"<f8", DType::f64},
                                                                          {"|i1", DType::i8},
                                                                          {"<i2", DType::i16},
                                                                          {"<i4", DType::i32},
                                                                          {"<i8", DType::i64},
                                                                          {"|u1", DType::u8},
                                                                          {"|b1", DType::boolean}}};

/// The header: a Python dictionary literal with the keys descr, fortran_order and shape, in any order.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;

  void parse() {
    bool has_descr = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const auto key = string();
      expect(':');
      if (key == "descr" && !std::exchange(has_descr, true)) descr = string();
      else if (key == "fortran_order" && !std::exchange(has_order, true)) fortran_order = boolean();
      else if (key == "shape" && !std::exchange(has_shape, true)) shape = tuple();
      else fail();
      if (!accept(',') && (skip(), text_.substr(at_, 1) != "}")) fail();
    }
    skip();
    if (at_ != text_.size() || !has_descr || !has_order || !has_shape) fail();
  }

 private:
  [[noreturn]] void fail() const { throw InputError(in_npy, "{}: byte {} of the header is not what a .npy header has there", file_, at_); }

  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }

  bool accept(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail();
  }

  std::string string() {
    skip();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') fail();
    const auto end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos || end - at_ > 64) fail();  // structured dtypes and long names are not ours
    const auto value = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return std::string(value);
  }

  bool boolean() {
    skip();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return value;
    }
    fail();
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> dims;
    expect('(');
    while (!accept(')')) {
      skip();
      std::int64_t dim = 0;
      const auto [stopped, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), dim);
      if (error != std::errc{} || dim < 0) fail();
      at_ = static_cast<std::size_t>(stopped - text_.data());
      dims.push_back(dim);
      if (!accept(',') && (skip(), text_.substr(at_, 1) != ")")) fail();
    }
    return dims;
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0;
};

/// Where the header's text begins and how long it is.
std::pair<std::size_t, std::size_t> header_range(std::span<const std::byte> bytes, const std::string& file) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(npy_magic) || text.size() < 10) throw InputError(in_npy, "{}: not a .npy file", file);
  const int version = static_cast<unsigned char>(text[6]);
  if (version < 1 || version > 3) throw InputError(in_npy, "{}: format version {}, expected 1 to 3", file, version);
  const std::size_t begin = version == 1 ? 10 : 12;
  std::uint32_t size = 0;
  if (text.size() >= begin) std::memcpy(&size, bytes.data() + 8, begin - 8);
  if (text.size() < begin || size > text.size() - begin)
    throw InputError(in_npy, "{}: the header claims {} bytes, the file has {}: truncated?", file, size, text.size());
  return {begin, size};
}

}  // namespace

NpyFile::NpyFile(const fs::path& path) : map_(path, in_npy), path_(path) { parse(map_.bytes()); }

NpyFile::NpyFile(std::span<const std::byte> bytes, const std::string& name) : path_(name) { parse(bytes); }

void NpyFile::parse(std::span<const std::byte> bytes) {
  const auto file = path_.string();
  const auto [begin, size] = header_range(bytes, file);
  HeaderParser header({reinterpret_cast<const char*>(bytes.data()) + begin, size}, file);
  header.parse();

  std::optional<DType> dtype;
  for (const auto& [description, candidate] : descriptions)
    // Byte order means nothing for one byte, and some writers put '<' there.
    if (header.descr == description ||
        (description[0] == '|' && header.descr.size() == 3 && header.descr.substr(1) == description.substr(1)))
      dtype = candidate;
  if (!dtype) throw InputError(in_npy, "{}: dtype \"{}\": expected one of <f2 <f4 <f8 |i1 <i2 <i4 <i8 |u1 |b1", file, header.descr);
  if (header.fortran_order && header.shape.size() > 1) throw InputError(in_npy, "{}: Fortran order, expected C order", file);

  data_ = bytes.subspan(begin + size);
  const auto expected = byte_count(header.shape, *dtype);
  if (!expected || *expected != data_.size())
    throw InputError(in_npy, "{}: shape {} of {} takes {} bytes, the file has {}", file, shape_text(header.shape), header.descr,
                     expected ? std::to_string(*expected) : "too many", data_.size());
  dtype_ = *dtype;
  shape_ = std::move(header.shape);
}

void write_npy(const fs::path& path, DType dtype, std::span<const std::int64_t> shape, std::span<const std::byte> bytes) {
  std::string_view description;
  for (const auto& [text, candidate] : descriptions)
    if (candidate == dtype) description = text;
  if (description.empty()) throw WorkError(in_npy, "{}: NumPy has no {}", path.string(), dtype_name(dtype));
  if (byte_count(shape, dtype) != bytes.size())
    throw WorkError(in_npy, "{}: shape {} of {} does not take {} bytes", path.string(), shape_text(shape), dtype_name(dtype), bytes.size());

  std::string dims;
  for (const auto dim : shape) dims += std::to_string(dim) + (shape.size() == 1 ? "," : ", ");
  if (shape.size() > 1) dims.resize(dims.size() - 2);
  auto header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", description, dims);
  header.append(63 - (header.size() + 10) % 64, ' ');
  header += '\n';
  const auto size = static_cast<std::uint16_t>(header.size());

  AtomicFile file(path, in_npy);
  file.write(npy_magic);
  file.write(std::string_view("\x01\x00", 2));
  file.write(std::as_bytes(std::span(&size, 1)));
  file.write(header);
  file.write(bytes);
  file.commit();
}

}  // namespace isotrope
