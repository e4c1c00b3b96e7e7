// Mamba-2: a residual stream that only state-space mixers read and write, each behind an RMS norm; no attention, no MLP, no positions.
// Source: Dao & Gu 2024 (arXiv 2405.21060); names as in transformers' Mamba2ForCausalLM.
#include <ATen/ATen.h>

#include <cmath>
#include <tuple>

#include "isotrope/base/error.h"
#include "isotrope/kernels/norms.h"
#include "isotrope/models/registry.h"
#include "isotrope/nn/mamba_mixer.h"

namespace isotrope {

namespace {

struct Mamba2Config {
  std::int64_t hidden_size, num_hidden_layers, vocab_size;
  double layer_norm_epsilon, initializer_range;
  bool residual_in_fp32, tie_word_embeddings;
  MambaMixerOptions mixer;
};

Mamba2Config read_mamba2_config(ConfigFields& fields) {
  Mamba2Config c{};
  c.hidden_size = fields.integer("hidden_size", 4096);
  c.num_hidden_layers = fields.layers("num_hidden_layers", 64);
  c.vocab_size = fields.integer("vocab_size", 32768);
  c.layer_norm_epsilon = fields.positive("layer_norm_epsilon", 1e-5);
  c.initializer_range = fields.number("initializer_range", 0.1);
  c.residual_in_fp32 = fields.boolean("residual_in_fp32", true);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);

  auto& m = c.mixer;
  m.width = c.hidden_size;
  m.heads = fields.integer("num_heads", 128);
  m.head_dim = fields.integer("head_dim", 64);
  m.groups = fields.integer("n_groups", 8);
  m.states = fields.integer("state_size", 128);
  m.taps = fields.integer("conv_kernel", 4);
  fields.divided("num_heads", m.heads, "n_groups", m.groups);
  if (const auto expand = fields.integer("expand", 2); expand * c.hidden_size != m.inner())
    throw InputError("model", "{}: expand = {} times hidden_size = {} is not num_heads = {} times head_dim = {}", fields.name(), expand,
                     c.hidden_size, m.heads, m.head_dim);
  m.projection_bias = m.output_bias = fields.boolean("use_bias", false);
  m.convolution_bias = fields.boolean("use_conv_bias", true);
  m.norm = GatedNorm::after_gate;
  m.norm_eps = c.layer_norm_epsilon;
  std::tie(m.least_step, m.largest_step) = fields.interval("time_step_limit", m.least_step, m.largest_step);
  m.initial_step_low = fields.number("time_step_min", 1e-3);
  m.initial_step_high = fields.number("time_step_max", 0.1);
  m.initial_step_floor = fields.number("time_step_floor", 1e-4);
  if (!(m.initial_step_low > 0 && m.initial_step_high >= m.initial_step_low && m.initial_step_floor > 0))
    throw InputError(
        "model", "{}: steps begin between time_step_min = {} and time_step_max = {}, from time_step_floor = {} on: expected 0 < min ≤ max",
        fields.name(), m.initial_step_low, m.initial_step_high, m.initial_step_floor);
  m.std = c.initializer_range;
  // As transformers starts it: the variance of a number uniform in ±1/√inputs, the residual stream's divided by its depth if asked for.
  m.output_std = 1 / std::sqrt(3.0 * static_cast<double>(m.inner()));
  if (fields.boolean("rescale_prenorm_residual", false)) m.output_std /= std::sqrt(static_cast<double>(c.num_hidden_layers));
  fields.only("hidden_act", "silu");
  fields.only("rms_norm", true);
  // How transformers cuts the scan; of Mamba-1; of older versions, in which the norm stood behind the gate whatever it said.
  fields.inert({"chunk_size", "time_step_rank", "norm_before_gate"});
  return c;
}

struct Mamba2Block {
  RmsNorm norm;
  MambaMixer mixer;
};

class Mamba2 final : public Model {
 public:
  Mamba2(ConfigFields& fields, const ModelOptions& options)
      : Model(fields.json(), at::TensorOptions(options.dtype).device(options.device)), c_(read_mamba2_config(fields)) {
    // Said of a beginning alone, and that is over. transformers (5.23) scales the weights that it loads, too, when it reads true.
    if (config_.contains("rescale_prenorm_residual")) config_["rescale_prenorm_residual"] = false;
    const auto d = c_.hidden_size;
    shape_ = {c_.vocab_size, d, c_.num_hidden_layers, 0, 0, 0, unlimited_positions};
    shape_.recurrence_flops = recurrence_flops(c_.mixer);
    embedding_ =
        parameters_.add_matrix("backbone.embeddings.weight", {c_.vocab_size, d}, ParameterClass::embedding, {.std = c_.initializer_range});
    for (std::int64_t i = 0; i < c_.num_hidden_layers; ++i) {
      const auto name = "backbone.layers." + std::to_string(i);
      const auto norm = add_rms_norm(parameters_, name + ".norm", d, c_.layer_norm_epsilon);
      blocks_.push_back({norm, MambaMixer(parameters_, name + ".mixer", c_.mixer)});
    }
    final_norm_ = add_rms_norm(parameters_, "backbone.norm_f", d, c_.layer_norm_epsilon);
    if (c_.tie_word_embeddings) head_ = embedding_;
    else if (!fields.is_bare())
      head_ = parameters_.add_matrix("lm_head.weight", {c_.vocab_size, d}, ParameterClass::head, {.std = c_.initializer_range});
  }

