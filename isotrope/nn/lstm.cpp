#include "isotrope/nn/lstm.h"

#include <cmath>

namespace isotrope {

at::Tensor Lstm::operator()(const at::Tensor& x, const LstmOptions& options) const {
  return projected_lstm(gates(x), weight_hh, weight_hr, options);
}

Lstm add_lstm(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t cells, std::int64_t out) {
  const auto matrix = [&](const char* part, std::int64_t rows, std::int64_t columns, MatrixForm form = {}) {
    return parameters.add_matrix(name + part, {rows, columns}, ParameterClass::matrix, {.std = 1 / std::sqrt(static_cast<double>(columns))},
                                 std::move(form));
  };
  const MatrixForm gates{.parts = {cells, cells, cells, cells}};
  Lstm lstm;
  lstm.gates = matrix(".weight_ih", 4 * cells, in, gates);
  lstm.weight_hh = matrix(".weight_hh", 4 * cells, out, gates);
  lstm.gates.bias = parameters.add(name + ".bias", {4 * cells}, ParameterClass::vector, {Initialization::Kind::zeros});
  lstm.weight_hr = matrix(".weight_hr", out, cells);
  return lstm;
}

}  // namespace isotrope
