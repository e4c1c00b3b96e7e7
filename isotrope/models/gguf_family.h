#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/io/gguf.h"
#include "isotrope/models/model.h"

namespace isotrope {

/// How a weight lies in GGUF, seen from transformers' tensor.
enum class GgufOrder {
  same,
  query_pairs,  ///< rows of each head with the two numbers that turn together side by side, as llama.cpp's rotation for Llama wants them
  key_pairs,    ///< the same with the number of key-value heads
  transposed,   ///< [out, in] where transformers has [in, out]
};

/// One line of a family's table: a weight and its bias, {} for the number of the layer.
struct GgufName {
  std::string_view gguf, hf;
  GgufOrder order = GgufOrder::same;
};

/// A tensor's other name and its order.
struct Translated {
  std::string name;
  GgufOrder order;
};
std::optional<Translated> to_hf(std::span<const GgufName> names, std::string_view gguf);
std::optional<Translated> to_gguf(std::span<const GgufName> names, std::string_view hf);

/// The view of a parameter whose elements, in C order, lie as in the file.
at::Tensor in_file_order(const at::Tensor& parameter, GgufOrder order, const ModelShape& shape);

/// The metadata of one architecture, read field by field; what no one asked for is named at the end.
class GgufFields {
 public:
  GgufFields(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix) + ".") {}

  std::int64_t integer(const std::string& key);  ///< a number for each layer counts as one where all are equal
  std::int64_t integer(const std::string& key, std::int64_t fallback) { return has(key) ? integer(key) : fallback; }
  /// A float as its shortest decimal: 1e-05 is meant where the file holds 9.99999974e-06.
  double number(const std::string& key);
  double number(const std::string& key, double fallback) { return has(key) ? number(key) : fallback; }
  std::string text(const std::string& key, const std::string& fallback);
  bool has(const std::string& key) const { return file_.value(prefix_ + key); }
  bool has_tensor(std::string_view name) const { return file_.find(name); }
  void inert(std::initializer_list<const char*> keys);
  void finish() const;  ///< warns once of fields of the architecture that were neither read nor declared inert

  const GgufFile& file() const { return file_; }
  std::string name() const { return file_.path().string(); }

 private:
  const GgufFile& file_;
  std::string prefix_;
  std::set<std::string> seen_;
};

/// What llama.cpp calls an architecture, and how its files say what transformers' config.json says.
struct GgufFamily {
  std::string_view architecture;
  std::vector<std::string_view> model_types;  ///< in config.json
  std::vector<GgufName> names;
  nlohmann::json (*read_config)(GgufFields& fields);
  /// The architecture's metadata and tensors that stand for settings. InputError for a config that the architecture cannot say.
  void (*write_config)(const Model& model, GgufMetadata& metadata, std::map<std::string, std::vector<float>>& tensors);
};

/// The family of that name in general.architecture; null when there is none.
const GgufFamily* gguf_family(std::string_view architecture);
const GgufFamily* gguf_family_of_model_type(std::string_view model_type);
std::vector<std::string_view> gguf_architectures();

/// llama2.c's weights have Llama's names and order.
std::span<const GgufName> llama_gguf_names();

/// How much llama3's scaling stretches each wavelength, and what it was made from; nothing when the factors are of another make.
std::vector<float> llama3_rope_factors(const nlohmann::json& scaling, double theta, std::int64_t head_dim);
std::optional<nlohmann::json> llama3_scaling_of(std::span<const float> factors, double theta);

}  // namespace isotrope
