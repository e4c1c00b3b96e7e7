#include "isotrope/kernels/head_probabilities.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"
#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/head_chunks.h"
#include "isotrope/kernels/invariant_linear.h"

namespace isotrope {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = std::optional<at::Tensor>;

constexpr std::int64_t chunk_bytes = 44 << 20;  // of logits held at a time

/// Which number of a row of logits is asked for. Rows [begin, begin + count) of the call; logits [count, V] fp32 or fp64.
struct RowObjective : torch::CustomClassHolder {
  /// From ln p, [count, V]; differentiable.
  virtual at::Tensor values(const at::Tensor& log_p, std::int64_t begin, std::int64_t count) const = 0;
  /// The gradient of the logits, given p: Σ_n upstream_n · value_n.
  virtual at::Tensor d_logits(const at::Tensor& p, const at::Tensor& upstream, std::int64_t begin, std::int64_t count) const = 0;
  double temperature = 1;

  at::Tensor log_p(const at::Tensor& logits) const { return at::log_softmax(temperature == 1 ? logits : logits / temperature, -1); }
};

struct TokenRows final : RowObjective {
  at::Tensor ids;
  explicit TokenRows(at::Tensor ids) : ids(std::move(ids)) {}
  at::Tensor of(std::int64_t begin, std::int64_t count) const { return ids.narrow(0, begin, count).unsqueeze(1); }
  at::Tensor values(const at::Tensor& log_p, std::int64_t begin, std::int64_t count) const override {
    return log_p.gather(1, of(begin, count)).squeeze(1);
  }
  at::Tensor d_logits(const at::Tensor& p, const at::Tensor& upstream, std::int64_t begin, std::int64_t count) const override {
    const auto g = upstream.unsqueeze(1);
    return (-g * p).scatter_add_(1, of(begin, count), g);
  }
};

/// −Σ_v q_v ln p_v, perhaps with Σ_v q_v ln q_v added.
struct SoftRows : RowObjective {
  virtual at::Tensor targets(std::int64_t begin, std::int64_t count, at::ScalarType dtype) const = 0;
  at::Tensor d_logits(const at::Tensor& p, const at::Tensor& upstream, std::int64_t begin, std::int64_t count) const override {
    const auto q = targets(begin, count, p.scalar_type());
    return (upstream / temperature).unsqueeze(1) * (p * q.sum(1, /*keepdim=*/true) - q);
  }
};

struct GivenRows final : SoftRows {
  at::Tensor q;
  explicit GivenRows(at::Tensor q) : q(std::move(q)) {}
  at::Tensor targets(std::int64_t begin, std::int64_t count, at::ScalarType dtype) const override {
    return (q.size(0) == 1 ? q.expand({count, q.size(1)}) : q.narrow(0, begin, count)).to(dtype);
  }
  at::Tensor values(const at::Tensor& log_p, std::int64_t begin, std::int64_t count) const override {
    return -(targets(begin, count, log_p.scalar_type()) * log_p).sum(1);
  }
};

struct TeacherRows final : SoftRows {
  at::Tensor hidden;
  Linear head;
  TeacherRows(at::Tensor hidden, Linear head, double t) : hidden(std::move(hidden)), head(std::move(head)) { temperature = t; }
  at::Tensor log_targets(std::int64_t begin, std::int64_t count, at::ScalarType dtype) const {
    const at::NoGradGuard no_grad;
    return log_p(head(hidden.narrow(0, begin, count)).to(dtype));
  }
  at::Tensor targets(std::int64_t begin, std::int64_t count, at::ScalarType dtype) const override {
    return log_targets(begin, count, dtype).exp_();
  }
  at::Tensor values(const at::Tensor& log_p, std::int64_t begin, std::int64_t count) const override {
    const auto log_q = log_targets(begin, count, log_p.scalar_type());
    return (log_q.exp() * (log_q - log_p)).sum(1);
  }
};

using Objective = c10::intrusive_ptr<RowObjective>;

struct HeadRowsFunction : torch::autograd::Function<HeadRowsFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden_in, const at::Tensor& /*weight*/, const Optional& /*bias*/,
                            const Optional& /*row*/, const Optional& /*column*/, const Optional& /*scale*/, const Optional& /*down*/,
                            const Optional& /*up*/, const Linear& head, const at::Tensor& weight, const Objective& objective) {
    const auto hidden = hidden_in.contiguous();
    const auto values = at::empty({hidden.size(0)}, hidden.options().dtype(at::kFloat));
    for_head_chunks(hidden, weight, head.bias, chunk_bytes, [&](const HeadChunk& chunk) {
      chunk.of(values).copy_(objective->values(objective->log_p(chunk.logits.to(at::kFloat)), chunk.begin, chunk.count));
    });
    context->save_for_backward({hidden, weight, head.bias});
    context->saved_data["slot"] = c10::IValue::make_capsule(head.slot);
    context->saved_data["objective"] = c10::IValue::make_capsule(objective);
    return values;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    refuse_second_derivative("head_probabilities");
    const auto saved = context->get_saved_variables();
    const auto &hidden = saved[0], &weight = saved[1];
    const Linear head(c10::static_intrusive_pointer_cast<LinearSlot>(context->saved_data["slot"].toCapsule()), saved[2]);
    const auto objective = c10::static_intrusive_pointer_cast<RowObjective>(context->saved_data["objective"].toCapsule());
    std::size_t argument = 2;  // only tensors that are there are counted
    const auto asked = [&](const at::Tensor& x) { return x.defined() && context->needs_input_grad(argument++); };
    HeadGradients::Asked of{
        .hidden = context->needs_input_grad(0), .weight = context->needs_input_grad(1), .additions = false, .bias = asked(head.bias)};
    const auto& slot = *head.slot;
    for (const auto* addition : {&slot.row, &slot.column, &slot.scale, &slot.down, &slot.up}) of.additions |= asked(*addition);
    HeadGradients gradients(hidden, of, head, weight);
    for_head_chunks(hidden, weight, head.bias, chunk_bytes, [&](const HeadChunk& chunk) {
      const auto p = objective->log_p(chunk.logits.to(at::kFloat)).exp_();
      const auto d_logits = objective->d_logits(p, chunk.of(grads[0]), chunk.begin, chunk.count);
      gradients.add(chunk, d_logits.to(hidden.scalar_type()));
    });
    auto found = gradients.finished();
    found.resize(11);  // nothing of the arguments that are not differentiated
    return found;
  }
};

