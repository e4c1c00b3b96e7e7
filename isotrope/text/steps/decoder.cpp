#include "isotrope/text/steps/decoder.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/steps/json_field.h"
#include "isotrope/text/steps/tokenizer_definition.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using nlohmann::json;
namespace field = json_field;

namespace {

void replace_all(std::string& text, std::string_view pattern, std::string_view content) {
  auto found = text.find(pattern);
  if (found == std::string::npos) return;
  std::string result;
  std::size_t position = 0;
  for (; found != std::string::npos; found = text.find(pattern, position)) {
    result.append(text, position, found - position).append(content);
    position = found + pattern.size();
  }
  text = result.append(text, position);
}

/// Takes back the spaces that BERT's splitting puts around punctuation and contractions, in HF's order.
void clean_up_spaces(std::string& text) {
  static constexpr std::pair<std::string_view, std::string_view> rules[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [pattern, content] : rules) replace_all(text, pattern, content);
}

/// An unsigned integer member below 2³¹.
std::size_t strip_count_of(const json& description, const char* key, std::string_view file) {
  const auto value = field::integer(field::at(description, key, file), key, file);
  if (value < 0 || value > INT32_MAX) throw InputError("tokenizer", "{}: decoder: {} is {}, out of range", file, key, value);
  return static_cast<std::size_t>(value);
}

}  // namespace

Decoder::Decoder(const json& description, std::string_view file) : joins_with_spaces_(description.is_null()) {
  if (!description.is_null()) read(description, file);
}

void Decoder::read(const json& description, std::string_view file) {
  const auto type = field::type(description, "decoder", file);
  if (type == "Sequence") {
    for (const auto& part : field::array(field::at(description, "decoders", file), "decoders", file)) read(part, file);
  } else if (type == "WordPiece") {
    Step step{.kind = Step::Kind::word_piece, .clean_up = field::flag(description, "cleanup", true, file)};
    step.pattern = field::text(field::at(description, "prefix", file), "prefix", file);
    steps_.push_back(std::move(step));
  } else if (type == "Metaspace") {
    Step step{.kind = Step::Kind::metaspace, .pattern = field::text(field::at(description, "replacement", file), "replacement", file)};
    if (step.pattern.empty()) throw InputError("tokenizer", "{}: the decoder Metaspace has no replacement", file);
    const auto& scheme = field::find(description, "prepend_scheme");
    step.drops_first = scheme.is_null() ? field::flag(description, "add_prefix_space", true, file) : scheme != "never";
    steps_.push_back(std::move(step));
  } else if (type == "Replace") {
    read_replace(description, file);
  } else if (type == "ByteLevel") {
    steps_.push_back({.kind = Step::Kind::byte_level});
  } else if (type == "BPEDecoder") {
    Step step{.kind = Step::Kind::bpe, .pattern = field::text(field::at(description, "suffix", file), "suffix", file)};
    if (step.pattern.empty()) throw InputError("tokenizer", "{}: the decoder BPEDecoder has an empty suffix", file);
    steps_.push_back(std::move(step));
  } else if (type == "CTC") {
    Step step{.kind = Step::Kind::ctc, .clean_up = field::flag(description, "cleanup", true, file)};
    step.pattern = field::text(field::at(description, "pad_token", file), "pad_token", file);
    step.content = field::text(field::at(description, "word_delimiter_token", file), "word_delimiter_token", file);
    if (step.pattern.empty() || step.content.empty()) throw InputError("tokenizer", "{}: the decoder CTC has an empty token", file);
    steps_.push_back(std::move(step));
  } else if (type == "ByteFallback") {
    steps_.push_back({.kind = Step::Kind::byte_fallback});
  } else if (type == "Fuse") {
    steps_.push_back({.kind = Step::Kind::fuse});
  } else if (type == "Strip") {
    steps_.push_back({.kind = Step::Kind::strip,
                      .content = field::text(field::at(description, "content", file), "content", file),
                      .start = strip_count_of(description, "start", file),
                      .stop = strip_count_of(description, "stop", file)});
  } else {
    throw InputError("tokenizer", "{}: decoder {} is not supported", file, type);
  }
}

void Decoder::read_replace(const json& description, std::string_view file) {
  const auto& source = field::object(field::at(description, "pattern", file), "pattern", file);
  Step step{.kind = Step::Kind::replace, .content = field::text(field::at(description, "content", file), "content", file)};
  if (source.contains("Regex")) {
    step.regex = std::make_shared<PatternRegex>(field::text(source["Regex"], "pattern", file), false, file);
  } else {
    step.pattern = field::text(field::at(source, "String", file), "pattern", file);
    if (step.pattern.empty()) throw InputError("tokenizer", "{}: the decoder Replace has an empty pattern", file);
  }
  steps_.push_back(std::move(step));
}

std::string Decoder::decode(Tokens tokens) const {
  for (const auto& step : steps_) apply(step, tokens);
  std::string text;
  for (const auto& token : tokens) {
    if (joins_with_spaces_ && &token != &tokens.front()) text += ' ';
    text += token;
  }
  return text;
}

