#include "isotrope/nn/character_cnn.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace isotrope {

at::Tensor character_table(std::span<const std::string> texts, std::int64_t length) {
  constexpr int begin = 256, end = 257, padding = 258;
  auto table = at::full({static_cast<std::int64_t>(texts.size()), length}, padding, at::kInt);
  auto* row = table.mutable_data_ptr<int>();
  for (const auto& text : texts) {
    const auto bytes = std::min(text.size(), static_cast<std::size_t>(length - 2));
    row[0] = begin;
    for (std::size_t i = 0; i < bytes; ++i) row[i + 1] = static_cast<unsigned char>(text[i]);
    row[bytes + 1] = end;
    row += length;
  }
  return table;
}

namespace {

at::Tensor wide_linear(const at::Tensor& x, const Linear& layer) {
  return at::linear(x, effective_weight(*layer.slot).to(x.scalar_type()), layer.bias.to(x.scalar_type()));
}

}  // namespace

at::Tensor CharacterCnn::operator()(const at::Tensor& table) const {
  const auto wide = [](const at::Tensor& w) { return w.scalar_type() == at::kDouble ? w : w.to(at::kFloat); };
  const auto text = at::embedding(wide(characters), table).transpose(1, 2);  // [N, e, L]
  std::vector<at::Tensor> found;
  for (const auto& filter : filters) {
    const auto weight = wide(filter.weight).view({filter.weight.size(0), characters.size(1), filter.width});
    found.push_back(at::conv1d(text, weight, wide(filter.bias)).amax(2).relu());
  }
  auto x = at::cat(found, 1);
  for (const auto& highway : highways) {
    const auto gate = wide_linear(x, highway.gate).sigmoid();
    x = gate * x + (1 - gate) * wide_linear(x, highway.transform).relu();
  }
  return wide_linear(x, projection).to(characters.scalar_type());
}

CharacterCnn add_character_cnn(Parameters& parameters, const std::string& name, std::int64_t character_width,
                               std::span<const std::pair<std::int64_t, std::int64_t>> filters, std::int64_t highways, std::int64_t out) {
  const auto std_of = [](std::int64_t columns) { return Initialization{.std = 1 / std::sqrt(static_cast<double>(columns))}; };
  const auto bias = [&](const std::string& part, std::int64_t size, Initialization::Kind kind = Initialization::Kind::zeros) {
    return parameters.add(name + part + ".bias", {size}, ParameterClass::vector, {kind});
  };
  const auto layer = [&](const std::string& part, std::int64_t rows, std::int64_t columns, Initialization::Kind kind) {
    Linear made(parameters.add_matrix(name + part + ".weight", {rows, columns}, ParameterClass::matrix, std_of(columns)));
    made.bias = bias(part, rows, kind);
    return made;
  };
  CharacterCnn cnn;
  cnn.characters = parameters.add(name + ".characters", {character_count, character_width}, ParameterClass::embedding, {.std = 1});
  std::int64_t n = 0;
  for (const auto& [width, count] : filters) {
    const auto part = ".filters." + std::to_string(cnn.filters.size());
    const auto taps = parameters.add(name + part + ".weight", {count, character_width * width}, ParameterClass::matrix,
                                     std_of(character_width * width), {.convolution = true});
    cnn.filters.push_back({width, taps, bias(part, count)});
    n += count;
  }
  for (std::int64_t i = 0; i < highways; ++i) {
    const auto part = ".highways." + std::to_string(i);
    const auto transform = layer(part + ".transform", n, n, Initialization::Kind::zeros);
    // A gate that begins above 1/2 carries more than it changes.
    cnn.highways.push_back({transform, layer(part + ".gate", n, n, Initialization::Kind::ones)});
  }
  cnn.projection = layer(".projection", out, n, Initialization::Kind::zeros);
  return cnn;
}

}  // namespace isotrope
