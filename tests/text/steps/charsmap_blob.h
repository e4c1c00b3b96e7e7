#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace isotrope::tests {

/// A charsmap of these entries, each node with a block of its own.
inline std::string blob_of(const std::map<std::string, std::string>& entries) {
  constexpr std::uint32_t block = 256;
  std::vector<std::uint32_t> units(2 * block);
  std::string texts;
  units[0] = block << 10;
  for (const auto& [key, becomes] : entries) {
    std::uint32_t children = block;
    for (std::size_t i = 0; i < key.size(); ++i) {
      const auto byte = static_cast<unsigned char>(key[i]);
      const auto unit = children ^ byte;
      if ((units[unit] & 0xFF) != byte) {
        units[unit] = byte | (unit ^ static_cast<std::uint32_t>(units.size())) << 10;
        units.resize(units.size() + block);
      }
      children = unit ^ units[unit] >> 10;
      if (i + 1 < key.size()) continue;
      units[unit] |= 1u << 8;
      units[children] = 1u << 31 | static_cast<std::uint32_t>(texts.size());
    }
    texts += becomes + '\0';
  }
  const auto size = static_cast<std::uint32_t>(units.size() * sizeof units[0]);
  std::string blob(reinterpret_cast<const char*>(&size), sizeof size);
  blob.append(reinterpret_cast<const char*>(units.data()), size);
  return blob + texts;
}

}  // namespace isotrope::tests
