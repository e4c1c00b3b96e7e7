#include "isotrope/infer/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "isotrope/base/error.h"

namespace isotrope {

void check(const SamplingOptions& o) {
  const auto require = [](bool fine, const char* name, auto value, const char* range) {
    if (!fine) throw UsageError("generate", "{} = {} is out of range ({})", name, value, range);
  };
  require(o.temperature >= 0 && std::isfinite(o.temperature), "temperature", o.temperature, "≥ 0");
  require(o.top_k >= 0, "top-k", o.top_k, "≥ 0");
  require(o.top_p > 0 && o.top_p <= 1, "top-p", o.top_p, "0 … 1, above 0");
  require(o.min_p >= 0 && o.min_p <= 1, "min-p", o.min_p, "0 … 1");
  require(o.repetition_penalty > 0 && std::isfinite(o.repetition_penalty), "repetition-penalty", o.repetition_penalty, "above 0");
}

namespace {

void penalize(std::span<float> logits, std::span<const TokenId> history, double penalty) {
  std::vector<TokenId> seen(history.begin(), history.end());
  std::ranges::sort(seen);
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (const auto id : seen) {
    auto& logit = logits[static_cast<std::size_t>(id)];
    logit = static_cast<float>(logit > 0 ? logit / penalty : logit * penalty);
  }
}

struct RankedToken {
  TokenId id;
  double probability;
};

/// The tokens that pass the filters, likeliest first; probabilities not normalised.
std::vector<RankedToken> candidates(std::span<const float> logits, const SamplingOptions& o) {
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [&](TokenId a, TokenId b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  if (o.top_k > 0 && o.top_k < static_cast<std::int64_t>(order.size())) {
    std::nth_element(order.begin(), order.begin() + o.top_k - 1, order.end(), likelier);
    order.resize(o.top_k);
  }
  std::ranges::sort(order, likelier);
  std::vector<RankedToken> kept;
  const double top = logits[order.front()];
  for (const auto id : order) kept.push_back({id, std::exp((logits[id] - top) / o.temperature)});
  if (o.top_p < 1) {
    const double total =
        std::accumulate(kept.begin(), kept.end(), 0.0, [](double sum, const RankedToken& c) { return sum + c.probability; });
    double before = 0;
    std::size_t count = 0;
    while (count < kept.size() && before < o.top_p * total) before += kept[count++].probability;
    kept.resize(std::max<std::size_t>(1, count));
  }
  if (o.min_p > 0) std::erase_if(kept, [&](const RankedToken& c) { return c.probability < o.min_p * kept.front().probability; });
  return kept;
}

}  // namespace

TokenId choose_token(std::span<float> logits, std::span<const TokenId> history, const SamplingOptions& options, RandomStream& random) {
  if (std::ranges::any_of(logits, [](float x) { return std::isnan(x); })) throw WorkError("generate", "the model's logits are not numbers");
  if (options.repetition_penalty != 1.0) penalize(logits, history, options.repetition_penalty);
  if (options.temperature == 0) return static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin());
  const auto kept = candidates(logits, options);
  const double total = std::accumulate(kept.begin(), kept.end(), 0.0, [](double sum, const RankedToken& c) { return sum + c.probability; });
  double left = random.uniform() * total;
  for (const auto& [id, probability] : kept)
    if ((left -= probability) < 0) return id;
  return kept.back().id;
}

}  // namespace isotrope
