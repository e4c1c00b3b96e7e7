#include "isotrope/text/models/unigram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "isotrope/base/error.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

using Type = PieceType;

constexpr double unknown_penalty = 10;             // below the least score (kUnkPenalty)
constexpr std::size_t most_bytes = INT32_MAX / 4;  // of a word
constexpr float most_float_sum = 100'000;          // beyond it sentencepiece counts from 0 again

bool is_searched(const TokenizerDefinition& definition, std::size_t id) {
  if (!definition.sentencepiece) return true;
  const auto type = static_cast<Type>(definition.sentencepiece->type_of(id));
  return type == Type::normal || type == Type::user_defined;
}

PieceTrie pieces_of(const TokenizerDefinition& definition) {
  std::vector<std::pair<std::string_view, std::int32_t>> keys;
  const auto count = std::get<UnigramDefinition>(definition.model).scores.size();
  for (std::size_t id = 0; id < count; ++id)
    if (is_searched(definition, id)) keys.emplace_back(definition.names[id], static_cast<std::int32_t>(id));
  return {std::move(keys), definition.file};
}

/// The exponent of the last bit of a number that is not 0.
int last_bit(double value) {
  int exponent = 0;
  const auto digits = static_cast<std::int64_t>(std::ldexp(std::frexp(value, &exponent), 53));
  return exponent - 53 + std::countr_zero(static_cast<std::uint64_t>(digits));
}

}  // namespace

/// What is known of the ways to a place in a word; places are bytes of the word's codes (piece_trie.h).
template <class Score>
struct Unigram::Node {
  Score score = 0;                   ///< of the best one
  std::int32_t start = -1, id = -1;  ///< of its last piece; start −1: there is none yet
  std::int32_t byte = 0;             ///< where it is in the word, where a character begins

  /// One more way. Which of two is better is hard to foretell, so that nothing branches here.
  void offer(Score other, std::int32_t other_start, std::int32_t other_id) {
    const auto takes = static_cast<std::int32_t>((start < 0) | (other > score));
    using Bits = std::conditional_t<sizeof(Score) == 8, std::int64_t, std::int32_t>;
    const auto mine = std::bit_cast<Bits>(score);
    score = std::bit_cast<Score>(mine ^ ((mine ^ std::bit_cast<Bits>(other)) & -static_cast<Bits>(takes)));
    start ^= (start ^ other_start) & -takes;
    id ^= (id ^ other_id) & -takes;
  }
};

struct Unigram::Scratch {
  std::vector<unsigned char> codes;
  std::vector<Node<double>> doubles;
  std::vector<Node<float>> floats;
  std::vector<Node<float>> way;
  SteadySearch::Scratch steady;
  template <class Score>
  std::vector<Node<Score>>& nodes() {
    if constexpr (std::is_same_v<Score, float>) return floats;
    else return doubles;
  }
};

template <>
const double* Unigram::scores() const {
  return double_scores_.data();
}
template <>
const float* Unigram::scores() const {
  return number_scores_.data() + 2;
}

Unigram::Unigram(const TokenizerDefinition& definition)
    : definition_(std::get<UnigramDefinition>(definition.model)),
      file_(definition.file),
      single_precision_(definition.sentencepiece.has_value()),
      pieces_(pieces_of(definition)),
      double_scores_(std::move(definition_.scores)) {
  auto least = std::numeric_limits<double>::infinity();
  byte_ids_.fill(-1);
  for (std::size_t id = 0; id < double_scores_.size(); ++id) {
    const std::string_view name = definition.names[id];
    auto& score = double_scores_[id];
    const auto type = single_precision_ ? static_cast<Type>(definition.sentencepiece->type_of(id)) : Type::normal;
    if (type == Type::normal) least = std::min(least, score);
    // The bonus that makes user-defined pieces win.
    if (type == Type::user_defined) score = static_cast<float>(0.1 * static_cast<double>(name.size() - 1));
    if (is_searched(definition, id)) cuts_.add(name);
    if (const auto byte = fallback_byte(name)) byte_ids_[*byte] = static_cast<TokenId>(id);
  }
  cuts_.finish();
  if (std::isinf(least)) least = single_precision_ ? std::numeric_limits<float>::max() : 0;
  unknown_score_ = single_precision_ ? static_cast<double>(static_cast<float>(least) - 10.0f) : least - unknown_penalty;
  number_scores_ = {static_cast<float>(unknown_score_), 0};
  number_scores_.insert(number_scores_.end(), double_scores_.begin(), double_scores_.end());
  if (single_precision_) double_scores_.assign(number_scores_.begin() + 2, number_scores_.end());
  mark_is_piece_ = pieces_.find(MarkCuts::mark) >= 0 && pieces_.find(MarkCuts::mark) != definition_.unknown.value_or(-1);

  double largest = std::abs(unknown_score_);
  int last = unknown_score_ != 0 ? last_bit(unknown_score_) : 0;
  for (const auto score : double_scores_) {
    largest = std::max(largest, std::abs(score));
    if (score != 0) last = std::min(last, last_bit(score));
  }
  // Single precision rounds numbers below 2¹⁷ by 2⁻⁷ at most: the sum, and in settle() a word's part of its bound, and the bound.
  static_assert(most_float_sum < 0x1p17f);
  largest_step_ = std::nextafter(static_cast<float>(largest + 3 * 0x1p-7), std::numeric_limits<float>::infinity());
  steady_.emplace(SteadySearch::Model{.pieces = pieces_,
                                      .scores = double_scores_,
                                      .unknown = definition_.unknown,
                                      .unknown_score = unknown_score_,
                                      .append_unknown = [this](std::string_view run, auto& ids) { append_unknown(run, ids); },
                                      .most_sum = most_float_sum});
  // Sums below 2^(53 + last) are whole multiples of 2^last that fit into a double.
  if (largest < 1e9) most_exact_ = static_cast<std::size_t>(std::min(std::ldexp(1, 53 + last) / std::max(largest, 1e-9), 1e15));
}

