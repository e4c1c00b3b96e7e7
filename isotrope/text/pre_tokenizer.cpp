#include "isotrope/text/pre_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/text/json_field.h"
#include "isotrope/text/utf8.h"

namespace isotrope {

using nlohmann::json;

namespace {

/// Digits of HF tokenizers: numbers apart from the rest, each by itself or in runs.
void split_digits(std::string_view text, bool individual, const std::function<void(std::string_view)>& visit) {
  const auto& table = UnicodeTable::instance();
  std::size_t start = 0;
  bool in_digits = false;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t here = position;
    const bool digit = table.kind(next_code_point(text, position)) == CharKind::number;
    if (here > start && (digit != in_digits || (digit && individual))) {
      visit(text.substr(start, here - start));
      start = here;
    }
    in_digits = digit;
  }
  if (start < text.size()) visit(text.substr(start));
}

template <class Visit>
void split_at_white_space(std::string_view text, Visit&& visit) {
  const auto& table = UnicodeTable::instance();
  std::size_t start = 0;
  for (std::size_t position = 0; position < text.size();) {
    const auto here = position;
    if (!table.is_space(next_code_point(text, position))) continue;
    if (here > start) visit(text.substr(start, here - start));
    start = position;
  }
  if (start < text.size()) visit(text.substr(start));
}

}  // namespace

PreTokenizer::PreTokenizer(const json& description, bool byte_level, std::string_view file) : byte_level_(byte_level) {
  if (description.is_null()) {
    if (byte_level) throw InputError("tokenizer", "{}: pre_tokenizer is null; before a byte-level model it must be ByteLevel", file);
    return;
  }
  read(description, file);
  if (!byte_level) return;
  if (steps_.empty() || steps_.back().kind != Step::Kind::byte_level)
    throw InputError("tokenizer", "{}: the pre_tokenizer does not end in ByteLevel, as a byte-level model needs it", file);
  const auto& first = steps_.front();
  scans_one_pattern_ = steps_.size() == 2 && first.kind == Step::Kind::pattern && first.keep_matches && !steps_.back().add_prefix_space;
}

void PreTokenizer::read(const json& description, std::string_view file) {
  const auto type = json_field::type(description, "pre_tokenizer", file);
  if (!steps_.empty() && steps_.back().kind == Step::Kind::byte_level)
    throw InputError("tokenizer", "{}: pre_tokenizer {} after ByteLevel is not supported", file, type);
  if (type == "Sequence") {
    for (const auto& part : json_field::array(json_field::at(description, "pretokenizers", file), "pretokenizers", file)) read(part, file);
  } else if (type == "Split") {
    read_split(description, file);
  } else if (type == "Digits") {
    steps_.push_back({.kind = Step::Kind::digits, .individual_digits = json_field::flag(description, "individual_digits", false, file)});
  } else if (type == "ByteLevel" && byte_level_) {
    read_byte_level(description, file);
  } else if (type == "BertPreTokenizer" && !byte_level_) {
    steps_.push_back({.kind = Step::Kind::bert});
  } else if (type == "WhitespaceSplit" && !byte_level_) {
    steps_.push_back({.kind = Step::Kind::white_space});
  } else if (type == "Metaspace" && !byte_level_) {
    read_metaspace(description, file);
  } else {
    throw InputError("tokenizer", "{}: pre_tokenizer {} is not supported{}", file, type, byte_level_ ? " before a byte-level model" : "");
  }
}

