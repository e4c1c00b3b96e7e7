#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace isotrope {

/// Element types of stored tensors.
enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean, f8_e4m3, f8_e5m2 };

std::size_t dtype_size(DType dtype);                          ///< bytes an element
std::string_view dtype_name(DType dtype);                     ///< as safetensors spells it: "BF16", "F8_E4M3", "BOOL"
std::optional<DType> dtype_from_name(std::string_view name);  ///< the inverse
bool is_floating(DType dtype);

/// product(shape) · dtype_size(dtype), or nothing where a dimension is negative or that does not fit 63 bits.
std::optional<std::uint64_t> byte_count(std::span<const std::int64_t> shape, DType dtype);

float to_float_f16(std::uint16_t bits);     ///< IEEE 754 binary16
float to_float_bf16(std::uint16_t bits);    ///< the upper half of a float
std::uint16_t to_f16(float value);          ///< nearest, ties to even; past 65504 + half a step infinity; NaN stays a quiet NaN
std::uint16_t to_bf16(float value);         ///< the same
float to_float_f8_e4m3(std::uint8_t bits);  ///< OCP FP8 E4M3 "fn": no infinities, S.1111.111 is NaN, largest 448
float to_float_f8_e5m2(std::uint8_t bits);  ///< OCP FP8 E5M2: as binary16 cut to eight bits

/// Elements of any dtype, little-endian and at any alignment, to numbers; bytes.size() = out.size() · dtype_size(dtype).
/// Integers past 2^53 (double) or 2^24 (float) are rounded.
void to_doubles(DType dtype, std::span<const std::byte> bytes, std::span<double> out);
void to_floats(DType dtype, std::span<const std::byte> bytes, std::span<float> out);
std::vector<float> to_floats(DType dtype, std::span<const std::byte> bytes);

}  // namespace isotrope
