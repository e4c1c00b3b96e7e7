#include "isotrope/text/bpe_train.h"

#include <algorithm>
#include <queue>
#include <thread>
#include <unordered_map>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/text/byte_alphabet.h"
#include "isotrope/text/hash.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/utf8.h"

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

/// Pairs of neighbours, each with a dense number, its count and the words that it newly appeared in.
class PairTable {
 public:
  PairTable() : table_(1 << 14, empty) {}

  std::uint32_t number(TokenId left, TokenId right) {
    const auto key = static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    auto place = mix(key, 0x9E3779B97F4A7C15u) & (table_.size() - 1);
    for (; table_[place] != empty; place = (place + 1) & (table_.size() - 1))
      if (keys_[table_[place]] == key) return table_[place];
    const auto fresh = static_cast<std::uint32_t>(keys_.size());
    table_[place] = fresh;
    keys_.push_back(key);
    counts.push_back(0);
    words.emplace_back();
    if (keys_.size() * 2 > table_.size()) grow();
    return fresh;
  }
  TokenId left(std::uint32_t pair) const { return static_cast<TokenId>(keys_[pair] >> 32); }
  TokenId right(std::uint32_t pair) const { return static_cast<TokenId>(keys_[pair]); }
  std::uint64_t key(std::uint32_t pair) const { return keys_[pair]; }
  std::size_t size() const { return keys_.size(); }

  std::vector<std::int64_t> counts;
  std::vector<std::vector<std::uint32_t>> words;

 private:
  static constexpr std::uint32_t empty = ~std::uint32_t{0};
  void grow() {
    table_.assign(table_.size() * 2, empty);
    for (std::uint32_t pair = 0; pair < keys_.size(); ++pair) {
      auto place = mix(keys_[pair], 0x9E3779B97F4A7C15u) & (table_.size() - 1);
      while (table_[place] != empty) place = (place + 1) & (table_.size() - 1);
      table_[place] = pair;
    }
  }
  std::vector<std::uint64_t> keys_;
  std::vector<std::uint32_t> table_;
};

/// The merging itself. Counts are kept by the differences that each merge makes; an entry of the heap whose count is out of date
/// goes back with the right one when it comes up.
class Merger {
 public:
  Merger(const WordCounts& counts, const std::array<TokenId, 256>& byte_ids)
      : counts_(counts), starts_(counts.size()), sizes_(counts.size()) {
    for (std::uint32_t word = 0; word < counts.size(); ++word) {
      starts_[word] = symbols_.size();
      for (const char byte : counts.word(word)) symbols_.push_back(byte_ids[static_cast<unsigned char>(byte)]);
      sizes_[word] = static_cast<std::uint32_t>(symbols_.size() - starts_[word]);
      for (auto i = starts_[word]; i + 1 < symbols_.size(); ++i) change(symbols_[i], symbols_[i + 1], word, 1);
    }
    push_changed();
  }

  /// The most frequent pair, the smallest of equals; nothing when none is seen `min_frequency` times.
  std::optional<BpeMerge> best(std::int64_t min_frequency) {
    while (!heap_.empty()) {
      auto& top = heap_.front();
      const auto count = pairs_.counts[top.pair];
      if (top.count == count) {
        if (count < std::max<std::int64_t>(min_frequency, 1)) return std::nullopt;
        std::ranges::pop_heap(heap_, Less{});
        current_ = std::move(heap_.back());
        heap_.pop_back();
        return BpeMerge{pairs_.left(current_.pair), pairs_.right(current_.pair), 0};
      }
      std::ranges::pop_heap(heap_, Less{});
      heap_.back().count = count;
      std::ranges::push_heap(heap_, Less{});
    }
    return std::nullopt;
  }

  /// Replaces the pair that best() gave by `merge.result` in all its words.
  void apply(const BpeMerge& merge) {
    for (const auto word : current_.words) merge_word(word, merge);
    push_changed();
  }

