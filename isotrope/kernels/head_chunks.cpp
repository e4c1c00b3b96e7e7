#include "isotrope/kernels/head_chunks.h"

#include "isotrope/kernels/weight_gradient.h"

namespace isotrope {

at::Tensor head_matrix(const Linear& head, const at::Tensor& hidden) {
  const at::NoGradGuard no_grad;
  return effective_weight(*head.slot).detach().to(hidden.scalar_type());
}

bool head_is_differentiated(const at::Tensor& hidden, const Linear& head) {
  return at::GradMode::is_enabled() &&
         (hidden.requires_grad() || head.slot->trains() || (head.bias.defined() && head.bias.requires_grad()));
}

HeadGradients::HeadGradients(const at::Tensor& hidden, bool of_hidden, const Linear& head, const at::Tensor& weight)
    : x_(hidden), weight_(weight), head_(head) {
  const auto& slot = *head.slot;
  const auto options = hidden.options().requires_grad(false);
  into_sink_ = slot.sink && slot.weight.requires_grad() && !slot.has_additions();
  if (of_hidden) d_hidden_ = at::empty(hidden.sizes(), options);
  if (slot.trains() && !into_sink_) d_weight_ = at::empty(weight.sizes(), options.dtype(at::kFloat));
  if (head.bias.defined() && head.bias.requires_grad()) d_bias_ = at::zeros(head.bias.sizes(), options.dtype(at::kFloat));
}

void HeadGradients::add(const HeadChunk& chunk, const at::Tensor& slope) {
  const auto part = chunk.of(x_);
  auto& slot = *head_.slot;
  if (slot.on_gradient) slot.on_gradient(part, slope);
  if (d_hidden_.defined()) {
    auto to = chunk.of(d_hidden_);
    at::mm_out(to, slope, weight_);
  }
  if (into_sink_) add_outer_product_(slot.sink, slope, part);
  else if (d_weight_.defined()) add_outer_product_(d_weight_, slope, part, /*overwrite=*/!begun_);
  begun_ = true;
  if (d_bias_.defined()) d_bias_.add_(slope.sum(0, /*keepdim=*/false, at::kFloat));
}

std::vector<at::Tensor> HeadGradients::finished() {
  SlotGradients d;
  if (d_weight_.defined()) {
    if (!begun_) d_weight_.zero_();
    d = spread_gradient(*head_.slot, d_weight_);
  }
  return {d_hidden_, d.weight, d_bias_.defined() ? d_bias_.to(head_.bias.scalar_type()) : d_bias_, d.row, d.column, d.scale, d.down, d.up};
}

}  // namespace isotrope
