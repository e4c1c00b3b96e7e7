#include "isotrope/text/steps/charsmap.h"

#include <algorithm>
#include <cstring>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

// A unit of darts-clone (Yata): a leaf has its top bit set and holds a value; any other the label of the edge that leads to it, whether it has
// a leaf, and the way to its children.
constexpr std::uint32_t leaf_bit = 1u << 31;
bool is_leaf(std::uint32_t unit) { return unit & leaf_bit; }
std::uint32_t label(std::uint32_t unit) { return unit & (leaf_bit | 0xFF); }
bool has_leaf(std::uint32_t unit) { return unit >> 8 & 1; }
std::uint32_t offset(std::uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

Charsmap::Charsmap(std::string_view blob, std::string_view file) {
  const auto fail = [&](std::string_view what) { throw InputError("tokenizer", "{}: precompiled_charsmap: {}", file, what); };
  std::uint32_t size = 0;
  if (blob.size() <= sizeof size) fail("it is cut off");
  std::memcpy(&size, blob.data(), sizeof size);
  blob.remove_prefix(sizeof size);
  if (size < 1024 || size % 1024 != 0) fail("its trie is no multiple of 1,024 bytes");
  if (size >= blob.size()) fail("it is cut off");
  units_.resize(size / sizeof units_[0]);
  std::memcpy(units_.data(), blob.data(), size);
  texts_ = blob.substr(size);
  if (texts_.back() != '\0') fail("its texts do not end in NUL");
  if (check_utf8(texts_)) fail("its texts are not UTF-8");
  check_units(file);
  find_flags();
}

/// What makes every walk stay inside: each block of 256 units that an edge can lead to exists, and a unit with a leaf has one.
void Charsmap::check_units(std::string_view file) const {
  const auto fail = [&] { throw InputError("tokenizer", "{}: precompiled_charsmap: its trie is broken", file); };
  for (std::size_t i = 0; i < units_.size(); ++i) {
    const auto unit = units_[i];
    if (is_leaf(unit)) {
      const auto value = unit & ~leaf_bit;
      if (i == 0 || value >= texts_.size() || continues(texts_[value])) fail();
      continue;
    }
    const auto children = i ^ offset(unit);
    if ((children | 0xFF) >= units_.size()) fail();
    if (has_leaf(unit) && !is_leaf(units_[children])) fail();
  }
  if (has_leaf(units_[0]) || offset(units_[0]) == 0) fail();
}

std::string_view Charsmap::text_at(std::uint32_t unit) const { return texts_.data() + (unit & ~leaf_bit); }

/// found(length, leaf) for each entry that begins the text, the shortest first, until it returns false.
template <class Found>
void Charsmap::walk(std::string_view text, Found&& found) const {
  std::uint32_t node = offset(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    const auto unit = units_[node];
    if (byte == 0 || label(unit) != byte) return;
    node ^= offset(unit);
    if (has_leaf(unit) && !found(i + 1, units_[node])) return;
  }
}

Charsmap::Match Charsmap::longest(std::string_view text) const {
  std::size_t length = 0;
  std::uint32_t leaf = 0;
  walk(text, [&](std::size_t size, std::uint32_t unit) { return length = size, leaf = unit, true; });
  return length > 0 ? Match{length, text_at(leaf)} : Match{};
}

Charsmap::Match Charsmap::shortest(std::string_view text) const {
  Match match;
  walk(text, [&](std::size_t size, std::uint32_t unit) { return match = {size, text_at(unit)}, false; });
  return match;
}

void Charsmap::mark(char32_t code_point, std::uint8_t flag) {
  auto& page = pages_[code_point >> 8];
  if (page == 0) {
    page = static_cast<std::uint16_t>(flags_.size() >> 8);
    flags_.resize(flags_.size() + 256);
  }
  flags_[std::size_t{page} << 8 | (code_point & 0xFF)] |= flag;
}

void Charsmap::find_flags() {
  const auto& graphemes = GraphemeTable::instance();
  std::array<bool, 256> begins{};  // bytes with which some entry begins
  for (std::uint32_t byte = 1; byte < 256; ++byte) begins[byte] = label(units_[offset(units_[0]) ^ byte]) == byte;
  std::string bytes;
  std::vector<std::uint32_t> behind_first;  // the children of nodes that are whole characters
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    if (!graphemes.is_plain(c)) mark(c, joins);
    bytes.clear();
    append_utf8(bytes, c);
    if (!begins[static_cast<unsigned char>(bytes.front())]) continue;
    std::uint32_t node = offset(units_[0]);
    bool alive = true, changes = false;
    for (std::size_t i = 0; i < bytes.size() && alive; ++i) {
      if (changes) has_whole_characters_ = false;  // an entry ends inside the character, and another may begin with its rest
      const auto byte = static_cast<unsigned char>(bytes[i]);
      const auto unit = units_[node ^= byte];
      alive = byte != 0 && label(unit) == byte;
      if (!alive) break;
      changes |= has_leaf(unit);
      node ^= offset(unit);
    }
    if (changes) mark(c, touched | changes_alone);
    else if (alive) mark(c, touched);
    if (alive) behind_first.push_back(node);
  }
  for (std::uint32_t byte = 0x80; byte < 0xC0; ++byte) has_whole_characters_ &= !begins[byte];
  find_inner(std::move(behind_first));
  allows_cuts_before_spaces_ &= has_whole_characters_ && begins_only(' ') && (!begins[' '] || is_space(' '));
  for (std::uint32_t c = 0; c < 128; ++c) ascii_quiet_[c] = !(flags(c) & (changes_alone | joins));
}

