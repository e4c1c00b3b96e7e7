// Attention of one sequence's queries to its keys and values, laid out in panels by their positions in it; T is float or BFloat16, all sums
// are float. The sums over keys run by position from 0 on, so that it does not matter where in memory the keys stood, nor how many
// hidden ones stand behind them: those add exact zeros.
#include "isotrope/kernels/fixed_tiles.inl"

/// The keys and values at the positions [first, first + 16) of a sequence that has `count` of them there.
template <class T>
inline void gather_panel(const T* const* keys, const T* const* values, std::int64_t count, std::int64_t width, std::int64_t first,
                         std::int64_t capacity, float* key_panels, float* value_panels) {
  const T* rows[lanes] = {};
  for (std::int64_t i = 0; i < count; ++i) rows[i] = keys[i];
  pack_panel(rows, width, key_panels + first * width);
  for (std::int64_t c = 0; c < width; c += lanes)
    for (std::int64_t i = 0; i < count; ++i) store(value_panels + c * capacity + (first + i) * lanes, load_upto(values[i] + c, width - c));
}

/// Scores of a row → probabilities times their sum, which is returned; those outside [begin, end) become 0. `scores` begins at position
/// `first`, a multiple of 16, and has whole groups of 16 up to `last`.
inline float soften(float* scores, std::int64_t first, std::int64_t last, std::int64_t begin, std::int64_t end, float slope,
                    std::int64_t own) {
  constexpr Floats index{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  Floats tops = splat(-__builtin_inff());
  for (auto j = first; j < last; j += lanes) {
    auto* at = scores + (j - first);
    Floats s = load(at);
    if (slope != 0) s += slope * (index + static_cast<float>(j - own));
    s = lanes_from(first_lanes(s, end - j, -__builtin_inff()), begin - j, -__builtin_inff());
    store(at, s);
    tops = max(tops, s);
  }
  const float top = max_of(tops);
  Floats sums{};
  for (auto j = first; j < last; j += lanes) {
    auto* at = scores + (j - first);
    const Floats p = lanes_from(first_lanes(exp(load(at) - top), end - j, 0.0f), begin - j, 0.0f);
    store(at, p);
    sums += p;
  }
  return sum_of(sums);
}

/// scratch: 8 · (width + 2 · capacity) floats. Keys from position own − window on are seen, up to own where `causal`, else to own + window.
template <class T>
inline void attend_rows(const QueryRow<T>* queries, std::int64_t count, std::int64_t width, const float* key_panels,
                        const float* value_panels, std::int64_t keys, std::int64_t capacity, float scale, bool causal, std::int64_t window,
                        float* scratch) {
  auto *packed = scratch, *scores = packed + tile_rows * width, *weights = scores + tile_rows * capacity;
  for (std::int64_t at = 0; at < count; at += tile_rows) {
    const auto here = std::min<std::int64_t>(tile_rows, count - at);
    std::int64_t begin[tile_rows], end[tile_rows], from = keys, to = 0;
    const T* rows[tile_rows] = {};
    for (std::int64_t m = 0; m < here; ++m) {
      const auto own = queries[at + m].own;
      rows[m] = queries[at + m].query;
      begin[m] = std::max<std::int64_t>(0, own - window);
      end[m] = causal ? own + 1 : window < keys ? std::min(keys, own + window + 1) : keys;
      from = std::min(from, begin[m]), to = std::max(to, end[m]);
    }
    from = from / lanes * lanes;
    const auto groups = (to - from + lanes - 1) / lanes;
    pack_rows(rows, here, width, packed);
    multiply_rows(packed, here, key_panels + from * width, groups, lanes * width, width,
                  [&](std::int64_t m, std::int64_t group, Floats sum) { store(scores + m * capacity + group * lanes, sum * scale); });
    float factors[tile_rows];
    const float* softened[tile_rows] = {};
    for (std::int64_t m = 0; m < here; ++m) {
      softened[m] = scores + m * capacity;
      const auto& query = queries[at + m];
      factors[m] = 1.0f / soften(scores + m * capacity, from, from + groups * lanes, begin[m], end[m], query.slope, query.own);
    }
    pack_rows(softened, here, to - from, weights);
    multiply_rows(weights, here, value_panels + from * lanes, (width + lanes - 1) / lanes, capacity * lanes, to - from,
                  [&](std::int64_t m, std::int64_t group, Floats sum) {
                    store_upto(queries[at + m].out + group * lanes, sum * factors[m], width - group * lanes);
                  });
  }
}
