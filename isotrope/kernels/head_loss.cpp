#include "isotrope/kernels/head_loss.h"

#include <ATen/ATen.h>

#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/invariant_linear.h"
#include "isotrope/kernels/packed_weights.h"
#include "isotrope/kernels/weight_gradient.h"

namespace isotrope {

namespace {

struct LossRow {
  float nll, log_z;
  bool hit;
};

}  // namespace

}  // namespace isotrope

#define ISOTROPE_KERNELS "isotrope/kernels/head_loss.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

at::Tensor projection(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias) {
  return at::linear(hidden, weight, bias.defined() ? std::optional(bias) : std::nullopt);
}

}  // namespace

namespace reference {

HeadLoss head_loss(const at::Tensor& hidden, const OutputHead& head, const at::Tensor& targets, const HeadLossOptions& options) {
  const auto wide = hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto logits = projection(hidden, head.weight, head.bias).to(wide);
  const auto counted = targets != ignored_target;
  const auto log_z = at::logsumexp(logits, -1);
  const auto nll = (log_z - logits.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1)).masked_fill(counted.logical_not(), 0);
  const auto z = log_z.square().masked_fill(counted.logical_not(), 0);
  const auto hit = at::logical_and(std::get<0>(logits.max(-1)) == logits.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1), counted);
  return {options.scale * (nll.sum() + options.z_loss * z.sum()), nll.detach(), hit.to(at::kFloat)};
}

}  // namespace reference

namespace {

/// Of each row of a chunk, views of the whole call's.
struct RowLosses {
  at::Tensor nll, log_z, hit;  // [rows] fp32
  RowLosses narrow(std::int64_t begin, std::int64_t count) const {
    return {nll.narrow(0, begin, count), log_z.narrow(0, begin, count), hit.narrow(0, begin, count)};
  }
};

/// The chunk's losses; its logits become their gradient in place.
void softmax_chunk(at::Tensor& logits, const at::Tensor& targets, const RowLosses& out, const HeadLossOptions& options, bool gradient) {
  const auto* target = targets.const_data_ptr<std::int64_t>();
  auto *losses = out.nll.mutable_data_ptr<float>(), *normalisers = out.log_z.mutable_data_ptr<float>(),
       *hits = out.hit.mutable_data_ptr<float>();
  const auto vocab = logits.size(1);
  const auto scale = static_cast<float>(options.scale), z_loss = static_cast<float>(options.z_loss);
  dispatch_float(logits.scalar_type(), [&]<class T>() {
    static const auto softmax_loss = ISOTROPE_CHOOSE(softmax_loss<T>);
    auto* rows = logits.mutable_data_ptr<T>();
    at::parallel_for(0, logits.size(0), rows_per_task(vocab), [&](std::int64_t begin, std::int64_t end) {
      for (auto i = begin; i < end; ++i) {
        LossRow row{0, 0, false};
        if (target[i] == ignored_target) std::fill_n(rows + i * vocab, vocab, T(0));
        else row = softmax_loss(rows + i * vocab, vocab, target[i], scale, z_loss, gradient);
        losses[i] = row.nll, normalisers[i] = row.log_z, hits[i] = row.hit ? 1.0f : 0.0f;
      }
    });
  });
}

/// The same for fp32 logits that lie transposed, [vocab, rows]: a product with few columns runs at twice the speed of one with few rows.
/// Sums are taken over blocks of fixed size and joined in order: the same bits for any number of threads.
void softmax_columns(at::Tensor& logits, const at::Tensor& targets, const RowLosses& out, const HeadLossOptions& options, bool gradient) {
  static const auto sum_block = ISOTROPE_CHOOSE(column_sums);
  static const auto slope_block = ISOTROPE_CHOOSE(column_slopes);
  constexpr std::int64_t block = 256;
  const auto vocab = logits.size(0), n = logits.size(1), blocks = (vocab + block - 1) / block;
  auto* data = logits.mutable_data_ptr<float>();
  const auto* target = targets.const_data_ptr<std::int64_t>();
  auto *losses = out.nll.mutable_data_ptr<float>(), *normalisers = out.log_z.mutable_data_ptr<float>(),
       *hits = out.hit.mutable_data_ptr<float>();
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
    hits[j] = counted && data[target[j] * n + j] >= top ? 1.0f : 0.0f;
    shifts[j] = counted ? normalisers[j] : std::numeric_limits<float>::infinity();  // exp(−∞): nothing of a row that does not count
    factors[j] = counted ? static_cast<float>(options.scale) * (1.0f + 2.0f * static_cast<float>(options.z_loss) * normalisers[j]) : 0;
  }
  if (!gradient) return;
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto b = begin; b < end; ++b) slope_block(data + b * block * n, rows_of(b), n, shifts.data(), factors.data());
  });
  for (std::int64_t j = 0; j < n; ++j)
    if (target[j] != ignored_target) data[target[j] * n + j] -= static_cast<float>(options.scale);
}

