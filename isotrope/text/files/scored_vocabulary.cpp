#include "isotrope/text/files/scored_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "isotrope/base/error.h"
#include "isotrope/text/files/sentencepiece_rules.h"
#include "isotrope/text/models/bpe_model.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using nlohmann::json;
using Type = ScoredVocabulary::Type;

namespace {

using IdsByText = std::unordered_map<std::string_view, TokenId>;

/// The ids of all pieces, which are checked one by one.
IdsByText check_pieces(const ScoredVocabulary& vocabulary) {
  constexpr std::size_t longest = 8000;  // sentencepiece's limit, too: the time of encoding grows with the longest piece
  IdsByText ids;
  std::size_t bytes = 0, unknown = 0;
  if (vocabulary.pieces.empty() || vocabulary.pieces.size() > INT32_MAX)
    throw InputError("tokenizer", "{}: {} pieces make no vocabulary", vocabulary.file, vocabulary.pieces.size());
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const auto& [text, score, type] = vocabulary.pieces[id];
    const auto fail = [&](std::string_view what) { throw InputError("tokenizer", "{}: piece {}: {}", vocabulary.file, id, what); };
    if (text.empty()) fail("it is empty");
    if (text.size() >= longest) fail(fmt::format("it has {} bytes, the limit is {}", text.size(), longest));
    if (check_utf8(text)) fail("it is not UTF-8");
    if (!std::isfinite(score)) fail("its score is no number");
    if (type < Type::normal || type > Type::byte) fail("its type is none of 1 to 6");
    if ((type == Type::byte) != fallback_byte(text).has_value() && type == Type::byte)
      fail("a byte piece must be spelled <0x00> to <0xFF>");
    if (type == Type::user_defined && vocabulary.add_dummy_prefix && !vocabulary.is_sentencepiece)
      fail("user-defined pieces beside a dummy prefix are not supported");
    if (!ids.emplace(text, static_cast<TokenId>(id)).second) fail("\"" + text + "\" is an earlier piece, too");
    bytes += type == Type::byte;
    unknown += type == Type::unknown;
  }
  if (bytes != 0 && bytes != 256) throw InputError("tokenizer", "{}: {} byte pieces: expected none or 256", vocabulary.file, bytes);
  if (vocabulary.is_sentencepiece && unknown != 1)
    throw InputError("tokenizer", "{}: {} pieces are the unknown one: expected 1", vocabulary.file, unknown);
  return ids;
}

/// Finds the merges that give the pieces of a vocabulary.
class MergeFinder {
 public:
  /// exactly: merges through unused pieces are found, too.
  MergeFinder(const ScoredVocabulary& vocabulary, const IdsByText& ids, bool exactly)
      : vocabulary_(vocabulary), ids_(ids), exactly_(exactly) {}

  /// All of them, those of the highest score first.
  std::vector<BpeMerge> find() {
    const auto& pieces = vocabulary_.pieces;
    std::vector<TokenId> order(pieces.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::greater<>(), [&](TokenId id) { return pieces[static_cast<std::size_t>(id)].score; });
    for (const auto id : order) {
      const auto& piece = pieces[static_cast<std::size_t>(id)];
      if (piece.type != Type::normal && piece.type != Type::unused) continue;
      const auto before = merges_.size();
      append(id);
      const auto found = merges_.size() - before;
      if (piece.type == Type::unused && found > (exactly_ ? 1 : 0)) {
        if (!exactly_)
          throw InputError("tokenizer", "{}: piece {}: the unused piece \"{}\" is two others joined, which is not supported",
                           vocabulary_.file, id, piece.text);
        throw InputError("tokenizer",
                         "{}: piece {}: the unused piece \"{}\" is two others joined in {} ways: which counts depends on the text",
                         vocabulary_.file, id, piece.text, found);
      }
    }
    return std::move(merges_);
  }

