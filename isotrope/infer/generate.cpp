#include "isotrope/infer/generate.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

/// fp32 logits after the last of `ids`, which extend the cache.
at::Tensor next_logits(Model& model, std::span<const TokenId> ids, KvCache& cache) {
  const auto device = model.parameters().options().device();
  const auto tensor = at::tensor(at::ArrayRef<TokenId>(ids.data(), ids.size()), at::kInt).to(device, at::kLong).unsqueeze(0);
  const auto hidden = model.forward_ids(tensor, {.cache = &cache});
  return model.logits(hidden.narrow(1, hidden.size(1) - 1, 1)).flatten().to(at::kCPU, at::kFloat).contiguous();
}

void check_prompt(const Model& model, std::span<const TokenId> prompt, const GenerationOptions& options) {
  const auto& shape = model.shape();
  if (!shape.causal)
    throw InputError("generate", "this model reads its texts from both sides and writes none{}",
                     model.reads_backwards() ? "" : "; `isotrope fill` completes its masks");
  if (prompt.empty()) throw InputError("generate", "the prompt is empty, and the model has no token to begin with");
  for (const auto id : prompt)
    if (id < 0 || id >= shape.vocab_size)
      throw InputError("generate", "token id {} is out of range for a vocabulary of {}", id, shape.vocab_size);
  const auto needed = static_cast<std::int64_t>(prompt.size()) + options.max_tokens;
  if (!options.slide && needed > shape.max_positions)
    throw with_hint(InputError("generate", "{} prompt tokens and {} new ones exceed the model's {} positions", prompt.size(),
                               options.max_tokens, shape.max_positions),
                    "ask for fewer with --max-tokens, or go on with the end of the text with --slide");
}

}  // namespace

std::vector<TokenId> generate(Model& model, std::span<const TokenId> prompt, const GenerationOptions& options,
                              const std::function<bool(TokenId)>& on_token) {
  check(options.sampling);
  check_prompt(model, prompt, options);
  const at::NoGradGuard no_grad;
  const auto positions = model.shape().max_positions;
  const auto room = std::min(positions, static_cast<std::int64_t>(prompt.size()) + options.max_tokens);
  std::vector<TokenId> text(prompt.begin(), prompt.end()), answer;
  auto cache = std::make_unique<KvCache>(room);
  auto fresh = std::min<std::int64_t>(static_cast<std::int64_t>(text.size()), positions);  // tokens at the end that the cache has not seen
  for (std::int64_t i = 0; i < options.max_tokens; ++i) {
    if (cache->length() + fresh > positions) {  // only with `slide`: start over with the last half
      cache = std::make_unique<KvCache>(positions);
      fresh = std::max<std::int64_t>(1, positions / 2);
    }
    auto logits = next_logits(model, std::span(text).last(fresh), *cache);
    if (options.vocab_size > 0) logits = logits.narrow(0, 0, std::min(logits.numel(), options.vocab_size));
    RandomStream random(options.seed, "generate", static_cast<std::uint64_t>(i));
    const auto id =
        choose_token({logits.mutable_data_ptr<float>(), static_cast<std::size_t>(logits.numel())}, text, options.sampling, random);
    if (std::ranges::find(options.stop_ids, id) != options.stop_ids.end()) break;
    text.push_back(id);
    answer.push_back(id);
    fresh = 1;
    if (on_token && !on_token(id)) break;
  }
  return answer;
}

}  // namespace isotrope
