// The normalizer's steps on text that remembers where it comes from: the same texts as normalizer.cpp's, with HF tokenizers' alignment.
#include <algorithm>
#include <optional>

#include "isotrope/text/steps/aligned_normalization.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/steps/normalizer.h"

namespace isotrope {

namespace {

std::vector<CharacterChange> canonical_decomposition(std::string_view text) {
  return decomposition_changes(text, [](char32_t c, auto&& visit) { NormalizationTable::instance().decompose(c, visit); });
}

std::vector<CharacterChange> compatible_decomposition(std::string_view text) {
  return decomposition_changes(text, [](char32_t c, auto&& visit) { NormalizationTable::instance().decompose_compatibly(c, visit); });
}

void lowercase(AlignedText& text) {
  std::vector<CharacterChange> changes;
  for (std::size_t position = 0; position < text.text().size();) {
    const auto c = next_code_point(text.text(), position);
    const auto lower = NormalizationTable::instance().lowercase().find(c);
    if (lower.empty()) changes.push_back({c, 0});
    for (std::size_t i = 0; i < lower.size(); ++i) changes.push_back({lower[i], i > 0});
  }
  text.transform(changes);
}

void set_ideographs_apart(AlignedText& text) {
  std::vector<CharacterChange> changes;
  for (std::size_t position = 0; position < text.text().size();) {
    const auto c = next_code_point(text.text(), position);
    if (NormalizationTable::instance().traits(c) & text_trait::ideograph) changes.insert(changes.end(), {{' ', 0}, {c, 1}, {' ', 1}});
    else changes.push_back({c, 0});
  }
  text.transform(changes);
}

/// A part that becomes longer adds its last characters to the one before them; one that becomes shorter takes from what was put down last.
std::vector<CharacterChange> precompiled_changes(const Charsmap& charsmap, std::string_view text) {
  std::vector<CharacterChange> changes;
  const auto count = [](std::string_view part) {
    return static_cast<int>(std::ranges::count_if(part, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  };
  charsmap.for_each_part(text, [&](std::string_view part, std::string_view becomes, bool is_changed) {
    const int difference = is_changed ? count(becomes) - count(part) : 0;
    for (std::size_t position = 0; position < becomes.size();) changes.push_back({next_code_point(becomes, position), 0});
    for (int i = 0; i < difference; ++i) changes[changes.size() - 1 - static_cast<std::size_t>(i)].change = 1;
    if (difference < 0 && !changes.empty()) changes.back().change += difference;
  });
  return changes;
}

}  // namespace

std::vector<CharacterChange> byte_spelling_changes(std::string_view text) {
  std::vector<CharacterChange> changes;
  changes.reserve(text.size());
  for (const char byte : text) {
    const auto value = static_cast<unsigned char>(byte);
    changes.push_back({byte_alphabet()[value], (value & 0xC0) == 0x80});
  }
  return changes;
}

std::vector<CharacterChange> composition_changes(std::span<const CharacterChange> decomposed) {
  const auto& table = NormalizationTable::instance();
  std::vector<CharacterChange> result, marks;
  result.reserve(decomposed.size());
  std::optional<CharacterChange> base;  // what follows may join it
  int last_class = -1;                  // of the last of the marks that did not; −1: there are none
  const auto flush = [&] {
    if (base) result.push_back(*base);
    result.insert(result.end(), marks.begin(), marks.end());
    marks.clear();
    last_class = -1;
  };
  for (const auto& next : decomposed) {
    const int combining_class = table.combining_class(next.character);
    if (base && last_class < combining_class) {
      if (const auto both = table.compose(base->character, next.character)) {
        base = {both, base->change + next.change - 1};
        continue;
      }
    }
    if (combining_class == 0) {
      flush();
      base = next;
    } else if (!base) {
      result.push_back(next);
    } else {
      marks.push_back(next);
      last_class = combining_class;
    }
  }
  flush();
  return result;
}

void Normalizer::apply(AlignedText& text) const {
  for (const auto& step : steps_)
    if (!leaves_alone(step, text.text())) apply(step, text);
}

bool Normalizer::keeps_beginning(std::string_view text) const {
  if (text.empty() || changes_nothing()) return true;
  const char first = text.front();
  const bool is_plain = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || (first >= '0' && first <= '9');
  const bool replaces = std::ranges::any_of(steps_, [](const Step& step) {
    return step.kind == Step::Kind::replace || step.kind == Step::Kind::replace_regex || step.kind == Step::Kind::precompiled;
  });
  if (is_plain && !replaces) return true;  // no other step takes out a letter or a digit
  AlignedText aligned(text);
  apply(aligned);
  return aligned.text().empty() || aligned.view().ranges->begin == 0;
}

void Normalizer::apply(const Step& step, AlignedText& text) {
  const auto without = [&](std::uint8_t trait) {
    text.filter([&](char32_t c) { return !(NormalizationTable::instance().traits(c) & trait); });
  };
  switch (step.kind) {
    case Step::Kind::bert:
      if (step.clean_text) {
        without(text_trait::removed);
        text.map([](char32_t c) { return NormalizationTable::instance().traits(c) & text_trait::space ? U' ' : c; });
      }
      if (step.handle_chinese_chars) set_ideographs_apart(text);
      if (step.strip_accents) {
        text.transform(canonical_decomposition(text.text()));
        without(text_trait::nonspacing);
      }
      if (step.lowercase) lowercase(text);
      return;
    case Step::Kind::nfc: return text.transform(composition_changes(canonical_decomposition(text.text())));
    case Step::Kind::nfd: return text.transform(canonical_decomposition(text.text()));
    case Step::Kind::nfkc: return text.transform(composition_changes(compatible_decomposition(text.text())));
    case Step::Kind::nfkd: return text.transform(compatible_decomposition(text.text()));
    case Step::Kind::nmt:
      text.filter([](char32_t c) { return clean_for_translation(c).has_value(); });
      return text.map([](char32_t c) { return *clean_for_translation(c); });
    case Step::Kind::strip: {
      const auto kept = stripped(text.text(), step.strip_left, step.strip_right);
      const auto begin = static_cast<std::size_t>(kept.data() - text.text().data());
      return text.strip(begin, text.text().size() - begin - kept.size());
    }
    case Step::Kind::byte_level: return text.transform(byte_spelling_changes(text.text()));
    case Step::Kind::lowercase: return lowercase(text);
    case Step::Kind::strip_accents: return without(text_trait::combining);
    case Step::Kind::precompiled: return text.transform(precompiled_changes(*step.charsmap, text.text()));
    case Step::Kind::prepend: return text.prepend(step.content);
    case Step::Kind::replace: return text.replace(step.pattern, step.content);
    case Step::Kind::replace_regex:
      return text.replace_found([&](std::string_view all, const auto& visit) { step.regex->split_with_empty_matches(all, visit); },
                                step.content);
  }
}

}  // namespace isotrope