 private:
  /// The piece that can be a part of another.
  std::optional<TokenId> part(std::string_view text) const {
    const auto found = ids_.find(text);
    if (found == ids_.end()) return std::nullopt;
    const auto type = vocabulary_.pieces[static_cast<std::size_t>(found->second)].type;
    if (type != Type::normal && !(exactly_ && type == Type::unused)) return std::nullopt;
    return found->second;
  }
  /// SentencePiece also merges characters that are no pieces, which tokens here cannot.
  bool is_absent_character(std::string_view text) const {
    std::size_t end = 0;
    next_code_point(text, end);
    return end == text.size() && !part(text);
  }
  /// The merges that give a piece: all its cuts into two pieces. SentencePiece takes the leftmost place at equal scores, merges by rank know
  /// no place. Two cuts can only compete for the same characters as u·v and v·w, both the piece: then it has the period |u|, and u·v goes
  /// first.
  void append(TokenId result) {
    const std::string_view text = vocabulary_.pieces[static_cast<std::size_t>(result)].text;
    std::vector<std::size_t> cuts;
    std::size_t cut = 0;
    for (next_code_point(text, cut); cut < text.size(); next_code_point(text, cut)) {
      const auto left = text.substr(0, cut), right = text.substr(cut);
      if (part(left) && part(right)) cuts.push_back(cut);
      else if (exactly_ && (part(left) || is_absent_character(left)) && (part(right) || is_absent_character(right)))
        throw InputError("tokenizer", "{}: piece {}: \"{}\" is merged from a character that is no piece, which is not supported",
                         vocabulary_.file, result, text);
    }
    for (std::size_t i = 0; i < cuts.size(); ++i) {
      const auto other = std::ranges::find(cuts.begin() + static_cast<std::ptrdiff_t>(i), cuts.end(), text.size() - cuts[i]);
      if (other != cuts.end() && !has_period(text, cuts[i]) && has_period(text, *other)) std::swap(cuts[i], *other);
    }
    for (const auto at : cuts) merges_.push_back({*part(text.substr(0, at)), *part(text.substr(at)), result});
  }

  const ScoredVocabulary& vocabulary_;
  const IdsByText& ids_;
  const bool exactly_;
  std::vector<BpeMerge> merges_;
};

/// Whether a tokenizer.json cannot say what a SentencePiece model does.
bool needs_rules(const ScoredVocabulary& vocabulary) {
  if (!vocabulary.is_sentencepiece) return false;
  if (vocabulary.model == ScoredVocabulary::Model::unigram) return true;
  if (!vocabulary.charsmap.empty() || vocabulary.remove_extra_whitespaces || !vocabulary.escape_whitespaces ||
      vocabulary.treat_whitespace_as_suffix)
    return true;
  std::unordered_set<float> scores;
  for (const auto& [text, score, type] : vocabulary.pieces) {
    if (type == Type::unused || (type == Type::user_defined && vocabulary.add_dummy_prefix)) return true;
    std::size_t end = 0;
    next_code_point(text, end);
    if (type == Type::normal && end < text.size() && !scores.insert(score).second) return true;
  }
  return false;
}

SentencePieceRules rules_of(const ScoredVocabulary& vocabulary) {
  SentencePieceRules rules{.add_dummy_prefix = vocabulary.add_dummy_prefix,
                           .remove_extra_whitespaces = vocabulary.remove_extra_whitespaces,
                           .escape_whitespaces = vocabulary.escape_whitespaces,
                           .treat_whitespace_as_suffix = vocabulary.treat_whitespace_as_suffix,
                           .charsmap = vocabulary.charsmap,
                           .unknown_surface = vocabulary.unknown_surface};
  for (const auto& piece : vocabulary.pieces) rules.types.push_back(static_cast<std::uint8_t>(piece.type));
  return rules;
}