void Unigram::append_unknown(std::string_view text, std::vector<TokenId>& ids) const {
  if (!single_precision_)
    if (const auto whole = pieces_.find(text); whole >= 0) return ids.push_back(whole);  // HF tokenizers asks for the run once more
  const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  if (definition_.byte_fallback && std::ranges::all_of(text, [&](char byte) { return byte_id(byte) >= 0; })) {
    for (const char byte : text) ids.push_back(byte_id(byte));
    return;
  }
  ids.push_back(*definition_.unknown);
}

template <class Score>
void Unigram::append(std::string_view word, Score& sum, Scratch& scratch, std::vector<TokenId>& ids) const {
  search(word, sum, scratch, [&](std::int32_t begin, std::int32_t end, TokenId id) {
    if (id >= 0) ids.push_back(id);
    else append_unknown(word.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)), ids);
  });
}

template <class Score, class Put>
void Unigram::search(std::string_view word, Score& sum, Scratch& scratch, Put&& put) const {
  if (word.size() > most_bytes) throw InputError("tokenizer", "a word of {} bytes is longer than the limit of {}", word.size(), most_bytes);
  const auto* score_of = scores<Score>();
  const auto unknown = definition_.unknown.value_or(-1);
  const auto unknown_score = static_cast<Score>(unknown_score_);
  const auto size = static_cast<std::int32_t>(pieces_.read(word, scratch.codes));
  const auto* const codes = scratch.codes.data();
  auto& nodes = scratch.nodes<Score>();
  nodes.assign(static_cast<std::size_t>(size) + 1, {});
  nodes[0].score = sum;
  std::int32_t decided = 0, unknown_from = -1;  // what lies before `decided` has been put, but for a run of unknown characters
  const auto decide = [&](std::int32_t end) {
    auto& way = scratch.way;
    way.clear();
    for (auto at = end; at > decided; at = nodes[at].start)
      way.push_back({.start = nodes[nodes[at].start].byte, .id = nodes[at].id, .byte = nodes[at].byte});
    for (auto node = way.rbegin(); node != way.rend(); ++node) {
      if (node->id == unknown) {
        if (unknown_from < 0) unknown_from = node->start;
        continue;
      }
      if (unknown_from >= 0) put(unknown_from, node->start, -1);
      unknown_from = -1;
      put(node->start, node->byte, node->id);
    }
    decided = end;
  };
  std::int32_t reach = 0;  // the farthest end of a piece so far
  std::size_t position = 0;
  for (std::int32_t start = 0, next = 0; start < size; start = next) {
    next = start + static_cast<std::int32_t>(PieceTrie::code_size(codes[start]));
    nodes[start].byte = static_cast<std::int32_t>(position);
    if (start == reach && start - decided > 64) decide(start);  // no piece lies across: whatever follows, this stays
    auto here = nodes[start].score;
    if constexpr (std::is_same_v<Score, float>) {
      if (here < -most_float_sum || here > most_float_sum) {
        for (auto at = start; at <= reach; ++at)
          if (at == start || nodes[at].start >= 0) nodes[at].score -= here;
        here = 0;
      }
    }
    const auto offer = [&](std::int32_t end, Score score, std::int32_t id) {
      nodes[end].offer(score, start, id);
      reach = std::max(reach, end);
    };
    bool is_piece = false;  // the character alone
    auto state = pieces_.root();
    std::int32_t id = -1;
    for (auto end = start; pieces_.step(state, codes[end], id);) {
      if (++end; id < 0) continue;
      offer(end, static_cast<Score>(score_of[id] + here), id);
      is_piece |= end == next;
    }
    (void)next_code_point(word, position);
    if (!is_piece) {
      if (!definition_.unknown && (nodes[next].start < 0 || unknown_score + here > nodes[next].score)) {
        const auto begin = static_cast<std::size_t>(nodes[start].byte);
        throw InputError("tokenizer", "{}: \"{}\" is no piece, and the model has no unk_id", file_, word.substr(begin, position - begin));
      }
      offer(next, unknown_score + here, unknown);
    }
  }
  nodes.back().byte = static_cast<std::int32_t>(word.size());
  decide(size);
  if (unknown_from >= 0) put(unknown_from, static_cast<std::int32_t>(word.size()), -1);
  sum = nodes.back().score;
}

