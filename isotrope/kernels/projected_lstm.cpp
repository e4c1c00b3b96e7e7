#include "isotrope/kernels/projected_lstm.h"

#include <ATen/ATen.h>

#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/dispatch.h"

#define ISOTROPE_KERNELS "isotrope/kernels/projected_lstm.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const at::Tensor& gates, const at::Tensor& weight_hh, const at::Tensor& weight_hr, const LstmOptions& options) {
  const bool fits = gates.dim() == 3 && gates.numel() > 0 && weight_hh.dim() == 2 && weight_hr.dim() == 2 &&
                    gates.size(2) == weight_hh.size(0) && weight_hh.size(1) == weight_hr.size(0) && gates.size(2) == 4 * weight_hr.size(1);
  if (!fits)
    throw WorkError("lstm", "gates {}, W_hh {} and W_hr {} are not [B, T, 4 cells], [4 cells, p] and [p, cells]", shape_text(gates.sizes()),
                    shape_text(weight_hh.sizes()), shape_text(weight_hr.sizes()));
  if (options.documents.defined() && options.documents.sizes() != gates.sizes().slice(0, 2))
    throw WorkError("lstm", "documents {} are not {}", shape_text(options.documents.sizes()), shape_text(gates.sizes().slice(0, 2)));
}

/// [T, B] booleans in the order of reading: a text begins.
at::Tensor beginnings(const at::Tensor& gates, const LstmOptions& options) {
  const auto tokens = gates.size(1);
  auto begins = at::zeros({tokens, gates.size(0)}, at::kBool);
  begins[0].fill_(true);
  if (!options.documents.defined() || tokens == 1) return begins;
  const auto rows = options.documents.to(at::kCPU).t();
  const auto documents = options.backwards ? rows.flip(0) : rows;
  begins.narrow(0, 1, tokens - 1).copy_(documents.narrow(0, 1, tokens - 1) != documents.narrow(0, 0, tokens - 1));
  return begins;
}

}  // namespace

namespace reference {

at::Tensor projected_lstm(const at::Tensor& gates, const at::Tensor& weight_hh, const at::Tensor& weight_hr, const LstmOptions& options) {
  check(gates, weight_hh, weight_hr, options);
  const auto wide = gates.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto tokens = gates.size(1), cells = weight_hr.size(1);
  const auto w_hh = weight_hh.to(wide).t(), w_hr = weight_hr.to(wide).t();
  const auto goes_on = beginnings(gates, options).logical_not().to(wide).to(gates.device()).unsqueeze(2);
  auto h = at::zeros({gates.size(0), weight_hr.size(0)}, gates.options().dtype(wide));
  auto c = at::zeros({gates.size(0), cells}, h.options());
  std::vector<at::Tensor> out(static_cast<std::size_t>(tokens));
  for (std::int64_t step = 0; step < tokens; ++step) {
    const auto t = options.backwards ? tokens - 1 - step : step;
    h = h * goes_on[step], c = c * goes_on[step];
    const auto z = (gates.select(1, t).to(wide) + at::matmul(h, w_hh)).chunk(4, 1);
    c = at::sigmoid(z[1] + 1) * c + at::sigmoid(z[0]) * at::tanh(z[2]);
    h = at::matmul(at::sigmoid(z[3]) * at::tanh(c), w_hr);
    out[static_cast<std::size_t>(t)] = h;
  }
  return at::stack(out, 1).to(gates.scalar_type());
}

}  // namespace reference

namespace {

/// Everything of a pass in the order of reading, fp32: values of the gates [T, B, 4C], c and u = o tanh(c) [T, B, C], h [T, B, p].
struct Recurrence {
  at::Tensor z, c, u, h, begins;

