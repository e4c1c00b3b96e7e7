#include "isotrope/io/packed.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "isotrope/base/error.h"
#include "isotrope/io/dtype.h"

namespace isotrope {

namespace {

struct Entry {
  Packing packing;
  std::string_view name;
  std::size_t size, bytes;
};

constexpr std::array<Entry, 8> entries{{{Packing::f32, "F32", 1, 4},
                                        {Packing::f16, "F16", 1, 2},
                                        {Packing::q4_0, "Q4_0", 32, 18},
                                        {Packing::q4_1, "Q4_1", 32, 20},
                                        {Packing::q8_0, "Q8_0", 32, 34},
                                        {Packing::q4_k, "Q4_K", 256, 144},
                                        {Packing::q6_k, "Q6_K", 256, 210},
                                        {Packing::bf16, "BF16", 1, 2}}};

const Entry& entry(Packing packing) { return *std::ranges::find(entries, packing, &Entry::packing); }

// By number; "" where ggml removed a type.
constexpr std::string_view ggml_names[] = {"F32",    "F16",   "Q4_0",  "Q4_1",   "",      "",      "Q5_0",    "Q5_1",   "Q8_0",    "Q8_1",
                                           "Q2_K",   "Q3_K",  "Q4_K",  "Q5_K",   "Q6_K",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S",
                                           "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",    "I16",   "I32",     "I64",    "F64",     "IQ1_M",
                                           "BF16",   "",      "",      "",       "TQ1_0", "TQ2_0", "",        "",       "",        "MXFP4"};

}  // namespace

std::optional<Packing> packing_from_number(std::uint32_t number) {
  const auto found = std::ranges::find(entries, static_cast<Packing>(number), &Entry::packing);
  return found == entries.end() ? std::nullopt : std::optional(found->packing);
}

std::string_view packing_name(Packing packing) { return entry(packing).name; }
std::string_view ggml_type_name(std::uint32_t number) { return number < std::size(ggml_names) ? ggml_names[number] : ""; }
std::size_t block_size(Packing packing) { return entry(packing).size; }
std::size_t block_bytes(Packing packing) { return entry(packing).bytes; }

std::int64_t PackedTensor::count() const { return static_cast<std::int64_t>(bytes.size() / block_bytes(packing) * block_size(packing)); }

std::size_t packed_bytes(Packing packing, std::size_t count) {
  if (count % block_size(packing) != 0)
    throw WorkError("packed", "{} numbers are no whole blocks of {} ({})", count, block_size(packing), packing_name(packing));
  return count / block_size(packing) * block_bytes(packing);
}

// ---- expansion ----------------------------------------------------------------------------------------------------

namespace {

float half_at(const std::uint8_t* from) {
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return to_float_f16(bits);
}

// Each takes one block. The loops have fixed lengths and no branches: compilers turn them into vector instructions.

/// d · (q − 8); the low halves of 16 bytes are the first 16 numbers, the high halves the others.
void expand_q4_0(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block[2 + i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((block[2 + i] >> 4) - 8);
  }
}

/// d · q + m
void expand_q4_1(const std::uint8_t* block, float* out) {
  const float d = half_at(block), m = half_at(block + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(block[4 + i] & 15) + m;
    out[i + 16] = d * static_cast<float>(block[4 + i] >> 4) + m;
  }
}

/// d · q
void expand_q8_0(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
}

/// d · scale · q − dmin · minimum for eight groups of 32. The six bits of scales and minima 4 to 7 lie in the third quartet of bytes and in
/// the two high bits of the first and the second.
void expand_q4_k(const std::uint8_t* block, float* out) {
  const float d = half_at(block), dmin = half_at(block + 2);
  const std::uint8_t *scales = block + 4, *q = block + 16;
  for (int group = 0; group < 8; ++group) {
    const int at = group % 4;
    const bool late = group >= 4;
    const int scale = late ? (scales[8 + at] & 15) | (scales[at] >> 6 << 4) : scales[at] & 63;
    const int minimum = late ? (scales[8 + at] >> 4) | (scales[4 + at] >> 6 << 4) : scales[4 + at] & 63;
    const float step = d * static_cast<float>(scale), offset = dmin * static_cast<float>(minimum);
    const std::uint8_t* bytes = q + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) out[group * 32 + i] = step * static_cast<float>(bytes[i] >> shift & 15) - offset;
  }
}

/// d · scale · (q − 32) for sixteen groups of 16: four low bits in 128 bytes, two high bits in 64.
void expand_q6_k(const std::uint8_t* block, float* out) {
  const auto* scales = reinterpret_cast<const std::int8_t*>(block + 192);
  const float d = half_at(block + 208);
  for (int group = 0; group < 16; ++group) {
    // Halves of 128 numbers: each has 64 bytes of low and 32 of high bits, and in it numbers 32 apart share a byte of high bits.
    const int half = group / 8, row = group % 8 / 2, column = group % 2 * 16;
    const std::uint8_t* low = block + half * 64 + row % 2 * 32 + column;
    const std::uint8_t* high = block + 128 + half * 32 + column;
    const int low_shift = row / 2 * 4, high_shift = row * 2;
    const float step = d * static_cast<float>(scales[group]);
    for (int i = 0; i < 16; ++i)
      out[group * 16 + i] = step * static_cast<float>(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
  }
}

template <void (*Expand)(const std::uint8_t*, float*)>
void for_blocks(Packing packing, std::span<const std::byte> bytes, std::span<float> out) {
  const auto* from = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const auto size = block_size(packing), stride = block_bytes(packing);
  for (std::size_t i = 0; i < out.size() / size; ++i) Expand(from + i * stride, out.data() + i * size);
}

}  // namespace

void expand(Packing packing, std::span<const std::byte> bytes, std::span<float> out) {
  if (bytes.size() != packed_bytes(packing, out.size()))
    throw WorkError("packed", "{} bytes for {} numbers of {}", bytes.size(), out.size(), packing_name(packing));
  switch (packing) {
    case Packing::f32: return to_floats(DType::f32, bytes, out);
    case Packing::f16: return to_floats(DType::f16, bytes, out);
    case Packing::bf16: return to_floats(DType::bf16, bytes, out);
    case Packing::q4_0: return for_blocks<expand_q4_0>(packing, bytes, out);
    case Packing::q4_1: return for_blocks<expand_q4_1>(packing, bytes, out);
    case Packing::q8_0: return for_blocks<expand_q8_0>(packing, bytes, out);
    case Packing::q4_k: return for_blocks<expand_q4_k>(packing, bytes, out);
    case Packing::q6_k: return for_blocks<expand_q6_k>(packing, bytes, out);
  }
}

// ---- packing ------------------------------------------------------------------------------------------------------

namespace {

constexpr std::uint16_t f16_infinity = 0x7c00, bf16_infinity = 0x7f80;

/// A scale or number in two bytes; InputError when it has become infinite or was no number.
void put_half(float value, std::byte* to) {
  const auto bits = to_f16(value);
  if ((bits & f16_infinity) == f16_infinity) throw InputError("packed", "{} does not fit into F16", value);
  std::memcpy(to, &bits, sizeof bits);
}

void put_bf16(float value, std::byte* to) {
  const auto bits = to_bf16(value);
  if ((bits & bf16_infinity) == bf16_infinity) throw InputError("packed", "{} does not fit into BF16", value);
  std::memcpy(to, &bits, sizeof bits);
}

void expect_finite(const float* x) {
  for (int i = 0; i < 32; ++i)
    if (!std::isfinite(x[i])) throw InputError("packed", "{} cannot be quantized", x[i]);
}

/// The first number of largest magnitude in a block.
float largest(const float* x) {
  return *std::max_element(x, x + 32, [](float a, float b) { return std::abs(a) < std::abs(b); });
}

/// Half away from zero.
float round_away(float x) {
  const float magnitude = std::abs(x), whole = std::floor(magnitude);
  return std::copysign(whole + std::floor(2 * (magnitude - whole)), x);
}

/// 1/d, or 0 where the numbers are too small for a scale in F16.
float inverse(float d) { return std::isfinite(1 / d) ? 1 / d : 0; }
/// The nibble of x, which rounding may have put one past its end.
int nibble(float x) { return std::clamp(static_cast<int>(x), 0, 15); }

void pack_q8_0(const float* x, std::byte* out) {
  expect_finite(x);
  const float d = std::abs(largest(x)) / 127;
  put_half(d, out);
  for (int i = 0; i < 32; ++i) out[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(round_away(x[i] * inverse(d))));
}

/// The number of largest magnitude becomes −8.
void pack_q4_0(const float* x, std::byte* out) {
  expect_finite(x);
  const float d = largest(x) / -8;
  put_half(d, out);
  const auto q = [&](int i) { return nibble(x[i] * inverse(d) + 8.5f); };
  for (int i = 0; i < 16; ++i) out[2 + i] = static_cast<std::byte>(q(i) | q(i + 16) << 4);
}

void pack_q4_1(const float* x, std::byte* out) {
  expect_finite(x);
  const auto [least, most] = std::minmax_element(x, x + 32);
  const float m = *least, d = (*most - m) / 15;
  put_half(d, out);
  put_half(m, out + 2);
  const auto q = [&](int i) { return nibble((x[i] - m) * inverse(d) + 0.5f); };
  for (int i = 0; i < 16; ++i) out[4 + i] = static_cast<std::byte>(q(i) | q(i + 16) << 4);
}

template <void (*Pack)(const float*, std::byte*)>
void pack_blocks(Packing packing, std::span<const float> numbers, std::span<std::byte> out) {
  const auto size = block_size(packing), stride = block_bytes(packing);
  for (std::size_t i = 0; i < numbers.size() / size; ++i) Pack(numbers.data() + i * size, out.data() + i * stride);
}

}  // namespace

void pack(Packing packing, std::span<const float> numbers, std::span<std::byte> out) {
  if (out.size() != packed_bytes(packing, numbers.size()))
    throw WorkError("packed", "{} bytes for {} numbers of {}", out.size(), numbers.size(), packing_name(packing));
  switch (packing) {
    case Packing::f32: std::memcpy(out.data(), numbers.data(), out.size()); return;
    case Packing::f16:
      for (std::size_t i = 0; i < numbers.size(); ++i) put_half(numbers[i], out.data() + 2 * i);
      return;
    case Packing::bf16:
      for (std::size_t i = 0; i < numbers.size(); ++i) put_bf16(numbers[i], out.data() + 2 * i);
      return;
    case Packing::q8_0: return pack_blocks<pack_q8_0>(packing, numbers, out);
    case Packing::q4_0: return pack_blocks<pack_q4_0>(packing, numbers, out);
    case Packing::q4_1: return pack_blocks<pack_q4_1>(packing, numbers, out);
    case Packing::q4_k:
    case Packing::q6_k: throw WorkError("packed", "{} is only read", packing_name(packing));
  }
}

}  // namespace isotrope
