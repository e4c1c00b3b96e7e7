#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "isotrope/io/json.h"
#include "isotrope/models/model.h"

namespace isotrope {

/// config.json read field by field; what no one asked for is named at the end, so that no setting is ignored in silence.
class ConfigFields {
 public:
  ConfigFields(const nlohmann::json& config, std::string name) : config_(config), reader_(config, "model", name), name_(std::move(name)) {}

  /// InputError below `min` or above `max`.
  std::int64_t integer(const std::string& key, std::optional<std::int64_t> fallback = std::nullopt, std::int64_t min = 1,
                       std::int64_t max = std::int64_t{1} << 31);
  /// A number of layers, 0 to 100,000.
  std::int64_t layers(const std::string& key, std::optional<std::int64_t> fallback = std::nullopt);
  /// width / heads, two fields that have been read; InputError where the heads do not divide the width.
  std::int64_t divided(const std::string& width_key, std::int64_t width, const std::string& heads_key, std::int64_t heads) const;
  /// A rate of dropout; InputError outside [0, 1).
  double rate(const std::string& key, double fallback);
  const std::map<std::string, double>& rates() const { return rates_; }  ///< all that were read so
  /// layer_types: which layers' attention slides over a window; `otherwise` says it where the field is absent. InputError for another type.
  std::vector<bool> sliding_layers(std::int64_t layers, const std::function<bool(std::int64_t)>& otherwise);
  /// The first of `architectures`, which says what heads a folder holds; `bare`, the model without any, where there is none.
  std::string architecture(const std::string& bare) const;
  /// Whether that has no language-modelling head: LlamaModel, LlamaForSequenceClassification, but not GPT2LMHeadModel.
  bool is_bare() const;
  bool classifies_sequences() const;  ///< whether its head is one for whole texts: LlamaForSequenceClassification
  double number(const std::string& key, std::optional<double> fallback = std::nullopt);
  /// InputError unless it is above 0 and finite.
  double positive(const std::string& key, std::optional<double> fallback = std::nullopt);
  /// That of two names of one field which the file has; `key` where it has none. InputError where it has both and they differ.
  const std::string& either(const std::string& key, const std::string& other);
  /// A list of as many numbers as the fallback has; infinities as Python or transformers write them.
  std::vector<double> numbers(const std::string& key, std::vector<double> fallback);
  /// A list of pairs of whole numbers ≥ 1, not empty.
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs(const std::string& key,
                                                           std::vector<std::pair<std::int64_t, std::int64_t>> fallback);
  /// Two numbers, 0 ≤ the first ≤ the second.
  std::pair<double, double> interval(const std::string& key, double low, double high);
  bool boolean(const std::string& key, bool fallback);
  std::string text(const std::string& key, const std::string& fallback);
  bool has(const std::string& key) const { return reader_.has(key); }
  /// Marks fields that are read elsewhere or decide nothing that this program computes.
  void inert(std::initializer_list<const char*> keys);
  /// InputError unless the field is absent or equals `value`: another value asks for something that is not built.
  void only(const std::string& key, const nlohmann::json& value);
  /// Warns once of every field that was neither read nor declared inert.
  void finish() const;

  const nlohmann::json& json() const { return config_; }
  const std::string& name() const { return name_; }

 private:
  const nlohmann::json& config_;
  JsonReader reader_;
  std::string name_;
  std::set<std::string> seen_;
  std::map<std::string, double> rates_;
};

/// A family registers itself from its own file:
///   const Family llama_family{"llama", {"LlamaForCausalLM"}, [](auto& fields, auto& options) { return std::make_unique<Llama>(fields, options); }};
class Family {
 public:
  using Make = std::unique_ptr<Model> (*)(ConfigFields& fields, const ModelOptions& options);
  Family(std::string model_type, std::vector<std::string> architectures, Make make);

  std::string model_type;
  std::vector<std::string> architectures;
  Make make;
};

/// The model_type of every family, sorted.
std::vector<std::string> known_model_types();
/// The family's model_type that make_model takes for this config, which need not say it itself. InputError when there is none.
std::string model_type_of(const nlohmann::json& config, const std::string& name);

}  // namespace isotrope
