// The architectures of GGUF that we read and write: docs/formats/gguf.md has the table.
#include <algorithm>
#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"
#include "isotrope/models/gguf_family.h"
#include "isotrope/models/registry.h"
#include "isotrope/models/rope_scaling.h"

namespace isotrope {

namespace {

using nlohmann::json;

// ---- what all share -----------------------------------------------------------------------------------------------

/// Ids from the vocabulary's metadata, under config.json's names.
void read_special_ids(const GgufFile& file, json& config) {
  const auto id = [&](const char* name) -> json {
    const auto key = fmt::format("tokenizer.ggml.{}_token_id", name);
    const auto value = file.get_int(key, UINT32_MAX);
    return value == UINT32_MAX ? json() : json(value);
  };
  config["bos_token_id"] = id("bos");
  config["pad_token_id"] = id("padding");
  // The end of a turn and of a message are ends for whoever generates.
  auto ends = json::array();
  for (const auto* name : {"eos", "eot", "eom"})
    if (const auto end = id(name); !end.is_null() && std::ranges::count(ends, end) == 0) ends.push_back(end);
  config["eos_token_id"] = ends.empty() ? json() : ends.size() == 1 ? ends[0] : ends;
}

/// As the metadata says, else as many as there are tokens, else as the embedding has rows; all that speak must agree.
std::int64_t read_vocab_size(GgufFields& fields) {
  const auto& file = fields.file();
  const auto* embedding = file.find("token_embd.weight");
  const auto tokens = file.value("tokenizer.ggml.tokens") ? static_cast<std::int64_t>(file.get_strings("tokenizer.ggml.tokens").size()) : 0;
  const auto rows = embedding && !embedding->shape.empty() ? embedding->shape.front() : 0;
  const auto size = fields.integer("vocab_size", tokens > 0 ? tokens : rows);
  if (tokens > 0 && tokens != size)
    throw InputError("gguf", "{}: the vocabulary has {} tokens, the model's vocab_size is {}", fields.name(), tokens, size);
  return size;
}

void add_integer(GgufMetadata& metadata, const std::string& key, std::int64_t value) {
  metadata.emplace_back(key, static_cast<std::uint32_t>(value));
}
void add_number(GgufMetadata& metadata, const std::string& key, double value) { metadata.emplace_back(key, static_cast<float>(value)); }

// ---- Llama, and what is built like it -----------------------------------------------------------------------------

std::vector<GgufName> llama_like_names(GgufOrder query, GgufOrder key) {
  return {{"token_embd", "model.embed_tokens"},
          {"output_norm", "model.norm"},
          {"output", "lm_head"},
          {"blk.{}.attn_norm", "model.layers.{}.input_layernorm"},
          {"blk.{}.attn_q", "model.layers.{}.self_attn.q_proj", query},
          {"blk.{}.attn_k", "model.layers.{}.self_attn.k_proj", key},
          {"blk.{}.attn_v", "model.layers.{}.self_attn.v_proj"},
          {"blk.{}.attn_output", "model.layers.{}.self_attn.o_proj"},
          {"blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm"},
          {"blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm"},
          {"blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm"},
          {"blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj"},
          {"blk.{}.ffn_up", "model.layers.{}.mlp.up_proj"},
          {"blk.{}.ffn_down", "model.layers.{}.mlp.down_proj"}};
}

/// null, linear by metadata, or llama3 by the tensor of factors that it has become.
json read_gguf_rope(GgufFields& fields, double theta, std::int64_t head_dim) {
  // As llama.cpp reads them: no type means linear, and a factor of 0 none.
  const auto type = fields.text("rope.scaling.type", "linear");
  auto factor = fields.number("rope.scaling.factor", fields.number("rope.scale_linear", 1.0));
  if (factor == 0 || type == "none") factor = 1;
  fields.inert({"rope.scaling.original_context_length", "rope.scaling.finetuned"});
  if (const auto* factors = fields.file().find("rope_freqs.weight")) {
    std::vector<float> numbers(static_cast<std::size_t>(factors->count()));
    expand(factors->packing, factors->bytes, numbers);
    if (static_cast<std::int64_t>(numbers.size()) != head_dim / 2)
      throw InputError("gguf", "{}: rope_freqs.weight has {} factors, heads of {} numbers need {}", fields.name(), numbers.size(), head_dim,
                       head_dim / 2);
    if (factor != 1)
      throw InputError("gguf", "{}: rope_freqs.weight beside rope.scaling.factor {} is not supported", fields.name(), factor);
    const auto scaling = llama3_scaling_of(numbers, theta);
    if (!scaling) throw InputError("gguf", "{}: rope_freqs.weight has factors that Llama 3's formula does not give", fields.name());
    return *scaling;
  }
  if (factor == 1) return nullptr;
  if (type != "linear") throw InputError("gguf", "{}: rope.scaling.type \"{}\" is not supported (none, linear)", fields.name(), type);
  return {{"rope_type", "linear"}, {"factor", factor}};
}

json read_llama_like(GgufFields& fields, const char* model_type, const char* architecture) {
  if (fields.integer("expert_count", 0) > 0) throw InputError("gguf", "{}: mixtures of experts are not supported", fields.name());
  const auto width = fields.integer("embedding_length"), heads = fields.integer("attention.head_count");
  if (width < 1 || heads < 1) throw InputError("gguf", "{}: width {} and {} heads make no model", fields.name(), width, heads);
  const auto head_dim = fields.integer("attention.key_length", fields.integer("rope.dimension_count", width / heads));
  for (const auto* key : {"attention.value_length", "rope.dimension_count"})
    if (fields.integer(key, head_dim) != head_dim)
      throw InputError("gguf", "{}: {} is {}, but heads have {} numbers: not supported", fields.name(), key, fields.integer(key), head_dim);
  const double theta = fields.number("rope.freq_base", 10000.0);
  // What llama.cpp keeps for itself.
  fields.inert({"vocab_size", "expert_used_count", "tensor_data_layout", "rope.dimension_sections"});
  json config{{"architectures", {architecture}},
              {"model_type", model_type},
              {"hidden_act", "silu"},
              {"hidden_size", width},
              {"intermediate_size", fields.integer("feed_forward_length")},
              {"num_hidden_layers", fields.integer("block_count")},
              {"num_attention_heads", heads},
              {"num_key_value_heads", fields.integer("attention.head_count_kv", heads)},
              {"head_dim", head_dim},
              {"max_position_embeddings", fields.integer("context_length")},
              {"rms_norm_eps", fields.number("attention.layer_norm_rms_epsilon")},
              {"rope_theta", theta},
              {"rope_scaling", read_gguf_rope(fields, theta, head_dim)},
              {"vocab_size", read_vocab_size(fields)},
              {"attention_bias", fields.has_tensor("blk.0.attn_q.bias")},
              {"tie_word_embeddings", !fields.has_tensor("output.weight")}};
  read_special_ids(fields.file(), config);
  return config;
}

json read_llama(GgufFields& fields) {
  // llama.cpp has no name of its own for Mistral: only our files say that its window is meant.
  if (fields.has("attention.sliding_window")) {
    auto config = read_llama_like(fields, "mistral", "MistralForCausalLM");
    config["sliding_window"] = fields.integer("attention.sliding_window");
    config.erase("attention_bias");
    return config;
  }
  auto config = read_llama_like(fields, "llama", "LlamaForCausalLM");
  config["mlp_bias"] = fields.has_tensor("blk.0.ffn_gate.bias");
  return config;
}

void write_llama_like(const std::string& prefix, const Model& model, GgufMetadata& metadata) {
  const auto& shape = model.shape();
  const auto& config = model.config();
  add_integer(metadata, prefix + "vocab_size", shape.vocab_size);
  add_integer(metadata, prefix + "context_length", shape.max_positions);
  add_integer(metadata, prefix + "embedding_length", shape.width);
  add_integer(metadata, prefix + "block_count", shape.layers);
  add_integer(metadata, prefix + "feed_forward_length", JsonReader(config, "gguf", "config.json").get_int("intermediate_size"));
  add_integer(metadata, prefix + "attention.head_count", shape.heads);
  add_integer(metadata, prefix + "attention.head_count_kv", shape.kv_heads);
  add_integer(metadata, prefix + "attention.key_length", shape.head_dim);
  add_integer(metadata, prefix + "attention.value_length", shape.head_dim);
  add_integer(metadata, prefix + "rope.dimension_count", shape.head_dim);
  add_number(metadata, prefix + "attention.layer_norm_rms_epsilon",
             JsonReader(config, "gguf", "config.json").get_number("rms_norm_eps", 1e-6));
}

void write_rope(const std::string& prefix, const Model& model, GgufMetadata& metadata, std::map<std::string, std::vector<float>>& tensors) {
  const auto rope = read_rope_scaling(model.config(), "config.json");
  add_number(metadata, prefix + "rope.freq_base", rope.theta);
  if (rope.type == "linear") {
    metadata.emplace_back(prefix + "rope.scaling.type", std::string("linear"));
    add_number(metadata, prefix + "rope.scaling.factor", rope.factor);
  } else if (rope.type == "llama3") {
    const auto factors = llama3_rope_factors({{"factor", rope.factor},
                                              {"low_freq_factor", rope.low_freq_factor},
                                              {"high_freq_factor", rope.high_freq_factor},
                                              {"original_max_position_embeddings", rope.original_max_positions}},
                                             rope.theta, model.shape().head_dim);
    // The file holds the factors alone: settings that cannot be found from them would be lost.
    const auto found = llama3_scaling_of(factors, rope.theta);
    const auto again = found ? llama3_rope_factors(*found, rope.theta, model.shape().head_dim) : std::vector<float>();
    // The factor itself comes back in fp32.
    const auto close = [](float a, float b) { return std::abs(a - b) <= 1e-6F * std::abs(b); };
    if (!std::ranges::equal(again, factors, close))
      throw InputError(
          "gguf",
          "RoPE scaling llama3 with factor {}, low_freq_factor {}, high_freq_factor {} and original_max_position_embeddings {} "
          "cannot be read back from a GGUF file",
          rope.factor, rope.low_freq_factor, rope.high_freq_factor, rope.original_max_positions);
    tensors["rope_freqs.weight"] = factors;
  }
}

void write_llama(const Model& model, GgufMetadata& metadata, std::map<std::string, std::vector<float>>& tensors) {
  write_llama_like("llama.", model, metadata);
  write_rope("llama.", model, metadata, tensors);
  const auto& config = model.config();
  if (model_type_of(config, "config.json") != "mistral") return;
  const auto window = config.contains("sliding_window") ? config["sliding_window"] : json(4096);  // as the family reads it
  if (!window.is_null()) add_integer(metadata, "llama.attention.sliding_window", window.get<std::int64_t>());
}

json read_qwen3(GgufFields& fields) { return read_llama_like(fields, "qwen3", "Qwen3ForCausalLM"); }

void write_qwen3(const Model& model, GgufMetadata& metadata, std::map<std::string, std::vector<float>>& tensors) {
  if (model.config().value("use_sliding_window", false))
    throw InputError("gguf", "Qwen3's sliding windows have no place in GGUF's architecture qwen3");
  write_llama_like("qwen3.", model, metadata);
  write_rope("qwen3.", model, metadata, tensors);
}

// ---- GPT-2 --------------------------------------------------------------------------------------------------------

std::vector<GgufName> gpt2_names() {
  return {{"token_embd", "transformer.wte"},
          {"position_embd", "transformer.wpe"},
          {"output_norm", "transformer.ln_f"},
          {"output", "lm_head"},
          {"blk.{}.attn_norm", "transformer.h.{}.ln_1"},
          {"blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn", GgufOrder::transposed},
          {"blk.{}.attn_output", "transformer.h.{}.attn.c_proj", GgufOrder::transposed},
          {"blk.{}.ffn_norm", "transformer.h.{}.ln_2"},
          {"blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc", GgufOrder::transposed},
          {"blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj", GgufOrder::transposed}};
}

json read_gpt2(GgufFields& fields) {
  fields.inert({"vocab_size", "attention.head_count_kv"});
  json config{{"architectures", {"GPT2LMHeadModel"}},
              {"model_type", "gpt2"},
              {"activation_function", "gelu_new"},
              {"n_embd", fields.integer("embedding_length")},
              {"n_layer", fields.integer("block_count")},
              {"n_head", fields.integer("attention.head_count")},
              {"n_positions", fields.integer("context_length")},
              {"n_inner", fields.integer("feed_forward_length")},
              {"layer_norm_epsilon", fields.number("attention.layer_norm_epsilon")},
              {"vocab_size", read_vocab_size(fields)},
              {"tie_word_embeddings", !fields.has_tensor("output.weight")}};
  read_special_ids(fields.file(), config);
  return config;
}

void write_gpt2(const Model& model, GgufMetadata& metadata, std::map<std::string, std::vector<float>>&) {
  const auto& shape = model.shape();
  const JsonReader config(model.config(), "gguf", "config.json");
  const auto activation = config.get_string("activation_function", "gelu_new");
  if (activation != "gelu_new" && activation != "gelu_pytorch_tanh")
    throw InputError("gguf", "activation_function \"{}\" has no place in GGUF's architecture gpt2, which has gelu_new", activation);
  if (!config.get_bool("scale_attn_weights", true) || config.get_bool("scale_attn_by_inverse_layer_idx", false))
    throw InputError("gguf", "scale_attn_weights and scale_attn_by_inverse_layer_idx have no place in GGUF's architecture gpt2");
  add_integer(metadata, "gpt2.vocab_size", shape.vocab_size);
  add_integer(metadata, "gpt2.context_length", shape.max_positions);
  add_integer(metadata, "gpt2.embedding_length", shape.width);
  add_integer(metadata, "gpt2.block_count", shape.layers);
  add_integer(metadata, "gpt2.feed_forward_length", config.get_int("n_inner", 4 * shape.width));
  add_integer(metadata, "gpt2.attention.head_count", shape.heads);
  add_number(metadata, "gpt2.attention.layer_norm_epsilon", config.get_number("layer_norm_epsilon", 1e-5));
}

const std::vector<GgufFamily>& gguf_families() {
  static const std::vector<GgufFamily> all{
      {"llama", {"llama", "mistral"}, llama_like_names(GgufOrder::query_pairs, GgufOrder::key_pairs), read_llama, write_llama},
      {"qwen3", {"qwen3"}, llama_like_names(GgufOrder::same, GgufOrder::same), read_qwen3, write_qwen3},
      {"gpt2", {"gpt2"}, gpt2_names(), read_gpt2, write_gpt2}};
  return all;
}

}  // namespace

const GgufFamily* gguf_family(std::string_view architecture) {
  const auto found = std::ranges::find(gguf_families(), architecture, &GgufFamily::architecture);
  return found == gguf_families().end() ? nullptr : &*found;
}

const GgufFamily* gguf_family_of_model_type(std::string_view model_type) {
  for (const auto& family : gguf_families())
    if (std::ranges::count(family.model_types, model_type) > 0) return &family;
  return nullptr;
}

std::vector<std::string_view> gguf_architectures() {
  std::vector<std::string_view> names;
  for (const auto& family : gguf_families()) names.push_back(family.architecture);
  return names;
}

std::span<const GgufName> llama_gguf_names() { return gguf_families().front().names; }

}  // namespace isotrope
