#include "isotrope/models/registry.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"

namespace isotrope {

namespace {

std::vector<const Family*>& families() {
  static std::vector<const Family*> all;
  return all;
}

const Family& family_of(const nlohmann::json& config, const std::string& name) {
  const JsonReader reader(config, "model", name);
  std::vector<std::string> known;
  for (const auto* family : families()) known.insert(known.end(), family->architectures.begin(), family->architectures.end());
  std::string asked;
  if (reader.has("architectures")) {
    const auto& list = reader.get_array("architectures");
    if (!list.empty() && list[0].is_string()) asked = list[0].get<std::string>();
  }
  const auto type = reader.get_string("model_type", "");
  for (const auto* family : families()) {
    if (asked.empty() ? family->model_type != type : std::ranges::count(family->architectures, asked) == 0) continue;
    if (!type.empty() && type != family->model_type)
      throw InputError("model", "{}: architecture {} is of model_type {}, the file says {}", name, asked, family->model_type, type);
    return *family;
  }
  if (asked.empty()) asked = reader.get_string("model_type");
  const auto suggestion = nearest(asked, known);
  throw with_hint(InputError("model", "{}: architecture {} is not supported", name, asked),
                  suggestion.empty() ? "docs/guides/families.md lists those that are" : "did you mean " + suggestion + "?");
}

}  // namespace

Family::Family(std::string model_type, std::vector<std::string> architectures, Make make)
    : model_type(std::move(model_type)), architectures(std::move(architectures)), make(make) {
  families().push_back(this);
}

std::int64_t ConfigFields::integer(const std::string& key, std::optional<std::int64_t> fallback, std::int64_t min, std::int64_t max) {
  seen_.insert(key);
  const auto value = fallback ? reader_.get_int(key, *fallback) : reader_.get_int(key);
  if (value < min || value > max) throw InputError("model", "{}: {} = {} is out of range ({} to {})", name_, key, value, min, max);
  return value;
}

std::int64_t ConfigFields::layers(const std::string& key, std::optional<std::int64_t> fallback) {
  return integer(key, fallback, 0, 100'000);
}

std::int64_t ConfigFields::divided(const std::string& width_key, std::int64_t width, const std::string& heads_key,
                                   std::int64_t heads) const {
  if (width % heads != 0) throw InputError("model", "{}: {} = {} is not a multiple of {} = {}", name_, width_key, width, heads_key, heads);
  return width / heads;
}

double ConfigFields::rate(const std::string& key, double fallback) {
  const auto value = number(key, fallback);
  if (!(value >= 0 && value < 1)) throw InputError("model", "{}: {} = {} is no rate of dropout (0 ≤ p < 1)", name_, key, value);
  return rates_[key] = value;
}

std::vector<bool> ConfigFields::sliding_layers(std::int64_t layers, const std::function<bool(std::int64_t)>& otherwise) {
  seen_.insert("layer_types");
  std::vector<bool> slides;
  for (std::int64_t i = 0; i < layers; ++i) slides.push_back(otherwise(i));
  if (!reader_.has("layer_types")) return slides;
  const auto& types = reader_.get_array("layer_types");
  if (types.size() != slides.size()) throw InputError("model", "{}: layer_types has {} entries for {} layers", name_, types.size(), layers);
  for (std::size_t i = 0; i < slides.size(); ++i) {
    if (types[i] != "sliding_attention" && types[i] != "full_attention")
      throw InputError("model", "{}: layer type {} is not supported (full_attention, sliding_attention)", name_, types[i].dump());
    slides[i] = types[i] == "sliding_attention";
  }
  return slides;
}

std::string ConfigFields::architecture(const std::string& bare) const {
  const auto found = config_.find("architectures");
  return found != config_.end() && found->is_array() && !found->empty() && (*found)[0].is_string() ? (*found)[0].get<std::string>() : bare;
}

bool ConfigFields::is_bare() const {
  const auto name = architecture("");
  return (name.ends_with("Model") && !name.ends_with("HeadModel")) || classifies_sequences();
}

bool ConfigFields::classifies_sequences() const { return architecture("").ends_with("ForSequenceClassification"); }

double ConfigFields::number(const std::string& key, std::optional<double> fallback) {
  seen_.insert(key);
  return fallback ? reader_.get_number(key, *fallback) : reader_.get_number(key);
}

const std::string& ConfigFields::either(const std::string& key, const std::string& other) {
  if (!reader_.has(other)) return key;
  if (reader_.has(key) && config_.at(key) != config_.at(other))
    throw InputError("model", "{}: {} = {} and {} = {} are two names of one field", name_, key, config_.at(key).dump(), other,
                     config_.at(other).dump());
  seen_.insert(key), seen_.insert(other);
  return other;
}

double ConfigFields::positive(const std::string& key, std::optional<double> fallback) {
  const auto value = number(key, fallback);
  if (!(value > 0) || std::isinf(value)) throw InputError("model", "{}: {} = {} is not above 0", name_, key, value);
  return value;
}

std::vector<double> ConfigFields::numbers(const std::string& key, std::vector<double> fallback) {
  seen_.insert(key);
  if (!reader_.has(key)) return fallback;
  const auto& list = reader_.get_array(key);
  std::vector<double> values;
  for (const auto& entry : list)
    if (const auto number = json_number(entry); number && !std::isnan(*number)) values.push_back(*number);
  if (values.size() != list.size() || values.size() != fallback.size())
    throw InputError("model", "{}: \"{}\": expected {} numbers, got {}", name_, key, fallback.size(), list.dump());
  return values;
}

std::vector<std::pair<std::int64_t, std::int64_t>> ConfigFields::pairs(const std::string& key,
                                                                       std::vector<std::pair<std::int64_t, std::int64_t>> fallback) {
  seen_.insert(key);
  if (!reader_.has(key)) return fallback;
  constexpr std::int64_t largest = 1 << 20;
  const auto counts = [](const nlohmann::json& number) {
    return number.is_number_integer() && number.get<std::int64_t>() >= 1 && number.get<std::int64_t>() <= largest;
  };
  const auto& list = reader_.get_array(key);
  std::vector<std::pair<std::int64_t, std::int64_t>> values;
  for (const auto& entry : list)
    if (entry.is_array() && entry.size() == 2 && counts(entry[0]) && counts(entry[1])) values.emplace_back(entry[0], entry[1]);
  if (values.empty() || values.size() != list.size())
    throw InputError("model", "{}: \"{}\": expected pairs of whole numbers from 1 to {}, got {}", name_, key, largest, list.dump());
  return values;
}

std::pair<double, double> ConfigFields::interval(const std::string& key, double low, double high) {
  const auto ends = numbers(key, {low, high});
  if (ends[0] < 0 || ends[0] > ends[1])
    throw InputError("model", "{}: \"{}\": expected two numbers from 0 on, the smaller one first, got {} and {}", name_, key, ends[0],
                     ends[1]);
  return {ends[0], ends[1]};
}

bool ConfigFields::boolean(const std::string& key, bool fallback) {
  seen_.insert(key);
  return reader_.get_bool(key, fallback);
}

std::string ConfigFields::text(const std::string& key, const std::string& fallback) {
  seen_.insert(key);
  return reader_.get_string(key, fallback);
}

void ConfigFields::inert(std::initializer_list<const char*> keys) { seen_.insert(keys.begin(), keys.end()); }

void ConfigFields::only(const std::string& key, const nlohmann::json& value) {
  seen_.insert(key);
  if (reader_.has(key) && config_.at(key) != value)
    throw InputError("model", "{}: {} = {} is not supported (only {})", name_, key, config_.at(key).dump(), value.dump());
}

void ConfigFields::finish() const {
  // What transformers writes into every config: bookkeeping of files, generation and training code.
  static const std::set<std::string> bookkeeping{"architectures",
                                                 "model_type",
                                                 "torch_dtype",
                                                 "dtype",
                                                 "transformers_version",
                                                 "_name_or_path",
                                                 "use_cache",
                                                 "bos_token_id",
                                                 "eos_token_id",
                                                 "pad_token_id",
                                                 "unk_token_id",
                                                 "sep_token_id",
                                                 "decoder_start_token_id",
                                                 "output_attentions",
                                                 "output_hidden_states",
                                                 "return_dict",
                                                 "id2label",
                                                 "label2id",
                                                 "problem_type",
                                                 "task_specific_params",
                                                 "is_encoder_decoder",
                                                 "chunk_size_feed_forward",
                                                 "initializer_range",
                                                 "is_decoder"};
  std::vector<std::string> ignored;
  for (const auto& [key, value] : config_.items())
    if (!seen_.contains(key) && !bookkeeping.contains(key) && !value.is_null()) ignored.push_back(key);
  if (!ignored.empty())
    warn_once("model-fields " + name_, fmt::format("[model] {}: fields without effect here: {}", name_, fmt::join(ignored, ", ")));
}

std::vector<std::string> known_model_types() {
  std::vector<std::string> types;
  for (const auto* family : families()) types.push_back(family->model_type);
  std::ranges::sort(types);
  return types;
}

std::string model_type_of(const nlohmann::json& config, const std::string& name) { return family_of(config, name).model_type; }

std::unique_ptr<Model> make_model(const nlohmann::json& config, const ModelOptions& options, const std::string& name) {
  const auto& family = family_of(config, name);
  if (const auto quantized = config.find("quantization_config"); quantized != config.end() && !quantized->is_null())
    throw with_hint(InputError("model", "{}: quantization_config: folders of quantized weights are not read", name),
                    "take the folder they were made of, or a GGUF file");
  ConfigFields fields(config, name);
  auto model = family.make(fields, options);
  fields.finish();
  model->dropout_rates_ = fields.rates();
  model->config_["model_type"] = family.model_type;  // transformers reads no folder without it
  return model;
}

}  // namespace isotrope
