#include "isotrope/text/steps/sentencepiece_normalizer.h"

#include <algorithm>
#include <utility>

#include "isotrope/text/steps/mark_cuts.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

SentencePieceNormalizer::SentencePieceNormalizer(const TokenizerDefinition& definition)
    : rules_(*definition.sentencepiece), mark_(rules_.escape_whitespaces ? MarkCuts::mark : std::string_view(" ")) {
  if (!rules_.charsmap.empty()) charsmap_.emplace(rules_.charsmap, definition.file);
  std::vector<std::pair<std::string_view, std::int32_t>> keys;
  for (std::size_t id = 0; id < rules_.types.size(); ++id)
    if (rules_.types[id] == static_cast<std::uint8_t>(PieceType::user_defined)) keys.emplace_back(definition.names[id], 0);
  for (const auto& [key, value] : keys)
    for (const char c : key)
      if (const auto byte = static_cast<unsigned char>(c); byte < 0x80) in_user_defined_[byte] = true;
  roles_.resize(0x10000);
  for (char32_t c = 1; c < roles_.size(); ++c) roles_[c] = static_cast<std::uint8_t>(role_of(c));
  for (const auto& [key, value] : keys) {
    std::size_t at = 0;
    if (const auto first = next_code_point(key, at); first < roles_.size()) roles_[first] &= static_cast<std::uint8_t>(~stays);
  }
  roles_[' '] &= static_cast<std::uint8_t>(~stays);
  space_stays_ = !in_user_defined_[' '] && (!charsmap_ || (charsmap_->is_untouched(' ') && charsmap_->has_whole_characters()));
  is_cuttable_ = rules_.escape_whitespaces && !rules_.treat_whitespace_as_suffix && !in_user_defined_[' '] &&
                 (!charsmap_ || charsmap_->allows_cuts_before_spaces());
  if (!keys.empty()) user_defined_.emplace(std::move(keys), definition.file);
}

std::optional<SpaceCuts> SentencePieceNormalizer::cuts(const std::function<bool(unsigned char)>& may_cut_before) const {
  if (!is_cuttable_) return std::nullopt;
  SpaceCuts cuts({.charsmap = charsmap_ ? &*charsmap_ : nullptr});
  for (unsigned char c = 1; c < 0x7F; ++c) {
    if (c == ' ' || in_user_defined_[c]) continue;
    const bool is_punctuation = c > ' ' && !SpaceCuts::is_of_letters(c) && !(c >= '0' && c <= '9');
    const bool is_left = !charsmap_ || (charsmap_->is_untouched(c) && charsmap_->begins_only(c));
    if (charsmap_ && charsmap_->is_space(c)) cuts.add_space(c);
    else if (is_punctuation && is_left && may_cut_before(c)) cuts.add_punctuation(c);
  }
  return cuts;
}

SentencePieceNormalizer::Step SentencePieceNormalizer::next(std::string_view text, std::size_t position) const {
  const auto rest = text.substr(position);
  if (user_defined_) {
    std::size_t longest = 0;
    auto state = user_defined_->root();
    std::int32_t value = -1;
    for (std::size_t i = 0; i < rest.size() && user_defined_->step(state, static_cast<unsigned char>(rest[i]), value); ++i)
      if (value >= 0) longest = i + 1;
    if (longest > 0) return {rest.substr(0, longest), longest};
  }
  if (charsmap_)
    if (const auto match = charsmap_->longest(rest); match.length > 0) return {match.becomes, match.length};
  // An entry of the charsmap may end inside a character; what is left of it is replaced.
  const auto step = utf8_step(text, position);
  if (!step.valid) return {"\uFFFD", 1};
  return {rest.substr(0, step.length), step.length};
}

