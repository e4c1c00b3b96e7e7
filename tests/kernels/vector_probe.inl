// What tests/kernels/vector_test.cpp looks at, one value at a time in all lanes.
inline float exp_of(float x) { return exp(splat(x))[7]; }
inline float exp2_of(float x) { return exp2_below_128(splat(x))[7]; }
inline std::uint16_t bf16_of(float x) {
  c10::BFloat16 all[lanes];
  store(all, splat(x));
  return all[3].x;
}
inline float read_back(std::uint16_t bits) {
  c10::BFloat16 all[lanes];
  for (auto& value : all) value.x = bits;
  return load(all)[5];
}
inline float sum_and_max(float first) {
  Floats x{};
  for (std::int64_t i = 0; i < lanes; ++i) x[i] = first - static_cast<float>(i);
  return sum_of(x) + 1000 * max_of(x);
}
inline void transpose_words(std::uint32_t* words) {
  Words rows[lanes];
  std::memcpy(rows, words, sizeof rows);
  transpose(rows);
  std::memcpy(words, rows, sizeof rows);
}
