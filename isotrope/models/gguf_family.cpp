#include "isotrope/models/gguf_family.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"

namespace isotrope {

// ---- names --------------------------------------------------------------------------------------------------------

namespace {

/// What stands at {} of `pattern` in `text`; "" for a pattern without it that is the text; nothing when they do not fit.
std::optional<std::string_view> layer_in(std::string_view pattern, std::string_view text) {
  const auto hole = pattern.find("{}");
  if (hole == pattern.npos) return pattern == text ? std::optional(std::string_view{}) : std::nullopt;
  const auto before = pattern.substr(0, hole), after = pattern.substr(hole + 2);
  if (text.size() <= before.size() + after.size() || !text.starts_with(before) || !text.ends_with(after)) return std::nullopt;
  const auto number = text.substr(before.size(), text.size() - before.size() - after.size());
  const bool digits = std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
  return digits ? std::optional(number) : std::nullopt;
}

std::optional<Translated> translate(std::span<const GgufName> names, std::string_view GgufName::* from, std::string_view GgufName::* to,
                                    std::string_view name) {
  const auto dot = name.rfind('.');
  const auto ending = dot == name.npos ? std::string_view{} : name.substr(dot);
  if (ending != ".weight" && ending != ".bias") return std::nullopt;
  for (const auto& entry : names) {
    const auto layer = layer_in(entry.*from, name.substr(0, dot));
    if (!layer) continue;
    std::string out(entry.*to);
    if (const auto hole = out.find("{}"); hole != out.npos) out.replace(hole, 2, *layer);
    return Translated{out + std::string(ending), entry.order};
  }
  return std::nullopt;
}

}  // namespace

std::optional<Translated> to_hf(std::span<const GgufName> names, std::string_view gguf) {
  return translate(names, &GgufName::gguf, &GgufName::hf, gguf);
}
std::optional<Translated> to_gguf(std::span<const GgufName> names, std::string_view hf) {
  return translate(names, &GgufName::hf, &GgufName::gguf, hf);
}

at::Tensor in_file_order(const at::Tensor& parameter, GgufOrder order, const ModelShape& shape) {
  const auto pairs = [&](std::int64_t heads) {
    std::vector<std::int64_t> sizes{heads, 2, shape.head_dim / 2};
    if (parameter.dim() == 2) sizes.push_back(parameter.size(1));
    return parameter.view(sizes).transpose(1, 2);
  };
  switch (order) {
    case GgufOrder::same: return parameter;
    case GgufOrder::query_pairs: return pairs(shape.heads);
    case GgufOrder::key_pairs: return pairs(shape.kv_heads);
    case GgufOrder::transposed: return parameter.dim() == 2 ? parameter.t() : parameter;
  }
  return parameter;
}

// ---- metadata -----------------------------------------------------------------------------------------------------

std::int64_t GgufFields::integer(const std::string& key) {
  seen_.insert(key);
  const auto whole = prefix_ + key;
  const auto* value = file_.value(whole);
  if (!value || !std::holds_alternative<GgufArray>(*value)) return file_.get_int(whole);
  const auto each = file_.get_ints(whole);
  if (each.empty() || std::ranges::any_of(each, [&](auto n) { return n != each.front(); }))
    throw InputError("gguf", "{}: metadata {} differs between layers, which is not supported", name(), whole);
  return each.front();
}

double GgufFields::number(const std::string& key) {
  seen_.insert(key);
  const auto* value = file_.value(prefix_ + key);
  if (value && std::holds_alternative<float>(*value)) return std::stod(fmt::format("{}", std::get<float>(*value)));
  return file_.get_number(prefix_ + key);
}

std::string GgufFields::text(const std::string& key, const std::string& fallback) {
  seen_.insert(key);
  return file_.get_string(prefix_ + key, fallback);
}

void GgufFields::inert(std::initializer_list<const char*> keys) { seen_.insert(keys.begin(), keys.end()); }

void GgufFields::finish() const {
  std::vector<std::string> ignored;
  for (const auto& [key, value] : file_.metadata())
    if (key.starts_with(prefix_) && !seen_.contains(key.substr(prefix_.size()))) ignored.push_back(key);
  if (!ignored.empty())
    warn_once("gguf-fields " + name(), fmt::format("[gguf] {}: metadata without effect here: {}", name(), fmt::join(ignored, ", ")));
}

// ---- Llama 3's rotation -------------------------------------------------------------------------------------------

namespace {

/// transformers' formula: wavelengths past length / low are stretched by the factor, those short of length / high are kept.
float llama3_factor(double wavelength, double factor, double low, double high, double length) {
  if (wavelength < length / high) return 1;
  if (wavelength > length / low) return static_cast<float>(factor);
  const double smooth = (length / wavelength - low) / (high - low);
  return static_cast<float>(1 / ((1 - smooth) / factor + smooth));
}

double wavelength_of(std::size_t pair, double theta, std::int64_t head_dim) {
  return 2 * std::numbers::pi * std::pow(theta, 2.0 * static_cast<double>(pair) / static_cast<double>(head_dim));
}

}  // namespace

std::vector<float> llama3_rope_factors(const nlohmann::json& scaling, double theta, std::int64_t head_dim) {
  std::vector<float> factors;
  for (std::size_t i = 0; i < static_cast<std::size_t>(head_dim / 2); ++i)
    factors.push_back(llama3_factor(wavelength_of(i, theta, head_dim), scaling.at("factor"), scaling.at("low_freq_factor"),
                                    scaling.at("high_freq_factor"), scaling.at("original_max_position_embeddings")));
  return factors;
}

std::optional<nlohmann::json> llama3_scaling_of(std::span<const float> factors, double theta) {
  if (factors.empty()) return std::nullopt;
  const auto head_dim = 2 * static_cast<std::int64_t>(factors.size());
  // The file holds the result alone. Llama 3.1 and its kin have low 1, high 4 and a power of two for a length, mostly the first.
  std::vector<std::int64_t> lengths{8192};
  for (std::int64_t length = 64; length <= 1 << 20; length *= 2) lengths.push_back(length);
  for (const auto length : lengths) {
    const nlohmann::json scaling{{"rope_type", "llama3"},
                                 {"factor", static_cast<double>(*std::ranges::max_element(factors))},
                                 {"low_freq_factor", 1.0},
                                 {"high_freq_factor", 4.0},
                                 {"original_max_position_embeddings", length}};
    const auto expected = llama3_rope_factors(scaling, theta, head_dim);
    if (std::ranges::equal(factors, expected, [](float a, float b) { return std::abs(a - b) <= 1e-4f * b; })) return scaling;
  }
  return std::nullopt;
}

}  // namespace isotrope
