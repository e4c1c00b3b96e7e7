#include "isotrope/text/steps/pre_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/steps/json_field.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using nlohmann::json;

namespace {

/// Digits of HF tokenizers: numbers apart from the rest, each by itself or in runs.
void split_digits(std::string_view text, bool individual, const std::function<void(std::string_view)>& visit) {
  const auto& table = NormalizationTable::instance();
  std::size_t start = 0;
  bool in_digits = false;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t here = position;
    const bool digit = (table.traits(next_code_point(text, position)) & text_trait::numeric) != 0;
    if (here > start && (digit != in_digits || (digit && individual))) {
      visit(text.substr(start, here - start));
      start = here;
    }
    in_digits = digit;
  }
  if (start < text.size()) visit(text.substr(start));
}

SplitBehavior read_behavior(const json& value, std::string_view type, std::string_view file) {
  const auto name = json_field::text(value, "behavior", file);
  const auto behavior = find_split_behavior(name);
  if (!behavior) throw InputError("tokenizer", "{}: {} with behavior {} is not supported", file, type, name);
  return *behavior;
}

std::string one_character(const json& value, std::string_view what, std::string_view file) {
  auto text = json_field::text(value, what, file);
  std::size_t end = 0;
  if (!text.empty()) next_code_point(text, end);
  if (text.empty() || end != text.size()) throw InputError("tokenizer", "{}: {}: expected one character, got \"{}\"", file, what, text);
  return text;
}

}  // namespace

PreTokenizer::PreTokenizer(const json& description, bool byte_level, std::string_view file) : byte_level_(byte_level) {
  if (!description.is_null()) read(description, file);
  if (byte_level && !spells_bytes(description))
    throw InputError("tokenizer", "{}: the pre_tokenizer does not spell bytes (ByteLevel), as a byte-level model needs it", file);
  settle_spelling();
  const auto& first = steps_.empty() ? Step{} : steps_.front();
  scans_one_pattern_ = byte_level && steps_.size() == 2 && first.kind == Step::Kind::pattern &&
                       (first.behavior == SplitBehavior::isolated || (first.behavior == SplitBehavior::removed && first.invert)) &&
                       steps_.back().kind == Step::Kind::byte_level && !steps_.back().add_prefix_space;
}

void PreTokenizer::read(const json& description, std::string_view file) {
  const auto type = json_field::type(description, "pre_tokenizer", file);
  if (type == "Sequence") {
    for (const auto& part : json_field::array(json_field::at(description, "pretokenizers", file), "pretokenizers", file)) read(part, file);
  } else if (type == "Split") {
    read_split(description, file);
  } else if (type == "Digits") {
    steps_.push_back({.kind = Step::Kind::digits, .individual_digits = json_field::flag(description, "individual_digits", false, file)});
  } else if (type == "Punctuation") {
    const auto& named = json_field::find(description, "behavior");
    steps_.push_back({.kind = Step::Kind::punctuation, .behavior = read_behavior(named.is_null() ? json("Isolated") : named, type, file)});
  } else if (type == "ByteLevel") {
    read_byte_level(description, file);
  } else if (type == "BertPreTokenizer") {
    steps_.push_back({.kind = Step::Kind::bert});
  } else if (type == "WhitespaceSplit") {
    steps_.push_back({.kind = Step::Kind::white_space});
  } else if (type == "Whitespace") {
    steps_.push_back({.kind = Step::Kind::words});
  } else if (type == "CharDelimiterSplit") {
    const auto delimiter = one_character(json_field::at(description, "delimiter", file), "CharDelimiterSplit: delimiter", file);
    std::size_t position = 0;
    steps_.push_back({.kind = Step::Kind::delimiter, .delimiter = next_code_point(delimiter, position)});
  } else if (type == "UnicodeScripts") {
    steps_.push_back({.kind = Step::Kind::scripts});
  } else if (type == "FixedLength") {
    read_length(description, file);
  } else if (type == "Metaspace") {
    read_metaspace(description, file);
  } else {
    throw InputError("tokenizer", "{}: pre_tokenizer {} is not supported", file, type);
  }
}

void PreTokenizer::read_split(const json& description, std::string_view file) {
  const auto& source = json_field::object(json_field::at(description, "pattern", file), "pattern", file);
  Step step{.behavior = read_behavior(json_field::at(description, "behavior", file), "Split", file),
            .invert = json_field::flag(description, "invert", false, file)};
  const bool literal = !source.contains("Regex");
  const auto pattern = json_field::text(json_field::at(source, literal ? "String" : "Regex", file), "pattern", file);
  const auto known = literal ? std::nullopt : find_pattern(pattern);
  if (known) {
    step.pattern = *known;
  } else {
    step.kind = Step::Kind::regex;
    step.regex = std::make_shared<PatternRegex>(pattern, literal, file);
  }
  steps_.push_back(std::move(step));
}

