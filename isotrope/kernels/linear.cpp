#include "isotrope/kernels/linear.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/few_rows.h"
#include "isotrope/kernels/invariant_linear.h"
#include "isotrope/kernels/onednn_linear.h"
#include "isotrope/kernels/weight_gradient.h"

#define ISOTROPE_KERNELS "isotrope/kernels/rows.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

std::optional<at::Tensor> optional(const at::Tensor& x) { return x.defined() ? std::optional(x) : std::nullopt; }

bool asks_gradient(const at::Tensor& x) { return x.defined() && x.requires_grad(); }

bool multipliers_train(const LinearSlot& slot) {
  return asks_gradient(slot.row) || asks_gradient(slot.column) || asks_gradient(slot.scale);
}

/// W with its multipliers, as it lies.
at::Tensor multiplied_weight(const LinearSlot& slot) {
  auto w = slot.packed ? expanded(*slot.packed, slot.weight.scalar_type()) : slot.weight;
  if (slot.row.defined()) w = w * (slot.transposed ? slot.row.unsqueeze(0) : slot.row.unsqueeze(1));
  if (slot.column.defined()) w = w * (slot.transposed ? slot.column.unsqueeze(1) : slot.column.unsqueeze(0));
  return slot.scale.defined() ? w * slot.scale : w;
}

at::Tensor with_lora(const LinearSlot& slot, const at::Tensor& x, const at::Tensor& y) {
  return slot.has_lora() ? y + slot.lora_scale * product(product(x, slot.down, {}), slot.up, {}) : y;
}

/// ∂W = aᵀ b with its multipliers' share, for the rows a, b that W̃ lies between as it lies.
SlotGradients outer_gradients(LinearSlot& slot, const at::Tensor& a, const at::Tensor& b, bool of_weight) {
  if (!slot.has_multipliers()) {
    if (!slot.sink) return {.weight = at::mm(a.t(), b)};
    add_outer_product_(slot.sink, a, b);
    return {};
  }
  auto gradient = at::empty(slot.weight.sizes(), a.options().dtype(at::kFloat));
  add_outer_product_(gradient, a, b, /*overwrite=*/true);
  return spread_gradient(slot, gradient, of_weight);
}

c10::IValue capsule_of(const Slot& slot) { return c10::IValue::make_capsule(slot); }

LinearSlot& slot_of(AutogradContext* context) { return static_cast<LinearSlot&>(*context->saved_data["slot"].toCapsule()); }

/// x W̃ᵀ + b without LoRA. The tensors of the slot are arguments too, so that autograd sees what y depends on.
struct SlotProduct : torch::autograd::Function<SlotProduct> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            const std::optional<at::Tensor>& /*row*/, const std::optional<at::Tensor>& /*column*/,
                            const std::optional<at::Tensor>& /*scale*/, const Slot& slot) {
    const auto w = slot->has_multipliers() ? multiplied_weight(*slot) : weight;
    context->save_for_backward({x, w, bias.value_or(at::Tensor())});
    context->saved_data["slot"] = capsule_of(slot);
    return product(x, slot->transposed ? w.t() : w, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    refuse_second_derivative("linear");
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2];
    auto& slot = slot_of(context);
    const auto dy = grads[0].reshape({-1, grads[0].size(-1)}), rows = x.reshape({-1, x.size(-1)});
    if (slot.on_gradient) slot.on_gradient(rows, dy);
    at::Tensor dx, d_bias;
    SlotGradients d;
    // Of what is asked for in this pass alone: a gradient by x leaves the sink as it is. Only tensors that are there are counted.
    std::size_t argument = 2;
    const auto asked = [&](const at::Tensor& x) { return x.defined() && context->needs_input_grad(argument++); };
    const bool of_weight = context->needs_input_grad(1), of_bias = asked(bias), of_row = asked(slot.row), of_column = asked(slot.column),
               of_scale = asked(slot.scale);
    if (context->needs_input_grad(0)) dx = at::mm(dy, slot.transposed ? weight.t() : weight).view(x.sizes());
    if (of_weight || of_row || of_column || of_scale)
      d = slot.transposed ? outer_gradients(slot, rows, dy, of_weight) : outer_gradients(slot, dy, rows, of_weight);
    if (of_bias) d_bias = dy.sum(0, false, at::kFloat).to(bias.scalar_type());
    return {dx, d.weight, d_bias, d.row, d.column, d.scale, at::Tensor()};
  }
};

