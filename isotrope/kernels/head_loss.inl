// One row of logits, in place; T is float or BFloat16, all arithmetic in float.

/// Returns nll and log Z; when `gradient`, the logits become scale · ∂(nll + z · log²Z)/∂logits.
template <class T>
inline LossRow softmax_loss(T* logits, std::int64_t vocab, std::int64_t target, float scale, float z_loss, bool gradient) {
  constexpr float log2_e = 1.44269504f;
  const auto whole = vocab / lanes * lanes;
  Floats tops = splat(-__builtin_inff());
  for (std::int64_t i = 0; i < whole; i += lanes) tops = max(load(logits + i), tops);
  if (whole < vocab) tops = max(first_lanes(load_part(logits + whole, vocab - whole), vocab - whole, -__builtin_inff()), tops);
  const float top = max_of(tops);
  Floats sums{};
  for (std::int64_t i = 0; i < whole; i += lanes) sums += exp2_below_128((load(logits + i) - top) * log2_e);
  if (whole < vocab) sums += first_lanes(exp2_below_128((load_part(logits + whole, vocab - whole) - top) * log2_e), vocab - whole, 0.0f);
  const float log_z = top + std::log(sum_of(sums));
  const auto wanted = static_cast<float>(logits[target]);
  // Rounded to bf16 many logits are equal: the first of them is the one that counts.
  const bool correct = wanted >= top && std::find(logits, logits + target, logits[target]) == logits + target;
  const LossRow row{log_z - wanted, log_z, correct};
  if (gradient) {
    const float factor = scale * (1.0f + 2.0f * z_loss * log_z);
    const float at_target = factor * std::exp(static_cast<float>(logits[target]) - log_z) - scale;
    for (std::int64_t i = 0; i < vocab; i += lanes)
      store_upto(logits + i, factor * exp2_below_128((load_upto(logits + i, vocab - i) - log_z) * log2_e), vocab - i);
    logits[target] = at_target;
  }
  return row;
}

/// For `rows` rows of transposed logits [vocab, n]: each column's largest value and Σ exp(value − largest).
inline void column_sums(const float* logits, std::int64_t rows, std::int64_t n, float* tops, float* sums) {
  constexpr float log2_e = 1.44269504f;
  for (std::int64_t j = 0; j < n; j += lanes) {
    const auto left = n - j;
    Floats top = load_upto(logits + j, left), sum{};
    for (std::int64_t i = 1; i < rows; ++i) top = max(load_upto(logits + i * n + j, left), top);
    for (std::int64_t i = 0; i < rows; ++i) sum += exp2_below_128((load_upto(logits + i * n + j, left) - top) * log2_e);
    store_upto(tops + j, top, left);
    store_upto(sums + j, sum, left);
  }
}

/// Those rows become factor · exp(logit − log Z), column by column.
inline void column_gradients(float* logits, std::int64_t rows, std::int64_t n, const float* log_z, const float* factors) {
  constexpr float log2_e = 1.44269504f;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < n; j += lanes) {
      auto* at = logits + i * n + j;
      const auto left = n - j;
      store_upto(at, load_upto(factors + j, left) * exp2_below_128((load_upto(at, left) - load_upto(log_z + j, left)) * log2_e), left);
    }
}
