// Where a training step's time goes. The parts of one step of a Llama-style model in bf16, each timed alone at its own size; the whole
// step; and its matrix products through libtorch, which bound it. A line in, a line with numbers out:
//   shape WIDTH FEED_FORWARD LAYERS HEADS VOCABULARY BATCH TOKENS     sets the model (heads of WIDTH/HEADS, no groups); answers its parameters
//   NAME                                                              seconds a step spends there: step products linear head_loss attention
//                                                                     norms rotation swiglu embedding optimizer gradient_norm;
//                                                                     gemm: of one product 2048 × 2048 × 2048 through libtorch
#include <torch/torch.h>

#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "isotrope/kernels/activations.h"
#include "isotrope/kernels/adamw.h"
#include "isotrope/kernels/attention.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/kernels/linear.h"
#include "isotrope/kernels/norms.h"
#include "isotrope/kernels/retained_memory.h"
#include "isotrope/kernels/rope.h"
#include "isotrope/optim/optimizer.h"
#include "isotrope/train/step.h"

namespace {

using at::Tensor;
using torch::autograd::grad;

struct Shape {
  std::int64_t width = 0, feed_forward = 0, layers = 0, heads = 0, vocabulary = 0, batch = 0, tokens = 0;
  std::int64_t rows() const { return batch * tokens; }
};

Tensor random(std::initializer_list<std::int64_t> shape) { return at::randn(shape).mul_(0.05).to(at::kBFloat16); }
Tensor leaf(std::initializer_list<std::int64_t> shape) { return random(shape).requires_grad_(); }

/// Seconds of one call, over at least 0.4 s.
double seconds(const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  work();
  const auto begun = Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - begun).count(); };
  int times = 0;
  do work(), ++times;
  while (passed() < 0.4);
  return passed() / times;
}

/// The whole step of the program: gradients and update on random tokens.
class Step {
 public:
  explicit Step(const Shape& s)
      : model_(isotrope::make_model({{"model_type", "llama"},
                                     {"architectures", {"LlamaForCausalLM"}},
                                     {"vocab_size", s.vocabulary},
                                     {"hidden_size", s.width},
                                     {"intermediate_size", s.feed_forward},
                                     {"num_hidden_layers", s.layers},
                                     {"num_attention_heads", s.heads},
                                     {"num_key_value_heads", s.heads},
                                     {"max_position_embeddings", s.tokens},
                                     {"hidden_act", "silu"},
                                     {"rms_norm_eps", 1e-5}},
                                    {}, "step_parts")) {
    isotrope::initialize_(model_->parameters(), 1);
    optimizer_ = isotrope::make_optimizer(model_->parameters(), at::kBFloat16, {});
    gradients_ = std::make_unique<isotrope::Gradients>(optimizer_->parameters());
    const auto ids = at::randint(0, s.vocabulary, {s.batch, s.tokens}, at::kLong);
    batches_.push_back({.ids = ids, .tensors = {{"targets", ids.flip(1)}}, .counts = {{"token", s.rows()}}});
    isotrope::RunConfig config;
    config.train.context = s.tokens, config.train.batch_size = config.eval.batch_size = 1;
    objective_ = isotrope::make_objective({*model_, config, /*tokenizer=*/nullptr});
  }
  void take() {
    isotrope::compute_gradients(*model_, *gradients_, *objective_, batches_);
    optimizer_->step_(*gradients_, 1e-4, isotrope::clip_factor(1.0, norm()));
  }
  void optimize() { optimizer_->step_(*gradients_, 1e-4, 1.0); }
  double norm() { return optimizer_->gradient_norm(gradients_->squared_norms()); }
  std::int64_t parameters() const { return model_->parameters().count(); }

 private:
  std::unique_ptr<isotrope::Model> model_;
  std::unique_ptr<isotrope::Optimizer> optimizer_;
  std::unique_ptr<isotrope::Gradients> gradients_;
  std::unique_ptr<isotrope::Objective> objective_;
  std::vector<isotrope::Batch> batches_;
};

using Work = std::function<void()>;

/// y = x Wᵀ forward, and both gradients, W's into its sink.
Work linear(std::int64_t rows, std::int64_t in, std::int64_t out) {
  auto x = leaf({rows, in}), w = leaf({out, in}), slope = random({rows, out});
  const isotrope::Linear layer(w);
  layer.slot->sink = {at::zeros({out, in})};
  return [=] { grad({layer(x)}, {x}, {slope}); };
}

/// The same three products through libtorch, into memory that is there already.
Work products(std::int64_t rows, std::int64_t in, std::int64_t out) {
  auto x = random({rows, in}), w = random({out, in}), slope = random({rows, out});
  auto y = at::empty({rows, out}, x.options()), dx = at::empty_like(x), dw = at::empty_like(w);
  return [=]() mutable {
    at::mm_out(y, x, w.t());
    at::mm_out(dx, slope, w);
    at::mm_out(dw, slope.t(), x);
  };
}

