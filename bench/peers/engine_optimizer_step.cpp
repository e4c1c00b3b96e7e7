// One optimizer step on the matrices of GPT-2-124M (48 stored, transposed; queries, keys and values as one) with constant gradients.
//   engine_optimizer_step adamw|muon|spectra     "0" when it is ready; then for every line in, the seconds of a step
#include <ATen/ATen.h>

#include <chrono>
#include <iostream>
#include <string>

#include "isotrope/optim/optimizer.h"

int main(int count, char** arguments) {
  using namespace isotrope;
  if (count != 2) return std::cerr << "usage: engine_optimizer_step RULE\n", 2;
  const at::NoGradGuard no_grad;
  Parameters parameters{at::TensorOptions(at::kFloat)};
  const auto add = [&](const std::string& name, std::int64_t in, std::int64_t out, std::vector<std::int64_t> parts = {}) {
    parameters.add(name, {in, out}, ParameterClass::matrix, {}, {.transposed = true, .parts = std::move(parts)});
  };
  for (int layer = 0; layer < 12; ++layer) {
    const auto h = "h." + std::to_string(layer);
    add(h + ".attn.c_attn.weight", 768, 2304, {768, 768, 768});
    add(h + ".attn.c_proj.weight", 768, 768);
    add(h + ".mlp.c_fc.weight", 768, 3072);
    add(h + ".mlp.c_proj.weight", 3072, 768);
  }
  initialize_(parameters, 1);
  OptimizerConfig config;
  config.name = arguments[1];
  const auto optimizer = make_optimizer(parameters, at::kFloat, config);
  Gradients gradients(optimizer->parameters());
  gradients.begin(), gradients.collect();
  for (const auto& segment : optimizer->parameters().segments()) gradients.of(segment).normal_(0, 1e-3);
  std::cout << 0 << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const auto begun = std::chrono::steady_clock::now();
    optimizer->step_(gradients, 1e-3, 1);
    std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count() << std::endl;
  }
}
