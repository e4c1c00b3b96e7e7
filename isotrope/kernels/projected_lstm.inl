// One token of one row: what happens between the matrix products. Lanes run over the cells.

inline Floats sigmoid(Floats x) { return 1.0f / (1.0f + exp(-x)); }

/// Cephes' polynomial below 0.625, where the other form would lose the digits of a small number.
inline Floats tanh(Floats x) {
  const Floats far = 1.0f - 2.0f / (1.0f + exp(x + x)), z = x * x;
  Floats p = splat(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  return z < 0.390625f ? p * z * x + x : far;
}

/// z [4][cells]: gates before, their values after. c_before null: a text begins.
inline void lstm_cell_forward(float* z, const float* c_before, float* c, float* u, std::int64_t cells) {
  for (std::int64_t k = 0; k < cells; k += lanes) {
    const auto n = cells - k;
    const Floats i = sigmoid(load_upto(z + k, n)), f = sigmoid(load_upto(z + cells + k, n) + 1.0f);
    const Floats g = tanh(load_upto(z + 2 * cells + k, n)), o = sigmoid(load_upto(z + 3 * cells + k, n));
    const Floats now = i * g + (c_before ? f * load_upto(c_before + k, n) : Floats{});
    store_upto(z + k, i, n), store_upto(z + cells + k, f, n), store_upto(z + 2 * cells + k, g, n), store_upto(z + 3 * cells + k, o, n);
    store_upto(c + k, now, n);
    store_upto(u + k, o * tanh(now), n);
  }
}

/// z: the values of the gates, then the gradients of what came in. dc: the gradient of c that the next token leaves, then what this one leaves.
inline void lstm_cell_backward(float* z, const float* c_before, const float* c, const float* du, float* dc, std::int64_t cells) {
  for (std::int64_t k = 0; k < cells; k += lanes) {
    const auto n = cells - k;
    const Floats i = load_upto(z + k, n), f = load_upto(z + cells + k, n), g = load_upto(z + 2 * cells + k, n);
    const Floats o = load_upto(z + 3 * cells + k, n), t = tanh(load_upto(c + k, n)), gradient = load_upto(du + k, n);
    const Floats d = load_upto(dc + k, n) + gradient * o * (1.0f - t * t), before = c_before ? load_upto(c_before + k, n) : Floats{};
    store_upto(z + k, d * g * i * (1.0f - i), n);
    store_upto(z + cells + k, d * before * f * (1.0f - f), n);
    store_upto(z + 2 * cells + k, d * i * (1.0f - g * g), n);
    store_upto(z + 3 * cells + k, gradient * t * o * (1.0f - o), n);
    store_upto(dc + k, c_before ? d * f : Floats{}, n);
  }
}
