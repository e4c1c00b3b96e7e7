#include "isotrope/text/bpe_model.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <memory>
#include <queue>

#include "isotrope/base/error.h"
#include "isotrope/text/hash.h"

namespace isotrope {

namespace {

constexpr std::size_t short_word = 48;  ///< up to here scanning all pairs beats a heap
constexpr std::int32_t no_rank = INT32_MAX;

/// Words and their ids, one place a hash value: a new word replaces the one that stood there.
class WordCache {
 public:
  static constexpr std::size_t places = std::size_t{1} << 15, longest_word = 23, most_ids = 9;
  struct alignas(64) Entry {
    char word[longest_word];
    std::uint8_t length;  ///< 0 when the place is empty
    TokenId ids[most_ids];
    std::uint32_t count;
  };
  static_assert(sizeof(Entry) == 64);

  /// This thread's table, emptied when another model used it last.
  static WordCache& of(std::uint64_t model) {
    thread_local WordCache cache;
    if (cache.model_ != model) cache.reset(model);
    return cache;
  }
  Entry& place(std::string_view word) { return entries_[hash_bytes(word) & (places - 1)]; }
  static bool holds(const Entry& entry, std::string_view word) {
    return entry.length == word.size() && std::memcmp(entry.word, word.data(), word.size()) == 0;
  }
  static void store(Entry& entry, std::string_view word, const TokenId* ids, std::size_t count) {
    entry.length = static_cast<std::uint8_t>(word.size());
    entry.count = static_cast<std::uint32_t>(count);
    std::memcpy(entry.word, word.data(), word.size());
    std::copy_n(ids, count, entry.ids);
  }

 private:
  void reset(std::uint64_t model) {
    model_ = model;
    entries_ = std::make_unique<Entry[]>(places);
  }
  std::uint64_t model_ = 0;
  std::unique_ptr<Entry[]> entries_;
};

std::atomic<std::uint64_t> next_serial{1};

}  // namespace

BpeModel::BpeModel(Parts parts) : parts_(std::move(parts)), serial_(next_serial++) {
  slots_.resize(std::bit_ceil(std::max<std::size_t>(2, parts_.merges.size() * 2)));
  mask_ = slots_.size() - 1;
  for (std::size_t rank = 0; rank < parts_.merges.size(); ++rank) {
    const auto& merge = parts_.merges[rank];
    const auto pair = key(merge.left, merge.right);
    auto place = mix(pair, 0x9E3779B97F4A7C15u) & mask_;
    while (slots_[place].pair != pair && slots_[place].pair != ~std::uint64_t{0}) place = (place + 1) & mask_;
    slots_[place] = {pair, static_cast<std::int32_t>(rank), merge.result};  // of equal pairs the last counts, as in HF tokenizers
  }
}

const BpeModel::Slot* BpeModel::find(TokenId left, TokenId right) const {
  const auto pair = key(left, right);
  for (auto place = mix(pair, 0x9E3779B97F4A7C15u) & mask_;; place = (place + 1) & mask_) {
    if (slots_[place].pair == pair) return &slots_[place];
    if (slots_[place].pair == ~std::uint64_t{0}) return nullptr;
  }
}

void BpeModel::encode_word(std::string_view word, std::vector<TokenId>& ids) const {
  if (word.size() == 1) {
    ids.push_back(parts_.byte_ids[static_cast<unsigned char>(word[0])]);
    return;
  }
  if (word.size() > WordCache::longest_word) return merge_word(word, ids);
  auto& entry = WordCache::of(serial_).place(word);
  if (WordCache::holds(entry, word)) {
    ids.insert(ids.end(), entry.ids, entry.ids + entry.count);
    return;
  }
  const std::size_t before = ids.size();
  merge_word(word, ids);
  if (const auto count = ids.size() - before; count <= WordCache::most_ids) WordCache::store(entry, word, ids.data() + before, count);
}

void BpeModel::merge_word(std::string_view word, std::vector<TokenId>& ids) const {
  if (is_plain_bytes()) {
    for (const char byte : word) ids.push_back(parts_.byte_ids[static_cast<unsigned char>(byte)]);
    return;
  }
  if (!parts_.whole_words.empty()) {
    if (const auto found = parts_.whole_words.find(std::string(word)); found != parts_.whole_words.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  word.size() <= short_word ? merge_short(word, ids) : merge_long(word, ids);
}

void BpeModel::merge_short(std::string_view word, std::vector<TokenId>& ids) const {
  TokenId tokens[short_word], results[short_word];
  std::int32_t ranks[short_word];  // of the pair (i, i + 1)
  std::size_t size = word.size();
  for (std::size_t i = 0; i < size; ++i) tokens[i] = parts_.byte_ids[static_cast<unsigned char>(word[i])];
  const auto rate = [&](std::size_t i) {
    const Slot* slot = i + 1 < size ? find(tokens[i], tokens[i + 1]) : nullptr;
    ranks[i] = slot ? slot->rank : no_rank;
    results[i] = slot ? slot->result : 0;
  };
  for (std::size_t i = 0; i < size; ++i) rate(i);
  while (size > 1) {
    const auto best = static_cast<std::size_t>(std::min_element(ranks, ranks + size - 1) - ranks);
    if (ranks[best] == no_rank) break;
    tokens[best] = results[best];
    std::copy(tokens + best + 2, tokens + size, tokens + best + 1);
    std::copy(ranks + best + 2, ranks + size, ranks + best + 1);
    std::copy(results + best + 2, results + size, results + best + 1);
    --size;
    rate(best);
    if (best > 0) rate(best - 1);
  }
  ids.insert(ids.end(), tokens, tokens + size);
}

void BpeModel::merge_long(std::string_view word, std::vector<TokenId>& ids) const {
  struct Symbol {
    TokenId token;
    std::int32_t previous, next;  ///< −1 at the ends; token −1: merged away
  };
  struct Candidate {
    std::int32_t rank, position;
    TokenId left, right, result;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : position > other.position; }
  };
  if (word.size() > INT32_MAX) throw InputError("tokenizer", "a word of {} bytes is longer than the limit of {}", word.size(), INT32_MAX);
  const auto size = static_cast<std::int32_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  for (std::int32_t i = 0; i < size; ++i)
    symbols[i] = {parts_.byte_ids[static_cast<unsigned char>(word[i])], i - 1, i + 1 < size ? i + 1 : -1};
  std::vector<Candidate> initial;
  const auto candidate = [&](std::int32_t left, auto&& push) {
    const auto right = left < 0 ? -1 : symbols[left].next;
    if (right < 0) return;
    if (const Slot* slot = find(symbols[left].token, symbols[right].token))
      push(Candidate{slot->rank, left, symbols[left].token, symbols[right].token, slot->result});
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
    symbol.token = best.result;
    symbol.next = right.next;
    right.token = -1;
    if (symbol.next >= 0) symbols[symbol.next].previous = best.position;
    candidate(symbol.previous, push);
    candidate(best.position, push);
  }
  for (std::int32_t i = 0; i >= 0; i = symbols[i].next) ids.push_back(symbols[i].token);
}

}  // namespace isotrope
