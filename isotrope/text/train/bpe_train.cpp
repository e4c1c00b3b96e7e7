#include "isotrope/text/train/bpe_train.h"

#include <algorithm>
#include <unordered_map>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/train/pair_merger.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

void count_words(std::string_view text, Pattern pattern, WordCounts& counts) {
  const auto& table = UnicodeTable::instance();
  for (std::size_t line_start = 0; line_start < text.size();) {
    const auto feed = text.find('\n', line_start);
    const auto line = text.substr(line_start, feed == std::string_view::npos ? feed : feed + 1 - line_start);
    for (std::size_t position = 0; position < line.size();) {
      const auto length = next_piece(pattern, table, line, position);
      counts.add(line.substr(position, length));
      position += length;
    }
    line_start += line.size();
  }
}

/// Names and ids of the growing vocabulary: special tokens, the byte alphabet in the order of its code points, then merges.
class BpeVocabulary {
 public:
  explicit BpeVocabulary(const std::vector<std::string>& special_tokens) {
    for (const auto& token : special_tokens) id(token);
    std::array<std::pair<char32_t, unsigned>, 256> letters;
    for (unsigned byte = 0; byte < 256; ++byte) letters[byte] = {byte_alphabet()[byte], byte};
    std::ranges::sort(letters);
    for (const auto& [letter, byte] : letters) byte_ids[byte] = id(spell_bytes(std::string(1, static_cast<char>(byte))));
  }
  TokenId id(const std::string& name) {
    const auto [found, fresh] = ids_.emplace(name, static_cast<TokenId>(names.size()));
    if (fresh) names.push_back(name);
    return found->second;
  }
  std::vector<std::string> names;
  std::array<TokenId, 256> byte_ids{};

 private:
  std::unordered_map<std::string, TokenId> ids_;
};

}  // namespace

BpeTrainer::BpeTrainer(BpeTrainOptions options) : options_(std::move(options)) {
  check_special_tokens(options_.special_tokens);
  const auto least = 256 + options_.special_tokens.size();
  if (options_.vocab_size < least)
    throw UsageError("tokenizer", "a vocabulary of {} has no room for 256 bytes and {} special tokens: expected {} or more",
                     options_.vocab_size, options_.special_tokens.size(), least);
}

void BpeTrainer::add(std::string_view text) {
  std::string repaired;
  if (check_utf8(text)) {
    warn_once("utf8", "the text has bytes that are not UTF-8; they become U+FFFD");
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  count_in_parts(text, options_.threads, counts_,
                 [&](std::string_view part, WordCounts& counts) { count_words(part, options_.pattern, counts); });
}

std::shared_ptr<const Tokenizer> BpeTrainer::train(const std::function<void(std::size_t)>& progress) const {
  if (counts_.size() == 0) throw InputError("tokenizer", "there is no text to train on");
  BpeVocabulary vocabulary(options_.special_tokens);
  TokenizerDefinition definition;
  auto& merges = std::get<BpeDefinition>(definition.model).merges;
  PairMerger merger(options_.longest_token);
  std::vector<TokenId> symbols;
  for (std::size_t word = 0; word < counts_.size(); ++word) {
    symbols.clear();
    for (const char byte : counts_.word(word)) symbols.push_back(vocabulary.byte_ids[static_cast<unsigned char>(byte)]);
    merger.add_word(symbols, counts_.count(word));
  }
  while (vocabulary.names.size() < options_.vocab_size) {
    auto merge = merger.best(options_.min_frequency);
    if (!merge) break;
    merge->result =
        vocabulary.id(vocabulary.names[static_cast<std::size_t>(merge->left)] + vocabulary.names[static_cast<std::size_t>(merge->right)]);
    merger.apply(*merge);
    merges.push_back(*merge);
    if (progress) progress(vocabulary.names.size());
  }
  definition.names = std::move(vocabulary.names);
  definition.in_model.assign(definition.names.size(), true);
  definition.pre_tokenizer = describe_pre_tokenizer(options_.pattern);
  definition.decoder = {{"type", "ByteLevel"}};
  for (std::size_t i = 0; i < options_.special_tokens.size(); ++i)
    definition.added_tokens.push_back({.id = static_cast<TokenId>(i), .content = options_.special_tokens[i], .special = true});
  find_usual_special_tokens(definition);
  return std::make_shared<PipelineTokenizer>(std::move(definition));
}

}  // namespace isotrope