  std::int64_t tokens() const { return z.size(0); }
  std::int64_t rows() const { return z.size(1); }
  std::int64_t cells() const { return c.size(2); }
  /// Calls work(row, what c was before token t; null where a text begins there), on all threads.
  void for_rows(std::int64_t t, const auto& work) const {
    const auto* fresh = begins.const_data_ptr<bool>() + t * rows();
    at::parallel_for(0, rows(), rows_per_task(8 * cells()), [&](std::int64_t begin, std::int64_t end) {
      for (auto row = begin; row < end; ++row)
        work(row, fresh[row] ? nullptr : c.const_data_ptr<float>() + ((t - 1) * rows() + row) * cells());
    });
  }
  /// What h was before each token, [T, B, p].
  at::Tensor h_before() const {
    auto before = at::empty_like(h);
    before[0].zero_();
    if (tokens() > 1) before.narrow(0, 1, tokens() - 1).copy_(h.narrow(0, 0, tokens() - 1));
    return before.masked_fill_(begins.unsqueeze(2), 0);
  }
};

/// [B, T, n] into the order of reading [T, B, n], and back.
at::Tensor in_reading_order(const at::Tensor& x, bool backwards) { return backwards ? x.transpose(0, 1).flip(0) : x.transpose(0, 1); }

Recurrence run(const at::Tensor& gates, const at::Tensor& weight_hh, const at::Tensor& weight_hr, const LstmOptions& options) {
  const auto rows = gates.size(0), tokens = gates.size(1), cells = weight_hr.size(1);
  const auto w_hh = weight_hh.to(at::kFloat).t(), w_hr = weight_hr.to(at::kFloat).t();
  const auto fp32 = gates.options().dtype(at::kFloat);
  Recurrence r{.z = at::empty({tokens, rows, 4 * cells}, fp32),
               .c = at::empty({tokens, rows, cells}, fp32),
               .u = at::empty({tokens, rows, cells}, fp32),
               .h = at::empty({tokens, rows, weight_hr.size(0)}, fp32),
               .begins = beginnings(gates, options)};
  r.z.copy_(in_reading_order(gates, options.backwards));
  const bool only_rows = !options.documents.defined();
  static const auto kernel = ISOTROPE_CHOOSE(lstm_cell_forward);
  for (std::int64_t t = 0; t < tokens; ++t) {
    auto z = r.z[t], h = r.h[t];
    if (t > 0) {
      const auto before = only_rows ? r.h[t - 1] : r.h[t - 1].masked_fill(r.begins[t].unsqueeze(1), 0);
      z.addmm_(before, w_hh);
    }
    auto *gate = z.mutable_data_ptr<float>(), *c = r.c[t].mutable_data_ptr<float>(), *u = r.u[t].mutable_data_ptr<float>();
    r.for_rows(t, [&](std::int64_t row, const float* c_before) {
      kernel(gate + row * 4 * cells, c_before, c + row * cells, u + row * cells, cells);
    });
    at::mm_out(h, r.u[t], w_hr);
  }
  return r;
}

/// The gradient of a weight: aᵀ b of all tokens, into its sink if it has one.
at::Tensor weight_gradient(const at::Tensor& weight, GradientSink* sink, const at::Tensor& a, const at::Tensor& b) {
  const auto rows_a = a.flatten(0, 1), rows_b = b.flatten(0, 1);
  if (sink) {
    add_outer_product_(*sink, rows_a, rows_b);
    return {};
  }
  return at::mm(rows_a.t(), rows_b).to(weight.scalar_type());
}

/// Of W itself: the gradient of a weight with additions goes back through them.
GradientSink* sink_of(AutogradContext* context, const char* which) {
  auto& slot = static_cast<LinearSlot&>(*context->saved_data[which].toCapsule());
  return slot.sink && !slot.has_additions() ? &slot.sink : nullptr;
}

struct ProjectedLstm : torch::autograd::Function<ProjectedLstm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gates, const at::Tensor& weight_hh, const at::Tensor& weight_hr,
                            const std::optional<at::Tensor>& documents, bool backwards, const Slot& slot_hh, const Slot& slot_hr) {
    const auto r = run(gates, weight_hh, weight_hr, {.documents = documents.value_or(at::Tensor()), .backwards = backwards});
    context->save_for_backward({r.z, r.c, r.u, r.h, r.begins, weight_hh, weight_hr});
    context->saved_data["backwards"] = backwards;
    context->saved_data["hh"] = c10::IValue::make_capsule(slot_hh);
    context->saved_data["hr"] = c10::IValue::make_capsule(slot_hr);
    return in_reading_order_back(r.h, backwards, gates.scalar_type());
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    refuse_second_derivative("projected_lstm");
    const auto saved = context->get_saved_variables();
    const Recurrence r{.z = saved[0].clone(), .c = saved[1], .u = saved[2], .h = saved[3], .begins = saved[4]};
    const auto &weight_hh = saved[5], &weight_hr = saved[6];
    const auto w_hh = weight_hh.to(at::kFloat), w_hr = weight_hr.to(at::kFloat);
    const bool backwards = context->saved_data["backwards"].toBool();
    const auto cells = r.cells();
    auto dh = at::empty_like(r.h);  // of each token, what later ones leave included
    dh.copy_(in_reading_order(grads[0], backwards));
    auto dc = at::zeros_like(r.c[0]), du = at::empty_like(r.c[0]);
    static const auto kernel = ISOTROPE_CHOOSE(lstm_cell_backward);
    for (auto t = r.tokens() - 1; t >= 0; --t) {
      at::mm_out(du, dh[t], w_hr);
      const auto *c = r.c[t].const_data_ptr<float>(), *gradient = du.const_data_ptr<float>();
      auto *z = r.z[t].mutable_data_ptr<float>(), *left = dc.mutable_data_ptr<float>();
      r.for_rows(t, [&](std::int64_t row, const float* c_before) {
        kernel(z + row * 4 * cells, c_before, c + row * cells, gradient + row * cells, left + row * cells, cells);
      });
      if (t > 0) dh[t - 1].add_(at::mm(r.z[t], w_hh).masked_fill_(r.begins[t].unsqueeze(1), 0));
    }
    at::Tensor d_hh, d_hr;
    if (context->needs_input_grad(1)) d_hh = weight_gradient(weight_hh, sink_of(context, "hh"), r.z, r.h_before());
    if (context->needs_input_grad(2)) d_hr = weight_gradient(weight_hr, sink_of(context, "hr"), dh, r.u);
    return {
        in_reading_order_back(r.z, backwards, grads[0].scalar_type()), d_hh, d_hr, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static at::Tensor in_reading_order_back(const at::Tensor& x, bool backwards, at::ScalarType dtype) {
    auto out = at::empty({x.size(1), x.size(0), x.size(2)}, x.options().dtype(dtype));  // never the saved state itself
    return out.copy_((backwards ? x.flip(0) : x).transpose(0, 1));
  }
};

}  // namespace

at::Tensor projected_lstm(const at::Tensor& gates, const Slot& hh, const Slot& hr, const LstmOptions& options) {
  const auto weight_hh = effective_weight(*hh), weight_hr = effective_weight(*hr);
  check(gates, weight_hh, weight_hr, options);
  if (!has_cpu_kernel(gates)) return reference::projected_lstm(gates, weight_hh, weight_hr, options);
  return ProjectedLstm::apply(gates, weight_hh, weight_hr, options.documents.defined() ? std::optional(options.documents) : std::nullopt,
                              options.backwards, hh, hr);
}

}  // namespace isotrope
