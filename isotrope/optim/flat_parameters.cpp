#include "isotrope/optim/flat_parameters.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/kernels/adamw.h"

namespace isotrope {

at::Tensor Segment::in(const at::Tensor& flat) const { return flat.narrow(0, offset, count).view(shape); }

at::Tensor ParameterGroup::in(const at::Tensor& flat) const { return flat.defined() ? flat.narrow(0, offset, count) : flat; }

FlatParameters::FlatParameters(Parameters& parameters, at::ScalarType working, std::span<const std::size_t> groups)
    : mixed_(working != at::kFloat) {
  const at::NoGradGuard no_grad;
  constexpr std::int64_t alignment = 64;
  const auto& all = parameters.all();
  for (const auto& p : all) {
    const bool merges = !p.addition_to.empty() || (p.slot && p.slot->has_additions());
    segments_.push_back({p.name, p.kind, 0, p.value.numel(), p.value.sizes().vec(), p.form, p.trains, merges});
  }
  std::int64_t total = 0;
  const auto place = [&](const auto& belongs) {
    ParameterGroup group{.offset = total};
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!belongs(i)) continue;
      segments_[i].offset = total;
      group.segments.push_back(&segments_[i]);
      group.count = total + segments_[i].count - group.offset;
      total += (segments_[i].count + alignment - 1) / alignment * alignment;
    }
    return group;
  };
  const auto count = groups.empty() ? 1 : std::ranges::max(groups) + 1;
  for (std::size_t g = 0; g < count; ++g)
    groups_.push_back(place([&](std::size_t i) { return all[i].trains && (groups.empty() || groups[i] == g); }));
  trained_size_ = total;
  place([&](std::size_t i) { return !all[i].trains; });

  const auto options = parameters.options().dtype(at::kFloat);
  master_ = at::zeros({total}, options);
  if (mixed_) working_ = at::zeros({total}, options.dtype(working));
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    auto& value = parameters.all()[i].value;
    segments_[i].in(master_).copy_(value);
    value.set_data(segments_[i].in(mixed_ ? working_ : master_));
    value.mutable_grad() = at::Tensor();
    value.set_requires_grad(segments_[i].trains);
    values_.push_back(value);
    slots_.push_back(parameters.all()[i].slot);
  }
  refresh_working();
}

const Segment& FlatParameters::segment(std::string_view name) const {
  for (const auto& segment : segments_)
    if (segment.name == name) return segment;
  throw WorkError("optim", "no parameter is named {}", name);
}

void FlatParameters::refresh_working() {
  const at::NoGradGuard no_grad;
  if (mixed_) working_.copy_(master_);
}

Gradients::Gradients(const FlatParameters& parameters)
    : parameters_(parameters), flat_(at::zeros({parameters.trained_size()}, parameters.master().options())) {}

void Gradients::begin() {
  for (std::size_t i = 0; i < parameters_.values().size(); ++i) {
    const auto& segment = parameters_.segments()[i];
    const auto& value = parameters_.values()[i];
    if (!segment.trains) continue;
    value.mutable_grad() = at::Tensor();  // of a backward pass that was not collected
    if (const auto& slot = parameters_.slots()[i]) slot->sink = {of(segment), /*empty=*/true};
    else of(segment).zero_();
  }
}

void Gradients::collect() {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < parameters_.values().size(); ++i) {
    const auto& segment = parameters_.segments()[i];
    if (!segment.trains) continue;
    auto* sink = parameters_.slots()[i] ? &parameters_.slots()[i]->sink : nullptr;
    auto& carried = parameters_.values()[i].mutable_grad();
    if (carried.defined()) {
      (sink ? sink->filled() : of(segment)).add_(carried);
      carried = at::Tensor();
    } else if (sink) {
      sink->filled();
    }
  }
}

std::vector<double> Gradients::squared_norms() const {
  std::vector<at::Tensor> trained;
  for (const auto& segment : parameters_.segments())
    if (segment.trains) trained.push_back(of(segment));
  const auto found = isotrope::squared_norms(trained);
  std::vector<double> norms;
  std::size_t next = 0;
  for (const auto& segment : parameters_.segments()) norms.push_back(segment.trains ? found[next++] : 0.0);
  return norms;
}

}  // namespace isotrope
