// Each kernel beside its composed reference, forward and backward, in bf16 at the sizes of a 10 M-parameter decoder (4,096 tokens).
#include <benchmark/benchmark.h>

#include "isotrope/kernels/activations.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/kernels/norms.h"

namespace isotrope {
namespace {

at::Tensor leaf(at::IntArrayRef shape) { return at::randn(shape).to(at::kBFloat16).requires_grad_(true); }

template <class Function>
void forward_backward(benchmark::State& state, const Function& function) {
  for (auto _ : state) function().backward();
}

void rms_norm_kernel(benchmark::State& state) {
  const auto x = leaf({4096, 256}), gain = leaf({256});
  forward_backward(state, [&] { return (state.range(0) ? rms_norm(x, gain, 1e-5) : reference::rms_norm(x, gain, 1e-5)).sum(); });
}
BENCHMARK(rms_norm_kernel)->ArgName("ours")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void swiglu_kernel(benchmark::State& state) {
  const auto gate = leaf({4096, 688}), up = leaf({4096, 688});
  forward_backward(state, [&] { return (state.range(0) ? swiglu(gate, up) : reference::swiglu(gate, up)).sum(); });
}
BENCHMARK(swiglu_kernel)->ArgName("ours")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void head_loss_kernel(benchmark::State& state) {
  const auto hidden = leaf({4096, 256}), head = leaf({8192, 256});
  const auto targets = at::randint(0, 8192, {4096}, at::kLong);
  forward_backward(state, [&] {
    const HeadLossOptions options{.scale = 1.0 / 4096};
    return (state.range(0) ? head_loss(hidden, head, targets, options) : reference::head_loss(hidden, head, targets, options)).loss;
  });
}
BENCHMARK(head_loss_kernel)->ArgName("ours")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace isotrope
