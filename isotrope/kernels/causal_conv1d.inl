// A depthwise convolution over tokens, lanes over channels; `reach`: how many taps before its own a token may read.

/// Σ of the taps and the bias, channels c … c + 15 of one token. weight: [K][channels] fp32.
template <class T>
inline Floats conv_taps(const T* x, std::int64_t stride, const float* weight, const float* bias, std::int64_t K, std::int64_t channels,
                        std::int64_t c, std::int64_t reach) {
  const auto left = channels - c;
  Floats sum = load_upto(bias + c, left);
  for (std::int64_t back = reach; back >= 0; --back)
    sum += load_upto(weight + (K - 1 - back) * channels + c, left) * load_upto(x - back * stride + c, left);
  return sum;
}

/// Tokens first … first + count of one row.
template <class T>
inline void conv_forward(const ConvSource<T>& in, std::int64_t first, std::int64_t count, T* y) {
  for (std::int64_t t = first; t < first + count; ++t)
    for (std::int64_t c = 0; c < in.channels; c += lanes) {
      Floats z = conv_taps(in.x + t * in.stride, in.stride, in.weight, in.bias, in.taps, in.channels, c, in.reach[t]);
      if (in.silu) z = z / (1.0f + exp(-z));
      store_upto(y + t * in.channels + c, z, in.channels - c);
    }
}

/// The gradients of the same tokens; adds to d_weight [K][channels] and d_bias. Of the K − 1 tokens behind them the outputs are made once
/// more, because they read these. scratch: [count + K − 1][conv_lot].
template <class T>
inline void conv_backward(const ConvSource<T>& in, std::int64_t first, std::int64_t count, const T* dy, std::int64_t dy_stride, T* dx,
                          float* d_weight, float* d_bias, float* scratch) {
  const auto K = in.taps, end = std::min(in.tokens, first + count + K - 1);
  for (std::int64_t begin = 0; begin < in.channels; begin += conv_lot) {
    const auto stop = std::min(in.channels, begin + conv_lot);
    for (std::int64_t t = first; t < end; ++t)
      for (std::int64_t c = begin; c < stop; c += lanes) {
        const auto left = in.channels - c;
        Floats gradient = load_upto(dy + t * dy_stride + c, left);
        if (in.silu) {
          const Floats z = conv_taps(in.x + t * in.stride, in.stride, in.weight, in.bias, K, in.channels, c, in.reach[t]);
          const Floats sigmoid = 1.0f / (1.0f + exp(-z));
          gradient = gradient * sigmoid * (1.0f + z * (1.0f - sigmoid));
        }
        store(scratch + (t - first) * conv_lot + c - begin, gradient);
        if (t >= first + count) continue;
        store_upto(d_bias + c, load_upto(d_bias + c, left) + gradient, left);
        for (std::int64_t back = 0; back <= in.reach[t]; ++back) {
          auto* to = d_weight + (K - 1 - back) * in.channels + c;
          store_upto(to, load_upto(to, left) + gradient * load_upto(in.x + (t - back) * in.stride + c, left), left);
        }
      }
    for (std::int64_t t = first; t < first + count; ++t)
      for (std::int64_t c = begin; c < stop; c += lanes) {
        const auto left = in.channels - c;
        Floats sum{};
        for (std::int64_t back = 0; back < K && t + back < end; ++back)
          if (back <= in.reach[t + back])
            sum +=
                load_upto(in.weight + (K - 1 - back) * in.channels + c, left) * load(scratch + (t + back - first) * conv_lot + c - begin);
        store_upto(dx + t * in.channels + c, sum, left);
      }
  }
}
