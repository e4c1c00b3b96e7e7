#include "isotrope/kernels/rope.h"

#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/dispatch.h"

#define ISOTROPE_KERNELS "isotrope/kernels/rope.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace reference {

at::Tensor rope(const at::Tensor& x, const RopeTable& table, const at::Tensor& positions) {
  const auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto halves = x.to(wide).chunk(2, -1);
  const auto rows = [&](const at::Tensor& t) {
    return t.index_select(0, positions.reshape(-1)).view({x.size(0), x.size(1), 1, -1}).to(wide);
  };
  const auto cos = rows(table.cos), sin = rows(table.sin);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1).to(x.scalar_type());
}

}  // namespace reference

namespace {

at::Tensor turn(const at::Tensor& input, const at::Tensor& cos, const at::Tensor& sin, const at::Tensor& positions, float direction) {
  const auto x = input.contiguous();
  const auto tokens = x.size(0) * x.size(1), heads = x.size(2), width = x.size(3);
  auto y = at::empty_like(x);
  const auto* at_position = positions.const_data_ptr<std::int64_t>();
  const auto *c = cos.const_data_ptr<float>(), *s = sin.const_data_ptr<float>();
  dispatch_float(x.scalar_type(), [&]<class T>() {
    const auto* from = x.const_data_ptr<T>();
    auto* to = y.mutable_data_ptr<T>();
    static const auto kernel = ISOTROPE_CHOOSE(rotate<T>);
    at::parallel_for(0, tokens, rows_per_task(heads * width), [&](std::int64_t begin, std::int64_t end) {
      for (auto token = begin; token < end; ++token) {
        const auto row = at_position[token] * (width / 2);
        for (std::int64_t head = 0; head < heads; ++head) {
          const auto at = (token * heads + head) * width;
          kernel(from + at, c + row, s + row, direction, to + at, width / 2);
        }
      }
    });
  });
  return y;
}

struct Rope : torch::autograd::Function<Rope> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                            const at::Tensor& positions) {
    context->save_for_backward({cos, sin, positions});
    return turn(x, cos, sin, positions, 1.0f);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    refuse_second_derivative("rope");
    const auto saved = context->get_saved_variables();
    return {turn(grads[0], saved[0], saved[1], saved[2], -1.0f), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor rope(const at::Tensor& x, const RopeTable& table, const at::Tensor& positions) {
  if (!has_cpu_kernel(x)) return reference::rope(x, table, positions);
  return Rope::apply(x, table.cos, table.sin, positions.contiguous());
}

}  // namespace isotrope
