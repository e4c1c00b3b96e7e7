// The recurrence of selective_scan.h for a block of heads that share B and C, one stretch of tokens after the other. Lanes run over the
// channels of a head, so that neither S_t C_t nor dS_t B_t needs a sum over lanes; a state lies as [N, P]. A tile of a few rows of the
// state stays in registers through all tokens of a stretch. Scratch is fp32 and padded with zeros: channels to whole vectors, rows of B and
// C to whole tiles.

#if ISOTROPE_ISA_LEVEL >= 2
constexpr std::int64_t scan_forward_rows = 8;
#else
constexpr std::int64_t scan_forward_rows = 4;
#endif
constexpr std::int64_t scan_backward_rows = 4;
static_assert(scan_padding % scan_forward_rows == 0 && scan_padding % scan_backward_rows == 0);

/// A stretch of tokens as fp32. u = dt · x.
struct ScanStretch {
  std::int64_t count, channels, rows;  // tokens; padded P, padded N
  float *B, *C;                        // [token][rows]
  float* decay;                        // [token][lanes], by head
  float *x, *u;                        // [head][token][channels]
  float *y, *g;                        // likewise: what comes out (forward: y, backward: du); the gradient of y
};

/// Memory of a ScanStretch from `at` on.
inline ScanStretch scan_stretch(const ScanShape& s, float*& at) {
  const auto channels = (s.channels + lanes - 1) / lanes * lanes, rows = (s.states + scan_padding - 1) / scan_padding * scan_padding;
  const auto take = [&](std::int64_t count) { return std::exchange(at, at + count); };
  ScanStretch to{.count = 0, .channels = channels, .rows = rows};
  to.B = take(scan_stretch_tokens * rows), to.C = take(scan_stretch_tokens * rows), to.decay = take(scan_stretch_tokens * lanes);
  for (auto** each : {&to.x, &to.u, &to.y, &to.g}) *each = take(s.heads * scan_stretch_tokens * channels);
  return to;
}

template <class T>
inline void scan_row(const T* from, float* to, std::int64_t count, std::int64_t padded) {
  for (std::int64_t i = 0; i < padded; i += lanes) store_upto(to + i, i < count ? load_upto(from + i, count - i) : Floats{}, padded - i);
}

template <class T>
inline void scan_load(const ScanShape& s, const ScanSource<T>& in, std::int64_t first, ScanStretch& to) {
  to.count = std::min(scan_stretch_tokens, s.tokens - first);
  const Floats A = load_upto(in.A, s.heads);
  for (std::int64_t t = 0; t < to.count; ++t) {
    const auto token = first + t;
    scan_row(in.B + token * in.B_stride, to.B + t * to.rows, s.states, to.rows);
    scan_row(in.C + token * in.C_stride, to.C + t * to.rows, s.states, to.rows);
    const auto* dt = in.dt + token * in.dt_stride;
    const bool fresh = in.resets && in.resets[token];
    store(to.decay + t * lanes, fresh ? Floats{} : exp(load_upto(dt, s.heads) * A));
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const auto at = (h * scan_stretch_tokens + t) * to.channels;
      scan_row(in.x + token * in.x_stride + h * s.channels, to.x + at, s.channels, to.channels);
      for (std::int64_t p = 0; p < to.channels; p += lanes) store(to.u + at + p, load(to.x + at + p) * dt[h]);
    }
  }
}

/// `rows` rows of the state and 16 channels, of which `wide` exist, through a stretch: from → to; adds S_t C_t to y.
inline void scan_forward_tile(const ScanStretch& k, std::int64_t head, std::int64_t row, std::int64_t channel, std::int64_t rows,
                              std::int64_t P, const float* from, float* to) {
  constexpr auto R = scan_forward_rows;
  const auto wide = P - channel;
  Floats S[R];
#pragma GCC unroll 8
  for (std::int64_t r = 0; r < R; ++r) S[r] = r < rows ? load_upto(from + r * P, wide) : Floats{};
  const auto* B = k.B + row;
  const auto* C = k.C + row;
  const auto* decay = k.decay + head;
  const auto* u = k.u + head * scan_stretch_tokens * k.channels + channel;
  auto* y = k.y + head * scan_stretch_tokens * k.channels + channel;
  for (std::int64_t t = 0; t < k.count; ++t, B += k.rows, C += k.rows, decay += lanes, u += k.channels, y += k.channels) {
    const Floats step = load(u);
    const float a = *decay;
    Floats even = load(y), odd{};
#pragma GCC unroll 8
    for (std::int64_t r = 0; r < R; r += 2) {
      S[r] = S[r] * a + step * B[r];
      S[r + 1] = S[r + 1] * a + step * B[r + 1];
      even += S[r] * C[r];
      odd += S[r + 1] * C[r + 1];
    }
    store(y, even + odd);
  }
#pragma GCC unroll 8
  for (std::int64_t r = 0; r < R; ++r)
    if (r < rows) store_upto(to + r * P, S[r], wide);
}

