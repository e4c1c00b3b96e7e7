#include "isotrope/infer/embed.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "isotrope/base/error.h"
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

/// Texts that are computed together, side by side in one row.
struct Row {
  std::vector<std::size_t> texts;
  std::int64_t tokens = 0;
};

void check_texts(const Model& model, std::span<const TokenSequence> texts) {
  const auto& shape = model.shape();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto length = static_cast<std::int64_t>(texts[i].ids.size());
    if (length == 0) throw InputError("embed", "text {} has no tokens", i + 1);
    if (length > shape.max_positions)
      throw InputError("embed", "text {} has {} tokens, the model {} positions", i + 1, length, shape.max_positions);
    for (const auto id : texts[i].ids)
      if (id < 0 || id >= shape.vocab_size)
        throw InputError("embed", "text {}: token id {} is out of range for a vocabulary of {}", i + 1, id, shape.vocab_size);
  }
}

/// Rows of at most `batch_tokens`, texts of one length side by side: attention then runs over whole groups of them.
std::vector<Row> rows_of(std::span<const TokenSequence> texts, std::int64_t batch_tokens) {
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](auto a, auto b) { return texts[a].ids.size() > texts[b].ids.size(); });
  std::vector<Row> rows;
  for (const auto text : order) {
    const auto length = static_cast<std::int64_t>(texts[text].ids.size());
    if (rows.empty() || rows.back().tokens + length > batch_tokens) rows.emplace_back();
    rows.back().texts.push_back(text);
    rows.back().tokens += length;
  }
  return rows;
}

struct RowInput {
  at::Tensor ids, types, documents;  // [1, tokens]
  std::vector<std::int64_t> starts;  // of each text, and the end of the last
};

RowInput input_of(const Row& row, std::span<const TokenSequence> texts) {
  RowInput input;
  std::vector<std::int64_t> ids, types, documents;
  for (const auto text : row.texts) {
    const auto& [text_ids, text_types] = texts[text];
    input.starts.push_back(static_cast<std::int64_t>(ids.size()));
    ids.insert(ids.end(), text_ids.begin(), text_ids.end());
    types.insert(types.end(), text_types.begin(), text_types.end());
    types.resize(ids.size());
    documents.resize(ids.size(), static_cast<std::int64_t>(input.starts.size()) - 1);
  }
  input.starts.push_back(static_cast<std::int64_t>(ids.size()));
  const auto tensor = [](const std::vector<std::int64_t>& values) { return at::tensor(values).unsqueeze(0); };
  input.ids = tensor(ids), input.types = tensor(types), input.documents = tensor(documents);
  return input;
}

/// The chosen hidden states of one row, [tokens, d] fp32.
at::Tensor hidden_states(Model& model, const RowInput& input, const EmbedOptions& options) {
  const auto device = model.parameters().options().device();
  const auto layers = model.shape().layers;
  std::vector<at::Tensor> found(options.layers.size());
  const auto wanted = [&](std::int64_t layer) { return layer < 0 ? layers + 1 + layer : layer; };
  const Tap tap([&](std::string_view point, std::int64_t layer, const at::Tensor& value) {
    const auto index = point == "embed" ? 0 : point == "resid_post" ? layer + 1 : -1;
    for (std::size_t i = 0; i < found.size(); ++i)
      if (wanted(options.layers[i]) == index) found[i] = value.squeeze(0).to(at::kFloat);
  });
  const auto last = model.forward_ids(
      input.ids.to(device),
      {.documents = input.documents.to(device), .token_types = input.types.to(device), .tap = options.layers.empty() ? Tap() : tap});
  if (options.layers.empty()) return last.squeeze(0).to(at::kFloat);
  if (options.concatenate) return at::cat(found, 1);
  auto sum = found[0];
  for (std::size_t i = 1; i < found.size(); ++i) sum = sum + found[i];
  return sum;
}

/// [texts, d] of [tokens, d].
at::Tensor pooled(const at::Tensor& hidden, const std::vector<std::int64_t>& starts, Pooling pooling) {
  const auto begin = at::tensor(starts).narrow(0, 0, static_cast<std::int64_t>(starts.size()) - 1).to(hidden.device());
  const auto end = at::tensor(starts).narrow(0, 1, static_cast<std::int64_t>(starts.size()) - 1).to(hidden.device());
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
  check_texts(model, texts);
  const at::NoGradGuard no_grad;
  std::vector<std::int64_t> first(texts.size() + 1, 0);  // of each text, in the output
  for (std::size_t i = 0; i < texts.size(); ++i)
    first[i + 1] = first[i] + (options.pooling == Pooling::none ? static_cast<std::int64_t>(texts[i].ids.size()) : 1);
  at::Tensor out;
  std::int64_t done = 0;
  for (const auto& row : rows_of(texts, options.batch_tokens)) {
    if (options.stop_requested && options.stop_requested()) throw Interrupted("embed", "after {} of {} texts", done, texts.size());
    const auto input = input_of(row, texts);
    auto features = pooled(hidden_states(model, input, options), input.starts, options.pooling);
    if (options.normalize) features = features / features.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
    features = features.to(at::kCPU);
    if (!out.defined()) out = at::empty({first.back(), features.size(1)}, features.options());
    std::int64_t from = 0;
    for (const auto text : row.texts) {
      const auto count = first[text + 1] - first[text];
      out.narrow(0, first[text], count).copy_(features.narrow(0, from, count));
      from += count;
    }
    done += static_cast<std::int64_t>(row.texts.size());
    if (options.progress) options.progress(done);
  }
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
