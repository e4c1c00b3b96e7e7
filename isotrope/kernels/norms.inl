// One row of a norm, alone or of the sum x + delta; T is float or BFloat16, all arithmetic in float.

/// y = norm(x + delta) · gain; the sum, rounded as T, goes to `sum` and is what is normalised. Without delta, x alone. Returns 1/rms.
template <class T>
inline float rms_forward(const T* x, const T* delta, const T* gain, T* sum, T* y, std::int64_t d, float eps) {
  Floats squares{};
  for (std::int64_t i = 0; i < d; i += lanes) {
    Floats v = load_upto(x + i, d - i);
    if (delta) {
      store_upto(sum + i, v + load_upto(delta + i, d - i), d - i);
      v = load_upto(sum + i, d - i);
    }
    squares += v * v;
  }
  const float scale = 1.0f / std::sqrt(sum_of(squares) / static_cast<float>(d) + eps);
  const T* from = delta ? sum : x;
  for (std::int64_t i = 0; i < d; i += lanes) store_upto(y + i, load_upto(from + i, d - i) * scale * load_upto(gain + i, d - i), d - i);
  return scale;
}

/// dx (+ upstream, where the sum itself is used further on); adds to dgain.
template <class T>
inline void rms_backward(const T* x, const T* gain, const T* dy, const T* upstream, float scale, T* dx, float* dgain, std::int64_t d) {
  Floats dots{};
  for (std::int64_t i = 0; i < d; i += lanes) {
    const Floats g = load_upto(dy + i, d - i), v = load_upto(x + i, d - i);
    store_upto(dgain + i, load_upto(dgain + i, d - i) + g * v * scale, d - i);
    dots += g * load_upto(gain + i, d - i) * v;
  }
  const float along = sum_of(dots) * scale * scale / static_cast<float>(d);
  for (std::int64_t i = 0; i < d; i += lanes) {
    Floats gradient = scale * (load_upto(dy + i, d - i) * load_upto(gain + i, d - i) - load_upto(x + i, d - i) * along);
    if (upstream) gradient += load_upto(upstream + i, d - i);
    store_upto(dx + i, gradient, d - i);
  }
}

/// y = (v − mean) / sqrt(var + eps) · gain + bias, v = x + delta rounded as T. Variance by a second pass.
template <class T>
inline Moments layer_forward(const T* x, const T* delta, const T* gain, const T* bias, T* sum, T* y, std::int64_t d, float eps) {
  Floats total{};
  for (std::int64_t i = 0; i < d; i += lanes) {
    Floats v = load_upto(x + i, d - i);
    if (delta) {
      store_upto(sum + i, v + load_upto(delta + i, d - i), d - i);
      v = load_upto(sum + i, d - i);
    }
    total += v;
  }
  const T* from = delta ? sum : x;
  const float mean = sum_of(total) / static_cast<float>(d);
  Floats squares{};
  for (std::int64_t i = 0; i < d; i += lanes) {
    const Floats v = first_lanes(load_upto(from + i, d - i) - mean, d - i, 0.0f);
    squares += v * v;
  }
  const float scale = 1.0f / std::sqrt(sum_of(squares) / static_cast<float>(d) + eps);
  for (std::int64_t i = 0; i < d; i += lanes)
    store_upto(y + i, (load_upto(from + i, d - i) - mean) * scale * load_upto(gain + i, d - i) + load_upto(bias + i, d - i), d - i);
  return {mean, scale};
}

template <class T>
inline void layer_backward(const T* x, const T* gain, const T* dy, const T* upstream, Moments m, T* dx, float* dgain, float* dbias,
                           std::int64_t d) {
  Floats sums{}, dots{};
  for (std::int64_t i = 0; i < d; i += lanes) {
    const Floats g = load_upto(dy + i, d - i), v = (load_upto(x + i, d - i) - m.mean) * m.scale, s = g * load_upto(gain + i, d - i);
    store_upto(dgain + i, load_upto(dgain + i, d - i) + g * v, d - i);
    store_upto(dbias + i, load_upto(dbias + i, d - i) + g, d - i);
    sums += s;
    dots += s * v;
  }
  const float mean = sum_of(sums) / static_cast<float>(d), along = sum_of(dots) / static_cast<float>(d);
  for (std::int64_t i = 0; i < d; i += lanes) {
    const Floats v = (load_upto(x + i, d - i) - m.mean) * m.scale;
    Floats gradient = m.scale * (load_upto(dy + i, d - i) * load_upto(gain + i, d - i) - mean - v * along);
    if (upstream) gradient += load_upto(upstream + i, d - i);
    store_upto(dx + i, gradient, d - i);
  }
}
