#include "isotrope/text/scored_vocabulary.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "isotrope/base/error.h"
#include "isotrope/text/utf8.h"

namespace isotrope {

using nlohmann::json;
using Type = ScoredVocabulary::Type;

namespace {

using IdsByText = std::unordered_map<std::string_view, TokenId>;

/// The ids of all pieces, which are checked one by one.
IdsByText check_pieces(const ScoredVocabulary& vocabulary) {
  IdsByText ids;
  std::size_t bytes = 0;
  if (vocabulary.pieces.empty() || vocabulary.pieces.size() > INT32_MAX)
    throw InputError("tokenizer", "{}: {} pieces make no vocabulary", vocabulary.file, vocabulary.pieces.size());
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const auto& [text, score, type] = vocabulary.pieces[id];
    const auto fail = [&](std::string_view what) { throw InputError("tokenizer", "{}: piece {}: {}", vocabulary.file, id, what); };
    if (text.empty()) fail("it is empty");
    if (check_utf8(text)) fail("it is not UTF-8");
    if (!std::isfinite(score)) fail("its score is no number");
    if (type < Type::normal || type > Type::byte) fail("its type is none of 1 to 6");
    if ((type == Type::byte) != fallback_byte(text).has_value() && type == Type::byte)
      fail("a byte piece must be spelled <0x00> to <0xFF>");
    if (type == Type::user_defined && vocabulary.add_dummy_prefix) fail("user-defined pieces beside a dummy prefix are not supported");
    if (!ids.emplace(text, static_cast<TokenId>(id)).second) fail("\"" + text + "\" is an earlier piece, too");
    bytes += type == Type::byte;
  }
  if (bytes != 0 && bytes != 256) throw InputError("tokenizer", "{}: {} byte pieces: expected none or 256", vocabulary.file, bytes);
  return ids;
}

/// Whether text[i] = text[i + period] wherever both are there.
bool has_period(std::string_view text, std::size_t period) { return text.substr(period) == text.substr(0, text.size() - period); }

/// The merges that give a piece: all its cuts into two pieces. SentencePiece takes the leftmost place at equal scores, merges by rank know
/// no place. Two cuts can only compete for the same characters as u·v and v·w, both the piece: then it has the period |u|, and u·v goes
/// first.
void append_merges(const ScoredVocabulary& vocabulary, const IdsByText& ids, TokenId result, std::vector<BpeMerge>& merges) {
  const std::string_view text = vocabulary.pieces[static_cast<std::size_t>(result)].text;
  const auto normal = [&](std::string_view part) -> std::optional<TokenId> {
    const auto found = ids.find(part);
    if (found == ids.end() || vocabulary.pieces[static_cast<std::size_t>(found->second)].type != Type::normal) return std::nullopt;
    return found->second;
  };
  std::vector<std::size_t> cuts;
  std::size_t cut = 0;
  for (next_code_point(text, cut); cut < text.size(); next_code_point(text, cut))
    if (normal(text.substr(0, cut)) && normal(text.substr(cut))) cuts.push_back(cut);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const auto other = std::ranges::find(cuts.begin() + static_cast<std::ptrdiff_t>(i), cuts.end(), text.size() - cuts[i]);
    if (other != cuts.end() && !has_period(text, cuts[i]) && has_period(text, *other)) std::swap(cuts[i], *other);
  }
  for (const auto at : cuts) merges.push_back({*normal(text.substr(0, at)), *normal(text.substr(at)), result});
}

std::vector<BpeMerge> merges_by_score(const ScoredVocabulary& vocabulary, const IdsByText& ids) {
  const auto& pieces = vocabulary.pieces;
  std::vector<TokenId> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater<>(), [&](TokenId id) { return pieces[static_cast<std::size_t>(id)].score; });
  std::vector<BpeMerge> merges;
  for (const auto id : order) {
    const auto& piece = pieces[static_cast<std::size_t>(id)];
    if (piece.type != Type::normal && piece.type != Type::unused) continue;
    const auto before = merges.size();
    append_merges(vocabulary, ids, id, merges);
    if (piece.type == Type::unused && merges.size() > before)
      throw InputError("tokenizer", "{}: piece {}: the unused piece \"{}\" is two others joined, which is not supported", vocabulary.file,
                       id, piece.text);
  }
  return merges;
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
  TokenizerDefinition definition;
  definition.file = vocabulary.file;
  definition.special = vocabulary.special;
  BpeDefinition bpe{.merges = merges_by_score(vocabulary, ids), .byte_level = false, .fuse_unknown = true};
  for (std::size_t index = 0; index < vocabulary.pieces.size(); ++index) {
    const auto& piece = vocabulary.pieces[index];
    const auto id = static_cast<TokenId>(index);
    definition.names.push_back(piece.text);
    bpe.byte_fallback |= piece.type == Type::byte;
    if (piece.type == Type::unknown && !bpe.unknown) bpe.unknown = definition.special.unk = id;
    const bool special = piece.type == Type::unknown || piece.type == Type::control;
    if (special || piece.type == Type::user_defined)
      definition.added_tokens.push_back({.id = id, .content = piece.text, .special = special});
  }
  definition.in_model.assign(definition.names.size(), true);
  definition.model = std::move(bpe);

  auto steps = json::array();
  if (vocabulary.add_dummy_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", "\u2581"}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}});
  definition.normalizer = {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
  definition.decoder = llama_decoder(vocabulary.add_dummy_prefix);
  const auto bos = vocabulary.special.bos;
  if (bos && (*bos < 0 || static_cast<std::size_t>(*bos) >= definition.names.size()))
    throw InputError("tokenizer", "{}: the first token of a text has id {}, but there are {} pieces", vocabulary.file, *bos,
                     definition.names.size());
  if (bos && vocabulary.add_bos) definition.post_processor = bos_template(definition.names[static_cast<std::size_t>(*bos)], *bos);
  return definition;
}

}  // namespace isotrope
