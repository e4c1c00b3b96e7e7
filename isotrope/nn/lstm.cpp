#include "isotrope/nn/lstm.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <vector>

namespace isotrope {

namespace {

/// libtorch says once that oneDNN has no projections; its own loop computes them all the same.
class Quiet final : public c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

at::Tensor forwards(const Lstm& lstm, const at::Tensor& x) {
  Quiet quiet;
  const c10::WarningUtils::WarningHandlerGuard guard(&quiet);
  const auto wide = [](const at::Tensor& w) { return w.to(at::kFloat); };
  const auto cells = lstm.weight_hr.size(1), out = lstm.weight_hr.size(0);
  auto remember = at::zeros({4 * cells}, x.options().dtype(at::kFloat));  // the 1 of the forget gate, in the place of a second bias
  remember.narrow(0, cells, cells).fill_(1);
  const auto zeros = [&](std::int64_t width) { return at::zeros({1, x.size(0), width}, remember.options()); };
  const std::vector<at::Tensor> state{zeros(out), zeros(cells)};
  const std::vector<at::Tensor> weights{wide(lstm.weight_ih), wide(lstm.weight_hh), wide(lstm.bias), remember, wide(lstm.weight_hr)};
  return std::get<0>(at::lstm(wide(x), state, weights, /*has_biases=*/true, /*num_layers=*/1, /*dropout=*/0.0, /*train=*/false,
                              /*bidirectional=*/false, /*batch_first=*/true))
      .to(x.scalar_type());
}

at::Tensor one_text(const Lstm& lstm, const at::Tensor& x, bool backwards) {
  return backwards ? forwards(lstm, x.flip(1)).flip(1) : forwards(lstm, x);
}

/// Lengths of the stretches of one document in a row.
std::vector<std::int64_t> lengths_of(const at::Tensor& documents) {
  const auto row = documents.to(at::kCPU).contiguous();
  const auto* number = row.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < row.numel(); ++i) {
    if (i > 0 && number[i] == number[i - 1]) ++lengths.back();
    else lengths.push_back(1);
  }
  return lengths;
}

}  // namespace

at::Tensor Lstm::operator()(const at::Tensor& x, const at::Tensor& documents, bool backwards) const {
  if (!documents.defined()) return one_text(*this, x, backwards);
  std::vector<at::Tensor> rows;
  for (std::int64_t row = 0; row < x.size(0); ++row) {
    std::vector<at::Tensor> texts;
    for (const auto& text : x.narrow(0, row, 1).split_with_sizes(lengths_of(documents[row]), 1))
      texts.push_back(one_text(*this, text, backwards));
    rows.push_back(at::cat(texts, 1));
  }
  return at::cat(rows, 0);
}

Lstm add_lstm(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t cells, std::int64_t out) {
  const auto matrix = [&](const char* part, std::int64_t rows, std::int64_t columns) {
    return parameters.add(name + part, {rows, columns}, ParameterClass::matrix, {.std = 1 / std::sqrt(static_cast<double>(columns))});
  };
  Lstm lstm;
  lstm.weight_ih = matrix(".weight_ih", 4 * cells, in);
  lstm.weight_hh = matrix(".weight_hh", 4 * cells, out);
  lstm.bias = parameters.add(name + ".bias", {4 * cells}, ParameterClass::vector, {Initialization::Kind::zeros});
  lstm.weight_hr = matrix(".weight_hr", out, cells);
  return lstm;
}

}  // namespace isotrope
