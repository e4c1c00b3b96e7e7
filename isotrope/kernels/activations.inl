// silu(gate) · up and GELU with their gradients, over ranges; T is float or BFloat16, all arithmetic in float.

template <class T>
inline void swiglu_forward(const T* gate, const T* up, T* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += lanes) {
    const Floats g = load_upto(gate + i, n - i);
    store_upto(y + i, g / (1.0f + exp(-g)) * load_upto(up + i, n - i), n - i);
  }
}

template <class T>
inline void swiglu_backward(const T* gate, const T* up, const T* dy, T* dgate, T* dup, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += lanes) {
    const Floats g = load_upto(gate + i, n - i), d = load_upto(dy + i, n - i);
    const Floats sigmoid = 1.0f / (1.0f + exp(-g)), silu = g * sigmoid;
    store_upto(dgate + i, d * load_upto(up + i, n - i) * (sigmoid + silu * (1.0f - sigmoid)), n - i);
    store_upto(dup + i, d * silu, n - i);
  }
}

/// ½(1 + tanh u) = 1 / (1 + e^−2u), u = √(2/π) (x + 0.044715 x³).
inline Floats tanh_gate(Floats x) { return 1.0f / (1.0f + exp(x * (x * x * -0.0713548163f - 1.5957691216f))); }

template <class T>
inline void gelu_tanh_forward(const T* x, T* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += lanes) {
    const Floats v = load_upto(x + i, n - i);
    store_upto(y + i, v * tanh_gate(v), n - i);
  }
}

/// d/dx x·s = s + x · s (1 − s) · 2u′.
template <class T>
inline void gelu_tanh_backward(const T* x, const T* dy, T* dx, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += lanes) {
    const Floats v = load_upto(x + i, n - i), s = tanh_gate(v);
    const Floats derivative = s + v * s * (1.0f - s) * (1.5957691216f + v * v * 0.2140644488f);
    store_upto(dx + i, load_upto(dy + i, n - i) * derivative, n - i);
  }
}

template <class T>
inline void silu_forward(const T* x, T* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += lanes) {
    const Floats v = load_upto(x + i, n - i);
    store_upto(y + i, v / (1.0f + exp(-v)), n - i);
  }
}

/// x/2 · (1 + erf(x/√2)), erf to 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26).
template <class T>
inline void gelu_forward(const T* x, T* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += lanes) {
    const Floats v = load_upto(x + i, n - i), z = v * 0.70710678f, size = z < 0.0f ? -z : z;
    const Floats t = 1.0f / (1.0f + 0.3275911f * size);
    Floats p = splat(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const Floats rest = p * t * exp(-(size * size));  // 1 − erf |z|
    store_upto(y + i, v * 0.5f * (z < 0.0f ? rest : 2.0f - rest), n - i);
  }
}