void Charsmap::find_inner(std::vector<std::uint32_t> nodes) {
  std::ranges::sort(nodes);
  nodes.erase(std::ranges::unique(nodes).begin(), nodes.end());
  std::size_t budget = std::size_t{1} << 20;
  std::vector<bool> seen(units_.size());
  for (const auto node : nodes) seen[node] = true;
  const auto go_on = [&](auto& self, std::uint32_t node, char32_t code_point, int missing) -> void {
    for (std::uint32_t byte = 1; byte < 256; ++byte) {
      const auto unit = units_[node ^ byte];
      if (label(unit) != byte) continue;
      if (budget == 0) return void(has_whole_characters_ = false);
      --budget;
      const auto children = node ^ byte ^ offset(unit);
      const bool is_tail = continues(static_cast<char>(byte));
      if (is_tail != (missing > 0) || byte >= 0xF8) {
        has_whole_characters_ = false;
        continue;
      }
      const auto left = is_tail ? missing - 1 : byte < 0x80 ? 0 : byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
      const auto so_far = is_tail ? code_point << 6 | (byte & 0x3Fu) : left == 0 ? byte : byte & (0x3Fu >> left);
      if (left > 0) {
        if (has_leaf(unit)) has_whole_characters_ = false;
        self(self, children, so_far, left);
        continue;
      }
      if (so_far >= 0x110000) {
        has_whole_characters_ = false;
        continue;
      }
      mark(so_far, inner);
      if (has_leaf(unit))
        if (const auto text = text_at(units_[children]); text.empty() || text.ends_with(' ') || text.ends_with("\u2581"))
          allows_cuts_before_spaces_ = false;
      if (seen[children]) continue;
      seen[children] = true;
      nodes.push_back(children);
    }
  };
  while (!nodes.empty() && has_whole_characters_) {
    const auto node = nodes.back();
    nodes.pop_back();
    go_on(go_on, node, 0, 0);
  }
}

bool Charsmap::is_space(unsigned char ascii) const {
  const auto node = offset(units_[0]) ^ ascii;
  const auto unit = units_[node];
  if (ascii == 0 || label(unit) != ascii || !has_leaf(unit)) return false;
  const auto children = node ^ offset(unit);
  for (std::uint32_t byte = 1; byte < 256; ++byte)
    if (label(units_[children ^ byte]) == byte) return false;
  return begins_only(ascii) && text_at(units_[children]) == " ";
}

std::size_t Charsmap::next_cluster(std::string_view text, std::size_t position) const {
  auto before = position;  // the code point before: it may belong to the cluster of one that joins
  while (position < text.size()) {
    const auto here = position;
    const auto byte = static_cast<unsigned char>(text[position]);
    if (byte < 0x80) {
      if (!ascii_quiet_[byte]) return flags(byte) & joins ? before : here;
      ++position;
    } else {
      const auto found = flags(next_code_point(text, position));
      if (found & joins) return before;
      if (found & changes_alone) return here;
    }
    before = here;
  }
  return text.size();
}

}  // namespace isotrope
