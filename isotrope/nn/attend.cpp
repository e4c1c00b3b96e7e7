#include "isotrope/nn/attend.h"

#include <ATen/ATen.h>

#include <bit>
#include <cmath>
#include <tuple>
#include <vector>

namespace isotrope {

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options, KvCache* cache,
                  std::int64_t layer) {
  auto keys = k.transpose(1, 2), values = v.transpose(1, 2);
  if (cache) std::tie(keys, values) = cache->append(layer, keys, values);
  const auto mixed = attention(q.transpose(1, 2), keys, values, options);
  return mixed.transpose(1, 2).reshape({q.size(0), q.size(1), -1});
}

at::Tensor alibi_slopes(std::int64_t heads, at::Device device) {
  const auto below = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(heads)));
  std::vector<float> slopes;
  const auto ratio = [](std::int64_t n) { return std::exp2(-8.0 / static_cast<double>(n)); };
  for (std::int64_t i = 1; i <= below; ++i) slopes.push_back(static_cast<float>(std::pow(ratio(below), i)));
  for (std::int64_t i = 1; i <= heads - below; ++i) slopes.push_back(static_cast<float>(std::pow(ratio(2 * below), 2 * i - 1)));
  return at::tensor(slopes).to(device);
}

}  // namespace isotrope