/// The same from tensor operations, for other devices and dtypes.
void softmax_chunk_composed(at::Tensor& logits, const at::Tensor& targets, RowLosses out, const HeadLossOptions& options, bool gradient) {
  auto &log_z = out.log_z, &nll = out.nll;
  const auto ignored = targets == ignored_target;
  const auto safe = targets.clamp_min(0).unsqueeze(1);
  log_z.copy_(at::logsumexp(logits, -1));
  const auto wanted = logits.gather(1, safe).squeeze(1);
  nll.copy_(log_z - wanted).masked_fill_(ignored, 0);
  out.hit.copy_(wanted == std::get<0>(logits.max(-1))).masked_fill_(ignored, 0);
  if (gradient) {
    logits.sub_(log_z.unsqueeze(1)).exp_().mul_((options.scale * (1.0 + 2.0 * options.z_loss * log_z)).unsqueeze(1));
    logits.scatter_add_(1, safe, at::full_like(safe, -options.scale, logits.options()));
    logits.masked_fill_(ignored.unsqueeze(1), 0);
  }
  log_z.masked_fill_(ignored, 0);
}

/// The gradient of the head, summed chunk by chunk: in the caller's sink, or in a buffer of its own.
class HeadGradient {
 public:
  HeadGradient(GradientSink* sink, const at::Tensor& head) : sink_(sink) {
    if (!sink_) sum_ = at::empty(head.sizes(), head.options().dtype(at::kFloat));
  }
  void add(const at::Tensor& slope, const at::Tensor& hidden) {
    if (sink_) return add_outer_product_(*sink_, slope, hidden);
    add_outer_product_(sum_, slope, hidden, /*overwrite=*/!begun_);
    begun_ = true;
  }
  /// In the head's dtype; undefined where a sink has it.
  at::Tensor result(at::ScalarType type) { return sink_ ? at::Tensor() : begun_ ? sum_.to(type) : sum_.zero_().to(type); }

 private:
  GradientSink* sink_;
  at::Tensor sum_;
  bool begun_ = false;
};