void Unigram::Settler::Free::operator()(Scratch* scratch) const { delete scratch; }

Unigram::Settler::Settler(const Unigram& model) : model_(model), scratch_(new Scratch) {}
Unigram::Settler::~Settler() = default;

void Unigram::Settler::compute(std::string_view word, std::vector<TokenId>& ids) { model_.append(word, sum_, *scratch_, ids); }

void Unigram::Settler::add_up(const TokenId* begin, const TokenId* end, std::vector<TokenId>& ids) {
  const auto before = ids.size();
  ids.resize(before + static_cast<std::size_t>(end - begin));
  auto* id = ids.data() + before;
  auto sum = sum_;
  const auto* scores = model_.scores<float>();
  for (; begin != end; ++begin) {
    // Whether a number is an id is hard to foretell; nothing branches.
    const auto number = *begin;
    const bool is_unknown = number == SteadySearch::unknown_character;
    *id = number < 0 ? SteadySearch::unscored(number) : number;
    id += is_unknown ? 0 : 1;
    sum += scores[is_unknown ? -2 : std::max(number, -1)];
  }
  ids.resize(static_cast<std::size_t>(id - ids.data()));
  sum_ = sum;
}

Unigram::Worker::Worker(const Unigram& model) : Settler(model), words_(model.caches_.take()) {}
Unigram::Worker::~Worker() { model_.caches_.give(std::move(words_)); }

std::span<const TokenId> Unigram::Worker::find_steady(std::string_view word) {
  numbers_.clear();
  const auto limit = word.size() <= most_steady ? model_.steady_->append_steady(word, scratch_->steady, numbers_) : 0;
  numbers_.push_back(std::bit_cast<TokenId>(limit));
  const auto count = numbers_.size();
  numbers_.resize(count + WordCache::most_inline_ids);
  return std::span(numbers_).first(count);
}

void Unigram::Worker::compute_word(std::string_view word, std::vector<TokenId>& ids) {
  if (word.empty()) return;
  if (model_.single_precision_) return compute(word, ids);
  numbers_.clear();
  if (word.size() <= most_steady && model_.steady_->append_exact(word, scratch_->steady, numbers_)) {
    for (const auto number : numbers_)
      if (number != SteadySearch::unknown_character) ids.push_back(number >= 0 ? number : SteadySearch::unscored(number));
    return;
  }
  double sum = 0;
  model_.append(word, sum, *scratch_, ids);
}

void Unigram::Worker::align_word(std::string_view word, std::vector<WordToken>& tokens) {
  std::vector<TokenId> ids;
  const auto put = [&](std::int32_t begin, std::int32_t end, TokenId id) {
    const auto from = static_cast<std::uint32_t>(begin), to = static_cast<std::uint32_t>(end);
    if (id >= 0) return tokens.push_back({.id = id, .begin = from, .end = to});
    ids.clear();
    model_.append_unknown(word.substr(from, to - from), ids);
    for (const auto each : ids) tokens.push_back({.id = each, .begin = from, .end = to, .as_written = each == model_.definition_.unknown});
  };
  double sum = 0;
  if (model_.single_precision_) model_.search(word, sum_, *scratch_, put);
  else model_.search(word, sum, *scratch_, put);
}

void Unigram::Worker::encode_word(std::string_view word, std::vector<TokenId>& ids) {
  if (word.empty()) return;
  const auto as_it_is = [](std::string_view part, bool, bool) { return part; };
  const auto encode = [&](std::string_view part) {
    const bool is_short = part.size() <= WordKey::longest;
    if (model_.single_precision_) stage({.text = part, .key = is_short ? WordKey::of(part) : WordKey()}, as_it_is, staged_);
    else if (!is_short) compute_word(part, ids);
    else words_->encode(WordKey::of(part), part, ids, [&](std::string_view text, std::vector<TokenId>& out) { compute_word(text, out); });
  };
  if (word.size() > WordKey::longest && model_.is_cut_at_marks(word.size())) model_.cuts_.for_each_part(word, encode);
  else encode(word);
  if (model_.single_precision_) settle(staged_, as_it_is, ids);
}

}  // namespace isotrope