 private:
  struct Entry {
    std::int64_t count = 0;
    std::uint64_t key = 0;
    std::uint32_t pair = 0;
    std::vector<std::uint32_t> words;
  };
  struct Less {
    bool operator()(const Entry& a, const Entry& b) const { return a.count != b.count ? a.count < b.count : a.key > b.key; }
  };

  void change(TokenId left, TokenId right, std::uint32_t word, int by) {
    const auto pair = pairs_.number(left, right);
    pairs_.counts[pair] += by * counts_.count(word);
    if (by < 0) return;
    auto& words = pairs_.words[pair];
    if (words.empty()) changed_.push_back(pair);
    if (words.empty() || words.back() != word) words.push_back(word);
  }

  void push_changed() {
    for (const auto pair : changed_) {
      auto words = std::exchange(pairs_.words[pair], {});
      if (pairs_.counts[pair] <= 0) continue;
      heap_.push_back({pairs_.counts[pair], pairs_.key(pair), pair, std::move(words)});
      std::ranges::push_heap(heap_, Less{});
    }
    changed_.clear();
  }

  void merge_word(std::uint32_t word, const BpeMerge& merge) {
    TokenId* symbols = symbols_.data() + starts_[word];
    const std::uint32_t size = sizes_[word];
    std::uint32_t written = 0;
    for (std::uint32_t i = 0; i < size; ++i, ++written) {
      const bool merges = symbols[i] == merge.left && i + 1 < size && symbols[i + 1] == merge.right;
      if (!merges) {
        symbols[written] = symbols[i];
        continue;
      }
      if (written > 0) {
        change(symbols[written - 1], merge.left, word, -1);
        change(symbols[written - 1], merge.result, word, 1);
      }
      if (i + 2 < size) {
        change(merge.right, symbols[i + 2], word, -1);
        change(merge.result, symbols[i + 2], word, 1);
      }
      symbols[written] = merge.result;
      ++i;
    }
    sizes_[word] = written;
  }

  const WordCounts& counts_;
  std::vector<TokenId> symbols_;  ///< the words one after another; a merged word leaves a gap at its end
  std::vector<std::size_t> starts_;
  std::vector<std::uint32_t> sizes_;
  PairTable pairs_;
  std::vector<std::uint32_t> changed_;
  std::vector<Entry> heap_;
  Entry current_;
};

/// Names and ids of the growing vocabulary: special tokens, the byte alphabet in the order of its code points, then merges.
class Vocabulary {
 public:
  explicit Vocabulary(const std::vector<std::string>& special_tokens) {
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
  auto sorted = options_.special_tokens;
  std::ranges::sort(sorted);
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    throw UsageError("tokenizer", "special token \"{}\" is given twice", *twice);
  if (!sorted.empty() && sorted.front().empty()) throw UsageError("tokenizer", "a special token is empty");
  for (const auto& token : sorted)
    if (check_utf8(token)) throw UsageError("tokenizer", "a special token is not UTF-8");
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
  constexpr std::size_t least_part = 1 << 16;
  const auto parts = std::clamp<std::size_t>(text.size() / least_part, 1, static_cast<std::size_t>(std::max(options_.threads, 1)));
  std::vector<WordCounts> counts(parts);
  {
    std::vector<std::jthread> workers;
    std::size_t start = 0;
    for (std::size_t part = 0; part < parts; ++part) {
      const auto feed = part + 1 < parts ? text.find('\n', std::max(start, text.size() / parts * (part + 1))) : std::string_view::npos;
      const auto end = feed == std::string_view::npos ? text.size() : feed + 1;
      workers.emplace_back([&, slice = text.substr(start, end - start), part] { count_words(slice, options_.pattern, counts[part]); });
      start = end;
    }
  }
  for (const auto& part : counts) counts_.add(part);
}

std::shared_ptr<const Tokenizer> BpeTrainer::train(const std::function<void(std::size_t)>& progress) const {
  if (counts_.size() == 0) throw InputError("tokenizer", "there is no text to train on");
  Vocabulary vocabulary(options_.special_tokens);
  TokenizerDefinition definition;
  auto& merges = std::get<BpeDefinition>(definition.model).merges;
  Merger merger(counts_, vocabulary.byte_ids);
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
