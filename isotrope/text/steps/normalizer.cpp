#include "isotrope/text/steps/normalizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/steps/json_field.h"
#include "isotrope/text/unicode/composition.h"
#include "isotrope/text/unicode/normalization.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using nlohmann::json;

namespace {

constexpr char nothing = -1;

/// Whether every character is below U+0300: none of those composes or decomposes anew in text that is composed.
bool is_below_marks(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0xCC; });
}

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void append_lowercase(char32_t code_point, std::string& result) {
  const auto lower = NormalizationTable::instance().lowercase().find(code_point);
  if (lower.empty()) append_utf8(result, code_point);
  for (const auto part : lower) append_utf8(result, part);
}

template <class Visit>
void for_each_code_point(std::string_view text, Visit&& visit) {
  for (std::size_t position = 0; position < text.size();) visit(next_code_point(text, position));
}

}  // namespace

Normalizer::Normalizer(const json& description, std::string_view file) {
  if (!description.is_null()) read(description, file);
}

void Normalizer::read(const json& description, std::string_view file) {
  const auto type = json_field::type(description, "normalizer", file);
  if (type == "Sequence") {
    for (const auto& part : json_field::array(json_field::at(description, "normalizers", file), "normalizers", file)) read(part, file);
  } else if (type == "BertNormalizer") {
    read_bert(description, file);
  } else if (type == "NFC") {
    steps_.push_back({.kind = Step::Kind::nfc});
  } else if (type == "NFD") {
    steps_.push_back({.kind = Step::Kind::nfd});
  } else if (type == "NFKC") {
    steps_.push_back({.kind = Step::Kind::nfkc});
  } else if (type == "NFKD") {
    steps_.push_back({.kind = Step::Kind::nfkd});
  } else if (type == "Nmt") {
    steps_.push_back({.kind = Step::Kind::nmt});
  } else if (type == "ByteLevel") {
    steps_.push_back({.kind = Step::Kind::byte_level});
  } else if (type == "Strip") {
    steps_.push_back({.kind = Step::Kind::strip,
                      .strip_left = json_field::flag(description, "strip_left", true, file),
                      .strip_right = json_field::flag(description, "strip_right", true, file)});
  } else if (type == "Lowercase") {
    steps_.push_back({.kind = Step::Kind::lowercase});
  } else if (type == "StripAccents") {
    steps_.push_back({.kind = Step::Kind::strip_accents});
  } else if (type == "Prepend") {
    steps_.push_back(
        {.kind = Step::Kind::prepend, .content = json_field::text(json_field::at(description, "prepend", file), "prepend", file)});
  } else if (type == "Replace") {
    read_replace(description, file);
  } else if (type == "Precompiled") {
    read_precompiled(description, file);
  } else {
    throw InputError("tokenizer", "{}: normalizer {} is not supported", file, type);
  }
}

void Normalizer::read_bert(const json& description, std::string_view file) {
  Step step;
  step.clean_text = json_field::flag(description, "clean_text", true, file);
  step.handle_chinese_chars = json_field::flag(description, "handle_chinese_chars", true, file);
  step.lowercase = json_field::flag(description, "lowercase", true, file);
  step.strip_accents = json_field::flag(description, "strip_accents", step.lowercase, file);  // null follows lowercase
  const auto& table = NormalizationTable::instance();
  for (char32_t c = 0; c < 128; ++c) {
    auto& becomes = step.ascii[c];
    becomes = static_cast<char>(c);
    if (step.clean_text && table.traits(c) & text_trait::removed) becomes = nothing;
    if (step.clean_text && table.traits(c) & text_trait::space) becomes = ' ';
    if (step.lowercase && c >= 'A' && c <= 'Z') becomes = static_cast<char>(c + 32);
  }
  steps_.push_back(std::move(step));
}

void Normalizer::read_replace(const json& description, std::string_view file) {
  const auto& source = json_field::object(json_field::at(description, "pattern", file), "pattern", file);
  Step step{.kind = Step::Kind::replace, .content = json_field::text(json_field::at(description, "content", file), "content", file)};
  if (source.contains("Regex")) {
    step.kind = Step::Kind::replace_regex;
    step.pattern = json_field::text(source["Regex"], "pattern", file);
    step.regex = std::make_shared<PatternRegex>(step.pattern, false, file);
    // What is put in between characters belongs to none of them, and later steps of tokenizers 0.23 do odd things with it.
    if (!step.content.empty() && step.regex->may_match_nothing())
      throw InputError("tokenizer", "{}: the normalizer Replace with the pattern {}, which may match nothing, is not supported", file,
                       step.pattern);
  } else {
    step.pattern = json_field::text(json_field::at(source, "String", file), "pattern", file);
    if (step.pattern.empty()) throw InputError("tokenizer", "{}: the normalizer Replace has an empty pattern", file);
  }
  steps_.push_back(std::move(step));
}