/// Whether a product of x has more to do in its backward pass than autograd does by itself.
bool needs_slot(const LinearSlot& slot, const at::Tensor& x) {
  if (!at::GradMode::is_enabled() || is_composed()) return false;
  if (slot.on_gradient) return x.requires_grad() || slot.trains();
  return has_cpu_kernel(x) && ((slot.sink && slot.weight.requires_grad()) || multipliers_train(slot));
}

struct EmbeddingIntoSink : torch::autograd::Function<EmbeddingIntoSink> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& table, const at::Tensor& ids, const Slot& slot) {
    context->save_for_backward({ids.contiguous()});
    context->saved_data["slot"] = capsule_of(slot);
    return at::embedding(table, ids);
  }

  /// Threads share the columns, so that every sum is made in the order of the ids.
  static variable_list backward(AutogradContext* context, variable_list grads) {
    refuse_second_derivative("embedding_lookup");
    const auto saved = context->get_saved_variables();
    const auto dy = grads[0].contiguous();
    auto& sink = slot_of(context).sink.filled();
    const auto width = sink.size(1), count = saved[0].numel(), stride = sink.stride(0);
    const auto* ids = saved[0].const_data_ptr<std::int64_t>();
    auto* to = sink.mutable_data_ptr<float>();
    dispatch_float(dy.scalar_type(), [&]<class T>() {
      static const auto add = ISOTROPE_CHOOSE(add_row<T>);
      const auto* from = dy.const_data_ptr<T>();
      constexpr std::int64_t columns = 64;
      at::parallel_for(0, (width + columns - 1) / columns, 1, [&](std::int64_t begin, std::int64_t end) {
        const auto first = begin * columns, last = std::min(width, end * columns);
        for (std::int64_t i = 0; i < count; ++i) add(to + ids[i] * stride + first, from + i * width + first, last - first);
      });
    });
    return {at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor weight_rows(const Slot& table, const at::Tensor& ids) {
  if (table->packed) return expanded_rows(*table->packed, ids, table->weight.scalar_type());
  const bool into_sink = at::GradMode::is_enabled() && table->sink && table->weight.requires_grad() && has_cpu_kernel(table->weight);
  return into_sink ? EmbeddingIntoSink::apply(table->weight, ids, table) : at::embedding(table->weight, ids);
}

}  // namespace

bool LinearSlot::trains() const { return asks_gradient(weight) || multipliers_train(*this) || asks_gradient(down) || asks_gradient(up); }

at::Tensor effective_weight(const LinearSlot& slot) {
  const auto w = multiplied_weight(slot);
  if (!slot.has_lora()) return w;
  const auto added = at::mm(slot.up, slot.down);
  return w + slot.lora_scale * (slot.transposed ? added.t() : added);
}

void keep_packed(LinearSlot& slot, PackedMatrix matrix) {
  auto& weight = slot.weight;
  if (slot.transposed || weight.dim() != 2 || weight.size(0) != matrix.rows || weight.size(1) != matrix.columns)
    throw WorkError("packed", "a packed matrix {} x {} is no weight {}", matrix.rows, matrix.columns, shape_text(weight.sizes()));
  const auto nothing = at::full({1, 1}, std::numeric_limits<double>::quiet_NaN(), weight.options().requires_grad(false));
  weight.set_data(nothing.expand(weight.sizes()));
  weight.set_requires_grad(false);
  slot.packed = std::make_shared<const PackedMatrix>(std::move(matrix));
}

SlotGradients spread_gradient(LinearSlot& slot, const at::Tensor& gradient, bool of_weight) {
  const at::NoGradGuard no_grad;
  const auto wide = [](const at::Tensor& x) { return x.detach().to(at::kFloat); };
  const auto like = [](const at::Tensor& d, const at::Tensor& x) { return d.to(x.scalar_type()); };
  const auto G = slot.transposed ? gradient.t() : gradient;
  SlotGradients d;
  if (multipliers_train(slot)) {
    const auto W = wide(slot.weight), P = (slot.transposed ? W.t() : W) * G;  // ∂W̃ W of each number
    const auto s = slot.scale.defined() ? wide(slot.scale) : at::ones({}, P.options());
    const auto over_rows = slot.row.defined() ? at::mv(P.t(), wide(slot.row)) : P.sum(0);       // Σ_i r_i P_ij
    const auto over_columns = slot.column.defined() ? at::mv(P, wide(slot.column)) : P.sum(1);  // Σ_j P_ij c_j
    if (asks_gradient(slot.row)) d.row = like(s * over_columns, slot.row);
    if (asks_gradient(slot.column)) d.column = like(s * over_rows, slot.column);
    if (asks_gradient(slot.scale))
      d.scale = like(slot.column.defined() ? at::dot(over_rows, wide(slot.column)) : over_rows.sum(), slot.scale);
  }
  if (asks_gradient(slot.up)) d.up = like(slot.lora_scale * at::mm(G, wide(slot.down).t()), slot.up);
  if (asks_gradient(slot.down)) d.down = like(slot.lora_scale * at::mm(wide(slot.up).t(), G), slot.down);
  if (!of_weight) return d;
  auto own = G;
  if (slot.row.defined()) own = own * wide(slot.row).unsqueeze(1);
  if (slot.column.defined()) own = own * wide(slot.column).unsqueeze(0);
  if (slot.scale.defined()) own = own * wide(slot.scale);
  if (slot.transposed) own = own.t();
  if (slot.sink) add_(slot.sink, own);
  else d.weight = like(own, slot.weight);
  return d;
}

Linear::Linear(at::Tensor weight, at::Tensor bias_) : slot(c10::make_intrusive<LinearSlot>()), bias(std::move(bias_)) {
  slot->weight = std::move(weight);
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  const auto& s = *slot;
  if (s.on_input) s.on_input(x);
  if (s.packed && !s.has_multipliers()) {
    const PackedAffine map{s.packed.get(), bias};
    return with_lora(s, x, packed_products(x, {&map, 1}).front());
  }
  if (needs_slot(s, x))
    return with_lora(s, x, SlotProduct::apply(x, s.weight, optional(bias), optional(s.row), optional(s.column), optional(s.scale), slot));
  const auto w = multiplied_weight(s);
  return with_lora(s, x, product(x, s.transposed ? w.t() : w, bias));
}

std::vector<at::Tensor> linears(const at::Tensor& x, std::initializer_list<const Linear*> layers) {
  const auto plain = [](const Linear* layer) {
    return !layer->slot->transposed && !layer->slot->has_additions() && !layer->slot->on_input;
  };
  const auto packed = std::ranges::count_if(layers, [](const Linear* layer) { return layer->slot->packed != nullptr; });
  if (at::GradMode::is_enabled() || !std::ranges::all_of(layers, plain) || (packed > 0 && packed < std::ssize(layers))) {
    std::vector<at::Tensor> results;
    for (const auto* layer : layers) results.push_back((*layer)(x));
    return results;
  }
  if (packed > 0) {
    std::vector<PackedAffine> maps;
    for (const auto* layer : layers) maps.push_back({layer->slot->packed.get(), layer->bias});
    return packed_products(x, maps);
  }
  std::vector<Affine> maps;
  for (const auto* layer : layers) maps.push_back({layer->slot->weight, layer->bias});
  return products(x, maps);
}

at::Tensor embedding_lookup(const Slot& table, const at::Tensor& ids) {
  auto y = weight_rows(table, ids);
  if (table->row.defined()) y = y * at::embedding(table->row.unsqueeze(1), ids);
  if (table->column.defined()) y = y * table->column;
  if (table->scale.defined()) y = y * table->scale;
  return table->has_lora() ? y + table->lora_scale * product(at::embedding(table->up, ids), table->down.t(), {}) : y;
}

std::vector<at::Tensor> products(const at::Tensor& x, std::span<const Affine> maps) {
  if (std::ranges::all_of(maps, [&](const Affine& map) { return takes_invariant(x, map.weight); })) return invariant_linears(x, maps);
  if (std::ranges::all_of(maps, [&](const Affine& map) { return takes_few_rows(x, map.weight); })) return few_row_products(x, maps);
  std::vector<at::Tensor> results;
  for (const auto& [weight, bias] : maps)
    results.push_back(takes_onednn(x, weight) ? onednn_linear(x, weight, bias) : at::linear(x, weight, optional(bias)));
  return results;
}

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const Affine map{weight, bias};
  return std::move(products(x, {&map, 1}).front());
}

}  // namespace isotrope
