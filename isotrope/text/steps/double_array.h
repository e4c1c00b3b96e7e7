#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace isotrope {

/// A trie over bytes in a double array (Aoe 1989): a step costs one look at eight bytes of memory. Immutable once built.
class DoubleArray {
 public:
  /// Keys with their values ≥ 0; of equal keys the last counts. Empty keys are left out.
  /// Throws InputError when the keys need more than 2²³ units; `file` is named in it.
  DoubleArray(std::vector<std::pair<std::string_view, std::int32_t>> keys, std::string_view file);

  /// Where a walk stands: what all children of a node have in common.
  using State = std::uint32_t;
  State root() const { return root_; }
  /// Goes on by one byte; false: no key does.
  bool step(State& state, unsigned char byte, std::int32_t& value) const {
    const auto unit = units_[state ^ byte];
    if ((unit.link & 0x1FF) != byte) return false;
    state = unit.link >> 9;
    value = unit.value;
    return true;
  }
  /// The value of a key, or −1.
  std::int32_t find(std::string_view key) const;

 private:
  struct Unit {
    std::uint32_t link = 0x100;  ///< base of the children << 9 | label of the edge that leads here; 0x100: no edge does
    std::int32_t value = -1;
  };
  struct Builder;
  std::vector<Unit> units_;
  State root_ = 0;
};

}  // namespace isotrope