/// The states [head][N][P] go from checkpoint to checkpoint, `apart` numbers from each other (0: in place); the last one is the final
/// state.
template <class T>
inline void scan_forward(const ScanShape& s, const ScanSource<T>& in, float* states, std::int64_t apart, T* y, std::int64_t y_stride,
                         float* scratch) {
  auto k = scan_stretch(s, scratch);
  for (std::int64_t first = 0; first < s.tokens; first += scan_stretch_tokens, states += apart) {
    scan_load(s, in, first, k);
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const auto begin = h * scan_stretch_tokens * k.channels;
      for (std::int64_t i = 0; i < k.count * k.channels; i += lanes) store(k.y + begin + i, load(k.x + begin + i) * in.D[h]);
      for (std::int64_t p = 0; p < s.channels; p += lanes)
        for (std::int64_t n = 0; n < s.states; n += scan_forward_rows) {
          auto* from = states + (h * s.states + n) * s.channels + p;
          scan_forward_tile(k, h, n, p, s.states - n, s.channels, from, from + apart);
        }
      for (std::int64_t t = 0; t < k.count; ++t)
        for (std::int64_t p = 0; p < s.channels; p += lanes)
          store_upto(y + (first + t) * y_stride + h * s.channels + p, load(k.y + begin + t * k.channels + p), s.channels - p);
    }
  }
}

/// Sums over lanes that are made last: of dB and dC by [token][row of the tile], shared by all heads; of da by [head][token].
struct ScanSums {
  float *B, *C, *a;
};

/// As the forward tile, from the state before the stretch: every state of it, then the way back. dS: the gradient of the state behind the
/// stretch, becomes that of the state before it.
inline void scan_backward_tile(const ScanStretch& k, std::int64_t head, std::int64_t row, std::int64_t channel, std::int64_t rows,
                               std::int64_t P, const float* from, float* dS_memory, const ScanSums& sums, float* states) {
  constexpr auto R = scan_backward_rows;
  const auto wide = P - channel;
  const auto begin = head * scan_stretch_tokens * k.channels + channel;
  Floats S[R];
#pragma GCC unroll 4
  for (std::int64_t r = 0; r < R; ++r) {
    S[r] = r < rows ? load_upto(from + r * P, wide) : Floats{};
    store(states + r * lanes, S[r]);
  }
  for (std::int64_t t = 0; t < k.count; ++t) {
    const Floats step = load(k.u + begin + t * k.channels);
    const float a = k.decay[t * lanes + head];
#pragma GCC unroll 4
    for (std::int64_t r = 0; r < R; ++r) {
      S[r] = S[r] * a + step * k.B[t * k.rows + row + r];
      store(states + ((t + 1) * R + r) * lanes, S[r]);
    }
  }
  Floats dS[R];
#pragma GCC unroll 4
  for (std::int64_t r = 0; r < R; ++r) dS[r] = r < rows ? load_upto(dS_memory + r * P, wide) : Floats{};
  for (std::int64_t t = k.count - 1; t >= 0; --t) {
    const Floats g = load(k.g + begin + t * k.channels), step = load(k.u + begin + t * k.channels);
    const float *B = k.B + t * k.rows + row, *C = k.C + t * k.rows + row, a = k.decay[t * lanes + head];
    Floats du = load(k.y + begin + t * k.channels), da = load(sums.a + (head * scan_stretch_tokens + t) * lanes);
#pragma GCC unroll 4
    for (std::int64_t r = 0; r < R; ++r) {
      const auto at = (t * R + r) * lanes;
      dS[r] += g * C[r];
      store(sums.C + at, load(sums.C + at) + load(states + at + R * lanes) * g);
      store(sums.B + at, load(sums.B + at) + dS[r] * step);
      du += dS[r] * B[r];
      da += dS[r] * load(states + at);
      dS[r] = dS[r] * a;
    }
    store(k.y + begin + t * k.channels, du);
    store(sums.a + (head * scan_stretch_tokens + t) * lanes, da);
  }
#pragma GCC unroll 4
  for (std::int64_t r = 0; r < R; ++r)
    if (r < rows) store_upto(dS_memory + r * P, dS[r], wide);
}

