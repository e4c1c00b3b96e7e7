// One query of one head over the keys [begin, end); rows of keys and values are `k_stride` and `v_stride` apart. T is float or BFloat16.

/// scores[j − begin] = scale · q k_j + slope · (j − own); returns the largest.
template <class T>
inline float score_keys(const float* q, const T* keys, std::int64_t stride, std::int64_t begin, std::int64_t end, std::int64_t width,
                        float scale, float slope, std::int64_t own, float* scores) {
  Floats top = splat(-__builtin_inff());
  for (auto j = begin; j < end; j += lanes) {
    const auto count = std::min(lanes, end - j);
    Floats sums[lanes] = {};
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t c = 0; c < width; c += lanes) sums[i] += load(q + c) * load_upto(keys + (j + i) * stride + c, width - c);
    Floats s = sums_of(sums) * scale;
    if (slope != 0)
      for (std::int64_t i = 0; i < lanes; ++i) s[i] += slope * static_cast<float>(j + i - own);
    s = first_lanes(s, count, -__builtin_inff());
    store_upto(scores + (j - begin), s, count);
    top = max(top, s);
  }
  return max_of(top);
}

/// scores → e^(score − top); returns their sum.
inline float exponentials(float* scores, std::int64_t count, float top) {
  Floats sum{};
  for (std::int64_t j = 0; j < count; j += lanes) {
    const Floats p = first_lanes(exp(load_upto(scores + j, count - j) - top), count - j, 0.0f);
    store_upto(scores + j, p, count - j);
    sum += p;
  }
  return sum_of(sum);
}

/// out = factor · Σ p_j v_j.
template <class T>
inline void mix_values(const float* p, const T* values, std::int64_t stride, std::int64_t begin, std::int64_t end, std::int64_t width,
                       float factor, T* out) {
  constexpr std::int64_t together = 4;
  for (std::int64_t c = 0; c < width; c += together * lanes) {
    Floats sums[together] = {};
    for (auto j = begin; j < end; ++j)
      for (std::int64_t i = 0; i < together; ++i)
        if (const auto at = c + i * lanes; at < width) sums[i] += p[j - begin] * load_upto(values + j * stride + at, width - at);
    for (std::int64_t i = 0; i < together; ++i)
      if (const auto at = c + i * lanes; at < width) store_upto(out + at, sums[i] * factor, width - at);
  }
}

/// `scratch`: width rounded up to whole vectors, then end − begin scores.
template <class T>
inline void attend_with_one_query(const T* q, const T* keys, std::int64_t k_stride, const T* values, std::int64_t v_stride,
                                  std::int64_t begin, std::int64_t end, std::int64_t width, float scale, float slope, std::int64_t own,
                                  float* scratch, T* out) {
  const auto padded = (width + lanes - 1) / lanes * lanes;
  for (std::int64_t c = 0; c < padded; c += lanes) store(scratch + c, load_upto(q + c, width - c));
  auto* scores = scratch + padded;
  const float top = score_keys(scratch, keys, k_stride, begin, end, width, scale, slope, own, scores);
  const float sum = exponentials(scores, end - begin, top);
  mix_values(scores, values, v_stride, begin, end, width, 1.0f / sum, out);
}
