#include "isotrope/text/models/bpe_model.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "isotrope/base/error.h"
#include "isotrope/text/models/encode_words.h"
#include "isotrope/text/models/id_room.h"
#include "isotrope/text/steps/piece_scanner.h"

namespace isotrope {

using simd::MergeTables;

struct BpeModel::Worker::Memory {
  WordCache cache;
  PieceScanner scanner;
  /// A batch has at most an id a byte; four are written at a time.
  TokenId ids[PieceScanner::longest_batch + WordCache::most_inline_ids];
};

BpeModel::BpeModel(const Parts& parts)
    : byte_ids_(parts.byte_ids), ignore_merges_(parts.ignore_merges), merge_short_(simd::merge_short_word()) {
  is_plain_bytes_ = parts.merges.empty() && !ignore_merges_;
  if (is_plain_bytes_) return;
  build_tables(parts.merges);
  build_words(parts);
}

BpeModel::~BpeModel() = default;

void BpeModel::build_tables(const std::vector<BpeMerge>& merges) {
  constexpr std::size_t most = std::size_t{1} << MergeTables::token_bits;
  TokenId largest = 0;
  for (const auto& merge : merges) largest = std::max({largest, merge.left, merge.right, merge.result});
  if (static_cast<std::size_t>(largest) >= most - 1 || merges.size() >= most)
    throw InputError("tokenizer", "{} merges with ids up to {}: more than {} are not supported", merges.size(), largest, most);
  const bool ascending = std::ranges::is_sorted(merges, std::less_equal<>(), &BpeMerge::result) && !merges.empty();
  if (!ascending)
    for (const auto& merge : merges) results_.push_back(merge.result);

  const auto size = std::bit_ceil(std::max<std::size_t>(64, merges.size() * 5 / 4));
  slots_.assign(size, MergeTables::empty);
  filter_.resize(size * 8 / 64);  // eight bits a slot
  const auto log = static_cast<unsigned>(std::countr_zero(size));
  tables_ = {byte_ids_.data(), nullptr, slots_.data(), filter_.data(), 64 - log, 64 - (log + 3), ascending ? nullptr : results_.data()};
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& merge = merges[rank];
    const auto pair = MergeTables::pair(merge.left, merge.right), hashed = MergeTables::hash(pair);
    auto place = hashed * 0xD6E8FEB86659FD93u >> tables_.slot_shift;
    while (slots_[place] != MergeTables::empty && (slots_[place] ^ pair) >> MergeTables::order_bits != 0)
      place = (place + 1) & tables_.slot_mask();
    // Of equal pairs the last counts, as in HF tokenizers.
    slots_[place] = pair | (ascending ? static_cast<std::uint64_t>(merge.result) : rank);
    filter_[(hashed >> tables_.filter_shift) / 64] |= std::uint64_t{1} << (hashed >> tables_.filter_shift) % 64;
  }
  byte_orders_.resize(1 << 16);
  for (std::size_t left = 0; left < 256; ++left)
    for (std::size_t right = 0; right < 256; ++right) byte_orders_[left << 8 | right] = tables_.order(byte_ids_[left], byte_ids_[right]);
  tables_.byte_orders = byte_orders_.data();
}

/// A token is in the table of words where merging its bytes gives it alone, which is tried; with ignore_merges, always.
void BpeModel::build_words(const Parts& parts) {
  words_.reserve(parts.words.size());
  TokenId ids[simd::longest_short_word];
  for (const auto& [word, id] : parts.words) {
    if (word.empty()) continue;
    if (!ignore_merges_) {
      if (word.size() > simd::longest_short_word) continue;
      if (merge_short(word.data(), word.size(), ids) != 1 || ids[0] != id) continue;
    }
    words_.add(word.size() <= WordKey::longest ? WordKey::of(word) : WordKey{}, word, id);
  }
}

// ---- one word -----------------------------------------------------------------------------------------------------

TokenId* BpeModel::encode_long(std::string_view word, TokenId* out) const {
  std::vector<TokenId> ids;
  if (const auto id = words_.find({}, word); id >= 0) ids.push_back(id);
  else merge_by_heap(word, ids);
  return std::ranges::copy(ids, out).out;
}

/// A word of at most WordKey::longest bytes whose ids do not lie in the entry.
TokenId* BpeModel::encode_slowly(std::string_view word, const WordKey& key, const WordCache::Entry& entry, WordCache& cache,
                                 TokenId* out) const {
  std::size_t count = 1;
  if (entry.holds(key)) {
    if (const auto* ids = cache.ring_ids(entry, word, count)) return std::copy_n(ids, count, out);
  }
  if (const auto id = words_.find(key, word); id >= 0) {
    *out = id;
  } else if (word.size() <= simd::longest_short_word) {
    count = merge_short(word.data(), word.size(), out);
  } else {
    count = static_cast<std::size_t>(encode_long(word, out) - out);
  }
  cache.insert(key, word, out, count);
  return out + count;
}

