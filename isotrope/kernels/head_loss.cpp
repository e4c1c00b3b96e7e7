#include "isotrope/kernels/head_loss.h"

#include <ATen/ATen.h>

#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/head_chunks.h"
#include "isotrope/kernels/invariant_linear.h"

namespace isotrope {

namespace {

struct LossRow {
  float nll, log_z;
  bool correct;
};

}  // namespace

}  // namespace isotrope

#define ISOTROPE_KERNELS "isotrope/kernels/head_loss.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace reference {

HeadLoss head_loss(const at::Tensor& hidden, const Linear& head, const at::Tensor& targets, const HeadLossOptions& options) {
  const auto wide = hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto bias = head.bias.defined() ? std::optional(head.bias) : std::nullopt;
  const auto logits = at::linear(hidden, effective_weight(*head.slot).to(hidden.scalar_type()), bias).to(wide);
  const auto counted = targets != ignored_target;
  const auto log_z = at::logsumexp(logits, -1), wanted = logits.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1);
  const auto nll = (log_z - wanted).masked_fill(counted.logical_not(), 0);
  auto rows = nll + options.z_loss * log_z.square().masked_fill(counted.logical_not(), 0);
  if (options.weights.defined()) rows = rows * options.weights;
  const auto correct = at::logical_and(std::get<0>(logits.max(-1)) == wanted, counted);
  return {options.scale * rows.sum(), nll.detach(), correct.to(at::kFloat)};
}

}  // namespace reference

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Of each row of a chunk, views of the whole call's.
struct RowLosses {
  at::Tensor nll, log_z, correct;  // [rows] fp32
  at::Tensor weights;              // [rows] fp32, or undefined
  RowLosses narrow(std::int64_t begin, std::int64_t count) const {
    const auto part = [&](const at::Tensor& x) { return x.defined() ? x.narrow(0, begin, count) : x; };
    return {part(nll), part(log_z), part(correct), part(weights)};
  }
  /// Scalar fp32: scale · Σ weight (nll + z_loss log²Z).
  at::Tensor sum(const HeadLossOptions& options) const;
};

at::Tensor RowLosses::sum(const HeadLossOptions& options) const {
  const auto total = [&](const at::Tensor& rows) {
    return weights.defined() ? (rows.to(at::kDouble) * weights).sum() : rows.sum(at::kDouble);
  };
  auto loss = total(nll);
  if (options.z_loss > 0) loss = loss + options.z_loss * total(log_z.to(at::kDouble).square());
  return (options.scale * loss).to(at::kFloat);
}

/// The chunk's losses; its logits become their gradient in place.
void softmax_chunk(at::Tensor& logits, const at::Tensor& targets, const RowLosses& out, const HeadLossOptions& options, bool gradient) {
  const auto* target = targets.const_data_ptr<std::int64_t>();
  auto *losses = out.nll.mutable_data_ptr<float>(), *normalisers = out.log_z.mutable_data_ptr<float>(),
       *corrects = out.correct.mutable_data_ptr<float>();
  const auto* weights = out.weights.defined() ? out.weights.const_data_ptr<float>() : nullptr;
  const auto vocab = logits.size(1);
  const auto scale = static_cast<float>(options.scale), z_loss = static_cast<float>(options.z_loss);
  dispatch_float(logits.scalar_type(), [&]<class T>() {
    static const auto softmax_loss = ISOTROPE_CHOOSE(softmax_loss<T>);
    auto* rows = logits.mutable_data_ptr<T>();
    at::parallel_for(0, logits.size(0), rows_per_task(vocab), [&](std::int64_t begin, std::int64_t end) {
      for (auto i = begin; i < end; ++i) {
        LossRow row{0, 0, false};
        if (target[i] == ignored_target) std::fill_n(rows + i * vocab, vocab, T(0));
        else row = softmax_loss(rows + i * vocab, vocab, target[i], weights ? scale * weights[i] : scale, z_loss, gradient);
        losses[i] = row.nll, normalisers[i] = row.log_z, corrects[i] = row.correct ? 1.0f : 0.0f;
      }
    });
  });
}