at::Tensor reference_rows(const at::Tensor& hidden, const Linear& head, const Objective& objective) {
  const auto wide = hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto bias = head.bias.defined() ? std::optional(head.bias) : std::nullopt;
  const auto logits = at::linear(hidden, effective_weight(*head.slot).to(hidden.scalar_type()), bias).to(wide);
  return objective->values(objective->log_p(logits), 0, hidden.size(0));
}

/// Each row by itself (batch_invariant.h).
at::Tensor invariant_rows(const at::Tensor& hidden, const Affine& head, const RowObjective& objective) {
  const auto values = at::empty({hidden.size(0)}, hidden.options().dtype(at::kFloat));
  const auto chunk = std::max<std::int64_t>(16, chunk_bytes / (4 * head.weight.size(0)) / 16 * 16);
  for (std::int64_t begin = 0; begin < hidden.size(0); begin += chunk) {
    const auto count = std::min(chunk, hidden.size(0) - begin);
    const auto logits = invariant_linears(hidden.narrow(0, begin, count), {&head, 1}, /*round=*/false).front();
    values.narrow(0, begin, count).copy_(objective.values(objective.log_p(logits), begin, count));
  }
  return values;
}

at::Tensor rows_of(const at::Tensor& hidden, const Linear& head, const Objective& objective) {
  if (is_composed() || hidden.scalar_type() == at::kDouble) return reference_rows(hidden, head, objective);
  if (head.slot->on_input) head.slot->on_input(hidden);
  const auto weight = head_matrix(head, hidden);
  if (takes_invariant(hidden, weight)) return invariant_rows(hidden, {weight, head.bias}, *objective);
  return apply_to_head<HeadRowsFunction>(hidden, head, weight, objective);
}

void check_ids(const at::Tensor& ids, const Linear& head) {
  if (ids.numel() > 0 && (ids.min().item<std::int64_t>() < 0 || ids.max().item<std::int64_t>() >= head.weight().size(0)))
    throw InputError("loss", "token {} is out of range for a vocabulary of {}",
                     ids.min().item<std::int64_t>() < 0 ? ids.min().item<std::int64_t>() : ids.max().item<std::int64_t>(),
                     head.weight().size(0));
}

void check_targets(const at::Tensor& hidden, const Linear& head, const at::Tensor& targets) {
  if (targets.dim() != 2 || targets.size(1) != head.weight().size(0) || (targets.size(0) != 1 && targets.size(0) != hidden.size(0)))
    throw InputError("loss", "targets {} for {} rows and a vocabulary of {}: expected a probability of each token in every row",
                     shape_text(targets.sizes()), hidden.size(0), head.weight().size(0));
}

}  // namespace

at::Tensor token_log_probabilities(const at::Tensor& hidden, const Linear& head, const at::Tensor& ids) {
  check_ids(ids, head);
  return rows_of(hidden, head, c10::make_intrusive<TokenRows>(ids));
}

at::Tensor head_cross_entropy(const at::Tensor& hidden, const Linear& head, const at::Tensor& targets) {
  check_targets(hidden, head, targets);
  return rows_of(hidden, head, c10::make_intrusive<GivenRows>(targets));
}

at::Tensor head_kl(const at::Tensor& hidden, const Linear& head, const at::Tensor& teacher_hidden, const Linear& teacher,
                   double temperature) {
  if (teacher_hidden.dim() != 2 || teacher_hidden.size(0) != hidden.size(0) || teacher.weight().size(0) != head.weight().size(0))
    throw InputError("loss", "a teacher of {} rows and {} tokens for {} rows and {} tokens", teacher_hidden.size(0),
                     teacher.weight().size(0), hidden.size(0), head.weight().size(0));
  if (!(temperature > 0)) throw InputError("loss", "a temperature of {}: expected one above 0", temperature);
  return rows_of(hidden, head, c10::make_intrusive<TeacherRows>(teacher_hidden, teacher, temperature));
}

namespace reference {

at::Tensor token_log_probabilities(const at::Tensor& hidden, const Linear& head, const at::Tensor& ids) {
  return reference_rows(hidden, head, c10::make_intrusive<TokenRows>(ids));
}

at::Tensor head_cross_entropy(const at::Tensor& hidden, const Linear& head, const at::Tensor& targets) {
  return reference_rows(hidden, head, c10::make_intrusive<GivenRows>(targets));
}

at::Tensor head_kl(const at::Tensor& hidden, const Linear& head, const at::Tensor& teacher_hidden, const Linear& teacher,
                   double temperature) {
  return reference_rows(hidden, head, c10::make_intrusive<TeacherRows>(teacher_hidden, teacher, temperature));
}

}  // namespace reference

}  // namespace isotrope