void PreTokenizer::read_split(const json& description, std::string_view file) {
  const auto& source = json_field::object(json_field::at(description, "pattern", file), "pattern", file);
  const auto behavior = json_field::text(json_field::at(description, "behavior", file), "behavior", file);
  const bool invert = json_field::flag(description, "invert", false, file);
  if (behavior != "Isolated" && behavior != "Removed")
    throw InputError("tokenizer", "{}: Split with behavior {} is not supported", file, behavior);
  Step step;
  if (behavior == "Removed") (invert ? step.keep_others : step.keep_matches) = false;
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

void PreTokenizer::read_byte_level(const json& description, std::string_view file) {
  const bool add_prefix_space = json_field::flag(description, "add_prefix_space", true, file);
  const bool use_regex = json_field::flag(description, "use_regex", true, file);
  // The space comes before the pattern is applied, so it is a step of its own.
  if (add_prefix_space && use_regex) steps_.push_back({.kind = Step::Kind::byte_level, .add_prefix_space = true});
  if (use_regex) steps_.push_back({.kind = Step::Kind::pattern, .pattern = Pattern::gpt2});
  steps_.push_back({.kind = Step::Kind::byte_level, .add_prefix_space = add_prefix_space && !use_regex});
}

void PreTokenizer::read_metaspace(const json& description, std::string_view file) {
  Step step{.kind = Step::Kind::metaspace};
  step.replacement = json_field::text(json_field::at(description, "replacement", file), "replacement", file);
  std::size_t end = 0;
  if (!step.replacement.empty()) next_code_point(step.replacement, end);
  if (step.replacement.empty() || end != step.replacement.size())
    throw InputError("tokenizer", "{}: Metaspace: expected one character as replacement, got \"{}\"", file, step.replacement);
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
  const auto next = [&](std::string_view piece) { apply(index + 1, piece, begins_text && piece.data() == text.data(), visit); };
  switch (step.kind) {
    case Step::Kind::byte_level:
      if (step.add_prefix_space && text.front() != ' ') return next(" " + std::string(text));
      return next(text);
    case Step::Kind::metaspace: return apply_metaspace(step, text, begins_text, next);
    default: return cut(step, text, next);
  }
}

void PreTokenizer::cut(const Step& step, std::string_view text, const Words& next) {
  switch (step.kind) {
    case Step::Kind::pattern:
      for (std::size_t position = 0; position < text.size();) {
        const auto length = next_piece(step.pattern, UnicodeTable::instance(), text, position);
        if (step.keep_matches) next(text.substr(position, length));
        position += length;
      }
      return;
    case Step::Kind::regex:
      return step.regex->split(text, [&](std::string_view piece, bool is_match) {
        if (is_match ? step.keep_matches : step.keep_others) next(piece);
      });
    case Step::Kind::digits: return split_digits(text, step.individual_digits, next);
    case Step::Kind::bert: return split_for_bert(text, next);
    case Step::Kind::white_space: return split_at_white_space(text, next);
    case Step::Kind::byte_level:
    case Step::Kind::metaspace: return next(text);  // they change text, and stand in apply()
  }
}

void PreTokenizer::apply_metaspace(const Step& step, std::string_view text, bool begins_text, const Words& visit) {
  const auto& mark = step.replacement;
  std::string spelled;
  spelled.reserve(text.size() + text.size() / 2);
  for (const char c : text) c == ' ' ? spelled.append(mark) : spelled.append(1, c);
  const bool wants_prefix = step.prefix == Step::Prefix::always || (step.prefix == Step::Prefix::first && begins_text);
  if (wants_prefix && !spelled.starts_with(mark)) spelled.insert(0, mark);
  if (!step.split) return visit(spelled);
  for (std::size_t start = 0; start < spelled.size();) {
    const auto end =
        std::min(spelled.find(mark, start + (spelled.compare(start, mark.size(), mark) == 0 ? mark.size() : 0)), spelled.size());
    visit(std::string_view(spelled).substr(start, end - start));
    start = end;
  }
}

bool PreTokenizer::allows_cuts_before_spaces(bool bytes_alone) const {
  const auto has = [&](Step::Kind kind) { return std::ranges::any_of(steps_, [&](const Step& step) { return step.kind == kind; }); };
  if (has(Step::Kind::regex) || has(Step::Kind::metaspace)) return false;
  // Each of these parts letters from spaces.
  return bytes_alone || has(Step::Kind::pattern) || has(Step::Kind::bert) || has(Step::Kind::white_space);
}

json describe_pre_tokenizer(Pattern pattern) {
  json byte_level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", pattern == Pattern::gpt2}};
  if (pattern == Pattern::gpt2) return byte_level;
  json split{{"type", "Split"}, {"pattern", {{"Regex", pattern_text(pattern)}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", json::array({std::move(split), std::move(byte_level)})}};
}

}  // namespace isotrope