void PreTokenizer::read_length(const json& description, std::string_view file) {
  const auto& given = json_field::find(description, "length");
  const auto length = given.is_null() ? 5 : json_field::integer(given, "length", file);
  if (length < 1) throw InputError("tokenizer", "{}: FixedLength: length is {}, below 1", file, length);
  steps_.push_back({.kind = Step::Kind::fixed_length, .length = static_cast<std::size_t>(length)});
}

/// The last step of a byte-level model need not spell what the model would spell back.
void PreTokenizer::settle_spelling() {
  bool spelled = false;
  for (auto& step : steps_) {
    if (step.kind != Step::Kind::byte_level || !step.spells) continue;
    if (byte_level_ && !spelled && &step == &steps_.back()) step.spells = false;
    else spelled = true;
  }
  if (byte_level_ && spelled) steps_.push_back({.kind = Step::Kind::unspell});
}

void PreTokenizer::read_byte_level(const json& description, std::string_view file) {
  const bool add_prefix_space = json_field::flag(description, "add_prefix_space", true, file);
  const bool use_regex = json_field::flag(description, "use_regex", true, file);
  // The space comes before the pattern is applied, so it is a step of its own.
  if (add_prefix_space && use_regex) steps_.push_back({.kind = Step::Kind::byte_level, .add_prefix_space = true});
  if (use_regex) steps_.push_back({.kind = Step::Kind::pattern, .pattern = Pattern::gpt2});
  steps_.push_back({.kind = Step::Kind::byte_level, .add_prefix_space = add_prefix_space && !use_regex, .spells = true});
}

void PreTokenizer::read_metaspace(const json& description, std::string_view file) {
  Step step{.kind = Step::Kind::metaspace};
  step.replacement = one_character(json_field::at(description, "replacement", file), "Metaspace: replacement", file);
  step.split = json_field::flag(description, "split", true, file);
  if (const auto& scheme = json_field::find(description, "prepend_scheme"); !scheme.is_null()) {
    const auto name = json_field::text(scheme, "prepend_scheme", file);
    if (name != "always" && name != "first" && name != "never")
      throw InputError("tokenizer", "{}: Metaspace with prepend_scheme {} is not supported", file, name);
    step.prefix = name == "always" ? Step::Prefix::always : name == "first" ? Step::Prefix::first : Step::Prefix::never;
  } else if (!json_field::flag(description, "add_prefix_space", true, file)) {
    step.prefix = Step::Prefix::never;  // the spelling of older files
  }
  steps_.push_back(std::move(step));
}

void PreTokenizer::apply(std::size_t index, std::string_view text, bool begins_text, const Words& visit) const {
  if (text.empty()) return;
  if (index == steps_.size()) return visit(text);
  const auto& step = steps_[index];
  const auto go_on = [&](std::string_view piece, bool begins) { apply(index + 1, piece, begins_text && begins, visit); };
  switch (step.kind) {
    case Step::Kind::byte_level: {
      const bool wants_prefix = step.add_prefix_space && text.front() != ' ';
      if (!wants_prefix && !step.spells) return go_on(text, true);
      const auto prefixed = (wants_prefix ? " " : "") + std::string(text);
      return go_on(step.spells ? spell_bytes(prefixed) : prefixed, true);
    }
    case Step::Kind::unspell: return go_on(unspell_bytes(text).value(), true);
    case Step::Kind::metaspace: return apply_metaspace(step, text, begins_text, go_on);
    default: return cut(step, text, [&](std::string_view piece) { go_on(piece, piece.data() == text.data()); });
  }
}