  at::Tensor embed(const at::Tensor& ids) const override { return embedding_lookup(embedding_, ids); }

  at::Tensor forward_embeddings(const at::Tensor& embeddings, const ForwardContext& context) override {
    // In fp32 the residual stream keeps what the sums of a bf16 model would round away.
    const bool widen = c_.residual_in_fp32 && embeddings.scalar_type() != at::kDouble;
    auto x = widen ? embeddings.to(at::kFloat) : embeddings;
    x = context.tap("embed", -1, x);
    at::Tensor added;
    for (std::int64_t i = 0; i < c_.num_hidden_layers; ++i) {
      const auto& block = blocks_[static_cast<std::size_t>(i)];
      auto before = normed_sum(x, added, block.norm);
      if (i > 0)
        before =
            context.tap.residual("resid_post", i - 1, before, [&](const at::Tensor& x) { return normed_sum(x, {}, block.norm).normed; });
      x = before.sum;
      added = context.tap("ssm_out", i, block.mixer(before.normed, context.documents, context.cache, i));
    }
    if (context.cache) context.cache->advance(embeddings.size(1));
    auto last = normed_sum(x, added, final_norm_);
    if (c_.num_hidden_layers > 0)
      last = context.tap.residual("resid_post", c_.num_hidden_layers - 1, last,
                                  [&](const at::Tensor& x) { return normed_sum(x, {}, final_norm_).normed; });
    return context.tap("final_norm", -1, last.normed);
  }

  std::string prefix() const override { return "backbone."; }
  bool is_buffer(std::string_view) const override { return false; }

 private:
  /// x + added and its norm, in the weights' dtype.
  static Residual normed_sum(const at::Tensor& x, const at::Tensor& added, const RmsNorm& norm) {
    if (x.scalar_type() == norm.gain.scalar_type()) return norm.after(x, added);
    const auto sum = added.defined() ? x + added : x;
    return {sum, norm(sum.to(norm.gain.scalar_type()))};
  }

  Mamba2Config c_;
  std::vector<Mamba2Block> blocks_;
  Slot embedding_;
  RmsNorm final_norm_;
};

const Family mamba2_family{
    "mamba2", {"Mamba2ForCausalLM", "Mamba2Model"}, [](ConfigFields& fields, const ModelOptions& options) -> std::unique_ptr<Model> {
      return std::make_unique<Mamba2>(fields, options);
    }};

}  // namespace
}  // namespace isotrope