void Decoder::apply(const Step& step, Tokens& tokens) {
  switch (step.kind) {
    case Step::Kind::word_piece: return join_word_pieces(step, tokens);
    case Step::Kind::metaspace:
      for (auto& token : tokens) replace_all(token, step.pattern, &token == &tokens.front() && step.drops_first ? "" : " ");
      return;
    case Step::Kind::replace:
      for (auto& token : tokens) replace(step, token);
      return;
    case Step::Kind::bpe:
      for (auto& token : tokens) replace_all(token, step.pattern, &token == &tokens.back() ? "" : " ");
      return;
    case Step::Kind::ctc: return clean_blanks(step, tokens);
    case Step::Kind::byte_level: {
      std::string bytes;
      for (const auto& token : tokens) bytes += unspell_bytes(token).value_or(token);
      tokens = {replace_invalid_utf8(bytes)};
      return;
    }
    case Step::Kind::byte_fallback: return join_bytes(tokens);
    case Step::Kind::fuse: {
      std::string all;
      for (const auto& token : tokens) all += token;
      tokens = {std::move(all)};
      return;
    }
    case Step::Kind::strip:
      for (auto& token : tokens) strip(step, token);
      return;
  }
}

void Decoder::replace(const Step& step, std::string& token) {
  if (!step.regex) return replace_all(token, step.pattern, step.content);
  std::string result;
  step.regex->split_with_empty_matches(token,
                                       [&](std::string_view piece, bool is_match) { result.append(is_match ? step.content : piece); });
  token = std::move(result);
}

/// Of equal neighbours one stays, blanks go (Graves et al. 2006).
void Decoder::clean_blanks(const Step& step, Tokens& tokens) {
  tokens.erase(std::ranges::unique(tokens).begin(), tokens.end());
  for (auto& token : tokens) {
    replace_all(token, step.pattern, "");
    if (!step.clean_up) continue;
    clean_up_spaces(token);
    replace_all(token, step.content, " ");
  }
  std::erase_if(tokens, [](const std::string& token) { return token.empty(); });
}

void Decoder::join_word_pieces(const Step& step, Tokens& tokens) {
  for (auto& token : tokens) {
    if (&token != &tokens.front()) {
      if (token.starts_with(step.pattern)) token.erase(0, step.pattern.size());
      else token.insert(0, " ");
    }
    if (step.clean_up) clean_up_spaces(token);
  }
}

/// A run of byte tokens becomes its characters when they are UTF-8 as a whole, and a U+FFFD for each byte when they are not, as HF's does.
void Decoder::join_bytes(Tokens& tokens) {
  Tokens joined;
  std::string run;
  const auto end_run = [&] {
    if (run.empty()) return;
    if (!check_utf8(run)) {
      joined.push_back(run);
    } else {
      for (std::size_t i = 0; i < run.size(); ++i) joined.emplace_back("\uFFFD");
    }
    run.clear();
  };
  for (auto& token : tokens) {
    if (const auto byte = fallback_byte(token)) {
      run += static_cast<char>(*byte);
      continue;
    }
    end_run();
    joined.push_back(std::move(token));
  }
  end_run();
  tokens = std::move(joined);
}

void Decoder::strip(const Step& step, std::string& token) {
  if (step.content.empty()) return;
  std::size_t begin = 0, end = token.size();
  for (std::size_t i = 0; i < step.start && token.compare(begin, step.content.size(), step.content) == 0; ++i) begin += step.content.size();
  for (std::size_t i = 0; i < step.stop && end - begin >= step.content.size(); ++i) {
    if (token.compare(end - step.content.size(), step.content.size(), step.content) != 0) break;
    end -= step.content.size();
  }
  token = token.substr(begin, end - begin);
}

std::string Decoder::bytes_of(std::string_view name, bool first) const {
  std::string text(name);
  if (joins_with_spaces_) return first ? text : " " + text;
  for (const auto& step : steps_) {
    if (step.kind == Step::Kind::word_piece) {
      Tokens tokens{"", text};
      if (first) tokens.erase(tokens.begin());
      join_word_pieces(step, tokens);
      text = tokens.back();
    } else if (step.kind == Step::Kind::metaspace) {
      replace_all(text, step.pattern, first && step.drops_first ? "" : " ");
    } else if (step.kind == Step::Kind::replace) {
      replace(step, text);
    } else if (step.kind == Step::Kind::byte_level) {
      text = unspell_bytes(text).value_or(text);
    } else if (step.kind == Step::Kind::bpe) {
      replace_all(text, step.pattern, " ");
    } else if (step.kind == Step::Kind::ctc) {
      Tokens tokens{text};
      clean_blanks(step, tokens);
      text = tokens.empty() ? "" : tokens.front();
    } else if (step.kind == Step::Kind::byte_fallback) {
      if (const auto byte = fallback_byte(text)) text = std::string(1, static_cast<char>(*byte));
    } else if (step.kind == Step::Kind::strip && first) {
      strip({.content = step.content, .start = step.start}, text);
    }
  }
  return text;
}

}  // namespace isotrope
