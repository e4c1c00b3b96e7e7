#include "isotrope/text/files/sentencepiece_rules.h"

#include <algorithm>
#include <array>

#include "isotrope/base/error.h"
#include "isotrope/text/steps/json_field.h"

namespace isotrope {

using nlohmann::json;
using Type = PieceType;
namespace field = json_field;

namespace {

constexpr std::array<std::pair<const char*, Type>, 5> named_types{{{"unknown", Type::unknown},
                                                                   {"control", Type::control},
                                                                   {"user_defined", Type::user_defined},
                                                                   {"unused", Type::unused},
                                                                   {"byte", Type::byte}}};

constexpr std::pair<const char*, bool SentencePieceRules::*> flags[] = {
    {"add_dummy_prefix", &SentencePieceRules::add_dummy_prefix},
    {"remove_extra_whitespaces", &SentencePieceRules::remove_extra_whitespaces},
    {"escape_whitespaces", &SentencePieceRules::escape_whitespaces},
    {"treat_whitespace_as_suffix", &SentencePieceRules::treat_whitespace_as_suffix}};

/// The charsmap of a normalizer, or of the first in its Sequence.
std::string charsmap_of(const json& normalizer, std::string_view file) {
  if (!normalizer.is_object()) return {};
  if (const auto& map = field::find(normalizer, "precompiled_charsmap"); !map.is_null())
    return field::base64(map, "precompiled_charsmap", file);
  const auto& parts = field::find(normalizer, "normalizers");
  return parts.is_array() && !parts.empty() ? charsmap_of(parts.front(), file) : std::string();
}

json replace(const char* kind, const char* pattern, const char* content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

}  // namespace

json describe_rules(const TokenizerDefinition& definition) {
  const auto& rules = *definition.sentencepiece;
  json description{{"unknown_surface", rules.unknown_surface}};
  for (const auto& [name, member] : flags) description[name] = rules.*member;
  for (const auto& [name, type] : named_types) {
    auto ids = json::array();
    for (std::size_t id = 0; id < rules.types.size(); ++id)
      if (rules.types[id] == static_cast<std::uint8_t>(type)) ids.push_back(id);
    if (!ids.empty()) description[name] = std::move(ids);
  }
  auto tied = json::array();
  for (std::size_t i = 1; i < rules.merge_ranks.size(); ++i)
    if (rules.merge_ranks[i] == rules.merge_ranks[i - 1]) tied.push_back(i);
  if (!tied.empty()) description["tied_merges"] = std::move(tied);
  return description;
}

std::optional<SentencePieceRules> read_sentencepiece_rules(const json& model, const TokenizerDefinition& definition) {
  const auto& description = field::find(model, "sentencepiece");
  if (description.is_null()) return std::nullopt;
  const auto file = std::string_view(definition.file);
  field::object(description, "sentencepiece", file);
  SentencePieceRules rules{.charsmap = charsmap_of(definition.normalizer, file)};
  for (const auto& [name, member] : flags) rules.*member = field::flag(description, name, rules.*member, file);
  if (const auto& surface = field::find(description, "unknown_surface"); !surface.is_null())
    rules.unknown_surface = field::text(surface, "unknown_surface", file);
  const auto pieces = static_cast<std::size_t>(std::ranges::count(definition.in_model, true));
  rules.types.assign(pieces, static_cast<std::uint8_t>(Type::normal));
  for (const auto& [name, type] : named_types) {
    const auto& ids = field::find(description, name);
    if (ids.is_null()) continue;
    for (const auto& entry : field::array(ids, name, file)) {
      const auto id = field::integer(entry, name, file);
      if (id < 0 || static_cast<std::size_t>(id) >= pieces)
        throw InputError("tokenizer", "{}: sentencepiece: {}: there is no piece {}", file, name, id);
      if (type == Type::byte && !fallback_byte(definition.names[static_cast<std::size_t>(id)]))
        throw InputError("tokenizer", "{}: sentencepiece: piece {} is no byte", file, id);
      rules.types[static_cast<std::size_t>(id)] = static_cast<std::uint8_t>(type);
    }
  }
  for (std::size_t id = 0; id < pieces; ++id)
    if (definition.names[id].empty()) throw InputError("tokenizer", "{}: sentencepiece: piece {} is empty", file, id);
  if (const auto* unigram = std::get_if<UnigramDefinition>(&definition.model); unigram && unigram->unknown)
    if (rules.types[static_cast<std::size_t>(*unigram->unknown)] != static_cast<std::uint8_t>(Type::unknown))
      throw InputError("tokenizer", "{}: sentencepiece: piece {} is the unk_id, but not among the unknown ones", file, *unigram->unknown);
  if (const auto* bpe = std::get_if<BpeDefinition>(&definition.model); bpe && !bpe->merges.empty()) {
    std::vector<bool> is_tied(bpe->merges.size());
    if (const auto& tied = field::find(description, "tied_merges"); !tied.is_null())
      for (const auto& entry : field::array(tied, "tied_merges", file)) {
        const auto index = field::integer(entry, "tied_merges", file);
        if (index < 1 || static_cast<std::size_t>(index) >= is_tied.size())
          throw InputError("tokenizer", "{}: sentencepiece: tied_merges: there is no merge {}", file, index);
        is_tied[static_cast<std::size_t>(index)] = true;
      }
    for (std::size_t i = 0; i < is_tied.size(); ++i) rules.merge_ranks.push_back(i == 0 ? 0 : rules.merge_ranks.back() + !is_tied[i]);
  }
  return rules;
}

void describe_rules_for_hf(TokenizerDefinition& definition, bool pieces_end_at_marks) {
  const auto& rules = *definition.sentencepiece;
  auto steps = json::array();
  if (!rules.charsmap.empty()) steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", field::spell_base64(rules.charsmap)}});
  const char* mark = rules.escape_whitespaces ? "\u2581" : " ";
  if (rules.remove_extra_whitespaces) {
    steps.push_back(replace("Regex", "\\A +", ""));
    steps.push_back(replace("Regex", " {2,}", " "));
  }
  if (rules.add_dummy_prefix && !rules.treat_whitespace_as_suffix) steps.push_back({{"type", "Prepend"}, {"prepend", mark}});
  if (rules.escape_whitespaces) steps.push_back(replace("String", " ", mark));
  if (rules.remove_extra_whitespaces) steps.push_back(replace("Regex", rules.escape_whitespaces ? "\u2581+\\z" : " +\\z", ""));
  if (rules.add_dummy_prefix && rules.treat_whitespace_as_suffix) steps.push_back(replace("Regex", "(?<=[\\s\\S])\\z", mark));
  definition.normalizer = steps.empty() ? json() : json{{"type", "Sequence"}, {"normalizers", std::move(steps)}};
  if (pieces_end_at_marks && rules.escape_whitespaces && !rules.treat_whitespace_as_suffix)
    definition.pre_tokenizer = {{"type", "Metaspace"}, {"replacement", mark}, {"prepend_scheme", "never"}, {"split", true}};
  auto decoders = json::array({replace("String", "\u2581", " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (rules.treat_whitespace_as_suffix) {
    if (rules.add_dummy_prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 0}, {"stop", 1}});
  } else if (rules.add_dummy_prefix || rules.remove_extra_whitespaces) {
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  definition.decoder = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
}

}  // namespace isotrope
