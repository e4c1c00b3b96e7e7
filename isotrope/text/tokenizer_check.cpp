#include "isotrope/text/tokenizer_check.h"

#include <algorithm>

#include <fmt/format.h>

#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

using Record = TokenDump::Record;

bool is_inside_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// About `bytes` bytes before `end`, from the beginning of a character on.
std::string_view text_before(std::string_view text, std::size_t end, std::size_t bytes) {
  auto begin = end - std::min(end, bytes);
  while (begin < end && is_inside_character(text[begin])) ++begin;
  return text.substr(begin, end - begin);
}

std::string_view text_from(std::string_view text, std::size_t begin, std::size_t bytes) {
  auto end = std::min(text.size(), begin + bytes);
  while (end > begin && end < text.size() && is_inside_character(text[end])) --end;
  return text.substr(begin, end - begin);
}

/// One comparison after another, of which the first difference is kept.
class Comparison {
 public:
  Comparison(const Tokenizer& tokenizer, std::string_view text, TokenizerCheck& check)
      : tokenizer_(tokenizer), text_(text), check_(check) {}

  /// Begins a record.
  void begin(std::size_t begin, std::size_t tokens) {
    differs_ = false, begin_ = begin;
    ++check_.records, check_.tokens += tokens;
  }
  void end() { check_.different += differs_; }

  /// encoding  ours, which says where a token lies
  void ids(std::string_view what, const std::vector<TokenId>& ours, const std::vector<TokenId>& theirs, const Encoding& encoding) {
    const auto place = static_cast<std::size_t>(std::ranges::mismatch(ours, theirs).in1 - ours.begin());
    if (place < std::max(ours.size(), theirs.size()))
      differ(what, byte_of(encoding, place), token_text(ours, place), token_text(theirs, place));
  }
  void offsets(std::string_view what, const Encoding& ours, const std::vector<TextRange>& theirs) {
    const auto place = static_cast<std::size_t>(std::ranges::mismatch(ours.offsets, theirs).in1 - ours.offsets.begin());
    const auto at = [&](const std::vector<TextRange>& ranges) {
      return place < ranges.size() ? fmt::format("token {} at {}-{}", place, ranges[place].begin, ranges[place].end)
                                   : std::string("nothing");
    };
    if (place < std::max(ours.offsets.size(), theirs.size())) differ(what, byte_of(ours, place), at(ours.offsets), at(theirs));
  }
  void texts(std::string_view what, std::string_view ours, std::string_view theirs) {
    const auto place = static_cast<std::size_t>(std::ranges::mismatch(ours, theirs).in1 - ours.begin());
    if (place == std::max(ours.size(), theirs.size())) return;
    const auto from = [&](std::string_view text) {
      auto start = std::min(place, text.size());
      while (start > 0 && start < text.size() && is_inside_character(text[start])) --start;
      return fmt::format("\"{}\" at byte {}", text_from(text, start, 24), start);
    };
    differ(what, begin_ + std::min(place, text_.size() - begin_), from(ours), from(theirs));
  }
  void fail(std::string_view what, std::size_t byte, std::string ours, std::string theirs) {
    differ(what, byte, std::move(ours), std::move(theirs));
  }

 private:
  void differ(std::string_view what, std::size_t byte, std::string ours, std::string theirs) {
    differs_ = true;
    if (check_.first) return;
    byte = std::min(byte, text_.size());
    while (byte > 0 && byte < text_.size() && is_inside_character(text_[byte])) --byte;
    check_.first = {std::string(what),
                    byte,
                    std::move(ours),
                    std::move(theirs),
                    replace_invalid_utf8(text_before(text_, byte, 40)),
                    replace_invalid_utf8(text_from(text_, byte, 40))};
  }
  std::size_t byte_of(const Encoding& encoding, std::size_t place) const {
    const auto& ranges = encoding.byte_offsets;
    if (place < ranges.size()) return begin_ + ranges[place].begin;
    return begin_ + (ranges.empty() ? 0 : ranges.back().end);
  }
  std::string token_text(const std::vector<TokenId>& ids, std::size_t place) const {
    if (place >= ids.size()) return "nothing";
    const auto id = ids[place];
    if (static_cast<std::size_t>(id) >= tokenizer_.vocab_size()) return fmt::format("id {}, which the vocabulary lacks", id);
    return fmt::format("token {}: id {} \"{}\"", place, id, replace_invalid_utf8(tokenizer_.token_bytes(id)));
  }

  const Tokenizer& tokenizer_;
  std::string_view text_;
  TokenizerCheck& check_;
  bool differs_ = false;
  std::size_t begin_ = 0;
};

/// The ends of pieces of about `size` bytes, each at a line end where there is one.
std::vector<std::size_t> piece_ends(std::string_view text, std::size_t size) {
  std::vector<std::size_t> ends;
  for (std::size_t begin = 0; begin < text.size(); begin = ends.back()) {
    auto end = std::min(text.size(), begin + size);
    if (const auto line = text.substr(begin, end - begin).rfind('\n'); end < text.size() && line != std::string_view::npos)
      end = begin + line + 1;
    while (end < text.size() && is_inside_character(text[end])) ++end;
    ends.push_back(end);
  }
  return ends;
}

