// The post-processor on encodings: HF tokenizers' process_encodings, step by step.
#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/text/steps/post_processor.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

void set_sequence(Encoding& encoding, int sequence) {
  encoding.sequence_ranges[sequence] = {0, static_cast<std::uint32_t>(encoding.size())};
}

void set_types(Encoding& encoding, std::int32_t type) { std::ranges::fill(encoding.types, type); }

/// White space, also as the byte alphabet spells the space.
bool is_space(char32_t c) { return c == U'\u0120' || UnicodeTable::instance().is_space(c); }

/// How many characters of white space a token begins and ends with.
std::pair<std::uint32_t, std::uint32_t> spaces_around(std::string_view token) {
  std::uint32_t leading = 0, trailing = 0, count = 0;
  for (std::size_t position = 0; position < token.size(); ++count) {
    const bool space = is_space(next_code_point(token, position));
    if (space && leading == count) ++leading;
    trailing = space ? trailing + 1 : 0;
  }
  return {leading, trailing};
}

/// Takes the white space that tokens begin and end with out of their offsets, but not the one space that add_prefix_space may have put before the
/// first token: it has no place in the text.
void trim_offsets(Encoding& encoding, bool add_prefix_space) {
  for (auto& part : encoding.overflowing) trim_offsets(part, add_prefix_space);
  for (std::size_t i = 0; i < encoding.size(); ++i) {
    auto& [begin, end] = encoding.offsets[i];
    const auto [leading, trailing] = spaces_around(encoding.tokens[i]);
    const bool is_first = i == 0 || begin == 0;
    if (!(is_first && add_prefix_space && leading == 1)) begin = std::min(begin + leading, end);
    if (trailing > 0 && end >= trailing) end = std::max(end - trailing, begin);
  }
}

void set_byte_offsets(Encoding& encoding, const std::vector<std::uint32_t>& bytes) {
  for (auto& part : encoding.overflowing) set_byte_offsets(part, bytes);
  for (std::size_t i = 0; i < encoding.size(); ++i)
    encoding.byte_offsets[i] = {bytes[encoding.offsets[i].begin], bytes[encoding.offsets[i].end]};
}

}  // namespace

Encoding PostProcessor::assemble(Part first, std::optional<Part> second, const EncodingOptions& options) const {
  const auto& pieces = second ? pair_ : single_;
  if (pieces.empty()) throw InputError("tokenizer", "the post_processor has no template for pairs of texts");
  const auto added =
      options.add_special_tokens ? static_cast<std::size_t>(std::ranges::count(pieces, Piece::Kind::token, &Piece::kind)) : 0;
  if (options.truncation) truncate(first.encoding, second ? &second->encoding : nullptr, *options.truncation, added);
  std::vector<Part> parts;
  parts.push_back(std::move(first));
  if (second) parts.push_back(std::move(*second));
  for (int sequence = 0; sequence < static_cast<int>(parts.size()); ++sequence) {
    auto& encoding = parts[static_cast<std::size_t>(sequence)].encoding;
    set_types(encoding, sequence);
    for (auto& part : encoding.overflowing) set_types(part, sequence);
    if (!is_null_ || second) set_sequence(encoding, sequence);
    if (is_null_) continue;
    for (auto& part : encoding.overflowing) set_sequence(part, sequence);
  }
  for (const auto& step : steps_) parts = apply(step, pieces, std::move(parts), options.add_special_tokens);
  Encoding result;
  for (auto& [encoding, bytes] : parts) {
    if (!bytes.empty()) set_byte_offsets(encoding, bytes);
    result.append(encoding);
  }
  if (options.padding) pad({&result, 1}, *options.padding);
  return result;
}

std::vector<PostProcessor::Part> PostProcessor::apply(const Step& step, const Template& pieces, std::vector<Part> parts,
                                                      bool add_special_tokens) {
  if (step.trim_offsets)
    for (auto& part : parts) trim_offsets(part.encoding, step.add_prefix_space);
  if (step.kind == Step::Kind::byte_level) {
    for (std::size_t i = 0; i < parts.size(); ++i) set_sequence(parts[i].encoding, static_cast<int>(i));
    return parts;
  }
  if (step.kind == Step::Kind::roberta) {
    for (auto& part : parts) {
      set_types(part.encoding, 0);
      if (!add_special_tokens) continue;
      for (auto& overflowing : part.encoding.overflowing) set_types(overflowing, 0);
    }
  }
  if (step.kind != Step::Kind::pieces && !add_special_tokens) return parts;
  return put_tokens_around(step, pieces, std::move(parts), add_special_tokens);
}

/// A template gives a part for each of its pieces; BERT and RoBERTa give one for each text, which begins and ends with their tokens.
std::vector<PostProcessor::Part> PostProcessor::put_tokens_around(const Step& step, const Template& pieces, std::vector<Part> parts,
                                                                  bool add_special_tokens) {
  std::vector<Part> result;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto& piece = pieces[i];
    Part next;
    if (piece.kind == Piece::Kind::token) {
      if (!add_special_tokens) continue;
      next.encoding = {.ids = {piece.id},
                       .types = {piece.type},
                       .tokens = {piece.name},
                       .offsets = {{}},
                       .byte_offsets = {{}},
                       .words = {-1},
                       .special = {1},
                       .attention = {1}};
    } else {
      const auto sequence = piece.kind == Piece::Kind::second && parts.size() > 1 ? 1 : 0;
      next = parts[static_cast<std::size_t>(sequence)];
      if (step.kind == Step::Kind::pieces) {
        set_types(next.encoding, piece.type);
        set_sequence(next.encoding, sequence);
      }
    }
    constexpr std::size_t around_first = 3;
    if (step.kind == Step::Kind::pieces || i == 0 || i == around_first) {
      result.push_back(std::move(next));
    } else {
      result.back().encoding.append(next.encoding);
      if (!next.bytes.empty()) result.back().bytes = std::move(next.bytes);
    }
  }
  return result;
}

}  // namespace isotrope
