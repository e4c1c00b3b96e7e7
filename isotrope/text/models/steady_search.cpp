#include "isotrope/text/models/steady_search.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace isotrope {

namespace {

constexpr std::int64_t none = -(std::int64_t{1} << 62);  // worse than any way by more than all scores of a word
constexpr std::int64_t score_bits = ~std::int64_t{0xFFFFFFFF};

std::size_t length_of(std::int64_t way) { return static_cast<std::size_t>(way >> 24 & 0xFF); }
TokenId id_of(std::int64_t way) { return static_cast<TokenId>(way & 0xFFFFFF); }

/// Of a number that is neither 0 nor subnormal, and back, without a call of the mathematical library for each word.
int exponent_of(double number) { return static_cast<int>(std::bit_cast<std::uint64_t>(number) >> 52 & 0x7FF) - 1023; }
double power_of_two(int exponent) { return std::bit_cast<double>(static_cast<std::uint64_t>(std::max(exponent, -1022) + 1023) << 52); }

}  // namespace

SteadySearch::SteadySearch(Model model) : model_(std::move(model)) {
  largest_ = std::abs(model_.unknown_score);
  for (const double score : model_.scores) largest_ = std::max(largest_, std::abs(score));
  // All scores of a word together stay below 2^29 units.
  unit_ = std::ldexp(1, std::ilogb(std::max(largest_, 1e-6)) + 1 + std::bit_width(most_codes) - 29);
  const auto key_of = [&](double score, std::size_t id) {
    return std::llrint(score / unit_) * (std::int64_t{1} << 32) + static_cast<std::int64_t>(id);
  };
  keys_.assign(1, none);
  for (std::size_t id = 0; id < model_.scores.size(); ++id) keys_.push_back(key_of(model_.scores[id], id));
  unknown_ = model_.unknown.value_or(-1);
  if (model_.unknown) unknown_key_ = key_of(model_.unknown_score, static_cast<std::size_t>(*model_.unknown));
}

SteadySearch::Found SteadySearch::find(std::string_view word, Scratch& scratch) const {
  const auto& pieces = model_.pieces;
  const auto size = pieces.read(word, scratch.codes);
  if (size > most_codes || keys_.size() > most_ids) return {};
  const auto* const codes = scratch.codes.data();
  scratch.ways.assign(size + 1, {none, none});
  auto* const ways = scratch.ways.data();
  ways[0].best = 0;
  Found found{.lead = std::numeric_limits<std::int32_t>::max()};
  for (std::size_t start = 0; start < size; ++found.characters) {
    const auto next = start + PieceTrie::code_size(codes[start]);
    const auto before = ways[start].best & score_bits;
    const auto offer = [&](std::size_t end, std::int64_t key) {
      const auto way = before + (static_cast<std::int64_t>(end - start) << 24) + key;
      const auto [best, second] = ways[end];
      const auto worse = way < best ? way : best;
      ways[end] = {way > best ? way : best, worse > second ? worse : second};
    };
    auto state = pieces.root();
    std::int32_t id = -1;
    bool is_piece = false;  // the character alone
    // What is no piece is worse than any and changes nothing: whether a step ends one is as hard to foretell as which way is better.
    for (auto end = start; pieces.step(state, codes[end], id);) {
      offer(++end, keys_[static_cast<std::size_t>(id + 1)]);
      is_piece |= (end == next) & (id >= 0);
    }
    if (!is_piece) [[unlikely]] {
      if (!model_.unknown) return {};
      offer(next, unknown_key_);
    }
    start = next;
  }
  for (auto at = size; at > 0; at -= length_of(ways[at].best), ++found.pieces) {
    found.lead = std::min(found.lead, (ways[at].best >> 32) - (ways[at].second >> 32));
    found.has_unknown |= id_of(ways[at].best) == unknown_;
  }
  found.lead -= static_cast<std::int64_t>(found.characters);  // the scores of either way are off by half a unit each at most
  return found;
}

void SteadySearch::append(std::string_view word, const Found& found, Scratch& scratch, std::vector<TokenId>& numbers) const {
  if (found.has_unknown) return append_with_unknown(word, scratch, numbers);
  numbers.resize(numbers.size() + found.pieces);
  auto number = numbers.end();
  for (auto at = scratch.ways.size() - 1; at > 0; at -= length_of(scratch.ways[at].best)) *--number = id_of(scratch.ways[at].best);
}

float SteadySearch::append_steady(std::string_view word, Scratch& scratch, std::vector<TokenId>& numbers) const {
  const auto found = find(word, scratch);
  const auto limit = steady_below(found);
  if (!(limit > 0)) return 0;
  append(word, found, scratch, numbers);
  return limit;
}

/// A unit is far more than what double precision rounds off a word: the largest score by 2^21 at least, against n² of it by 2^53.
bool SteadySearch::append_exact(std::string_view word, Scratch& scratch, std::vector<TokenId>& numbers) const {
  const auto found = find(word, scratch);
  if (found.lead <= 0) return false;
  append(word, found, scratch, numbers);
  return true;
}

/// Along the best way every piece must beat all others that end where it does by more than rounding can take from both: one addition of
/// numbers below 2^e is off by 2^(e − 25) at most, and no way has more additions than characters.
float SteadySearch::steady_below(const Found& found) const {
  if (found.lead <= 0) return 0;
  const auto characters = static_cast<double>(found.characters);
  // 2 · characters · 2^(e − 25) < lead
  const auto exponent = exponent_of(static_cast<double>(found.lead) * unit_ / (2 * (characters + 1))) + 25;
  const auto most = std::min<double>(power_of_two(std::min(exponent, 40)), model_.most_sum);
  return static_cast<float>(most - characters * largest_ * 1.001);
}

void SteadySearch::append_with_unknown(std::string_view word, Scratch& scratch, std::vector<TokenId>& numbers) const {
  auto& way = scratch.way;
  way.clear();
  for (auto at = scratch.ways.size() - 1; at > 0; at -= length_of(way.back())) way.push_back(scratch.ways[at].best);
  // Pieces are long in codes; how long in bytes their characters tell, from the first one on.
  std::size_t code = 0, position = 0, run = 0;
  const auto end_run = [&] {
    if (run == position) return;
    const auto before = numbers.size();
    model_.append_unknown(word.substr(run, position - run), numbers);
    for (auto at = before; at < numbers.size(); ++at) numbers[at] = unscored(numbers[at]);
  };
  for (; !way.empty(); way.pop_back()) {
    const auto id = id_of(way.back());
    const bool is_unknown = id == unknown_;
    if (!is_unknown) end_run();
    numbers.push_back(is_unknown ? unknown_character : id);
    for (const auto end = code + length_of(way.back()); code < end; code += PieceTrie::code_size(scratch.codes[code]))
      (void)next_code_point(word, position);
    if (!is_unknown) run = position;
  }
  end_run();
}

}  // namespace isotrope
