#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace isotrope {

/// Two 64-bit numbers folded into one through their 128-bit product.
inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// A hash of short byte strings for tables in memory. Not stable across versions and no defence against chosen keys: never stored.
inline std::uint64_t hash_bytes(std::string_view bytes) {
  constexpr std::uint64_t k0 = 0x9E3779B97F4A7C15u, k1 = 0xD6E8FEB86659FD93u;
  const auto load = [](const char* at, std::size_t size) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, size);
    return word;
  };
  const char* data = bytes.data();
  std::size_t size = bytes.size();
  std::uint64_t state = k1 ^ size;
  for (; size > 16; data += 16, size -= 16) state = mix(load(data, 8) ^ k0, load(data + 8, 8) ^ state);
  if (size >= 8) return mix(mix(load(data, 8) ^ k0, load(data + size - 8, 8) ^ state), k0);
  if (size >= 4) return mix(mix(load(data, 4) ^ k0, load(data + size - 4, 4) ^ state), k0);
  std::uint64_t rest = 0;
  for (std::size_t i = 0; i < size; ++i) rest = rest << 8 | static_cast<unsigned char>(data[i]);
  return mix(mix(rest ^ k0, state), k0);
}

}  // namespace isotrope
