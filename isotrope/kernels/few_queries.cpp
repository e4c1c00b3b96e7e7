#include "isotrope/kernels/few_queries.h"

#include <ATen/ATen.h>

#include <cmath>

#include "isotrope/kernels/dispatch.h"

#define ISOTROPE_KERNELS "isotrope/kernels/few_queries.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

constexpr std::int64_t few = 16;
constexpr std::int64_t numbers_a_task = 1 << 14;  // of keys, that are worth a thread

}  // namespace

bool takes_few_queries(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  const bool one_type = k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type();
  const bool gradient = at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
  // With fewer keys than queries the first queries see nothing.
  return has_cpu_kernel(q) && one_type && !gradient && q.size(2) < few && k.size(2) >= q.size(2) && v.size(3) == q.size(3) &&
         q.stride(3) == 1 && k.stride(3) == 1 && v.stride(3) == 1 && !options.documents.defined() && !options.on_probabilities;
}

at::Tensor attention_of_few_queries(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  const auto batch = q.size(0), heads = q.size(1), queries = q.size(2), width = q.size(3), keys = k.size(2), group = heads / k.size(1);
  const auto scale = static_cast<float>(options.scale > 0 ? options.scale : 1 / std::sqrt(static_cast<double>(width)));
  const auto slopes = options.slopes.defined() ? options.slopes.to(at::kFloat).contiguous() : at::Tensor();
  const auto* slope = slopes.defined() ? slopes.const_data_ptr<float>() : nullptr;
  auto out = at::empty({batch, queries, heads, width}, q.options());
  dispatch_float(q.scalar_type(), [&]<class T>() {
    static const auto attend = ISOTROPE_CHOOSE(attend_with_one_query<T>);
    const auto *from = q.const_data_ptr<T>(), *key = k.const_data_ptr<T>(), *value = v.const_data_ptr<T>();
    auto* to = out.mutable_data_ptr<T>();
    const auto grain = std::max<std::int64_t>(1, numbers_a_task / (keys * width));
    at::parallel_for(0, batch * heads * queries, grain, [&](std::int64_t first, std::int64_t last) {
      std::vector<float> scratch(static_cast<std::size_t>(width + few + keys));
      for (auto task = first; task < last; ++task) {
        const auto row = task / (heads * queries), head = task / queries % heads, t = task % queries, own = keys - queries + t;
        const auto begin = options.window ? std::max<std::int64_t>(0, own - *options.window) : 0;
        const auto end = options.causal ? own + 1 : options.window ? std::min(keys, own + *options.window + 1) : keys;
        attend(from + row * q.stride(0) + head * q.stride(1) + t * q.stride(2), key + row * k.stride(0) + head / group * k.stride(1),
               k.stride(2), value + row * v.stride(0) + head / group * v.stride(1), v.stride(2), begin, end, width, scale,
               slope ? slope[head] : 0.0F, own, scratch.data(), to + ((row * queries + t) * heads + head) * width);
      }
    });
  });
  return out.transpose(1, 2);
}

}  // namespace isotrope