/// Offsets lie in the text, and none ends before it begins.
void check_ranges(Comparison& compare, const Encoding& encoding, std::string_view text, std::size_t begin) {
  for (std::size_t i = 0; i < encoding.size(); ++i) {
    const auto [first, last] = encoding.byte_offsets[i];
    if (first > last || last > text.size())
      return compare.fail("offsets", begin + std::min<std::size_t>(first, text.size()), fmt::format("token {} at {}-{}", i, first, last),
                          fmt::format("a place in {} bytes", text.size()));
  }
}

}  // namespace

TokenizerCheck check_against(const Tokenizer& tokenizer, std::string_view text, std::string_view name, TokenDump& dump, int threads) {
  dump.expect_text(text, name);
  TokenizerCheck check;
  Comparison compare(tokenizer, text, check);
  constexpr std::size_t most_bytes = 1 << 22, most_records = 4096;  // at once: what the threads share out
  std::vector<Record> records;
  std::vector<std::string_view> texts;
  std::vector<TextPair> pairs;
  std::size_t bytes = 0;
  const auto work = [&] {
    const auto ids = tokenizer.encode_batch(texts, threads, {.add_special_tokens = dump.adds_special_tokens()});
    const auto encodings = tokenizer.encode_full_batch(pairs, threads, {.add_special_tokens = dump.adds_special_tokens()});
    for (std::size_t i = 0; i < records.size(); ++i) {
      const auto& record = records[i];
      compare.begin(record.begin, record.ids.size());
      compare.ids("ids", ids[i], record.ids, encodings[i]);
      compare.ids("ids of the way that gives offsets", encodings[i].ids, record.ids, encodings[i]);
      if (record.offsets) compare.offsets("offsets", encodings[i], *record.offsets);
      check.offsets += record.offsets.has_value();
      check.decoded += record.decoded || record.decoded_is_text || record.skipped || record.skipped_is_text;
      if (ids[i] == record.ids) {
        const auto compare_decoded = [&](std::string_view what, bool skip, const std::optional<std::string>& theirs, bool is_text) {
          if (!theirs && !is_text) return;
          compare.texts(what, tokenizer.decode(record.ids, {.skip_special_tokens = skip}),
                        theirs ? *theirs : replace_invalid_utf8(texts[i]));
        };
        compare_decoded("decoded text", false, record.decoded, record.decoded_is_text);
        compare_decoded("decoded text without special tokens", true, record.skipped, record.skipped_is_text);
      }
      compare.end();
    }
    records.clear(), texts.clear(), pairs.clear();
    bytes = 0;
  };
  while (auto record = dump.next()) {
    const auto piece = text.substr(record->begin, record->end - record->begin);
    texts.push_back(piece), pairs.push_back({piece}), records.push_back(std::move(*record));
    check.bytes += piece.size();
    if ((bytes += piece.size()) > most_bytes || records.size() == most_records) work();
  }
  work();
  return check;
}

TokenizerCheck check_alone(const Tokenizer& tokenizer, std::string_view text, int threads) {
  constexpr std::size_t piece_bytes = 1 << 16;
  TokenizerCheck check;
  Comparison compare(tokenizer, text, check);
  std::size_t begin = 0;
  std::vector<std::string_view> texts;
  std::vector<TextPair> pairs;
  for (const auto end : piece_ends(text, piece_bytes)) {
    texts.push_back(text.substr(begin, end - begin)), pairs.push_back({texts.back()});
    begin = end;
  }
  const EncodeOptions plain{.add_special_tokens = false};
  begin = 0;
  for (std::size_t first = 0; first < texts.size();) {
    const auto count = std::min<std::size_t>(64, texts.size() - first);
    const auto ids = tokenizer.encode_batch(std::span(texts).subspan(first, count), threads, plain);
    const auto encodings = tokenizer.encode_full_batch(std::span(pairs).subspan(first, count), threads, {.add_special_tokens = false});
    for (std::size_t i = 0; i < count; ++i) {
      const auto piece = texts[first + i];
      compare.begin(begin, ids[i].size());
      compare.ids("ids of the way that gives offsets", encodings[i].ids, ids[i], encodings[i]);
      check_ranges(compare, encodings[i], piece, begin);
      ++check.offsets;
      if (tokenizer.keeps_every_byte() && !check_utf8(piece)) {
        ++check.decoded;
        compare.texts("decoded text", tokenizer.decode(ids[i]), piece);
      }
      compare.end();
      begin += piece.size();
    }
    first += count;
  }
  const auto whole = tokenizer.encode(text, plain);
  std::vector<TokenId> parts;
  for (std::size_t start = 0, end = 0; start < text.size(); start = end) {
    end = tokenizer.safe_cut(text, std::min(text.size(), start + piece_bytes));
    const auto part = tokenizer.encode(text.substr(start, end - start), plain);
    parts.insert(parts.end(), part.begin(), part.end());
  }
  compare.begin(0, 0);
  compare.ids("ids of parts", parts, whole, {});
  compare.ids("ids of several threads", tokenizer.encode_parallel(text, std::max(3, threads), plain), whole, {});
  compare.end();
  --check.records;  // the whole is none of its own
  check.bytes = text.size();
  return check;
}

}  // namespace isotrope
