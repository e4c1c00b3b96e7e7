// Rotation of one head's pairs (x_i, x_{i + half}); direction +1 turns, −1 turns back, which is also the gradient.
template <class T>
inline void rotate(const T* x, const float* cos, const float* sin, float direction, T* y, std::int64_t half) {
  for (std::int64_t i = 0; i < half; i += lanes) {
    const auto n = half - i;
    const Floats a = load_upto(x + i, n), b = load_upto(x + i + half, n), c = load_upto(cos + i, n), s = direction * load_upto(sin + i, n);
    store_upto(y + i, a * c - b * s, n);
    store_upto(y + i + half, b * c + a * s, n);
  }
}
