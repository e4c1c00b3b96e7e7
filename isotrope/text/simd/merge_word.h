#pragma once

#include <cstddef>
#include <cstdint>

namespace isotrope::simd {

/// The merges of a byte-pair encoding as flat tables, small enough to stay in a processor's own cache. A merge has an order: the smaller
/// comes first. Where the resulting ids ascend with the ranks, they are the orders themselves; otherwise the ranks are.
struct MergeTables {
  static constexpr unsigned token_bits = 21, order_bits = 22;  ///< left, right and order share 64 bits
  static constexpr std::uint32_t no_order = (1u << order_bits) - 1;
  static constexpr std::uint64_t empty = ~std::uint64_t{0};

  const std::int32_t* byte_ids;      ///< [256]
  const std::uint32_t* byte_orders;  ///< [256 · 256] by first and second byte: the order of two bytes' merge
  const std::uint64_t* slots;        ///< left, right, order from the top; open addressing with linear probing
  const std::uint64_t* filter;       ///< a bit by hash, set for every pair that merges: most that do not need no second look
  unsigned slot_shift, filter_shift;
  const std::int32_t* results;  ///< by order; null: the order is the result

  static std::uint64_t pair(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(left) << (token_bits + order_bits) | static_cast<std::uint64_t>(right) << order_bits;
  }
  static std::uint64_t hash(std::uint64_t pair) { return (pair ^ pair >> 32) * 0x9E3779B97F4A7C15u; }
  std::uint64_t slot_mask() const { return ~std::uint64_t{0} >> slot_shift; }

  std::uint32_t order(std::int32_t left, std::int32_t right) const {
    const auto wanted = pair(left, right), hashed = hash(wanted);
    const auto bit = hashed >> filter_shift;
    if ((filter[bit / 64] >> (bit % 64) & 1) == 0) return no_order;
    for (auto place = hashed * 0xD6E8FEB86659FD93u >> slot_shift;; place = (place + 1) & slot_mask()) {
      const auto slot = slots[place];
      if ((slot ^ wanted) >> order_bits == 0) return static_cast<std::uint32_t>(slot) & no_order;
      if (slot == empty) return no_order;
    }
  }
  std::int32_t result(std::uint32_t order) const { return results ? results[order] : static_cast<std::int32_t>(order); }
};

inline constexpr std::size_t longest_short_word = 64;

/// Merges a word of 1 … 64 bytes: again and again the neighbours of lowest order, the leftmost of equals. Returns how many ids it wrote.
using MergeFunction = std::size_t (*)(const MergeTables& tables, const char* word, std::size_t size, std::int32_t* ids);
MergeFunction merge_short_word();

}  // namespace isotrope::simd
