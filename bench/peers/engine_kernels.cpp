// Our kernels and libtorch's own operations in one process, timed on command. A line in, a line with numbers out:
//   attention ours|peer BATCH TOKENS HEADS HEAD_DIM           seconds of a forward and backward pass (causal, bf16)
//   head_loss ours|peer TOKENS WIDTH VOCABULARY fp32|bf16     likewise
//   errors BATCH TOKENS HEADS HEAD_DIM                        largest relative error (L2, of output and gradients) against float64: ours, libtorch's
//   memory ours|peer TOKENS WIDTH VOCABULARY fp32|bf16        bytes that one head_loss adds to the peak of resident memory, inputs and gradients apart (ours: of the head in fp32)
#include <torch/torch.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "isotrope/kernels/attention.h"
#include "isotrope/kernels/head_loss.h"

namespace {

using at::Tensor;
using Clock = std::chrono::steady_clock;

struct Attention {
  Tensor q, k, v, slope;

  Attention(std::int64_t batch, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim) {
    at::manual_seed(1);
    const auto make = [&] { return at::randn({batch, tokens, heads, head_dim}).to(at::kBFloat16).transpose(1, 2); };
    q = make(), k = make(), v = make(), slope = make();
  }

  /// Output and gradients of q, k, v.
  std::vector<Tensor> run(const std::string& who) const {
    const auto type = who == "exact" ? at::kDouble : at::kBFloat16;
    const auto leaf = [&](const Tensor& x) { return x.to(type).detach().requires_grad_(); };
    const auto a = leaf(q), b = leaf(k), c = leaf(v);
    Tensor out;
    if (who == "ours") out = isotrope::attention(a, b, c);
    else if (who == "peer") out = at::scaled_dot_product_attention(a, b, c, {}, 0.0, /*is_causal=*/true);
    else out = isotrope::reference::attention(a, b, c);
    auto results = torch::autograd::grad({out}, {a, b, c}, {slope.to(type)});
    results.push_back(out.detach());
    return results;
  }
};

struct HeadLoss {
  Tensor hidden, head, targets, head_gradient;

  HeadLoss(std::int64_t tokens, std::int64_t width, std::int64_t vocabulary, const std::string& type) {
    at::manual_seed(1);
    const auto dtype = type == "bf16" ? at::kBFloat16 : at::kFloat;
    hidden = at::randn({tokens, width}).to(dtype).requires_grad_();
    head = (at::randn({vocabulary, width}) * 0.02).to(dtype).requires_grad_();
    targets = at::randint(0, vocabulary, {tokens}, at::kLong);
    // As in training: ours sums the head's gradient in fp32 in its place; the peer makes it anew in the head's type.
    head_gradient = at::zeros({vocabulary, width});
  }

  void run(const std::string& who) const {
    if (who == "ours") {
      const isotrope::Linear layer(head);
      layer.slot->sink = {head_gradient};
      const auto scale = 1.0 / static_cast<double>(targets.size(0));
      torch::autograd::grad({isotrope::head_loss(hidden, layer, targets, {.scale = scale}).loss}, {hidden});
    } else {
      torch::autograd::grad({at::cross_entropy_loss(at::linear(hidden, head).to(at::kFloat), targets)}, {hidden, head});
    }
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

/// VmHWM in bytes; writing 5 to clear_refs sets it back to what is resident now.
double peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
  return 0;
}

double extra_bytes(const HeadLoss& work, const std::string& who) {
  // The head's gradient of ours lies in head_gradient already.
  const auto gradients = static_cast<double>(work.hidden.nbytes() + (who == "peer" ? work.head.nbytes() : 0));
  std::ofstream("/proc/self/clear_refs") << 5;
  const auto before = peak_bytes();
  work.run(who);
  return peak_bytes() - before - gradients;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what, who, type;
    std::int64_t a = 0, b = 0, c = 0, d = 0;
    words >> what;
    if (what != "errors") words >> who;
    words >> a >> b >> c;
    if (what == "attention") {
      words >> d;
      const Attention work(a, b, c, d);
      std::cout << seconds([&] { work.run(who); });
    } else if (what == "errors") {
      words >> d;
      const Attention work(a, b, c, d);
      const auto exact = work.run("exact"), ours = work.run("ours"), peer = work.run("peer");
      double worst[2] = {};
      for (std::size_t i = 0; i < exact.size(); ++i) {
        worst[0] = std::max(worst[0], relative(ours[i], exact[i]));
        worst[1] = std::max(worst[1], relative(peer[i], exact[i]));
      }
      std::cout << worst[0] << ' ' << worst[1];
    } else {
      words >> type;
      const HeadLoss work(a, b, c, type);
      if (what == "memory") std::cout << extra_bytes(work, who);
      else std::cout << seconds([&] { work.run(who); });
    }
    std::cout << std::endl;
  }
}