/// The same for fp32 logits that lie transposed, [vocab, rows]: a product with few columns runs at twice the speed of one with few rows.
/// Sums are taken over blocks of fixed size and joined in order: the same bits for any number of threads.
void softmax_columns(at::Tensor& logits, const at::Tensor& targets, const RowLosses& out, const HeadLossOptions& options, bool gradient) {
  static const auto sum_block = ISOTROPE_CHOOSE(column_sums);
  static const auto gradient_block = ISOTROPE_CHOOSE(column_gradients);
  constexpr std::int64_t block = 256;
  const auto vocab = logits.size(0), n = logits.size(1), blocks = (vocab + block - 1) / block;
  auto* data = logits.mutable_data_ptr<float>();
  const auto* target = targets.const_data_ptr<std::int64_t>();
  auto *losses = out.nll.mutable_data_ptr<float>(), *normalisers = out.log_z.mutable_data_ptr<float>(),
       *corrects = out.correct.mutable_data_ptr<float>();
  const auto* weights = out.weights.defined() ? out.weights.const_data_ptr<float>() : nullptr;
  const auto scale_of = [&](std::int64_t row) { return static_cast<float>(options.scale) * (weights ? weights[row] : 1.0f); };
  std::vector<float> tops(static_cast<std::size_t>(blocks * n)), sums(tops.size()), factors(static_cast<std::size_t>(n)),
      shifts(factors.size());
  const auto rows_of = [&](std::int64_t b) { return std::min(block, vocab - b * block); };
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto b = begin; b < end; ++b) sum_block(data + b * block * n, rows_of(b), n, &tops[b * n], &sums[b * n]);
  });
  for (std::int64_t j = 0; j < n; ++j) {
    float top = tops[j], sum = 0;
    for (std::int64_t b = 1; b < blocks; ++b) top = std::max(top, tops[b * n + j]);
    for (std::int64_t b = 0; b < blocks; ++b) sum += sums[b * n + j] * std::exp(tops[b * n + j] - top);
    const bool counted = target[j] != ignored_target;
    normalisers[j] = counted ? top + std::log(sum) : 0;
    losses[j] = counted ? normalisers[j] - data[target[j] * n + j] : 0;
    corrects[j] = counted && data[target[j] * n + j] >= top ? 1.0f : 0.0f;
    shifts[j] = counted ? normalisers[j] : std::numeric_limits<float>::infinity();  // exp(−∞): nothing of a row that does not count
    factors[j] = counted ? scale_of(j) * (1.0f + 2.0f * static_cast<float>(options.z_loss) * normalisers[j]) : 0;
  }
  if (!gradient) return;
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto b = begin; b < end; ++b) gradient_block(data + b * block * n, rows_of(b), n, shifts.data(), factors.data());
  });
  for (std::int64_t j = 0; j < n; ++j)
    if (target[j] != ignored_target) data[target[j] * n + j] -= scale_of(j);
}

/// The same from tensor operations, for other devices and dtypes.
void softmax_chunk_composed(at::Tensor& logits, const at::Tensor& targets, RowLosses out, const HeadLossOptions& options, bool gradient) {
  auto &log_z = out.log_z, &nll = out.nll;
  const auto ignored = targets == ignored_target;
  const auto safe = targets.clamp_min(0).unsqueeze(1);
  log_z.copy_(at::logsumexp(logits, -1));
  const auto wanted = logits.gather(1, safe).squeeze(1);
  nll.copy_(log_z - wanted).masked_fill_(ignored, 0);
  out.correct.copy_(wanted == std::get<0>(logits.max(-1))).masked_fill_(ignored, 0);
  if (gradient) {
    const auto scales = options.scale * (out.weights.defined() ? out.weights : at::ones_like(log_z)).unsqueeze(1);
    logits.sub_(log_z.unsqueeze(1)).exp_().mul_(scales * (1.0 + 2.0 * options.z_loss * log_z).unsqueeze(1));
    logits.scatter_add_(1, safe, -scales);
    logits.masked_fill_(ignored.unsqueeze(1), 0);
  }
  log_z.masked_fill_(ignored, 0);
}

/// The chunk's losses; the gradient of its logits, in the dtype of hidden.
at::Tensor chunk_losses(const HeadChunk& chunk, const at::Tensor& targets, const RowLosses& all, const HeadLossOptions& options,
                        bool gradient) {
  const auto out = all.narrow(chunk.begin, chunk.count);
  const auto wanted = chunk.of(targets);
  auto logits = chunk.logits;
  if (!has_cpu_kernel(logits)) {
    auto wide = logits.to(at::kFloat);
    softmax_chunk_composed(wide, wanted, out, options, gradient);
    return wide.to(logits.scalar_type());
  }
  if (logits.scalar_type() == at::kFloat) {
    auto columns = logits.t();
    softmax_columns(columns, wanted, out, options, gradient);
  } else {
    softmax_chunk(logits, wanted, out, options, gradient);
  }
  return logits;
}

RowLosses room_for(std::int64_t rows, const at::Tensor& hidden, const at::Tensor& weights) {
  const auto fp32 = hidden.options().dtype(at::kFloat).requires_grad(false);
  return {at::empty({rows}, fp32), at::empty({rows}, fp32), at::empty({rows}, fp32), weights};
}

using Optional = std::optional<at::Tensor>;