void PreTokenizer::cut(const Step& step, std::string_view text, const Words& next) {
  const auto& table = UnicodeTable::instance();
  switch (step.kind) {
    case Step::Kind::pattern: {
      WordJoiner joiner(step.behavior, step.invert, std::cref(next));
      for (std::size_t position = 0; position < text.size();) {
        const auto length = next_piece(step.pattern, table, text, position);
        joiner.push(text.substr(position, length), true);
        position += length;
      }
      return joiner.finish();
    }
    case Step::Kind::regex: {
      WordJoiner joiner(step.behavior, step.invert, std::cref(next));
      step.regex->split_with_empty_matches(text, [&](std::string_view piece, bool is_match) { joiner.push(piece, is_match); });
      return joiner.finish();
    }
    case Step::Kind::digits: return split_digits(text, step.individual_digits, next);
    case Step::Kind::punctuation: {
      const auto& traits = NormalizationTable::instance();
      return split_at_characters(text, step.behavior, [&](char32_t c) { return (traits.traits(c) & text_trait::punctuation) != 0; }, next);
    }
    case Step::Kind::bert: return split_for_bert(text, next);
    case Step::Kind::white_space:
      return split_at_characters(text, SplitBehavior::removed, [&](char32_t c) { return table.is_space(c); }, next);
    case Step::Kind::delimiter:
      return split_at_characters(text, SplitBehavior::removed, [&](char32_t c) { return c == step.delimiter; }, next);
    case Step::Kind::words: return split_words(text, next);
    case Step::Kind::scripts: return split_scripts(text, next);
    case Step::Kind::fixed_length: return split_by_length(text, step.length, next);
    case Step::Kind::byte_level:
    case Step::Kind::unspell:
    case Step::Kind::metaspace: return next(text);  // they change text, and stand in apply()
  }
}

void PreTokenizer::apply_metaspace(const Step& step, std::string_view text, bool begins_text,
                                   const std::function<void(std::string_view, bool)>& visit) {
  const auto& mark = step.replacement;
  std::string spelled;
  spelled.reserve(text.size() + text.size() / 2);
  for (const char c : text) c == ' ' ? spelled.append(mark) : spelled.append(1, c);
  const bool wants_prefix = step.prefix == Step::Prefix::always || (step.prefix == Step::Prefix::first && begins_text);
  if (wants_prefix && !spelled.starts_with(mark)) spelled.insert(0, mark);
  if (!step.split) return visit(spelled, true);
  for (std::size_t start = 0; start < spelled.size();) {
    const auto end =
        std::min(spelled.find(mark, start + (spelled.compare(start, mark.size(), mark) == 0 ? mark.size() : 0)), spelled.size());
    visit(std::string_view(spelled).substr(start, end - start), start == 0);
    start = end;
  }
}

bool PreTokenizer::allows_cuts_before_spaces(bool bytes_alone) const {
  bool parts = false, spelled = false;  // letters from spaces, as long as spaces are not spelled
  for (const auto& step : steps_) {
    switch (step.kind) {
      case Step::Kind::regex:
      case Step::Kind::scripts:
      case Step::Kind::fixed_length:
      case Step::Kind::metaspace: return false;
      case Step::Kind::pattern:
        if (step.behavior != SplitBehavior::isolated && step.behavior != SplitBehavior::removed) return false;
        [[fallthrough]];
      case Step::Kind::bert:
      case Step::Kind::words:
      case Step::Kind::white_space: parts |= !spelled; break;
      case Step::Kind::byte_level: spelled |= step.spells; break;
      case Step::Kind::digits:
      case Step::Kind::punctuation:
      case Step::Kind::delimiter:
      case Step::Kind::unspell: break;
    }
  }
  return parts || bytes_alone;
}

bool spells_bytes(const json& description) {
  if (!description.is_object()) return false;
  const auto& type = json_field::find(description, "type");
  if (type == "ByteLevel") return true;
  const auto& parts = json_field::find(description, "pretokenizers");
  if (type != "Sequence" || !parts.is_array()) return false;
  bool spelled = false;
  const std::function<void(const json&)> follow = [&](const json& list) {
    for (const auto& part : list) {
      if (!part.is_object()) continue;
      const auto& name = json_field::find(part, "type");
      if (name == "ByteLevel") spelled = true;
      if (name == "Metaspace") spelled = false;
      if (const auto& inner = json_field::find(part, "pretokenizers"); name == "Sequence" && inner.is_array()) follow(inner);
    }
  };
  follow(parts);
  return spelled;
}

bool PreTokenizer::allows_parts() const {
  return std::ranges::all_of(steps_, [](const Step& step) {
    return step.kind == Step::Kind::white_space || (step.kind == Step::Kind::metaspace && step.split && step.replacement == "\u2581");
  });
}

json describe_pre_tokenizer(Pattern pattern) {
  json byte_level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", pattern == Pattern::gpt2}};
  if (pattern == Pattern::gpt2) return byte_level;
  json split{{"type", "Split"}, {"pattern", {{"Regex", pattern_text(pattern)}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", json::array({std::move(split), std::move(byte_level)})}};
}

}  // namespace isotrope
