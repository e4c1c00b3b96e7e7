#include "isotrope/infer/fill.h"

#include <cstdio>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"

namespace isotrope::app {

void run_fill(const FillCommand& options) {
  const auto loaded = load(options.model, options.compute, options.common);
  const auto& tokenizer = *loaded.tokenizer;
  const auto mask = tokenizer.mask();
  if (loaded.model->shape().causal || !mask)
    throw InputError("fill", "{}: {}", loaded.folder.string(),
                     loaded.model->shape().causal ? "a decoder, which fills no masks; `isotrope generate` goes on from a text"
                                                  : "the tokenizer has no mask token");
  const auto text = options.pair.empty() ? tokenizer.encode_typed(options.text) : tokenizer.encode_pair(options.text, options.pair);
  if (std::ranges::find(text.ids, *mask) == text.ids.end())
    throw InputError("fill", "the text has no mask; this model's is {}", tokenizer.token_bytes(*mask));
  const auto found = fill_masks(*loaded.model, text, *mask, options.top_k, static_cast<std::int64_t>(tokenizer.vocab_size()));
  auto likeliest = text.ids;
  nlohmann::json masks = nlohmann::json::array();
  std::size_t next = 0;
  for (auto& id : likeliest) {
    if (id != *mask) continue;
    nlohmann::json candidates = nlohmann::json::array();
    for (const auto& [token, probability] : found[next])
      candidates.push_back({{"id", token}, {"token", tokenizer.decode(std::vector{token})}, {"probability", probability}});
    masks.push_back(candidates);
    id = found[next++].front().id;
  }
  const auto filled = tokenizer.decode(likeliest, {.skip_special_tokens = true});
  if (options.common.json) return print_json({{"text", filled}, {"masks", masks}});
  for (std::size_t i = 0; i < masks.size(); ++i) {
    std::puts(fmt::format("mask {}", i + 1).c_str());
    for (const auto& c : masks[i])
      std::puts(fmt::format("  {:6.2f}%  {}", 100 * c["probability"].get<double>(), c["token"].get<std::string>()).c_str());
  }
  std::puts(filled.c_str());
}

}  // namespace isotrope::app
