// The pre-tokenizer's steps on text that remembers where it comes from.
#include <algorithm>

#include "isotrope/text/pre_tokenizer.h"

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
      if (!step.add_prefix_space || text.text.front() == ' ') return next(text);
      AlignedText spelled(text);
      spelled.prepend(" ");
      return next(spelled.view());
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

bool PreTokenizer::keeps_every_byte() const {
  return std::ranges::all_of(steps_, [](const Step& step) {
    const bool cuts_alone = step.kind == Step::Kind::pattern || step.kind == Step::Kind::regex || step.kind == Step::Kind::digits ||
                            step.kind == Step::Kind::byte_level;
    return cuts_alone && step.keep_matches && step.keep_others && !step.add_prefix_space;
  });
}

}  // namespace isotrope
