#include "isotrope/text/steps/double_array.h"

#include <algorithm>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

constexpr std::size_t block = 256, most_units = std::size_t{1} << 23;
constexpr std::size_t open_blocks = 16;     // the last of them, in which a place is looked for
constexpr std::uint16_t most_failures = 8;  // after which a block with little room left is given up

}  // namespace

/// Places the children of one node after another, each set of them at a base that no other node has.
struct DoubleArray::Builder {
  using Keys = std::span<const std::pair<std::string_view, std::int32_t>>;
  struct Task {
    std::size_t unit;  ///< the node's own, or none for the root
    Keys keys;         ///< all that share the node's bytes
    std::size_t depth;
  };
  struct Block {
    std::uint16_t free = block, failures = 0;
  };

  std::vector<Unit>& units;
  std::string_view file;
  std::vector<bool> is_base = {};
  std::vector<Block> blocks = {};
  std::vector<unsigned char> labels = {};

  void add_block() {
    if (units.size() >= most_units) throw InputError("tokenizer", "{}: the vocabulary needs more than {} trie nodes", file, most_units);
    units.resize(units.size() + block);
    is_base.resize(units.size());
    blocks.emplace_back();
  }
  bool fits(std::uint32_t base) const {
    return !is_base[base] && std::ranges::all_of(labels, [&](unsigned char label) { return units[base ^ label].link == 0x100; });
  }
  std::uint32_t find_base() {
    for (auto index = std::max<std::size_t>(blocks.size(), open_blocks + 1) - open_blocks; index < blocks.size(); ++index) {
      auto& [free, failures] = blocks[index];
      if (free < labels.size() || failures > most_failures) continue;
      for (std::size_t low = 0; low < block; ++low)
        if (const auto base = static_cast<std::uint32_t>(index * block + low); fits(base)) return base;
      if (free < block / 8) ++failures;
    }
    add_block();
    return static_cast<std::uint32_t>((blocks.size() - 1) * block);
  }
  /// Gives the node's children their places and appends them to `tasks`; returns their base.
  std::uint32_t place(const Task& task, std::vector<Task>& tasks) {
    const auto [unit, keys, depth] = task;
    const auto label_of = [&](const auto& key) { return static_cast<unsigned char>(key.first[depth]); };
    auto begin = std::ranges::find_if(keys, [&](const auto& key) { return key.first.size() > depth; });
    labels.clear();
    for (auto key = begin; key != keys.end(); ++key)
      if (labels.empty() || labels.back() != label_of(*key)) labels.push_back(label_of(*key));
    if (labels.empty()) return 0;  // the first block has no children: whatever is looked for there is not found
    const auto base = find_base();
    is_base[base] = true;
    blocks[base / block].free -= static_cast<std::uint16_t>(labels.size());
    for (const auto label : labels) {
      const auto end = std::find_if(begin, keys.end(), [&](const auto& key) { return label_of(key) != label; });
      auto& child = units[base ^ label];
      child.link = label;
      for (auto key = begin; key != end && key->first.size() == depth + 1; ++key) child.value = key->second;
      tasks.push_back({base ^ label, Keys(begin, end), depth + 1});
      begin = end;
    }
    return base;
  }
};

DoubleArray::DoubleArray(std::vector<std::pair<std::string_view, std::int32_t>> keys, std::string_view file) {
  std::erase_if(keys, [](const auto& key) { return key.first.empty(); });
  std::ranges::stable_sort(keys, {}, &std::pair<std::string_view, std::int32_t>::first);
  Builder builder{units_, file};
  builder.add_block();
  std::vector<Builder::Task> tasks;
  root_ = builder.place({0, keys, 0}, tasks);
  while (!tasks.empty()) {
    const auto task = tasks.back();
    tasks.pop_back();
    const auto children = builder.place(task, tasks);
    units_[task.unit].link |= children << 9;
  }
}

std::int32_t DoubleArray::find(std::string_view key) const {
  auto state = root_;
  std::int32_t value = -1;
  for (const char c : key)
    if (!step(state, static_cast<unsigned char>(c), value)) return -1;
  return value;
}

}  // namespace isotrope