void Normalizer::read_precompiled(const json& description, std::string_view file) {
  const auto blob = json_field::base64(json_field::at(description, "precompiled_charsmap", file), "precompiled_charsmap", file);
  steps_.push_back({.kind = Step::Kind::precompiled, .charsmap = std::make_shared<Charsmap>(blob, file)});
}

std::string_view Normalizer::apply(std::string_view text, Scratch& scratch, const Part& part) const {
  int next = 0;
  for (const auto& step : steps_) {
    if (leaves_alone(step, text) || (step.kind == Step::Kind::prepend && !part.begins)) continue;
    if (step.kind == Step::Kind::strip) {
      text = stripped(text, step.strip_left && part.begins, step.strip_right && part.ends);
      continue;
    }
    auto& result = scratch.texts[next];
    result.clear();
    apply(step, text, result);
    text = result;
    next = 1 - next;
  }
  return text;
}

bool Normalizer::leaves_alone(const Step& step, std::string_view text) {
  switch (step.kind) {
    case Step::Kind::nfc: return is_below_marks(text) || CompositionCheck::instance().is_composed(text);
    case Step::Kind::nfd:
    case Step::Kind::nfkc:
    case Step::Kind::nfkd:
    case Step::Kind::strip_accents: return is_ascii(text);
    case Step::Kind::strip: return stripped(text, step.strip_left, step.strip_right).size() == text.size();
    case Step::Kind::replace: return text.find(step.pattern) == std::string_view::npos;
    case Step::Kind::prepend: return text.empty();
    case Step::Kind::precompiled: return step.charsmap->leaves_alone(text);
    case Step::Kind::bert:
    case Step::Kind::nmt:
    case Step::Kind::byte_level:
    case Step::Kind::lowercase:
    case Step::Kind::replace_regex: return false;
  }
  return false;
}

void Normalizer::apply(const Step& step, std::string_view text, std::string& result) {
  switch (step.kind) {
    case Step::Kind::bert: return apply_bert(step, text, result);
    case Step::Kind::nfc: return CompositionCheck::instance().append_composed(text, result);
    case Step::Kind::nfd: return append_nfd(text, result);
    case Step::Kind::nfkc: return append_nfc(text, result, Decomposition::compatible);
    case Step::Kind::nfkd: return append_nfd(text, result, Decomposition::compatible);
    case Step::Kind::nmt:
      return for_each_code_point(text, [&](char32_t c) {
        if (const auto cleaned = clean_for_translation(c)) append_utf8(result, *cleaned);
      });
    case Step::Kind::strip: result.append(stripped(text, step.strip_left, step.strip_right)); return;
    case Step::Kind::byte_level: result.append(spell_bytes(text)); return;
    case Step::Kind::lowercase: return for_each_code_point(text, [&](char32_t c) { append_lowercase(c, result); });
    case Step::Kind::strip_accents:
      return for_each_code_point(text, [&](char32_t c) {
        if (!(NormalizationTable::instance().traits(c) & text_trait::combining)) append_utf8(result, c);
      });
    case Step::Kind::prepend: result.append(step.content).append(text); return;
    case Step::Kind::precompiled:
      return step.charsmap->for_each_part(text, [&](std::string_view, std::string_view becomes, bool) { result.append(becomes); });
    case Step::Kind::replace:
      for (std::size_t position = 0; position < text.size();) {
        const auto found = std::min(text.find(step.pattern, position), text.size());
        result.append(text, position, found - position);
        if (found < text.size()) result.append(step.content);
        position = found + step.pattern.size();
      }
      return;
    case Step::Kind::replace_regex:
      return step.regex->split_with_empty_matches(
          text, [&](std::string_view piece, bool is_match) { result.append(is_match ? step.content : piece); });
  }
}

