#include "isotrope/text/train/word_piece_train.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/steps/bert_scanner.h"
#include "isotrope/text/steps/pre_tokenizer.h"
#include "isotrope/text/train/pair_merger.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using nlohmann::json;

namespace {

constexpr std::string_view prefix = "##";

json describe_normalizer(const WordPieceTrainOptions& options) {
  return {{"type", "BertNormalizer"},
          {"clean_text", true},
          {"handle_chinese_chars", true},
          {"strip_accents", options.strip_accents ? json(*options.strip_accents) : json()},
          {"lowercase", options.lowercase}};
}

std::u32string code_points_of(std::string_view text) {
  std::u32string characters;
  for (std::size_t position = 0; position < text.size();) characters += next_code_point(text, position);
  return characters;
}

std::string spelled(char32_t character, bool continues) {
  std::string name(continues ? prefix : "");
  append_utf8(name, character);
  return name;
}

/// Names and ids of the growing vocabulary.
class WordPieceVocabulary {
 public:
  TokenId id(const std::string& name) {
    const auto [found, fresh] = ids_.emplace(name, static_cast<TokenId>(names.size()));
    if (fresh) names.push_back(name);
    return found->second;
  }
  std::vector<std::string> names;

 private:
  std::unordered_map<std::string, TokenId> ids_;
};

/// The characters that get a token, in order: the most frequent ones up to the limit, the smaller code points of equals.
std::set<char32_t> choose_alphabet(const WordCounts& words, const WordPieceTrainOptions& options) {
  std::map<char32_t, std::int64_t> counts;
  for (std::size_t i = 0; i < words.size(); ++i)
    for (const auto character : code_points_of(words.word(i))) counts[character] += words.count(i);
  for (const auto& text : options.initial_alphabet)
    for (const auto character : code_points_of(text)) counts[character] = INT64_MAX;
  std::vector<std::pair<char32_t, std::int64_t>> sorted(counts.begin(), counts.end());
  std::ranges::stable_sort(sorted, [](const auto& a, const auto& b) { return a.second > b.second; });
  if (options.alphabet_limit > 0 && sorted.size() > options.alphabet_limit) sorted.resize(options.alphabet_limit);
  std::set<char32_t> alphabet;
  for (const auto& [character, count] : sorted) alphabet.insert(character);
  return alphabet;
}

/// Gives ids to the characters that begin a word and to those that continue one, and the merger the words spelled in them. A character
/// outside the alphabet drops out of its word.
void spell_words(const WordCounts& words, const std::set<char32_t>& alphabet, WordPieceVocabulary& vocabulary, PairMerger& merger) {
  std::set<char32_t> continuing;
  for (std::size_t i = 0; i < words.size(); ++i)
    for (const auto character : code_points_of(words.word(i)).substr(1))
      if (alphabet.contains(character)) continuing.insert(character);
  std::unordered_map<char32_t, TokenId> beginning_ids, continuing_ids;
  for (const auto character : alphabet) beginning_ids[character] = vocabulary.id(spelled(character, false));
  for (const auto character : continuing) continuing_ids[character] = vocabulary.id(spelled(character, true));
  std::vector<TokenId> symbols;
  for (std::size_t i = 0; i < words.size(); ++i) {
    symbols.clear();
    const auto* ids = &beginning_ids;
    for (const auto character : code_points_of(words.word(i))) {
      if (const auto found = ids->find(character); found != ids->end()) symbols.push_back(found->second);
      ids = &continuing_ids;
    }
    merger.add_word(symbols, words.count(i));
  }
}

/// [CLS] A [SEP] and [CLS] A [SEP] B [SEP], where both are among the special tokens.
json describe_template(const std::vector<std::string>& special_tokens) {
  json special = json::object();
  for (const char* name : {"[CLS]", "[SEP]"}) {
    const auto found = std::ranges::find(special_tokens, name);
    if (found == special_tokens.end()) return nullptr;
    special[name] = {{"id", name}, {"ids", {found - special_tokens.begin()}}, {"tokens", {name}}};
  }
  const auto token = [](const char* name, int type) { return json{{"SpecialToken", {{"id", name}, {"type_id", type}}}}; };
  const auto text = [](const char* name, int type) { return json{{"Sequence", {{"id", name}, {"type_id", type}}}}; };
  return {{"type", "TemplateProcessing"},
          {"single", {token("[CLS]", 0), text("A", 0), token("[SEP]", 0)}},
          {"pair", {token("[CLS]", 0), text("A", 0), token("[SEP]", 0), text("B", 1), token("[SEP]", 1)}},
          {"special_tokens", std::move(special)}};
}

/// tokenizer_config.json, from which transformers makes its BertTokenizer.
json describe_config(const WordPieceTrainOptions& options) {
  json config{{"tokenizer_class", "BertTokenizer"},
              {"do_lower_case", options.lowercase},
              {"strip_accents", options.strip_accents ? json(*options.strip_accents) : json()},
              {"tokenize_chinese_chars", true},
              {"clean_up_tokenization_spaces", true}};
  for (const auto& [key, name] :
       {std::pair{"pad_token", "[PAD]"}, {"unk_token", "[UNK]"}, {"cls_token", "[CLS]"}, {"sep_token", "[SEP]"}, {"mask_token", "[MASK]"}})
    if (std::ranges::find(options.special_tokens, name) != options.special_tokens.end()) config[key] = name;
  return config;
}

TokenizerDefinition define(const WordPieceTrainOptions& options, const std::vector<std::string>& names) {
  json vocabulary = json::object(), added = json::array();
  for (std::size_t id = 0; id < names.size(); ++id) vocabulary[names[id]] = id;
  for (std::size_t id = 0; id < options.special_tokens.size(); ++id)
    added.push_back({{"id", id}, {"content", options.special_tokens[id]}, {"normalized", false}, {"special", true}});
  const json root{{"added_tokens", std::move(added)},
                  {"normalizer", describe_normalizer(options)},
                  {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                  {"post_processor", describe_template(options.special_tokens)},
                  {"decoder", {{"type", "WordPiece"}, {"prefix", prefix}, {"cleanup", true}}},
                  {"model",
                   {{"type", "WordPiece"},
                    {"unk_token", "[UNK]"},
                    {"continuing_subword_prefix", prefix},
                    {"max_input_chars_per_word", 100},
                    {"vocab", std::move(vocabulary)}}}};
  auto definition = read_definition(root, "tokenizer.json");
  read_tokenizer_config(definition, describe_config(options).dump(), "tokenizer_config.json");
  return definition;
}

}  // namespace

WordPieceTrainer::WordPieceTrainer(WordPieceTrainOptions options)
    : options_(std::move(options)),
      normalizer_(describe_normalizer(options_), "tokenizer.json"),
      characters_(std::make_unique<BertCharacters>(normalizer_)) {
  check_special_tokens(options_.special_tokens);
  if (std::ranges::find(options_.special_tokens, "[UNK]") == options_.special_tokens.end())
    throw UsageError("tokenizer", "WordPiece needs [UNK] among its special tokens");
  if (options_.vocab_size <= options_.special_tokens.size())
    throw UsageError("tokenizer", "a vocabulary of {} has no room beside {} special tokens", options_.vocab_size,
                     options_.special_tokens.size());
}

WordPieceTrainer::~WordPieceTrainer() = default;

void WordPieceTrainer::add(std::string_view text) {
  std::string repaired;
  if (check_utf8(text)) {
    warn_once("utf8", "the text has bytes that are not UTF-8; they become U+FFFD");
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  count_in_parts(text, options_.threads, counts_, [&](std::string_view part, WordCounts& counts) {
    const auto scanner = std::make_unique<BertScanner>();
    scanner->start(*characters_, part);
    for (WordBatch batch{}; scanner->next(batch);)
      for (std::size_t i = 0; i < batch.count; ++i) counts.add(batch[i]);
  });
}

WordCounts WordPieceTrainer::clean_words() const {
  WordCounts words;
  Normalizer::Scratch scratch;
  const PreTokenizer split(json{{"type", "BertPreTokenizer"}}, false, "tokenizer.json");
  for (std::size_t i = 0; i < counts_.size(); ++i)
    split.for_each_word(characters_->clean(counts_.word(i), scratch), true,
                        [&](std::string_view word) { words.add(word, counts_.count(i)); });
  return words;
}

std::shared_ptr<const Tokenizer> WordPieceTrainer::train(const std::function<void(std::size_t)>& progress) const {
  const auto words = clean_words();
  if (words.size() == 0) throw InputError("tokenizer", "there is no text to train on");
  WordPieceVocabulary vocabulary;
  for (const auto& token : options_.special_tokens) vocabulary.id(token);
  PairMerger merger;
  spell_words(words, choose_alphabet(words, options_), vocabulary, merger);
  if (vocabulary.names.size() > options_.vocab_size)
    throw UsageError("tokenizer",
                     "a vocabulary of {} has no room for the text's characters: expected {} or more, or a limit to the alphabet",
                     options_.vocab_size, vocabulary.names.size());
  while (vocabulary.names.size() < options_.vocab_size) {
    auto merge = merger.best(options_.min_frequency);
    if (!merge) break;
    // The right one continues a word, so that its name begins with the prefix.
    merge->result = vocabulary.id(vocabulary.names[static_cast<std::size_t>(merge->left)] +
                                  vocabulary.names[static_cast<std::size_t>(merge->right)].substr(prefix.size()));
    merger.apply(*merge);
    if (progress) progress(vocabulary.names.size());
  }
  return make_tokenizer(define(options_, vocabulary.names));
}

std::string vocabulary_lines(const Tokenizer& tokenizer) {
  const auto* pipeline = dynamic_cast<const PipelineTokenizer*>(&tokenizer);
  if (!pipeline || !std::holds_alternative<WordPieceDefinition>(pipeline->definition().model))
    throw UsageError("tokenizer", "vocab.txt is of WordPiece tokenizers alone");
  std::string lines;
  for (const auto& name : pipeline->definition().names) lines += name + "\n";
  return lines;
}

}  // namespace isotrope
