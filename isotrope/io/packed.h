#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace isotrope {

/// How the numbers of a tensor are packed in blocks, by ggml's number for it. A block of Q-types shares one or more scales; K-types have
/// blocks of 256 with eight or sixteen scales that are themselves quantized. Layouts: docs/formats/gguf.md.
enum class Packing : std::uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q8_0 = 8, q4_k = 12, q6_k = 14, bf16 = 30 };

std::optional<Packing> packing_from_number(std::uint32_t number);
std::string_view packing_name(Packing packing);  ///< "F32", "Q4_K"
/// What ggml calls the type of this number, also one that we do not read; "" for a number that it does not have.
std::string_view ggml_type_name(std::uint32_t number);
std::size_t block_size(Packing packing);   ///< numbers a block
std::size_t block_bytes(Packing packing);  ///< bytes a block

/// A named tensor in somebody else's memory: shape outermost first as in PyTorch, the last dimension packed in whole blocks.
struct PackedTensor {
  std::string name;
  Packing packing = Packing::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;

  std::int64_t count() const;  ///< numbers
};

/// Bytes of `count` numbers, which are whole blocks.
std::size_t packed_bytes(Packing packing, std::size_t count);

/// Blocks to numbers, at any alignment: bytes.size() = packed_bytes(packing, out.size()). Products and sums are rounded as ggml's are, one
/// after another in fp32, so that the result equals it bit for bit.
void expand(Packing packing, std::span<const std::byte> bytes, std::span<float> out);

/// Numbers to blocks: f32, f16, bf16 (nearest, ties to even), q8_0, q4_0, q4_1 (ggml's rounding). Throws InputError when a number or a
/// block's scale is not finite in that type (f32 takes every number as it is); WorkError for the K-types, which are only read.
void pack(Packing packing, std::span<const float> numbers, std::span<std::byte> out);

}  // namespace isotrope
