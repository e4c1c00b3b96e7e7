#include "isotrope/text/models/bert_encoder.h"

#include "isotrope/text/models/encode_words.h"
#include "isotrope/text/models/id_room.h"
#include "isotrope/text/steps/bert_scanner.h"
#include "isotrope/text/steps/pre_tokenizer.h"

namespace isotrope {

struct BertEncoder::Worker::Memory {
  WordCache cache;
  BertScanner scanner;
  Normalizer::Scratch scratch;
  std::vector<TokenId> word_ids;
  /// A batch has at most an id a byte of what its words become; four are written at a time.
  TokenId ids[BertScanner::chunk * BertCharacters::most_growth + WordCache::most_inline_ids];
};

std::unique_ptr<const BertEncoder> BertEncoder::make(const Normalizer& normalizer, const WordPiece& model) {
  if (!normalizer.only_bert()) return nullptr;
  std::unique_ptr<const BertEncoder> encoder(new BertEncoder(normalizer, model));
  return encoder->characters_.are_usable() ? std::move(encoder) : nullptr;
}

BertEncoder::BertEncoder(const Normalizer& normalizer, const WordPiece& model) : characters_(normalizer), model_(model) {}

BertEncoder::~BertEncoder() = default;

BertEncoder::Worker::Worker(const BertEncoder& encoder) : encoder_(encoder) {
  const std::lock_guard lock(encoder.mutex_);
  if (encoder.idle_.empty()) {
    memory_ = std::make_unique<Memory>();
  } else {
    memory_ = std::move(encoder.idle_.back());
    encoder.idle_.pop_back();
  }
}

BertEncoder::Worker::~Worker() {
  const std::lock_guard lock(encoder_.mutex_);
  encoder_.idle_.push_back(std::move(memory_));
}

/// Cleaned, a word is one word or none; a character that is alone may be several.
void BertEncoder::encode_word(std::string_view word, Normalizer::Scratch& scratch, std::vector<TokenId>& ids) const {
  PreTokenizer::split_for_bert(characters_.clean(word, scratch), [&](std::string_view part) { model_.encode_word(part, ids); });
}

void BertEncoder::Worker::encode(std::string_view text, std::vector<TokenId>& ids) {
  auto& [cache, scanner, scratch, word_ids, stage] = *memory_;
  scanner.start(encoder_.characters_, text);
  const auto before = ids.size();
  const auto encode = [&](std::string_view word, const WordKey& key, const WordCache::Entry& entry, TokenId* out) {
    const bool cacheable = word.size() <= WordKey::longest;
    if (cacheable && entry.holds(key)) {
      std::size_t count = 0;
      if (const auto* known = cache.ring_ids(entry, word, count)) return std::copy_n(known, count, out);
    }
    word_ids.clear();
    encoder_.encode_word(word, scratch, word_ids);
    if (cacheable) cache.insert(key, word, word_ids.data(), word_ids.size());
    return std::ranges::copy(word_ids, out).out;
  };
  for (WordBatch batch{}; scanner.next(batch);) {
    if (batch.count == 1 && batch[0].size() > WordKey::longest) {  // may be longer than the buffer
      encoder_.encode_word(batch[0], scratch, ids);
      continue;
    }
    const auto* end = encode_words(batch, cache, stage, encode);
    reserve_like_before(ids, before, static_cast<std::size_t>(end - stage), scanner.position(), text.size());
    ids.insert(ids.end(), static_cast<const TokenId*>(stage), end);
  }
}

}  // namespace isotrope
