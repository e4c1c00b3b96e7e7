// The pre-tokenizer's steps on text that remembers where it comes from.
#include <algorithm>

#include "isotrope/text/steps/aligned_normalization.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/steps/pre_tokenizer.h"

namespace isotrope {

void PreTokenizer::for_each_aligned_word(const AlignedView& text, const std::function<void(const AlignedView&)>& visit) const {
  apply(0, text, visit);
}

void PreTokenizer::apply(std::size_t index, const AlignedView& text, const std::function<void(const AlignedView&)>& visit) const {
  if (text.text.empty()) return;
  if (index == steps_.size()) return visit(text);
  const auto& step = steps_[index];
  const auto next = [&](const AlignedView& piece) { apply(index + 1, piece, visit); };
  switch (step.kind) {
    case Step::Kind::byte_level: {
      const bool wants_prefix = step.add_prefix_space && text.text.front() != ' ';
      if (!wants_prefix && !step.spells) return next(text);
      AlignedText spelled(text);
      if (wants_prefix) spelled.prepend(" ");
      if (step.spells) spelled.transform(byte_spelling_changes(spelled.text()));
      return next(spelled.view());
    }
    case Step::Kind::unspell: {
      const auto bytes = unspell_bytes(text.text).value();
      std::vector<TextRange> ranges;
      for (std::size_t position = 0; position < text.text.size(); next_code_point(text.text, position))
        ranges.push_back(text.ranges[position]);
      return next({bytes, ranges.data(), text.base});
    }
    case Step::Kind::metaspace: {
      const auto& mark = step.replacement;
      AlignedText spelled(text);
      spelled.replace(" ", mark);
      const bool wants_prefix = step.prefix == Step::Prefix::always || (step.prefix == Step::Prefix::first && text.base == 0);
      if (wants_prefix && !spelled.text().starts_with(mark)) spelled.prepend(mark);
      if (!step.split) return next(spelled.view());
      const auto all = spelled.text();
      for (std::size_t start = 0; start < all.size();) {  // before each mark
        const auto end = std::min(all.find(mark, start + (all.compare(start, mark.size(), mark) == 0 ? mark.size() : 0)), all.size());
        next(spelled.view().slice(all.substr(start, end - start)));
        start = end;
      }
      return;
    }
    default: return cut(step, text.text, [&](std::string_view piece) { next(text.slice(piece)); });
  }
}

bool PreTokenizer::asks_for_beginning() const {
  return std::ranges::any_of(steps_,
                             [](const Step& step) { return step.kind == Step::Kind::metaspace && step.prefix == Step::Prefix::first; });
}

bool PreTokenizer::needs_alignment(bool is_normalized) const {
  bool several_may_begin = is_normalized, cut_since = false;
  for (const auto& step : steps_) {
    const bool asks = step.kind == Step::Kind::metaspace && step.prefix == Step::Prefix::first;
    if (asks && several_may_begin && cut_since) return true;
    several_may_begin |= step.add_prefix_space || step.spells || (step.kind == Step::Kind::metaspace && step.prefix != Step::Prefix::never);
    cut_since |= step.kind != Step::Kind::byte_level;
  }
  return false;
}

bool PreTokenizer::keeps_every_byte() const {
  return std::ranges::all_of(steps_, [](const Step& step) {
    switch (step.kind) {
      case Step::Kind::pattern: return step.behavior != SplitBehavior::removed || step.invert;  // all of a text is matches
      case Step::Kind::regex:
      case Step::Kind::punctuation: return step.behavior != SplitBehavior::removed;
      case Step::Kind::byte_level: return !step.add_prefix_space;
      case Step::Kind::digits:
      case Step::Kind::fixed_length:
      case Step::Kind::unspell: return true;
      default: return false;
    }
  });
}

}  // namespace isotrope