/// BERT's cleaning in one pass (Devlin et al. 2018, tokenization.py): controls out, white space to spaces, ideographs set apart, accents
/// off through canonical decomposition, lowercase, in this order.
void Normalizer::apply_bert(const Step& step, std::string_view text, std::string& result) {
  const auto& table = NormalizationTable::instance();
  const auto finish = [&](char32_t c, std::uint8_t) {
    if (step.strip_accents && table.traits(c) & text_trait::nonspacing) return;
    if (step.lowercase) append_lowercase(c, result);
    else append_utf8(result, c);
  };
  Decomposer decomposer(finish);
  result.reserve(text.size() + text.size() / 8);
  for (std::size_t position = 0; position < text.size();) {
    if (static_cast<unsigned char>(text[position]) < 0x80) {
      for (; position < text.size() && static_cast<unsigned char>(text[position]) < 0x80; ++position) {
        const char becomes = step.ascii[static_cast<unsigned char>(text[position])];
        if (becomes == nothing) continue;
        decomposer.flush();
        result += becomes;
      }
      continue;
    }
    auto c = next_code_point(text, position);
    const auto traits = table.traits(c);
    if (step.clean_text && traits & text_trait::removed) continue;
    if (step.clean_text && traits & text_trait::space) c = ' ';
    const bool apart = step.handle_chinese_chars && traits & text_trait::ideograph;
    if (apart) decomposer.push(' ');
    if (step.strip_accents) decomposer.push(c);
    else finish(c, 0);
    if (apart) decomposer.push(' ');
  }
  decomposer.flush();
}

// A kind of step that nobody decided about does not compile: were it cut by mistake, ids of long texts alone would be wrong.
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wswitch"
bool Normalizer::allows_cuts_before_spaces() const {
  return std::ranges::all_of(steps_, [](const Step& step) {
    switch (step.kind) {
      case Step::Kind::bert:
      case Step::Kind::nfc:
      case Step::Kind::nfd:
      case Step::Kind::nfkc:
      case Step::Kind::nfkd:
      case Step::Kind::nmt:
      case Step::Kind::lowercase:
      case Step::Kind::strip_accents: return true;
      case Step::Kind::strip:
      case Step::Kind::byte_level:
      case Step::Kind::prepend:
      case Step::Kind::replace:
      case Step::Kind::replace_regex:
      case Step::Kind::precompiled: return false;
    }
    return false;
  });
}
#pragma GCC diagnostic pop

bool Normalizer::spells_marks() const {
  return std::ranges::any_of(
      steps_, [](const Step& step) { return step.kind == Step::Kind::replace && step.pattern == " " && step.content == "\u2581"; });
}

std::optional<SpaceCuts::Changes> Normalizer::changes_to_parts() const {
  SpaceCuts::Changes changes;
  const auto has_space = [](std::string_view text) { return text.find_first_of(" \xE2") != std::string_view::npos; };
  for (const auto& step : steps_) {
    switch (step.kind) {
      case Step::Kind::nfc:
      case Step::Kind::nfd:
      case Step::Kind::nfkc:
      case Step::Kind::nfkd:
      case Step::Kind::nmt:
      case Step::Kind::strip:
      case Step::Kind::lowercase:
      case Step::Kind::prepend: break;
      case Step::Kind::strip_accents: changes.keeps_marks = false; break;
      case Step::Kind::precompiled:
        if (changes.charsmap || !step.charsmap->is_untouched(' ')) return std::nullopt;
        changes.charsmap = step.charsmap.get();
        changes.by_clusters = true;
        break;
      case Step::Kind::replace:
        // Runs of spaces lie in one part; of all others neither the pattern nor what it becomes may have to do with spaces.
        if (step.pattern == " " && (step.content == " " || step.content == "\u2581")) break;
        if (has_space(step.pattern) || has_space(step.content) || step.content.empty()) return std::nullopt;
        break;
      case Step::Kind::replace_regex:
        if (step.pattern != " {2,}" || (step.content != " " && step.content != "\u2581")) return std::nullopt;
        break;
      default: return std::nullopt;
    }
  }
  return changes;
}

std::optional<BertCleaning> Normalizer::only_bert() const {
  if (steps_.size() != 1 || steps_.front().kind != Step::Kind::bert) return std::nullopt;
  const auto& step = steps_.front();
  return BertCleaning{step.clean_text, step.handle_chinese_chars, step.strip_accents, step.lowercase};
}

}  // namespace isotrope
