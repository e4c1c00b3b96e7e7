#include <algorithm>

#include "isotrope/text/byte_level_bpe.h"

namespace isotrope {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

ordered_json added_tokens(const BpeDefinition& definition) {
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

ordered_json model(const BpeDefinition& definition) {
  auto vocabulary = ordered_json::object();
  auto& entries = vocabulary.get_ref<ordered_json::object_t&>();  // names are distinct: no search before each insertion
  for (std::size_t id = 0; id < definition.names.size(); ++id)
    if (definition.in_model[id]) entries.emplace_back(definition.names[id], id);
  auto merges = ordered_json::array();
  for (const auto& merge : definition.merges)
    merges.push_back({definition.names[static_cast<std::size_t>(merge.left)], definition.names[static_cast<std::size_t>(merge.right)]});
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", definition.ignore_merges},
          {"vocab", std::move(vocabulary)},
          {"merges", std::move(merges)}};
}

}  // namespace

std::string write_tokenizer_json(const BpeDefinition& definition) {
  const ordered_json root{{"version", "1.0"},
                          {"truncation", nullptr},
                          {"padding", nullptr},
                          {"added_tokens", added_tokens(definition)},
                          {"normalizer", nullptr},
                          {"pre_tokenizer", definition.pre_tokenizer},
                          {"post_processor", definition.post_processor},
                          {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
                          {"model", model(definition)}};
  return root.dump(1) + "\n";
}

std::string write_tokenizer_config(const BpeDefinition& definition) {
  if (!definition.config.is_null()) return definition.config.dump(2) + "\n";
  ordered_json config{{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  if (definition.bos) config["bos_token"] = definition.names[static_cast<std::size_t>(*definition.bos)];
  if (definition.eos) config["eos_token"] = definition.names[static_cast<std::size_t>(*definition.eos)];
  return config.dump(2) + "\n";
}

}  // namespace isotrope
