#include "isotrope/text/steady_search.h"

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
  largest_ = std::abs(static_cast<double>(model_.unknown_score));
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

float SteadySearch::append(std::string_view word, Scratch& scratch, std::vector<TokenId>& numbers) const {
  const auto& pieces = model_.pieces;
  const auto size = pieces.read(word, scratch.codes);
  if (size > most_codes || keys_.size() > most_ids) return 0;
  const auto* const codes = scratch.codes.data();
  scratch.ways.assign(size + 1, {none, none});
  auto* const ways = scratch.ways.data();
  ways[0].best = 0;
  int characters = 0;
  for (std::size_t start = 0; start < size; ++characters) {
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
      if (!model_.unknown) return 0;
      offer(next, unknown_key_);
    }
    start = next;
  }
  std::int64_t lead = std::numeric_limits<std::int32_t>::max();
  std::size_t count = 0;
  bool has_unknown = false;
  for (auto at = size; at > 0; at -= length_of(ways[at].best), ++count) {
    lead = std::min(lead, (ways[at].best >> 32) - (ways[at].second >> 32));
    has_unknown |= id_of(ways[at].best) == unknown_;
  }
  const auto limit = steady_below(lead, characters);
  if (!(limit > 0)) return 0;
  numbers.resize(numbers.size() + count);
  auto number = numbers.end();
  for (auto at = size; at > 0; at -= length_of(ways[at].best)) *--number = id_of(ways[at].best);
  if (has_unknown) spell_unknown(word, count, scratch, numbers);
  return limit;
}

/// Along the best way every piece must beat all others that end where it does by more than rounding can take from both: one addition of
/// numbers below 2^e is off by 2^(e − 25) at most, and no way has more additions than characters.
float SteadySearch::steady_below(std::int64_t lead, int characters) const {
  lead -= characters;  // the scores of either way are off by half a unit each at most
  if (lead <= 0) return 0;
  // 2 · characters · 2^(e − 25) < lead
  const auto exponent = exponent_of(static_cast<double>(lead) * unit_ / (2.0 * (characters + 1))) + 25;
  const auto most = std::min<double>(power_of_two(std::min(exponent, 40)), model_.most_sum);
  return static_cast<float>(most - characters * largest_ * 1.001);
}

void SteadySearch::spell_unknown(std::string_view word, std::size_t count, const Scratch& scratch, std::vector<TokenId>& numbers) const {
  const std::vector<TokenId> ids(numbers.end() - static_cast<std::ptrdiff_t>(count), numbers.end());
  numbers.resize(numbers.size() - count);
  // Pieces are long in codes; how long in bytes their characters tell, from the first one on.
  const auto size = scratch.ways.size() - 1;
  std::vector<std::size_t> ends;
  for (auto at = size; at > 0; at -= length_of(scratch.ways[at].best)) ends.push_back(at);
  std::size_t code = 0, position = 0, run = 0;
  const auto end_run = [&] {
    if (run == position) return;
    const auto before = numbers.size();
    model_.append_unknown(word.substr(run, position - run), numbers);
    for (auto at = before; at < numbers.size(); ++at) numbers[at] = unscored(numbers[at]);
  };
  for (const auto id : ids) {
    const bool is_unknown = id == unknown_;
    if (!is_unknown) end_run();
    numbers.push_back(is_unknown ? unknown_character : id);
    for (const auto end = ends.back(); code < end; code += PieceTrie::code_size(scratch.codes[code])) (void)next_code_point(word, position);
    ends.pop_back();
    if (!is_unknown) run = position;
  }
  end_run();
}

}  // namespace isotrope