/// A product of a size that libtorch does best.
Work gemm() {
  auto a = random({2048, 2048}), b = random({2048, 2048}), c = at::empty_like(a);
  return [=]() mutable { at::mm_out(c, a, b); };
}

Work repeat(std::int64_t times, Work work) {
  return [=] {
    for (std::int64_t i = 0; i < times; ++i) work();
  };
}

Work all(std::vector<Work> works) {
  return [=] {
    for (const auto& work : works) work();
  };
}

Work matrices(const Shape& s, Work (*product)(std::int64_t, std::int64_t, std::int64_t)) {
  return all({repeat(4 * s.layers, product(s.rows(), s.width, s.width)), repeat(2 * s.layers, product(s.rows(), s.width, s.feed_forward)),
              repeat(s.layers, product(s.rows(), s.feed_forward, s.width))});
}

Work head_loss(const Shape& s) {
  auto hidden = leaf({s.rows(), s.width}), head = leaf({s.vocabulary, s.width});
  auto targets = at::randint(0, s.vocabulary, {s.rows()}, at::kLong);
  const isotrope::Linear layer(head);
  layer.slot->sink = {at::zeros({s.vocabulary, s.width})};
  return [=] {
    const auto scale = 1.0 / static_cast<double>(targets.size(0));
    grad({isotrope::head_loss(hidden, layer, targets, {.scale = scale}).loss}, {hidden});
  };
}

Work attention(const Shape& s) {
  const auto make = [&] { return random({s.batch, s.tokens, s.heads, s.width / s.heads}).transpose(1, 2).requires_grad_(); };
  auto q = make(), k = make(), v = make(), slope = make().detach();
  return repeat(s.layers, [=] { grad({isotrope::attention(q, k, v)}, {q, k, v}, {slope}); });
}

Work norms(const Shape& s) {
  auto x = leaf({s.rows(), s.width}), delta = leaf({s.rows(), s.width}), gain = leaf({s.width});
  auto slope = random({s.rows(), s.width});
  return repeat(2 * s.layers + 1, [=] {
    const auto [sum, normed] = isotrope::add_rms_norm(x, delta, gain, 1e-5);
    grad({sum, normed}, {x, delta, gain}, {slope, slope});
  });
}

Work rotation(const Shape& s) {
  auto x = leaf({s.batch, s.tokens, s.heads, s.width / s.heads});
  auto slope = random({s.batch, s.tokens, s.heads, s.width / s.heads});
  const auto angles = at::randn({s.tokens, s.width / s.heads / 2});
  const isotrope::RopeTable table{angles.cos(), angles.sin()};
  const auto positions = at::arange(s.tokens, at::kLong).expand({s.batch, s.tokens});
  return repeat(2 * s.layers, [=] { grad({isotrope::rope(x, table, positions)}, {x}, {slope}); });
}

Work swiglu(const Shape& s) {
  auto gate = leaf({s.rows(), s.feed_forward}), up = leaf({s.rows(), s.feed_forward}), slope = random({s.rows(), s.feed_forward});
  return repeat(s.layers, [=] { grad({isotrope::swiglu(gate, up)}, {gate, up}, {slope}); });
}

Work embedding(const Shape& s) {
  auto table = leaf({s.vocabulary, s.width}), slope = random({s.batch, s.tokens, s.width});
  auto ids = at::randint(0, s.vocabulary, {s.batch, s.tokens}, at::kLong);
  const auto rows = isotrope::Linear(table).slot;
  rows->sink = {at::zeros({s.vocabulary, s.width})};
  return [=] {
    rows->sink.empty = true;  // as at the beginning of a step
    isotrope::embedding_lookup(rows, ids).backward(slope);
  };
}

std::map<std::string, Work> parts_of(const Shape& s, std::shared_ptr<Step> step) {
  at::manual_seed(1);
  return {{"step", [=] { step->take(); }},
          {"products", all({matrices(s, products), products(s.rows(), s.width, s.vocabulary)})},
          {"gemm", gemm()},
          {"linear", matrices(s, linear)},
          {"head_loss", head_loss(s)},
          {"attention", attention(s)},
          {"norms", norms(s)},
          {"rotation", rotation(s)},
          {"swiglu", swiglu(s)},
          {"embedding", embedding(s)},
          {"optimizer", [=] { step->optimize(); }},
          {"gradient_norm", [=] { step->norm(); }}};
}

}  // namespace

int main() {
  isotrope::retain_tensor_memory();
  std::map<std::string, Work> parts;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what;
    words >> what;
    if (what == "shape") {
      Shape s;
      words >> s.width >> s.feed_forward >> s.layers >> s.heads >> s.vocabulary >> s.batch >> s.tokens;
      const auto step = std::make_shared<Step>(s);
      parts = parts_of(s, step);
      std::cout << step->parameters() << std::endl;
    } else {
      std::cout << seconds(parts.at(what)) << std::endl;
    }
  }
}
