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

HeadGradients::HeadGradients(const at::Tensor& hidden, const Asked& asked, const Linear& head, const at::Tensor& weight)
    : x_(hidden), weight_(weight), head_(head), of_weight_(asked.weight) {
  const auto& slot = *head.slot;
  const auto options = hidden.options().requires_grad(false);
  into_sink_ = slot.sink && asked.weight && !slot.has_additions();
  if (asked.hidden) d_hidden_ = at::empty(hidden.sizes(), options);
  if ((asked.weight || asked.additions) && !into_sink_) d_weight_ = at::empty(weight.sizes(), options.dtype(at::kFloat));
  if (asked.bias) d_bias_ = at::zeros(head.bias.sizes(), options.dtype(at::kFloat));
}

void HeadGradients::add(const HeadChunk& chunk, const at::Tensor& d_logits) {
  const auto part = chunk.of(x_);
  auto& slot = *head_.slot;
  if (slot.on_gradient) slot.on_gradient(part, d_logits);
  if (d_hidden_.defined()) {
    auto to = chunk.of(d_hidden_);
    at::mm_out(to, d_logits, weight_);
  }
  if (into_sink_) add_outer_product_(slot.sink, d_logits, part);
  else if (d_weight_.defined()) add_outer_product_(d_weight_, d_logits, part, /*overwrite=*/!begun_);
  begun_ = true;
  if (d_bias_.defined()) d_bias_.add_(d_logits.sum(0, /*keepdim=*/false, at::kFloat));
}

std::vector<at::Tensor> HeadGradients::finished() {
  SlotGradients d;
  if (d_weight_.defined()) {
    if (!begun_) d_weight_.zero_();
    d = spread_gradient(*head_.slot, d_weight_, of_weight_);
  }
  return {d_hidden_, d.weight, d_bias_.defined() ? d_bias_.to(head_.bias.scalar_type()) : d_bias_, d.row, d.column, d.scale, d.down, d.up};
}

}  // namespace isotrope