/// Equal scores are equal ranks: among them the leftmost place merges first.
std::vector<std::uint32_t> ranks_of(const std::vector<BpeMerge>& merges, const ScoredVocabulary& vocabulary) {
  std::vector<std::uint32_t> ranks;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const auto score = [&](std::size_t index) { return vocabulary.pieces[static_cast<std::size_t>(merges[index].result)].score; };
    ranks.push_back(i > 0 ? ranks.back() + (score(i) != score(i - 1)) : 0);
  }
  return ranks;
}

json llama_decoder(bool strips_space) {
  auto steps = json::array(
      {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}}, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (strips_space) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

json bos_template(const std::string& name, TokenId id) {
  const auto token = [&](int type) { return json{{"SpecialToken", {{"id", name}, {"type_id", type}}}}; };
  const auto text = [](const char* which, int type) { return json{{"Sequence", {{"id", which}, {"type_id", type}}}}; };
  json special = json::object();
  special[name] = {{"id", name}, {"ids", {id}}, {"tokens", {name}}};
  return {{"type", "TemplateProcessing"},
          {"single", {token(0), text("A", 0)}},
          {"pair", {token(0), text("A", 0), token(1), text("B", 1)}},
          {"special_tokens", std::move(special)}};
}

}  // namespace

TokenizerDefinition define_tokenizer(const ScoredVocabulary& vocabulary) {
  const auto ids = check_pieces(vocabulary);
  const bool is_unigram = vocabulary.model == ScoredVocabulary::Model::unigram;
  TokenizerDefinition definition;
  definition.file = vocabulary.file;
  definition.special = vocabulary.special;
  if (needs_rules(vocabulary)) definition.sentencepiece = rules_of(vocabulary);
  bool has_bytes = false, marks_only_begin = true;
  std::optional<TokenId> unknown;
  for (std::size_t index = 0; index < vocabulary.pieces.size(); ++index) {
    const auto& piece = vocabulary.pieces[index];
    const auto id = static_cast<TokenId>(index);
    definition.names.push_back(piece.text);
    has_bytes |= piece.type == Type::byte;
    marks_only_begin &= piece.text.find("\u2581", 1) == std::string::npos;
    if (piece.type == Type::unknown && !unknown) unknown = definition.special.unk = id;
    const bool special = piece.type == Type::unknown || piece.type == Type::control;
    if (special || piece.type == Type::user_defined)
      definition.added_tokens.push_back({.id = id, .content = piece.text, .special = special});
  }
  definition.in_model.assign(definition.names.size(), true);
  if (is_unigram) {
    UnigramDefinition unigram{.unknown = unknown, .byte_fallback = has_bytes};
    for (const auto& piece : vocabulary.pieces) unigram.scores.push_back(piece.score);
    definition.model = std::move(unigram);
  } else {
    BpeDefinition bpe{.byte_level = false, .byte_fallback = has_bytes, .fuse_unknown = true, .unknown = unknown};
    bpe.merges = MergeFinder(vocabulary, ids, definition.sentencepiece.has_value()).find();
    if (definition.sentencepiece) definition.sentencepiece->merge_ranks = ranks_of(bpe.merges, vocabulary);
    definition.model = std::move(bpe);
  }

  if (definition.sentencepiece) {
    describe_rules_for_hf(definition, marks_only_begin);
  } else {
    auto steps = json::array();
    if (vocabulary.add_dummy_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", "\u2581"}});
    steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}});
    definition.normalizer = {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
    definition.decoder = llama_decoder(vocabulary.add_dummy_prefix);
  }
  const auto bos = vocabulary.special.bos;
  if (bos && (*bos < 0 || static_cast<std::size_t>(*bos) >= definition.names.size()))
    throw InputError("tokenizer", "{}: the first token of a text has id {}, but there are {} pieces", vocabulary.file, *bos,
                     definition.names.size());
  if (bos && vocabulary.add_bos) definition.post_processor = bos_template(definition.names[static_cast<std::size_t>(*bos)], *bos);
  return definition;
}

}  // namespace isotrope
