// The row operations of attention_blocks.cpp. Exponentials are of base 2: `scale` holds a factor log₂e. Rows of scores have room up to the
// next multiple of 16.

inline Floats in_document(Floats x, const std::int64_t* documents, std::int64_t n, std::int64_t document, float otherwise) {
  float all[lanes];
  store(all, x);
  for (std::int64_t i = 0; i < lanes; ++i)
    if (i >= n || documents[i] != document) all[i] = otherwise;
  return load(all);
}

/// start, start + step, start + 2 step …
inline Floats ramp(float start, float step) {
  constexpr Floats index{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return start + step * index;
}

/// Scores of one query, of which the keys [row.first, row.valid) count → unnormalised probabilities 2^(scale · (s − largest)) in bf16, s
/// with its bias; zeros outside of them up to `padded` (a multiple of 16). `state` holds the largest score and the sum so far. Returns what
/// the output so far has to be multiplied with. The difference comes before the product: it is exact where it matters, however large the
/// scores, and never above 0.
inline float softmax_row(float* scores, ScoreRow row, std::int64_t padded, float scale, SoftmaxRow& state, c10::BFloat16* probabilities) {
  constexpr float nothing = -__builtin_inff();
  const auto begin = row.first / lanes * lanes;
  Floats tops = splat(nothing);
  for (auto j = begin; j < row.valid; j += lanes) {
    Floats s = load(scores + j);
    const auto n = row.valid - j;
    const bool changed = row.slope != 0 || row.documents || n < lanes || j < row.first;
    if (row.slope != 0) s += ramp(row.slope * static_cast<float>(row.distance + j), row.slope);
    if (row.documents) s = in_document(s, row.documents + j, n, row.document, nothing);
    else if (n < lanes) s = first_lanes(s, n, nothing);
    if (j < row.first) s = lanes_from(s, row.first - j, nothing);
    if (changed) store(scores + j, s);
    tops = max(s, tops);
  }
  const float top = std::max(state.top, max_of(tops));
  std::int64_t j = 0;
  for (; j < begin; j += lanes) store(probabilities + j, Floats{});
  Floats sums{};
  if (top != nothing)
    for (; j < row.valid; j += lanes) {
      const Floats p = exp2_below_128((load(scores + j) - top) * scale);
      store(probabilities + j, p);
      sums += p;
    }
  for (; j < padded; j += lanes) store(probabilities + j, Floats{});
  if (top == nothing) return 1.0f;
  const float correction = state.top == nothing ? 0.0f : std::exp2((state.top - top) * scale);
  state = {top, state.sum * correction + sum_of(sums)};
  return correction;
}

/// Transposed scores of two keys over n queries (a multiple of 16): P = 2^(scale · (s − top) − log_sum), dS = P ∘ (dP − delta), both in
/// bf16; dS also as pairs of the two rows. Queries outside [first_valid, last_valid), and those of another document, do not see the key.
inline void key_rows(KeyRows rows, const float* tops, const float* log_sums, const float* deltas, std::int64_t n, float scale,
                     const std::int64_t* documents, std::int64_t queries) {
  for (std::int64_t i = 0; i < n; i += lanes) {
    const Floats top = load(tops + i), log_sum = load(log_sums + i), delta = load(deltas + i);
    Words ds_bits[2] = {};
    for (int r = 0; r < rows.count; ++r) {
      Floats p{};
      const auto hidden = rows.first_valid[r] - i, seen = rows.last_valid[r] - i;
      if (hidden < lanes && seen > 0) {
        Floats s = load(rows.scores[r] + i);
        if (rows.slope != 0) s += ramp(rows.slope * static_cast<float>(rows.distance[r] - i), -rows.slope);
        p = exp2_below_128((s - top) * scale - log_sum);
        // A hidden key's score may lie any distance above the sum of those that are seen: its power of two is no number to count with.
        if (hidden > 0) p = lanes_from(p, hidden, 0.0f);
        if (seen < lanes) p = first_lanes(p, seen, 0.0f);
        if (documents) p = in_document(p, documents + i, queries - i, rows.document[r], 0.0f);
      }
      const Floats ds = p * (load(rows.dp[r] + i) - delta);
      store(rows.p[r] + i, p);
      ds_bits[r] = bf16_bits(ds);
      const auto halves = __builtin_convertvector(ds_bits[r], Halves);
      std::memcpy(static_cast<void*>(rows.ds[r] + i), &halves, sizeof halves);
    }
    const Words pair = ds_bits[0] | (ds_bits[1] << 16);
    std::memcpy(static_cast<void*>(rows.pairs + 2 * i), &pair, sizeof pair);
  }
}

inline float dot_row(const c10::BFloat16* a, const c10::BFloat16* b, std::int64_t n) {
  Floats sums{};
  for (std::int64_t i = 0; i < n; i += lanes) sums += load_upto(a + i, n - i) * load_upto(b + i, n - i);
  return sum_of(sums);
}

inline void scale_row(float* row, std::int64_t n, float factor) {
  for (std::int64_t i = 0; i < n; i += lanes) store_upto(row + i, load_upto(row + i, n - i) * factor, n - i);
}

inline void store_row(const float* row, std::int64_t n, float factor, c10::BFloat16* out) {
  for (std::int64_t i = 0; i < n; i += lanes) store_upto(out + i, load_upto(row + i, n - i) * factor, n - i);
}

/// Columns [d, ld] of `rows` sums each → rows of d values in bf16, times `factor`.
inline void store_transposed(const float* columns, std::int64_t ld, std::int64_t rows, std::int64_t d, float factor, c10::BFloat16* out,
                             std::int64_t out_stride) {
  Words tile[lanes];
  for (std::int64_t i = 0; i < rows; i += lanes)
    for (std::int64_t c = 0; c < d; c += lanes) {
      for (std::int64_t b = 0; b < lanes; ++b)
        tile[b] = c + b < d ? reinterpret_cast<Words>(load(columns + (c + b) * ld + i) * factor) : Words{};
      transpose(tile);
      for (std::int64_t a = 0; a < lanes && i + a < rows; ++a)
        store_upto(out + (i + a) * out_stride + c, reinterpret_cast<Floats>(tile[a]), d - c);
    }
}
