// One range of AdamW's update, the working copy, where there is one, in the same pass; and sums of squares.

inline Floats root(Floats x) {
#if ISOTROPE_ISA_LEVEL >= 2
  return reinterpret_cast<Floats>(_mm512_sqrt_ps(reinterpret_cast<__m512>(x)));
#else
  Floats y;
  for (std::int64_t i = 0; i < lanes; ++i) y[i] = std::sqrt(x[i]);
  return y;
#endif
}

inline void update_range(float* w, float* m, float* v, const float* g, c10::BFloat16* working, std::int64_t n, const AdamWConstants& c) {
  for (std::int64_t i = 0; i < n; i += lanes) {
    const auto left = n - i;
    const Floats gradient = load_upto(g + i, left) * c.gradient_scale, before = load_upto(m + i, left);
    const Floats mean = before + c.mean_weight * (gradient - before);
    const Floats square = c.beta2 * load_upto(v + i, left) + c.square_weight * gradient * gradient;
    const Floats weight = load_upto(w + i, left) * c.decay - c.step_size * mean / (root(square) * c.root_correction + c.eps);
    store_upto(m + i, mean, left);
    store_upto(v + i, square, left);
    store_upto(w + i, weight, left);
    if (working) store_upto(working + i, weight, left);
  }
}

inline double squares_of(const float* x, std::int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}