struct HeadLossFunction : torch::autograd::Function<HeadLossFunction> {
  static variable_list forward(AutogradContext* context, const at::Tensor& hidden_in, const at::Tensor& /*weight*/,
                               const Optional& /*bias*/, const Optional& /*row*/, const Optional& /*column*/, const Optional& /*scale*/,
                               const Optional& /*down*/, const Optional& /*up*/, const Linear& head, const at::Tensor& weight,
                               const at::Tensor& targets, const HeadLossOptions& options, bool gradient) {
    const auto hidden = hidden_in.contiguous();
    const auto out = room_for(hidden.size(0), hidden, options.weights);
    std::optional<HeadGradients> gradients;
    const auto& slot = *head.slot;
    if (gradient)
      gradients.emplace(hidden,
                        HeadGradients::Asked{.hidden = hidden_in.requires_grad(),
                                             .weight = slot.weight.requires_grad(),
                                             .additions = slot.trains(),
                                             .bias = head.bias.defined() && head.bias.requires_grad()},
                        head, weight);
    for_head_chunks(hidden, weight, head.bias, options.chunk_bytes, [&](const HeadChunk& chunk) {
      const auto d_logits = chunk_losses(chunk, targets, out, options, gradient);
      if (gradients) gradients->add(chunk, d_logits);
    });
    if (gradients) context->save_for_backward(gradients->finished());
    context->saved_data["into_sink"] = (slot.sink && slot.weight.requires_grad()) || slot.on_gradient != nullptr;
    context->mark_non_differentiable({out.nll, out.correct});
    return {out.sum(options), out.nll, out.correct};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    refuse_second_derivative("head_loss");
    auto found = context->get_saved_variables();
    const bool into_sink = context->saved_data["into_sink"].toBool();
    // The usual upstream gradient of a loss is 1; anything else scales what the forward pass has made.
    const auto& upstream = grads[0];
    // Reading it from another device waits for that device: only where it must be known.
    const bool one = (upstream.device().is_cpu() || into_sink) && upstream.item<double>() == 1.0;
    if (!one && into_sink)
      throw WorkError(
          "loss",
          "the head's gradient is in its sink, or with its observer, already: the loss must be differentiated as it is, not scaled");
    for (auto& gradient : found)
      if (!one && gradient.defined()) gradient = gradient * upstream.to(gradient.scalar_type());
    found.resize(13);  // nothing of the arguments that are not differentiated
    return found;
  }
};

/// Each row by itself (batch_invariant.h): only those that count are computed.
HeadLoss invariant_head_loss(const at::Tensor& hidden, const Affine& head, const at::Tensor& targets, const HeadLossOptions& options) {
  const auto counted = at::nonzero(targets != ignored_target).squeeze(1), wanted = targets.index_select(0, counted);
  const auto rows = hidden.index_select(0, counted);
  const auto out = room_for(rows.size(0), rows, options.weights.defined() ? options.weights.index_select(0, counted) : options.weights);
  const auto chunk = std::max<std::int64_t>(16, options.chunk_bytes / (4 * head.weight.size(0)) / 16 * 16);
  for (std::int64_t begin = 0; begin < rows.size(0); begin += chunk) {
    const auto count = std::min(chunk, rows.size(0) - begin);
    auto logits = invariant_linears(rows.narrow(0, begin, count), {&head, 1}, /*round=*/false).front();
    softmax_chunk(logits, wanted.narrow(0, begin, count), out.narrow(begin, count), options, /*gradient=*/false);
  }
  const auto spread = [&](const at::Tensor& values) {
    return at::zeros({targets.size(0)}, values.options()).index_copy_(0, counted, values);
  };
  return {out.sum(options), spread(out.nll), spread(out.correct)};
}

}  // namespace

HeadLoss head_loss(const at::Tensor& hidden, const Linear& head, const at::Tensor& target_ids, const HeadLossOptions& given) {
  const auto targets = target_ids.contiguous();
  auto options = given;
  if (options.weights.defined()) {
    if (options.weights.dim() != 1 || options.weights.size(0) != targets.size(0))
      throw InputError("loss", "weights {} for {} rows: expected one a row", shape_text(options.weights.sizes()), targets.size(0));
    options.weights = options.weights.to(hidden.device(), hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat).contiguous();
  }
  if (targets.device().is_cpu()) {
    const auto* target = targets.const_data_ptr<std::int64_t>();
    const auto vocab = head.weight().size(0);
    for (std::int64_t i = 0; i < targets.numel(); ++i)
      if (target[i] != ignored_target && (target[i] < 0 || target[i] >= vocab))
        throw InputError("loss", "target {} at position {} is out of range for a vocabulary of {}", target[i], i, vocab);
  }
  if (is_composed() || hidden.scalar_type() == at::kDouble) return reference::head_loss(hidden, head, targets, options);
  if (head.slot->on_input) head.slot->on_input(hidden);
  const auto weight = head_matrix(head, hidden);
  if (takes_invariant(hidden, weight)) return invariant_head_loss(hidden, {weight, head.bias}, targets, options);
  const auto out = apply_to_head<HeadLossFunction>(hidden, head, weight, targets, options, head_is_differentiated(hidden, head));
  return {out[0], out[1], out[2]};
}

}  // namespace isotrope