/// Sums over lanes of [token][row] vectors into columns of [token][N].
inline void scan_reduce(const float* sums, std::int64_t count, float* to, std::int64_t stride, std::int64_t rows) {
  constexpr auto R = scan_backward_rows, tokens = lanes / R;
  for (std::int64_t t = 0; t < count; t += tokens) {
    Floats part[lanes];
    for (std::int64_t i = 0; i < lanes; ++i) part[i] = load(sums + (t * R + i) * lanes);
    float all[lanes];
    store(all, sums_of(part));
    for (std::int64_t i = 0; i < tokens && t + i < count; ++i)
      std::memcpy(to + (t + i) * stride, all + i * R, static_cast<std::size_t>(std::min(R, rows)) * sizeof(float));
  }
}

/// From du to the gradients of x, dt, A and D: one head, one stretch.
template <class T>
inline void scan_finish(const ScanShape& s, const ScanSource<T>& in, const ScanSlopes<T>& out, const ScanStretch& k, std::int64_t first,
                        std::int64_t h, const float* da_sums) {
  double dA = 0, dD = 0;
  for (std::int64_t t = 0; t < k.count; ++t) {
    const auto at = (h * scan_stretch_tokens + t) * k.channels, token = first + t;
    const float dt = in.dt[token * in.dt_stride + h], a = k.decay[t * lanes + h];
    Floats along_x{}, through{};
    for (std::int64_t p = 0; p < s.channels; p += lanes) {
      const Floats du = load(k.y + at + p), g = load(k.g + at + p), x = load(k.x + at + p);
      store_upto(out.x + token * out.x_stride + h * s.channels + p, du * dt + g * in.D[h], s.channels - p);
      along_x += du * x;
      through += g * x;
    }
    const float da = sum_of(load(da_sums + (h * scan_stretch_tokens + t) * lanes)) * a;
    out.dt[token * in.dt_stride + h] = sum_of(along_x) + da * in.A[h];
    dA += static_cast<double>(da) * dt;
    dD += sum_of(through);
  }
  out.A[h] += dA;
  out.D[h] += dD;
}

/// checkpoints: the states before each stretch, `apart` from each other; dS [head][N][P]: the gradient of the final state, becomes that of the
/// initial one.
template <class T>
inline void scan_backward(const ScanShape& s, const ScanSource<T>& in, const float* checkpoints, std::int64_t apart, const T* dy,
                          std::int64_t dy_stride, float* dS, const ScanSlopes<T>& out, float* scratch) {
  constexpr auto R = scan_backward_rows;
  auto k = scan_stretch(s, scratch);
  ScanSums sums{};
  const auto take = [&](std::int64_t count) { return std::exchange(scratch, scratch + count + scan_stagger); };
  for (auto** each : {&sums.B, &sums.C}) *each = take(scan_stretch_tokens * R * lanes);
  sums.a = take(s.heads * scan_stretch_tokens * lanes);
  const auto last = (s.tokens - 1) / scan_stretch_tokens;
  for (auto stretch = last; stretch >= 0; --stretch) {
    const auto first = stretch * scan_stretch_tokens;
    const auto* states = checkpoints + stretch * apart;
    scan_load(s, in, first, k);
    for (std::int64_t h = 0; h < s.heads; ++h)
      for (std::int64_t t = 0; t < k.count; ++t)
        scan_row(dy + (first + t) * dy_stride + h * s.channels, k.g + (h * scan_stretch_tokens + t) * k.channels, s.channels, k.channels);
    std::fill_n(k.y, s.heads * scan_stretch_tokens * k.channels, 0.0f);
    std::fill_n(sums.a, s.heads * scan_stretch_tokens * lanes, 0.0f);
    for (std::int64_t n = 0; n < s.states; n += R) {
      std::fill_n(sums.B, scan_stretch_tokens * R * lanes, 0.0f);
      std::fill_n(sums.C, scan_stretch_tokens * R * lanes, 0.0f);
      for (std::int64_t h = 0; h < s.heads; ++h)
        for (std::int64_t p = 0; p < s.channels; p += lanes) {
          const auto at = (h * s.states + n) * s.channels + p;
          scan_backward_tile(k, h, n, p, s.states - n, s.channels, states + at, dS + at, sums, scratch);
        }
      scan_reduce(sums.B, k.count, out.B + first * out.B_stride + n, out.B_stride, s.states - n);
      scan_reduce(sums.C, k.count, out.C + first * out.B_stride + n, out.B_stride, s.states - n);
    }
    for (std::int64_t h = 0; h < s.heads; ++h) scan_finish(s, in, out, k, first, h, sums.a);
  }
}
