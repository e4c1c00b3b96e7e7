#include "isotrope/nn/dropout.h"

#include <ATen/ATen.h>

#include <cmath>

#include "isotrope/base/random.h"
#include "isotrope/kernels/dispatch.h"

namespace isotrope {

at::Tensor Dropout::operator()(const at::Tensor& x, double p) const {
  if (!calls_ || p <= 0 || x.numel() == 0) return x;
  const auto call = (*calls_)++;
  const auto factors = at::empty(x.sizes(), x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  const auto threshold = static_cast<std::uint32_t>(std::lround(p * 0x1p32));
  const auto first = static_cast<std::uint64_t>(first_row_ * (x.numel() / x.size(0)));
  const auto draw = [&]<class T>(T* to) {
    const auto kept = static_cast<T>(1.0 / (1.0 - p));
    at::parallel_for(0, x.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
      RandomStream random(seed_, "dropout", step_, call);
      random.seek(first + static_cast<std::uint64_t>(begin));
      for (auto i = begin; i < end; ++i) to[i] = random.next_u32() < threshold ? T{0} : kept;
    });
  };
  if (factors.scalar_type() == at::kDouble) draw(factors.mutable_data_ptr<double>());
  else draw(factors.mutable_data_ptr<float>());
  return x * factors.to(x.device(), x.scalar_type());
}

}  // namespace isotrope
