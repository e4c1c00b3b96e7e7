#include "isotrope/infer/embed.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/infer/states.h"
#include "isotrope/io/json.h"

namespace isotrope {

Pooling pooling_from_name(const std::string& name) {
  if (name == "mean") return Pooling::mean;
  if (name == "cls") return Pooling::cls;
  if (name == "last") return Pooling::last;
  if (name == "max") return Pooling::max;
  if (name == "none") return Pooling::none;
  throw UsageError("embed", "pooling {} is not one of mean, cls, last, max, none", name);
}

namespace {

/// Of a layer as EmbedOptions counts them, its tap.
std::pair<std::string_view, std::int64_t> tap_of(const Model& model, std::int64_t layer) {
  const auto index = layer < 0 ? model.shape().layers + 1 + layer : layer;
  return index == 0 ? std::pair<std::string_view, std::int64_t>{"embed", -1}
                    : std::pair<std::string_view, std::int64_t>{"resid_post", index - 1};
}

/// [texts, d] of [tokens, d].
at::Tensor pooled(const at::Tensor& hidden, std::span<const std::int64_t> starts, Pooling pooling) {
  const auto begin = at::tensor(at::ArrayRef<std::int64_t>(starts.data(), starts.size()))
                         .narrow(0, 0, static_cast<std::int64_t>(starts.size()) - 1)
                         .to(hidden.device());
  const auto end = at::tensor(at::ArrayRef<std::int64_t>(starts.data(), starts.size()))
                       .narrow(0, 1, static_cast<std::int64_t>(starts.size()) - 1)
                       .to(hidden.device());
  switch (pooling) {
    case Pooling::cls: return hidden.index_select(0, begin);
    case Pooling::last: return hidden.index_select(0, end - 1);
    case Pooling::mean: return at::segment_reduce(hidden, "mean", end - begin);
    case Pooling::max: return at::segment_reduce(hidden, "max", end - begin);
    case Pooling::none: return hidden;
  }
  return hidden;
}

void check_layers(const Model& model, const EmbedOptions& options) {
  const auto layers = model.shape().layers;
  for (const auto layer : options.layers)
    if (layer > layers || layer < -layers - 1)
      throw UsageError("embed", "layer {} is not there: 0 is the embedding, {} or -1 the last of {} blocks", layer, layers, layers);
}

}  // namespace

at::Tensor embed(Model& model, std::span<const TokenSequence> texts, const EmbedOptions& options) {
  check_layers(model, options);
  const at::NoGradGuard no_grad;
  std::vector<std::int64_t> first(texts.size() + 1, 0);  // of each text, in the output
  for (std::size_t i = 0; i < texts.size(); ++i)
    first[i + 1] = first[i] + (options.pooling == Pooling::none ? static_cast<std::int64_t>(texts[i].ids.size()) : 1);
  std::vector<std::pair<std::string_view, std::int64_t>> points;
  for (const auto layer : options.layers) points.push_back(tap_of(model, layer));
  if (points.empty()) points.push_back({"hidden", -1});
  at::Tensor out;
  std::vector<at::Tensor> found(points.size());
  std::int64_t done = 0;
  const auto store = [&](const StateBlock& block) {
    auto hidden = options.concatenate ? at::cat(found, 1) : found[0];
    for (std::size_t i = 1; i < found.size() && !options.concatenate; ++i) hidden = hidden + found[i];
    auto features = pooled(hidden, block.starts, options.pooling);
    if (options.normalize) features = features / features.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
    features = features.to(at::kCPU);
    if (!out.defined()) out = at::empty({first.back(), features.size(1)}, features.options());
    std::int64_t from = 0;
    for (const auto text : block.sequences) {
      const auto count = first[text + 1] - first[text];
      out.narrow(0, first[text], count).copy_(features.narrow(0, from, count));
      from += count;
    }
    done += std::ssize(block.sequences);
    if (options.progress) options.progress(done);
  };
  const auto wanted = [&](std::string_view point, std::int64_t layer) {
    return point == "hidden" || std::ranges::find(points, std::pair(point, layer)) != points.end();
  };
  collect_states(model, texts, {.wanted = wanted, .batch_tokens = options.batch_tokens, .stop_requested = options.stop_requested},
                 [&](const StateBlock& block) {
                   for (std::size_t i = 0; i < points.size(); ++i)
                     if (points[i] == std::pair(block.point, block.layer)) found[i] = block.states.to(at::kFloat);
                   if (block.point == "hidden") store(block);
                 });
  return out.defined() ? out : at::empty({0, model.shape().width});
}

namespace {

Pooling read_pooling(const std::filesystem::path& file) {
  const auto json = read_json(file, "embed");
  const JsonReader reader(json, "embed", file.string());
  std::vector<Pooling> asked;
  const std::pair<const char*, Pooling> modes[] = {{"pooling_mode_cls_token", Pooling::cls},
                                                   {"pooling_mode_mean_tokens", Pooling::mean},
                                                   {"pooling_mode_max_tokens", Pooling::max},
                                                   {"pooling_mode_lasttoken", Pooling::last}};
  for (const auto& [key, pooling] : modes)
    if (reader.get_bool(key, false)) asked.push_back(pooling);
  for (const auto* key : {"pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens"})
    if (reader.get_bool(key, false)) throw InputError("embed", "{}: {} is not supported", file.string(), key);
  if (!reader.get_bool("include_prompt", true)) throw InputError("embed", "{}: include_prompt = false is not supported", file.string());
  if (asked.size() != 1) throw InputError("embed", "{}: {} ways of pooling, expected one", file.string(), asked.size());
  return asked.front();
}

}  // namespace

std::optional<SentenceRecipe> read_sentence_recipe(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / "modules.json")) return std::nullopt;
  const auto name = (folder / "modules.json").string();
  const auto modules = read_json(folder / "modules.json", "embed");
  if (!modules.is_array()) throw InputError("embed", "{}: expected a list of modules, got {}", name, json_kind(modules));
  SentenceRecipe recipe;
  for (const auto& module : modules) {
    const JsonReader reader(module, "embed", name);
    const auto type = reader.get_string("type");
    const auto kind = type.substr(type.rfind('.') + 1);
    if (kind == "Pooling") recipe.pooling = read_pooling(folder / reader.get_string("path", "") / "config.json");
    else if (kind == "Normalize") recipe.normalize = true;
    else if (kind == "Transformer" && !reader.get_string("path", "").empty())
      throw InputError("embed", "{}: the model lies in {}, expected beside modules.json", name, reader.get_string("path", ""));
    else if (kind != "Transformer")
      throw InputError("embed", "{}: module {} is not supported (Transformer, Pooling, Normalize)", name, type);
  }
  for (const auto* kind : {"bert", "roberta", "distilbert", "albert", "xlm-roberta", "camembert", "xlnet"}) {
    const auto file = folder / fmt::format("sentence_{}_config.json", kind);
    if (!std::filesystem::exists(file)) continue;
    const auto json = read_json(file, "embed");
    const JsonReader settings(json, "embed", file.string());
    recipe.max_length = settings.get_int("max_seq_length", 0);
    if (settings.get_bool("do_lower_case", false)) throw InputError("embed", "{}: do_lower_case = true is not supported", file.string());
    break;
  }
  return recipe;
}

}  // namespace isotrope