void BpeModel::merge_by_heap(std::string_view word, std::vector<TokenId>& ids) const {
  struct Symbol {
    TokenId token;
    std::int32_t previous, next;  ///< −1 at the ends; token −1: merged away
  };
  struct Candidate {
    std::uint32_t order;
    std::int32_t position;
    TokenId left, right;
    bool operator>(const Candidate& other) const { return order != other.order ? order > other.order : position > other.position; }
  };
  if (word.size() > INT32_MAX) throw InputError("tokenizer", "a word of {} bytes is longer than the limit of {}", word.size(), INT32_MAX);
  const auto size = static_cast<std::int32_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  for (std::int32_t i = 0; i < size; ++i) symbols[i] = {byte_ids_[static_cast<unsigned char>(word[i])], i - 1, i + 1 < size ? i + 1 : -1};
  std::vector<Candidate> initial;
  const auto candidate = [&](std::int32_t left, auto&& push) {
    const auto right = left < 0 ? -1 : symbols[left].next;
    if (right < 0) return;
    if (const auto order = tables_.order(symbols[left].token, symbols[right].token); order != MergeTables::no_order)
      push(Candidate{order, left, symbols[left].token, symbols[right].token});
  };
  for (std::int32_t i = 0; i < size; ++i) candidate(i, [&](Candidate found) { initial.push_back(found); });
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue({}, std::move(initial));
  const auto push = [&](Candidate found) { queue.push(found); };
  while (!queue.empty()) {
    const auto best = queue.top();
    queue.pop();
    auto& symbol = symbols[best.position];
    if (symbol.token != best.left || symbol.next < 0 || symbols[symbol.next].token != best.right) continue;  // one of the two is gone
    auto& right = symbols[symbol.next];
    symbol.token = tables_.result(best.order);
    symbol.next = right.next;
    right.token = -1;
    if (symbol.next >= 0) symbols[symbol.next].previous = best.position;
    candidate(symbol.previous, push);
    candidate(best.position, push);
  }
  for (std::int32_t i = 0; i >= 0; i = symbols[i].next) ids.push_back(symbols[i].token);
}

// ---- many words ---------------------------------------------------------------------------------------------------

BpeModel::Worker::Worker(const BpeModel& model) : model_(model) {
  if (model.is_plain_bytes_) return;
  const std::lock_guard lock(model.mutex_);
  if (!model.idle_.empty()) {
    memory_ = std::move(model.idle_.back());
    model.idle_.pop_back();
  } else {
    memory_ = std::make_unique<Memory>();
  }
}

BpeModel::Worker::~Worker() {
  if (!memory_) return;
  const std::lock_guard lock(model_.mutex_);
  model_.idle_.push_back(std::move(memory_));
}

void BpeModel::Worker::encode_word(std::string_view word, std::vector<TokenId>& ids) {
  if (model_.is_plain_bytes_) {
    for (const char byte : word) ids.push_back(model_.byte_ids_[static_cast<unsigned char>(byte)]);
    return;
  }
  if (word.empty()) return;
  if (word.size() > WordKey::longest) {
    if (const auto id = model_.words_.find({}, word); id >= 0) return ids.push_back(id);
    return model_.merge_by_heap(word, ids);
  }
  auto& [cache, scanner, stage] = *memory_;
  const auto key = WordKey::of(word);
  const auto& entry = WordCache::pick(cache.place(key), key);
  const auto count = entry.holds(key) ? entry.inline_count() : 0;
  const auto* end = count > 0 ? std::copy_n(entry.ids, count, stage) : model_.encode_slowly(word, key, entry, cache, stage);
  ids.insert(ids.end(), static_cast<const TokenId*>(stage), end);
}

void BpeModel::Worker::encode(Pattern pattern, std::string_view text, std::vector<TokenId>& ids) {
  if (model_.is_plain_bytes_) return encode_word(text, ids);
  auto& [cache, scanner, stage] = *memory_;
  scanner.start(pattern, text);
  const auto before = ids.size();
  const auto encode = [&](std::string_view word, const WordKey& key, const WordCache::Entry& entry, TokenId* out) {
    return word.size() <= WordKey::longest ? model_.encode_slowly(word, key, entry, cache, out) : model_.encode_long(word, out);
  };
  for (WordBatch batch{}; scanner.next(batch);) {
    if (batch.count == 1) {  // may be longer than the buffer
      encode_word(batch[0], ids);
      continue;
    }
    const auto* end = encode_words(batch, cache, stage, encode);
    reserve_like_before(ids, before, static_cast<std::size_t>(end - stage), scanner.position(), text.size());
    ids.insert(ids.end(), static_cast<const TokenId*>(stage), end);
  }
}

}  // namespace isotrope
