// The convolution and the scan of a state-space layer, our kernels and libtorch's operations in one process. A line in, a line with numbers
// out:
//   time ours|peer BATCH TOKENS HEADS HEAD_DIM STATES CHUNK fp32|bf16     seconds of a forward and backward pass, one group, 4 taps, silu
//   errors BATCH TOKENS HEADS HEAD_DIM STATES CHUNK fp32|bf16             largest relative error (L2, of output and gradients) against float64: ours, peer's
// The peer is the chunked form (kernels/selective_scan.h) behind libtorch's depthwise convolution.
#include <torch/torch.h>

#include <chrono>
#include <iostream>
#include <sstream>
#include <string>

#include "isotrope/kernels/causal_conv1d.h"
#include "isotrope/kernels/selective_scan.h"

namespace {

using at::Tensor;
using Clock = std::chrono::steady_clock;

struct Layer {
  std::int64_t heads, head_dim, states, chunk;
  at::ScalarType type;
  std::vector<Tensor> inputs;  // x | B | C, weight and bias of the convolution, dt, A, D
  Tensor slope;

  Layer(std::int64_t batch, std::int64_t tokens, std::int64_t h, std::int64_t p, std::int64_t n, std::int64_t chunk, at::ScalarType type)
      : heads(h), head_dim(p), states(n), chunk(chunk), type(type) {
    at::manual_seed(1);
    const auto channels = h * p + 2 * n;
    inputs = {at::randn({batch, tokens, channels}).to(type),
              (at::randn({channels, 4}) * 0.3).to(type),
              (at::randn({channels}) * 0.1).to(type),
              at::softplus(at::randn({batch, tokens, h}) - 3),
              -at::rand({h}) * 15 - 1,
              at::ones({h})};
    slope = at::randn({batch, tokens, h, p}).to(type);
  }

  /// Output and gradients of all inputs.
  std::vector<Tensor> run(const std::string& who) const {
    std::vector<Tensor> in;
    for (const auto& input : inputs) in.push_back((who == "exact" ? input.to(at::kDouble) : input).detach().requires_grad_());
    const auto inner = heads * head_dim;
    Tensor mixed;
    if (who == "ours") mixed = isotrope::causal_conv1d(in[0], in[1], in[2], {.silu = true});
    else if (who == "exact") mixed = isotrope::reference::causal_conv1d(in[0], in[1], in[2], {.silu = true});
    else
      mixed = at::silu(at::conv1d(in[0].transpose(1, 2), in[1].unsqueeze(1), in[2], 1, 3, 1, in[0].size(2)).narrow(2, 0, in[0].size(1)))
                  .transpose(1, 2);
    const auto parts = mixed.split_with_sizes({inner, states, states}, 2);
    const isotrope::ScanInputs scan{parts[0].unflatten(2, {heads, head_dim}), in[3], in[4], parts[1].unflatten(2, {1, states}),
                                    parts[2].unflatten(2, {1, states}),       in[5]};
    const auto y = who == "ours"    ? isotrope::selective_scan(scan).y
                   : who == "exact" ? isotrope::reference::selective_scan(scan).y
                                    : isotrope::chunked_selective_scan(scan, {}, chunk).y;
    auto results = torch::autograd::grad({y}, in, {slope.to(y.scalar_type())});
    results.push_back(y.detach());
    return results;
  }
};

double seconds(const auto& work) {
  work();
  const auto begun = Clock::now();
  int times = 0;
  do work(), ++times;
  while (std::chrono::duration<double>(Clock::now() - begun).count() < 0.5);
  return std::chrono::duration<double>(Clock::now() - begun).count() / times;
}

double relative(const Tensor& got, const Tensor& exact) { return ((got.to(at::kDouble) - exact).norm() / exact.norm()).item<double>(); }

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what, who, type;
    std::int64_t batch = 0, tokens = 0, heads = 0, head_dim = 0, states = 0, chunk = 0;
    words >> what;
    if (what == "time") words >> who;
    words >> batch >> tokens >> heads >> head_dim >> states >> chunk >> type;
    const Layer layer(batch, tokens, heads, head_dim, states, chunk, type == "bf16" ? at::kBFloat16 : at::kFloat);
    if (what == "time") {
      std::cout << seconds([&] { layer.run(who); }) << std::endl;
      continue;
    }
    const auto exact = layer.run("exact"), ours = layer.run("ours"), peer = layer.run("peer");
    double worst[2] = {};
    for (std::size_t i = 0; i < exact.size(); ++i) {
      worst[0] = std::max(worst[0], relative(ours[i], exact[i]));
      worst[1] = std::max(worst[1], relative(peer[i], exact[i]));
    }
    std::cout << worst[0] << ' ' << worst[1] << std::endl;
  }
}