unsigned SentencePieceNormalizer::role_of(char32_t character) const {
  if (!charsmap_) return stays;
  // Where entries may end inside characters only what no entry begins with is sure to stay.
  if (!charsmap_->has_whole_characters()) return charsmap_->is_untouched(character) ? stays : 0;
  return (charsmap_->keeps(character) ? stays : 0) | (charsmap_->is_untouched(character) ? 0 : begins) |
         (charsmap_->begins_only(character) ? 0 : inner);
}

/// The end of a stretch of text that stays what it is and has no space.
std::size_t SentencePieceNormalizer::plain_end(std::string_view text, std::size_t position) const {
  auto before = position;  // where the character before begins
  unsigned role_before = 0;
  while (position < text.size()) {
    const auto first = static_cast<unsigned char>(text[position]);
    if ((first & 0xC0) == 0x80) return position;  // an entry of the charsmap may have ended inside a character
    auto next = position + 1;
    unsigned role = 0;
    if (first < 0x80) {
      role = roles_[first];
    } else {
      next = position;
      const auto character = next_code_point(text, next);
      role = character < roles_.size() ? roles_[character] : role_of(character) & ~(user_defined_ ? stays : 0);
    }
    if ((role & (role_before & begins) << 1) != 0) return before;
    if ((role & stays) == 0) return position;
    before = std::exchange(position, next);
    role_before = role;
  }
  return position;
}

template <class Note>
void SentencePieceNormalizer::append(std::string_view text, const Part& part, std::string& result, Note&& note) const {
  const auto begin = result.size();
  const bool removes = rules_.remove_extra_whitespaces;
  std::size_t position = 0;
  if (removes && part.begins) {
    while (position < text.size()) {
      const auto step = next(text, position);
      if (step.becomes != " ") break;
      position += step.length;
    }
  }
  if (position == text.size()) return;
  if (part.begins && !rules_.treat_whitespace_as_suffix && rules_.add_dummy_prefix) result += mark_;
  note(position, position, result.size());
  bool behind_space = removes && part.begins;
  while (position < text.size()) {
    const auto start = position;
    if (const auto end = plain_end(text, position); end > position) {
      result.append(text, position, end - position);
      for (auto at = result.size() - (end - position); position < end; ++position) note(position, position + 1, ++at);
      behind_space = false;
      continue;
    }
    if (space_stays_ && text[position] == ' ') {
      ++position;
      if (behind_space) continue;
      result += mark_;
      note(start, position, result.size());
      behind_space = removes;
      continue;
    }
    auto [becomes, length] = next(text, position);
    position += length;
    if (behind_space) becomes.remove_prefix(std::min(becomes.find_first_not_of(' '), becomes.size()));
    if (becomes.empty()) continue;
    for (const char c : becomes) c == ' ' ? result.append(mark_) : result.append(1, c);
    note(start, position, result.size());
    behind_space = removes && becomes.back() == ' ';
  }
  if (removes && part.ends)
    while (std::string_view(result).substr(begin).ends_with(mark_)) result.resize(result.size() - mark_.size());
  if (part.ends && rules_.treat_whitespace_as_suffix && rules_.add_dummy_prefix) result += mark_;
  note(text.size(), text.size(), result.size());
}

void SentencePieceNormalizer::append(std::string_view text, const Part& part, std::string& result) const {
  append(text, part, result, [](std::size_t, std::size_t, std::size_t) {});
}

void SentencePieceNormalizer::append(const AlignedView& text, std::string& result, std::vector<TextRange>& ranges) const {
  const auto at_end =
      text.text.empty() ? TextRange{} : TextRange{text.ranges[text.text.size() - 1].end, text.ranges[text.text.size() - 1].end};
  append(text.text, {}, result, [&](std::size_t begin, std::size_t end, std::size_t size) {
    auto range = at_end;
    if (begin < end) range = text.range(begin, end);
    else if (begin < text.text.size()) range = text.range(begin, begin + 1);  // what is put before counts for the first character, as in HF
    ranges.resize(size, range);
  });
}

}  // namespace isotrope
