#include "isotrope/text/unicode/normalization.h"

#include "isotrope/text/unicode/normalization_tables.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace tables = normalization_tables;

namespace {

/// A byte for every code point, from runs of code point << 8 | byte.
std::vector<std::uint8_t> spread(std::span<const std::uint32_t> runs) {
  std::vector<std::uint8_t> bytes(code_point_count);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto last = i + 1 < runs.size() ? runs[i + 1] >> 8 : code_point_count;
    std::fill(bytes.begin() + (runs[i] >> 8), bytes.begin() + static_cast<std::ptrdiff_t>(last), static_cast<std::uint8_t>(runs[i]));
  }
  return bytes;
}

/// Canonical composition (Unicode 16.0 §3.11, D117) of decomposed text that comes code point by code point.
class Composer {
 public:
  explicit Composer(std::string& result) : result_(result) {}
  void push(char32_t code_point, std::uint8_t combining_class) {
    // A mark is kept from its base by one between them of the same class or a higher one; they come in order, so the last one tells.
    if (base_ != none && (rest_.empty() || last_class_ < combining_class)) {
      if (const auto both = table_.compose(base_, code_point)) return base_ = both, void();
    }
    if (combining_class == 0) {
      flush();
      base_ = code_point;
    } else if (base_ == none) {
      append_utf8(result_, code_point);
    } else {
      rest_ += code_point;
      last_class_ = combining_class;
    }
  }
  void flush() {
    if (base_ != none) append_utf8(result_, base_);
    for (const auto mark : rest_) append_utf8(result_, mark);
    base_ = none;
    rest_.clear();
  }

 private:
  const NormalizationTable& table_ = NormalizationTable::instance();
  std::string& result_;
  static constexpr char32_t none = ~char32_t{0};
  char32_t base_ = none;
  std::u32string rest_;
  std::uint8_t last_class_ = 0;
};

}  // namespace

CodePointMap::CodePointMap(std::span<const std::uint32_t> sources, std::span<const std::uint32_t> targets)
    : pages_(code_point_count >> 8), entries_(256), targets_(targets.begin(), targets.end()) {
  std::uint32_t first = 0;
  for (const auto source : sources) {
    const auto code_point = source >> 8, length = source & 0xFF;
    auto& page = pages_[code_point >> 8];
    if (page == 0) {
      page = static_cast<std::uint16_t>(entries_.size() >> 8);
      entries_.resize(entries_.size() + 256);
    }
    entries_[std::size_t{page} << 8 | (code_point & 0xFF)] = first << 8 | length;
    first += length;
  }
}

NormalizationTable::NormalizationTable()
    : traits_(spread({tables::trait_runs, tables::trait_runs_size})),
      classes_(spread({tables::combining_class_runs, tables::combining_class_runs_size})),
      decomposition_({tables::decomposition_sources, tables::decomposition_sources_size},
                     {tables::decomposition_targets, tables::decomposition_targets_size}),
      compatibility_({tables::compatibility_sources, tables::compatibility_sources_size},
                     {tables::compatibility_targets, tables::compatibility_targets_size}),
      lowercase_({tables::lowercase_sources, tables::lowercase_sources_size}, {tables::lowercase_targets, tables::lowercase_targets_size}) {
}

const NormalizationTable& NormalizationTable::instance() {
  static const NormalizationTable table;
  return table;
}

char32_t NormalizationTable::compose(char32_t first, char32_t second) const {
  if (first >= leading_first && first < leading_first + leadings && second >= vowel_first && second < vowel_first + vowels)
    return hangul_first + ((first - leading_first) * vowels + (second - vowel_first)) * trailings;
  if (first >= hangul_first && first < hangul_end && (first - hangul_first) % trailings == 0 && second > trailing_first &&
      second < trailing_first + trailings)
    return first + (second - trailing_first);
  const auto* triples = tables::compositions;
  std::size_t low = 0, high = tables::compositions_size / 3;
  while (low < high) {
    const auto middle = (low + high) / 2;
    const std::pair<char32_t, char32_t> pair(triples[3 * middle], triples[3 * middle + 1]);
    if (pair == std::pair(first, second)) return triples[3 * middle + 2];
    if (pair < std::pair(first, second)) low = middle + 1;
    else high = middle;
  }
  return 0;
}

void append_nfd(std::string_view text, std::string& result, Decomposition kind) {
  Decomposer decomposer([&](char32_t code_point, std::uint8_t) { append_utf8(result, code_point); }, kind);
  for (std::size_t position = 0; position < text.size();) decomposer.push(next_code_point(text, position));
  decomposer.flush();
}

void append_nfc(std::string_view text, std::string& result, Decomposition kind) {
  Composer composer(result);
  Decomposer decomposer([&](char32_t code_point, std::uint8_t combining_class) { composer.push(code_point, combining_class); }, kind);
  for (std::size_t position = 0; position < text.size();) decomposer.push(next_code_point(text, position));
  decomposer.flush();
  composer.flush();
}

std::optional<char32_t> clean_for_translation(char32_t c) {
  const auto within = [&](char32_t first, char32_t last) { return c >= first && c <= last; };
  if (within(0x01, 0x08) || c == 0x0B || within(0x0E, 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F) return std::nullopt;
  const bool space = within(0x09, 0x0D) || c == 0x1680 || within(0x200B, 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xFEFF || c == 0xFFFD;
  return space ? U' ' : c;
}

std::string_view stripped(std::string_view text, bool left, bool right) {
  const auto& table = UnicodeTable::instance();
  while (left && !text.empty()) {
    std::size_t next = 0;
    if (!table.is_space(next_code_point(text, next))) break;
    text.remove_prefix(next);
  }
  while (right && !text.empty()) {
    auto last = text.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
    auto position = last;
    if (!table.is_space(next_code_point(text, position))) break;
    text.remove_suffix(text.size() - last);
  }
  return text;
}

}  // namespace isotrope
