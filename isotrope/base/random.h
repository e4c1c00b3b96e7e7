#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace isotrope {

/// Philox4x32-10 (Salmon et al. 2011): 128 random bits as a pure function of a 128-bit counter and a 64-bit key.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// A stream of random numbers that is a function of (seed, purpose, step, rank) and of nothing else: no state to save,
/// and two streams that differ in any of the four are independent. `purpose` says what the numbers are for ("init/wte.weight", "sampling").
/// Any position can be reached in O(1) by seek(). Not thread-safe; copy it instead.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::string_view purpose, std::uint64_t step = 0, std::uint32_t rank = 0);
  std::uint32_t next_u32();
  std::uint64_t next_u64();
  double uniform();                          ///< [0, 1), 53 bits
  std::uint64_t below(std::uint64_t bound);  ///< [0, bound) without bias; bound > 0
  double normal();                           ///< N(0, 1), Box–Muller, two words a number
  void seek(std::uint64_t words);            ///< the next number uses the 32-bit word at this position of the stream

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_, block_{};
  std::uint64_t position_ = 0, cached_ = ~std::uint64_t{0};
};

/// A permutation of [0, size) as a function: no table, O(1) a look-up, keyed by (seed, purpose, step).
/// A Feistel network over the next power of four, walked until it lands inside (Black & Rogaway 2002, cycle walking).
class RandomPermutation {
 public:
  RandomPermutation(std::uint64_t size, std::uint64_t seed, std::string_view purpose, std::uint64_t step = 0);
  std::uint64_t operator()(std::uint64_t index) const;  ///< index < size
  std::uint64_t size() const { return size_; }

 private:
  std::uint64_t size_;
  std::uint32_t half_bits_;
  std::array<std::uint32_t, 2> key_;
};

}  // namespace isotrope
