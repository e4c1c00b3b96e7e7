#include "isotrope/optim/flat_parameters.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/gradient_sink.h"

namespace isotrope {

FlatParameters::FlatParameters(Parameters& parameters, at::ScalarType working) : mixed_(working != at::kFloat) {
  const at::NoGradGuard no_grad;
  constexpr std::int64_t alignment = 64;
  std::int64_t total = 0;
  for (const auto& p : parameters.all()) {
    segments_.push_back({p.name, p.kind, total, p.value.numel(), p.value.sizes().vec()});
    total += (p.value.numel() + alignment - 1) / alignment * alignment;
  }
  const auto options = parameters.options().dtype(at::kFloat);
  master_ = at::zeros({total}, options);
  gradients_ = at::zeros({total}, options);
  if (mixed_) working_ = at::zeros({total}, options.dtype(working));
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    auto& value = parameters.all()[i].value;
    part(master_, segments_[i]).copy_(value);
    value.set_data(part(mixed_ ? working_ : master_, segments_[i]));
    value.mutable_grad() = at::Tensor();
    if (value.dim() == 2) attach_gradient_sink(value, part(gradients_, segments_[i]));
    values_.push_back(value);
  }
  refresh_working();
}

at::Tensor FlatParameters::part(const at::Tensor& flat, const Segment& segment) {
  return flat.narrow(0, segment.offset, segment.count).view(segment.shape);
}

const Segment& FlatParameters::segment(std::string_view name) const {
  for (const auto& segment : segments_)
    if (segment.name == name) return segment;
  throw WorkError("optim", "no parameter is named {}", name);
}

void FlatParameters::zero_gradients() {
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    if (auto* sink = gradient_sink(values_[i])) sink->empty = true;
    else part(gradients_, segments_[i]).zero_();
  }
}

void FlatParameters::collect_gradients() {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    auto* sink = gradient_sink(values_[i]);
    auto& carried = values_[i].mutable_grad();
    if (carried.defined()) {
      (sink ? sink->filled() : part(gradients_, segments_[i])).add_(carried);
      carried = at::Tensor();
    } else if (sink) {
      sink->filled();
    }
  }
}

void FlatParameters::refresh_working() {
  const at::NoGradGuard no_grad;
  if (mixed_) working_.copy_(master_);
}

}  // namespace isotrope
