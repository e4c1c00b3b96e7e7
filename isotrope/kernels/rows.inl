// Sums of rows.
template <class T>
inline void add_row(float* to, const T* from, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += lanes) store_upto(to + i, load_upto(to + i, n - i) + load_upto(from + i, n - i), n - i);
}
