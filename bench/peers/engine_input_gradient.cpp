// The gradient of log p(a token at the last position) by the input embeddings of SmolLM2-135M, its weights frozen and random, fp32: one prompt.
//   engine_input_gradient forward|gradient|inference TOKENS     "0" when it is ready; then for every line in, the seconds of one
// forward is the pass that records what the gradient needs, inference the pass that records nothing; log p included in all.
#include <ATen/ATen.h>

#include <chrono>
#include <iostream>
#include <string>

#include "isotrope/kernels/head_probabilities.h"
#include "isotrope/kernels/retained_memory.h"
#include "isotrope/models/model.h"

int main(int count, char** arguments) {
  using namespace isotrope;
  if (count != 3) return std::cerr << "usage: engine_input_gradient forward|gradient|inference TOKENS\n", 2;
  const std::string mode = arguments[1];
  retain_tensor_memory();
  const auto config = nlohmann::json::parse(R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 576,
    "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
    "max_position_embeddings": 8192, "tie_word_embeddings": true})");
  const auto model = make_model(config, {at::kFloat, at::kCPU}, "SmolLM2-135M");
  initialize_(model->parameters(), 1);
  for (auto& parameter : model->parameters().all()) parameter.value.set_requires_grad(false);
  const auto ids = at::randint(0, 49152, {1, std::stoll(arguments[2])}, at::kLong), target = at::tensor({7}, at::kLong);
  const auto embeddings = model->embed(ids).detach().set_requires_grad(mode != "inference");
  std::cout << 0 << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const auto begun = std::chrono::steady_clock::now();
    {
      const at::AutoGradMode recording(mode != "inference");
      const auto last = model->forward_embeddings(embeddings).select(1, -1);
      const auto log_p = token_log_probabilities(model->head_input(last), model->head(), target);
      if (mode == "gradient") torch::autograd::grad({log_p}, {embeddings});
    }
    std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count() << std::endl;
  }
}