struct HeadLossFunction : torch::autograd::Function<HeadLossFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden_in,
                                                const at::Tensor& head, const std::optional<at::Tensor>& bias_in, const at::Tensor& targets,
                                                HeadLossOptions options, bool gradient) {
    const auto hidden = hidden_in.contiguous();
    const auto bias = bias_in.value_or(at::Tensor());
    const auto rows = hidden.size(0), vocab = head.size(0);
    const bool own = has_cpu_kernel(hidden);
    const auto fp32 = hidden.options().dtype(at::kFloat);
    const RowLosses out{at::empty({rows}, fp32), at::empty({rows}, fp32), at::empty({rows}, fp32)};
    at::Tensor d_hidden, d_bias;
    std::optional<HeadGradient> d_head;
    if (gradient) d_hidden = at::empty_like(hidden), d_head.emplace(options.sink, head);
    if (gradient && bias.defined()) d_bias = at::zeros({vocab}, fp32);
    const auto width = static_cast<std::int64_t>(hidden.element_size());
    const auto chunk = std::min(rows, std::max<std::int64_t>(16, options.chunk_bytes / (width * vocab) / 16 * 16));
    const bool transposed = own && hidden.scalar_type() == at::kFloat;
    const auto buffer = own ? at::empty({chunk * vocab}, hidden.options()) : at::Tensor();
    for (std::int64_t begin = 0; begin < rows; begin += chunk) {
      const auto count = std::min(chunk, rows - begin);
      const auto part = hidden.narrow(0, begin, count), wanted = targets.narrow(0, begin, count);
      const auto losses = out.narrow(begin, count);
      at::Tensor slope;  // [count, vocab], in the dtype of hidden
      if (transposed) {
        auto logits = buffer.narrow(0, 0, count * vocab).view({vocab, count});
        if (bias.defined()) at::addmm_out(logits, bias.unsqueeze(1), head, part.t());
        else at::mm_out(logits, head, part.t());
        softmax_columns(logits, wanted, losses, options, gradient);
        slope = logits.t();
      } else if (own) {
        slope = buffer.narrow(0, 0, count * vocab).view({count, vocab});
        if (bias.defined()) at::addmm_out(slope, bias, part, head.t());
        else at::mm_out(slope, part, head.t());
        softmax_chunk(slope, wanted, losses, options, gradient);
      } else {
        auto logits = projection(part, head, bias).to(at::kFloat);
        softmax_chunk_composed(logits, wanted, losses, options, gradient);
        slope = logits.to(hidden.scalar_type());
      }
      if (!gradient) continue;
      at::Tensor slot = d_hidden.narrow(0, begin, count);
      at::mm_out(slot, slope, head);
      d_head->add(slope, part);
      if (bias.defined()) d_bias.add_(slope.sum(0, /*keepdim=*/false, at::kFloat));
    }
    if (gradient)
      context->save_for_backward(
          {d_hidden, d_head->result(head.scalar_type()), bias.defined() ? d_bias.to(bias.scalar_type()) : at::Tensor()});
    auto loss = out.nll.sum(at::kDouble);
    if (options.z_loss > 0) loss = loss + options.z_loss * out.log_z.to(at::kDouble).square().sum();
    context->mark_non_differentiable({out.nll, out.hit});
    return {(options.scale * loss).to(at::kFloat), out.nll, out.hit};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    auto saved = context->get_saved_variables();
    // The usual upstream gradient of a loss is 1; anything else scales what the forward pass has made.
    const auto& upstream = grads[0];
    // Reading it from another device waits for that device: only where it must be known.
    const bool one = (upstream.device().is_cpu() || !saved[1].defined()) && upstream.item<double>() == 1.0;
    if (!one && !saved[1].defined())
      throw WorkError("loss", "the head's gradient is in its sink already: the loss must be differentiated as it is, not scaled");
    const auto scaled = [&](const at::Tensor& gradient) {
      return one || !gradient.defined() ? gradient : gradient * upstream.to(gradient.scalar_type());
    };
    return {scaled(saved[0]), scaled(saved[1]), scaled(saved[2]), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

/// Each row by itself (batch_invariant.h): only those that count are computed.
HeadLoss invariant_head_loss(const at::Tensor& hidden, const OutputHead& head, const at::Tensor& targets, const HeadLossOptions& options) {
  const auto counted = at::nonzero(targets != ignored_target).squeeze(1), wanted = targets.index_select(0, counted);
  const auto rows = hidden.index_select(0, counted);
  const auto fp32 = hidden.options().dtype(at::kFloat);
  const RowLosses out{at::empty({rows.size(0)}, fp32), at::empty({rows.size(0)}, fp32), at::empty({rows.size(0)}, fp32)};
  const auto vocab = head.weight.size(0);
  const auto chunk = std::max<std::int64_t>(16, options.chunk_bytes / (4 * vocab) / 16 * 16);
  const Affine map{head.weight, head.bias};
  for (std::int64_t begin = 0; begin < rows.size(0); begin += chunk) {
    const auto count = std::min(chunk, rows.size(0) - begin);
    auto logits = invariant_linears(rows.narrow(0, begin, count), {&map, 1}, /*round=*/false).front();
    softmax_chunk(logits, wanted.narrow(0, begin, count), out.narrow(begin, count), options, /*gradient=*/false);
  }
  const auto spread = [&](const at::Tensor& values) { return at::zeros({targets.size(0)}, fp32).index_copy_(0, counted, values); };
  auto loss = out.nll.sum(at::kDouble);
  if (options.z_loss > 0) loss = loss + options.z_loss * out.log_z.to(at::kDouble).square().sum();
  return {(options.scale * loss).to(at::kFloat), spread(out.nll), spread(out.hit)};
}

}  // namespace

HeadLoss head_loss(const at::Tensor& hidden, const OutputHead& head, const at::Tensor& target_ids, const HeadLossOptions& options) {
  if (packed_weight(head.weight))
    return head_loss(hidden, {expanded(head.weight).to(hidden.scalar_type()), head.bias}, target_ids, options);
  const auto targets = target_ids.contiguous();
  if (targets.device().is_cpu()) {
    const auto* target = targets.const_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < targets.numel(); ++i)
      if (target[i] != ignored_target && (target[i] < 0 || target[i] >= head.weight.size(0)))
        throw InputError("loss", "target {} at position {} is out of range for a vocabulary of {}", target[i], i, head.weight.size(0));
  }
  if (takes_invariant(hidden, head.weight)) return invariant_head_loss(hidden, head, targets, options);
  if (hidden.scalar_type() == at::kDouble) return reference::head_loss(hidden, head, targets, options);
  const bool gradient = at::GradMode::is_enabled() &&
                        (hidden.requires_grad() || head.weight.requires_grad() || (head.bias.defined() && head.bias.requires_grad()));
  const auto bias = head.bias.defined() ? std::optional(head.bias) : std::nullopt;
  const auto out = HeadLossFunction::apply(hidden, head.weight, bias, targets, options, gradient);
  return {out[0], out[1], out[2]};
}

}  // namespace isotrope
