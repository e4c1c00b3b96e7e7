#include "isotrope/optim/flat_parameters.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"

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
  if (mixed_) {
    working_ = at::zeros({total}, options.dtype(working));
    working_gradients_ = at::zeros({total}, options.dtype(working));
  }
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    auto& value = parameters.all()[i].value;
    part(master_, segments_[i]).copy_(value);
    value.set_data(part(mixed_ ? working_ : master_, segments_[i]));
    value.mutable_grad() = part(mixed_ ? working_gradients_ : gradients_, segments_[i]);
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
  gradients_.zero_();
  if (mixed_) working_gradients_.zero_();
}

void FlatParameters::collect_gradients() {
  if (!mixed_) return;
  gradients_.add_(working_gradients_);
  working_gradients_.zero_();
}

void FlatParameters::refresh_working() {
  const at::NoGradGuard no_grad;
  if (mixed_) working_.copy_(master_);
}

}  // namespace isotrope
