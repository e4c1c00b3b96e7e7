#include <algorithm>
#include <array>

#include "isotrope/text/files/sentencepiece_rules.h"
#include "isotrope/text/files/tokenizer_json.h"

namespace isotrope {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

ordered_json added_tokens(const TokenizerDefinition& definition) {
  auto list = ordered_json::array();
  for (const auto& token : definition.added_tokens)
    list.push_back({{"id", token.id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  return list;
}

ordered_json vocabulary(const TokenizerDefinition& definition) {
  auto vocabulary = ordered_json::object();
  auto& entries = vocabulary.get_ref<ordered_json::object_t&>();  // names are distinct: no search before each insertion
  for (std::size_t id = 0; id < definition.names.size(); ++id)
    if (definition.in_model[id]) entries.emplace_back(definition.names[id], id);
  return vocabulary;
}

ordered_json token_name_of(const TokenizerDefinition& definition, std::optional<TokenId> id) {
  return id ? ordered_json(definition.names[static_cast<std::size_t>(*id)]) : ordered_json(nullptr);
}

/// Where there is none the file needs a name all the same, which the vocabulary lacks.
ordered_json unknown_name(const TokenizerDefinition& definition, TokenId id) {
  if (id != no_token) return definition.names[static_cast<std::size_t>(id)];
  std::string name = "<unk>";
  while (std::ranges::find(definition.names, name) != definition.names.end()) name.insert(1, "_");
  return name;
}

ordered_json text_or_null(const std::string& text) { return text.empty() ? ordered_json(nullptr) : ordered_json(text); }

ordered_json model(const TokenizerDefinition& definition, const BpeDefinition& bpe) {
  auto merges = ordered_json::array();
  for (const auto& merge : bpe.merges) merges.push_back({token_name_of(definition, merge.left), token_name_of(definition, merge.right)});
  ordered_json description{{"type", "BPE"},
                           {"dropout", nullptr},
                           {"unk_token", token_name_of(definition, bpe.unknown)},
                           {"continuing_subword_prefix", text_or_null(bpe.prefix)},
                           {"end_of_word_suffix", text_or_null(bpe.suffix)},
                           {"fuse_unk", bpe.fuse_unknown},
                           {"byte_fallback", bpe.byte_fallback},
                           {"ignore_merges", bpe.ignore_merges},
                           {"vocab", vocabulary(definition)},
                           {"merges", std::move(merges)}};
  if (definition.sentencepiece) description["sentencepiece"] = describe_rules(definition);
  return description;
}

ordered_json model(const TokenizerDefinition& definition, const WordPieceDefinition& pieces) {
  return {{"type", "WordPiece"},
          {"unk_token", unknown_name(definition, pieces.unknown)},
          {"continuing_subword_prefix", pieces.prefix},
          {"max_input_chars_per_word", pieces.longest_word},
          {"vocab", vocabulary(definition)}};
}

ordered_json model(const TokenizerDefinition& definition, const WordLevelDefinition& words) {
  return {{"type", "WordLevel"}, {"vocab", vocabulary(definition)}, {"unk_token", unknown_name(definition, words.unknown)}};
}

ordered_json model(const TokenizerDefinition& definition, const UnigramDefinition& unigram) {
  auto pieces = ordered_json::array();
  for (std::size_t id = 0; id < unigram.scores.size(); ++id) pieces.push_back({definition.names[id], unigram.scores[id]});
  ordered_json description{{"type", "Unigram"},
                           {"unk_id", unigram.unknown ? ordered_json(*unigram.unknown) : ordered_json(nullptr)},
                           {"vocab", std::move(pieces)},
                           {"byte_fallback", unigram.byte_fallback}};
  if (definition.sentencepiece) description["sentencepiece"] = describe_rules(definition);
  return description;
}

std::array<std::pair<const char*, std::optional<TokenId>>, 7> special_tokens(const TokenizerDefinition& definition) {
  const auto& special = definition.special;
  return {{{"bos_token", special.bos},
           {"eos_token", special.eos},
           {"cls_token", special.cls},
           {"sep_token", special.sep},
           {"mask_token", special.mask},
           {"pad_token", special.pad},
           {"unk_token", special.unk}}};
}

}  // namespace

std::string write_tokenizer_json(const TokenizerDefinition& definition) {
  const ordered_json byte_level{{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  const ordered_json root{{"version", "1.0"},
                          {"truncation", definition.truncation},
                          {"padding", definition.padding},
                          {"added_tokens", added_tokens(definition)},
                          {"normalizer", definition.normalizer},
                          {"pre_tokenizer", definition.pre_tokenizer},
                          {"post_processor", definition.post_processor},
                          {"decoder", definition.joins_bytes() ? byte_level : ordered_json(definition.decoder)},
                          {"model", std::visit([&](const auto& kind) { return model(definition, kind); }, definition.model)}};
  return root.dump(1) + "\n";
}

ChatSettings chat_settings(const TokenizerDefinition& definition) {
  ChatSettings out;
  const auto config = definition.config.is_object() ? definition.config : nlohmann::json::object();
  if (const auto found = config.find("chat_template"); found != config.end()) {
    if (found->is_string()) out.templates.emplace_back("default", found->get<std::string>());
    // Several by name: [{"name": …, "template": …}].
    if (found->is_array())
      for (const auto& one : *found)
        if (one.is_object() && one.contains("name") && one["name"].is_string() && one.contains("template") && one["template"].is_string())
          out.templates.emplace_back(one["name"].get<std::string>(), one["template"].get<std::string>());
  }
  for (const auto& [key, id] : special_tokens(definition)) {
    const auto found = config.find(key);
    const auto* named = found == config.end() ? nullptr : found->is_object() && found->contains("content") ? &(*found)["content"] : &*found;
    if (named && named->is_string()) out.special_tokens.emplace_back(key, named->get<std::string>());
    else if (id && found == config.end()) out.special_tokens.emplace_back(key, token_name_of(definition, id));
  }
  return out;
}

std::string write_tokenizer_config(const TokenizerDefinition& definition) {
  if (!definition.config.is_null()) return definition.config.dump(2) + "\n";
  ordered_json config{{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  for (const auto& [key, id] : special_tokens(definition))
    if (id) config[key] = token_name_of(definition, id);
  return config.dump(2) + "\n";
}

}  // namespace isotrope
