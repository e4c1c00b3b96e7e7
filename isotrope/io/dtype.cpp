#include "isotrope/io/dtype.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "isotrope/base/error.h"

namespace isotrope {

static_assert(std::endian::native == std::endian::little, "the file formats are little-endian and read in place");

namespace {

struct DTypeEntry {
  std::string_view name;
  std::size_t size;
};

// In the order of the enumeration.
constexpr std::array<DTypeEntry, 12> dtype_entries{{{"F64", 8},
                                                    {"F32", 4},
                                                    {"F16", 2},
                                                    {"BF16", 2},
                                                    {"I64", 8},
                                                    {"I32", 4},
                                                    {"I16", 2},
                                                    {"I8", 1},
                                                    {"U8", 1},
                                                    {"BOOL", 1},
                                                    {"F8_E4M3", 1},
                                                    {"F8_E5M2", 1}}};

}  // namespace

std::size_t dtype_size(DType dtype) { return dtype_entries[static_cast<std::size_t>(dtype)].size; }
std::string_view dtype_name(DType dtype) { return dtype_entries[static_cast<std::size_t>(dtype)].name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (std::size_t i = 0; i < dtype_entries.size(); ++i)
    if (dtype_entries[i].name == name) return static_cast<DType>(i);
  return std::nullopt;
}

bool is_floating(DType dtype) { return dtype <= DType::bf16 || dtype == DType::f8_e4m3 || dtype == DType::f8_e5m2; }

std::optional<std::uint64_t> byte_count(std::span<const std::int64_t> shape, DType dtype) {
  auto product = static_cast<std::int64_t>(dtype_size(dtype));
  for (const auto dim : shape)
    if (dim < 0 || __builtin_mul_overflow(product, dim, &product)) return std::nullopt;
  return static_cast<std::uint64_t>(product);
}

float to_float_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

float to_float_f16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  const std::uint32_t exponent = bits >> 10 & 0x1f, mantissa = bits & 0x3ff;
  if (exponent == 0) return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(mantissa) * 0x1p-24f));
  const std::uint32_t wide = exponent == 0x1f ? 0xff : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

std::uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  const auto signed_bits = [&](std::uint32_t rest) { return static_cast<std::uint16_t>(sign | rest); };
  if (magnitude > 0x7f800000) return signed_bits(0x7e00);
  // Below 2^-14 the numbers are multiples of 2^-24, which is the last place of a float between 1/2 and 1.
  if (magnitude < 0x38800000)
    return signed_bits(std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - std::bit_cast<std::uint32_t>(0.5f));
  const std::uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return signed_bits(rounded >= 0x47800000 ? 0x7c00 : (rounded - (112u << 23)) >> 13);
}

std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float to_float_f8_e4m3(std::uint8_t bits) {
  const int exponent = bits >> 3 & 0xf, mantissa = bits & 7;
  if (exponent == 0xf && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  const float magnitude =
      exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9) : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return bits & 0x80 ? -magnitude : magnitude;
}

float to_float_f8_e5m2(std::uint8_t bits) { return to_float_f16(static_cast<std::uint16_t>(bits << 8)); }

namespace {

template <class Stored, class Out, class Decode>
void decode_all(std::span<const std::byte> bytes, std::span<Out> out, Decode decode) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof stored, sizeof stored);
    out[i] = static_cast<Out>(decode(stored));
  }
}

template <class Out>
void to_numbers(DType dtype, std::span<const std::byte> bytes, std::span<Out> out) {
  if (bytes.size() != out.size() * dtype_size(dtype))
    throw WorkError("dtype", "{} bytes for {} elements of {}", bytes.size(), out.size(), dtype_name(dtype));
  const auto as_is = [](auto value) { return value; };
  switch (dtype) {
    case DType::f64: return decode_all<double>(bytes, out, as_is);
    case DType::f32: return decode_all<float>(bytes, out, as_is);
    case DType::f16: return decode_all<std::uint16_t>(bytes, out, to_float_f16);
    case DType::bf16: return decode_all<std::uint16_t>(bytes, out, [](std::uint16_t bits) { return to_float_bf16(bits); });
    case DType::i64: return decode_all<std::int64_t>(bytes, out, as_is);
    case DType::i32: return decode_all<std::int32_t>(bytes, out, as_is);
    case DType::i16: return decode_all<std::int16_t>(bytes, out, as_is);
    case DType::i8: return decode_all<std::int8_t>(bytes, out, as_is);
    case DType::u8: return decode_all<std::uint8_t>(bytes, out, as_is);
    case DType::boolean: return decode_all<std::uint8_t>(bytes, out, [](std::uint8_t value) { return value != 0; });
    case DType::f8_e4m3: return decode_all<std::uint8_t>(bytes, out, to_float_f8_e4m3);
    case DType::f8_e5m2: return decode_all<std::uint8_t>(bytes, out, to_float_f8_e5m2);
  }
}

}  // namespace

void to_doubles(DType dtype, std::span<const std::byte> bytes, std::span<double> out) { to_numbers(dtype, bytes, out); }
void to_floats(DType dtype, std::span<const std::byte> bytes, std::span<float> out) { to_numbers(dtype, bytes, out); }

std::vector<float> to_floats(DType dtype, std::span<const std::byte> bytes) {
  std::vector<float> numbers(bytes.size() / dtype_size(dtype));
  to_floats(dtype, bytes, numbers);
  return numbers;
}

}  // namespace isotrope
