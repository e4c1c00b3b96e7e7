#include "isotrope/base/random.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "isotrope/base/error.h"

namespace isotrope {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

namespace {

/// FNV-1a over the purpose, then two rounds of SplitMix64 with the seed: a key in which every bit depends on both.
std::array<std::uint32_t, 2> key_of(std::uint64_t seed, std::string_view purpose) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : purpose) hash = (hash ^ c) * 0x100000001b3;
  for (const std::uint64_t word : {seed, std::uint64_t{purpose.size()}}) {
    hash += word + 0x9E3779B97F4A7C15;
    hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9;
    hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EB;
    hash ^= hash >> 31;
  }
  return {static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(hash >> 32)};
}

}  // namespace

RandomStream::RandomStream(std::uint64_t seed, std::string_view purpose, std::uint64_t step, std::uint32_t rank)
    : key_(key_of(seed, purpose)) {
  // Words 1–3 of the counter hold the step (48 bits) and the rank; word 0 with 16 bits of word 1 counts blocks: 2^50 words a stream.
  if (step >> 48) throw WorkError("random", "step {} is past 2^48", step);
  counter_ = {0, static_cast<std::uint32_t>(step) << 16, static_cast<std::uint32_t>(step >> 16), rank};
}

void RandomStream::seek(std::uint64_t words) { position_ = words; }

std::uint32_t RandomStream::next_u32() {
  const std::uint64_t block = position_ / 4;
  if (block != cached_) {
    auto counter = counter_;
    counter[0] = static_cast<std::uint32_t>(block);
    counter[1] |= static_cast<std::uint32_t>(block >> 32) & 0xFFFF;
    block_ = philox(counter, key_);
    cached_ = block;
  }
  return block_[position_++ % 4];
}

std::uint64_t RandomStream::next_u64() {
  const std::uint64_t low = next_u32();
  return low | std::uint64_t{next_u32()} << 32;
}

double RandomStream::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

std::uint64_t RandomStream::below(std::uint64_t bound) {
  const std::uint64_t reject = (0 - bound) % bound;  // the first 2^64 mod bound values would be too frequent
  for (;;) {
    const std::uint64_t value = next_u64();
    if (value >= reject) return value % bound;
  }
}

double RandomStream::normal() {
  const double radius = std::sqrt(-2.0 * std::log((static_cast<double>(next_u32()) + 0.5) * 0x1p-32));
  return radius * std::cos(2.0 * std::numbers::pi * static_cast<double>(next_u32()) * 0x1p-32);
}

RandomPermutation::RandomPermutation(std::uint64_t size, std::uint64_t seed, std::string_view purpose, std::uint64_t step) : size_(size) {
  const auto bits = static_cast<std::uint32_t>(std::bit_width(size > 1 ? size - 1 : 1));
  half_bits_ = (bits + 1) / 2;
  RandomStream stream(seed, purpose, step);
  key_ = {stream.next_u32(), stream.next_u32()};
}

std::uint64_t RandomPermutation::operator()(std::uint64_t index) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  do {
    std::uint64_t left = index >> half_bits_, right = index & mask;
    for (std::uint32_t round = 0; round < 6; ++round) {
      const auto mixed = philox({static_cast<std::uint32_t>(right), static_cast<std::uint32_t>(right >> 32), round, 0}, key_);
      const std::uint64_t f = (mixed[0] | std::uint64_t{mixed[1]} << 32) & mask;
      left = std::exchange(right, left ^ f);
    }
    index = left << half_bits_ | right;
  } while (index >= size_);
  return index;
}

}  // namespace isotrope
