// isotrope info: what a model folder, a tensor file or this program is. Needs no tensors, so it never loads libtorch.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/common.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/data/token_file.h"
#include "isotrope/io/gguf.h"
#include "isotrope/io/json.h"
#include "isotrope/io/llama2c.h"
#include "isotrope/io/model_path.h"
#include "isotrope/io/npy.h"
#include "isotrope/io/safetensors.h"
#include "isotrope_notice.h"
#include "isotrope_version.h"

namespace isotrope::app {

namespace {

using nlohmann::json;

struct InfoOptions {
  CommonOptions common;
  std::string path;
  bool build = false;
};

void print_line(const std::string& name, const std::string& value) { std::puts(printable(fmt::format("{:<16} {}", name, value)).c_str()); }

// ---- tensors ------------------------------------------------------------------------------------------------------

/// The parameter class by name and shape, as optimizers and reports group them; "buffer" for what is stored but not trained.
std::string class_of(const TensorView& tensor) {
  const std::string_view name = tensor.name;
  const auto ends = [&](auto... suffixes) { return (name.ends_with(suffixes) || ...); };
  if (ends("attn.masked_bias", "rotary_emb.inv_freq", "position_ids") || (ends("attn.bias") && tensor.shape.size() > 2)) return "buffer";
  if (ends("lm_head.weight", "predictions.decoder.weight", "embed_out.weight")) return "head";
  if (ends("wte.weight", "wpe.weight") || (name.find("embed") != name.npos && tensor.shape.size() == 2)) return "embedding";
  return tensor.shape.size() >= 2 ? "matrix" : "vector";
}

/// Counts of `tensors`: parameters by class with their total, bytes by dtype with their total.
json tensor_counts(const std::vector<TensorView>& tensors) {
  json parameters = {{"total", 0}, {"embedding", 0}, {"head", 0}, {"matrix", 0}, {"vector", 0}}, bytes = json::object();
  std::int64_t total_bytes = 0;
  for (const auto& tensor : tensors) {
    const std::string kind = class_of(tensor), dtype(dtype_name(tensor.dtype));
    bytes[dtype] = bytes.value(dtype, std::int64_t{0}) + static_cast<std::int64_t>(tensor.bytes.size());
    total_bytes += static_cast<std::int64_t>(tensor.bytes.size());
    if (kind == "buffer") continue;
    parameters[kind] = parameters[kind].get<std::int64_t>() + tensor.count();
    parameters["total"] = parameters["total"].get<std::int64_t>() + tensor.count();
  }
  return {{"parameters", parameters}, {"bytes", bytes}, {"total_bytes", total_bytes}, {"tensors", tensors.size()}};
}

void print_counts(const json& counts) {
  const auto& parameters = counts["parameters"];
  print_line("parameters", fmt::format("{} ({})", count_text(parameters["total"].get<double>()), parameters["total"].get<std::int64_t>()));
  for (const auto* kind : {"embedding", "head", "matrix", "vector"})
    if (parameters[kind] != 0) print_line(fmt::format("  {}", kind), fmt::format("{}", parameters[kind].get<std::int64_t>()));
  std::string by_dtype;
  for (const auto& [dtype, size] : counts["bytes"].items())
    by_dtype += fmt::format("{}{} {}", by_dtype.empty() ? "" : ", ", dtype, bytes_text(size.get<double>()));
  print_line("bytes", by_dtype);
}

// ---- a model folder -----------------------------------------------------------------------------------------------

/// What people ask of a config first; families spell it differently.
json summary_of(const json& config) {
  static const std::vector<std::pair<const char*, std::vector<const char*>>> fields = {
      {"layers", {"num_hidden_layers", "n_layer", "num_layers"}},
      {"hidden_size", {"hidden_size", "n_embd", "d_model"}},
      {"heads", {"num_attention_heads", "n_head", "num_heads"}},
      {"kv_heads", {"num_key_value_heads"}},
      {"intermediate_size", {"intermediate_size", "n_inner", "ffn_dim", "d_ff"}},
      {"vocab_size", {"vocab_size"}},
      {"context", {"max_position_embeddings", "n_positions", "n_ctx"}},
      {"tied", {"tie_word_embeddings"}},
  };
  json summary = json::object();
  for (const auto& [name, spellings] : fields)
    for (const auto* spelling : spellings)
      if (config.contains(spelling) && !config[spelling].is_null() && !summary.contains(name)) summary[name] = config[spelling];
  return summary;
}

std::size_t shards_in(const fs::path& folder) {
  const auto index = folder / "model.safetensors.index.json";
  if (fs::exists(folder / "model.safetensors") || !fs::exists(index)) return 1;
  const auto weights = read_json(index, "model");
  std::set<std::string> files;
  for (const auto& file : JsonReader(weights, "model", index.string()).get_object("weight_map").object())
    files.insert(file.get<std::string>());
  return files.size();
}

json describe_model(const fs::path& path) {
  const auto folder = resolve_model(path);
  const auto config = read_json(folder / "config.json", "config", {.python_floats = true});
  const JsonReader reader(config, "config", (folder / "config.json").string());
  const TensorFolder tensors(folder);
  auto result = tensor_counts(tensors.tensors());
  result["kind"] = "model";
  result["path"] = folder.string();
  result["model_type"] = reader.get_string("model_type", "");
  result["architecture"] = "";
  if (reader.has("architectures") && !reader.get_array("architectures").empty() && config["architectures"][0].is_string())
    result["architecture"] = config["architectures"][0];
  result["config"] = summary_of(config);
  result["shards"] = shards_in(folder);
  result["tokenizer"] = fs::exists(folder / "tokenizer.json");
  return result;
}

void print_model(const json& model) {
  print_line("model", model["path"].get<std::string>());
  print_line("architecture", fmt::format("{} ({})", model["architecture"].get<std::string>(), model["model_type"].get<std::string>()));
  for (const auto* key : {"layers", "hidden_size", "heads", "kv_heads", "intermediate_size", "vocab_size", "context", "tied"})
    if (model["config"].contains(key)) print_line(key, model["config"][key].dump());
  print_counts(model);
  print_line("tensors", fmt::format("{} in {} file{}", model["tensors"].get<std::size_t>(), model["shards"].get<std::size_t>(),
                                    model["shards"] == 1 ? "" : "s"));
  print_line("tokenizer", model["tokenizer"].get<bool>() ? "tokenizer.json" : "none");
}

// ---- a file -------------------------------------------------------------------------------------------------------

void print_tensor_list(const json& file) {
  print_line("tensors", file["tensors"].dump());
  for (const auto& tensor : file["list"])
    std::puts(printable(fmt::format("  {:<8} {:<18} {}", tensor["dtype"].get<std::string>(),
                                    shape_text(tensor["shape"].get<std::vector<std::int64_t>>()), tensor["name"].get<std::string>()))
                  .c_str());
}

json describe_safetensors(const fs::path& path) {
  const SafetensorsFile file(path);
  auto result = tensor_counts(file.tensors());
  result["kind"] = "safetensors";
  result["metadata"] = file.metadata();
  result["list"] = json::array();
  for (const auto& tensor : file.tensors())
    result["list"].push_back({{"name", tensor.name}, {"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}});
  return result;
}

void print_safetensors(const json& file) {
  print_line("safetensors", file["path"].get<std::string>());
  for (const auto& [key, value] : file["metadata"].items()) print_line(key, value.get<std::string>());
  print_counts(file);
  print_tensor_list(file);
}

json describe_npy(const fs::path& path) {
  const NpyFile file(path);
  return {{"kind", "npy"}, {"dtype", dtype_name(file.dtype())}, {"shape", file.shape()}, {"total_bytes", file.bytes().size()}};
}

void print_npy(const json& file) {
  print_line("npy", file["path"].get<std::string>());
  print_line("dtype", file["dtype"].get<std::string>());
  print_line("shape", shape_text(file["shape"].get<std::vector<std::int64_t>>()));
  print_line("bytes", bytes_text(file["total_bytes"].get<double>()));
}

json describe_tokens(const fs::path& path) {
  const auto info = TokenFile(path).info();
  return {{"kind", "tokens"},
          {"format", info.version},
          {"tokens", info.token_count},
          {"documents", info.document_count},
          {"source_bytes", info.source_bytes},
          {"vocab_size", info.vocab_size},
          {"token_width", info.token_width},
          {"eos", info.eos ? json(*info.eos) : json()},
          {"tokenizer", info.tokenizer_name},
          {"fingerprint", info.fingerprint}};
}

void print_tokens(const json& file) {
  print_line("token file", file["path"].get<std::string>());
  print_line("tokens", fmt::format("{} ({})", count_text(file["tokens"].get<double>()), file["tokens"].get<std::uint64_t>()));
  for (const auto* key : {"documents", "source_bytes", "vocab_size", "token_width", "eos", "format"}) print_line(key, file[key].dump());
  print_line("tokenizer", fmt::format("{} ({})", file["tokenizer"].get<std::string>(), file["fingerprint"].get<std::string>()));
}

/// What fits on a line of a metadata value; arrays by their length.
json metadata_text(const GgufValue& value) {
  return std::visit(
      [](const auto& held) -> json {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(held)>, GgufArray>)
          return std::visit([](const auto& elements) { return json(fmt::format("{} elements", elements.size())); }, held.elements);
        else if constexpr (std::is_same_v<std::remove_cvref_t<decltype(held)>, std::string>)
          return json::parse(json(held).dump(-1, ' ', false, json::error_handler_t::replace));
        else return held;
      },
      value);
}

json describe_gguf(const fs::path& path) {
  const GgufFile file(path);
  json metadata = json::object(), bytes = json::object(), list = json::array();
  for (const auto& [key, value] : file.metadata()) metadata[key] = metadata_text(value);
  std::int64_t total = 0, parameters = 0;
  for (const auto& tensor : file.tensors()) {
    const std::string packing(packing_name(tensor.packing));
    const auto size = static_cast<std::int64_t>(tensor.bytes.size());
    bytes[packing] = bytes.value(packing, std::int64_t{0}) + size;
    total += size;
    parameters += tensor.count();
    list.push_back({{"name", tensor.name}, {"dtype", packing}, {"shape", tensor.shape}});
  }
  return {{"kind", "gguf"},
          {"format", file.version()},
          {"metadata", metadata},
          {"parameters", {{"total", parameters}}},
          {"bytes", bytes},
          {"total_bytes", total},
          {"list", list},
          {"tensors", list.size()},
          {"architecture", file.get_string("general.architecture", "")}};
}

void print_gguf(const json& file) {
  print_line("gguf", file["path"].get<std::string>());
  for (const auto& [key, value] : file["metadata"].items()) {
    auto text = value.is_string() ? value.get<std::string>() : value.dump();
    if (text.size() > 60 || text.find('\n') != text.npos) text = fmt::format("{} characters", text.size());
    std::puts(printable(fmt::format("  {:<40} {}", key, text)).c_str());
  }
  print_line("parameters", fmt::format("{}", file["parameters"]["total"].get<std::int64_t>()));
  for (const auto& [packing, size] : file["bytes"].items()) print_line(packing, bytes_text(size.get<double>()));
  print_tensor_list(file);
}

json describe_llama2c(const fs::path& path) {
  const Llama2cFile file(path);
  const auto& h = file.header();
  return {{"kind", "llama2c"}, {"layers", h.layers},     {"hidden_size", h.width},     {"intermediate_size", h.hidden_width},
          {"heads", h.heads},  {"kv_heads", h.kv_heads}, {"vocab_size", h.vocab_size}, {"context", h.max_positions},
          {"tied", h.tied}};
}

void print_llama2c(const json& file) {
  print_line("llama2.c model", file["path"].get<std::string>());
  for (const auto* key : {"layers", "hidden_size", "intermediate_size", "heads", "kv_heads", "vocab_size", "context", "tied"})
    print_line(key, file[key].dump());
}

struct FileKind {
  const char* extension;
  json (*describe)(const fs::path&);
  void (*print)(const json&);
};
constexpr FileKind file_kinds[] = {{".safetensors", describe_safetensors, print_safetensors},
                                   {".npy", describe_npy, print_npy},
                                   {".tokens", describe_tokens, print_tokens},
                                   {".gguf", describe_gguf, print_gguf},
                                   {".bin", describe_llama2c, print_llama2c}};

// ---- this program -------------------------------------------------------------------------------------------------

/// The rows of NOTICE's table.
json dependencies() {
  json rows = json::array();
  for (auto rest = isotrope_notice; !rest.empty();) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!line.starts_with("| ") || line.starts_with("| name")) continue;
    std::vector<std::string> cells;
    for (std::size_t at = 1; at < line.size();) {
      const auto end = std::min(line.find('|', at), line.size());
      const auto cell = line.substr(at, end - at);
      const auto last = cell.find_last_not_of(' ');
      cells.emplace_back(last == cell.npos ? "" : cell.substr(1, last));
      at = end + 1;
    }
    rows.push_back({{"name", cells.at(0)}, {"licence", cells.at(1)}, {"use", cells.at(2)}, {"part", cells.at(3)}});
  }
  return rows;
}

void show_build(bool as_json) {
  if (as_json) {
    print_json({{"kind", "build"},
                {"version", ISOTROPE_VERSION},
                {"commit", ISOTROPE_COMMIT},
                {"compiler", ISOTROPE_COMPILER},
                {"build_type", ISOTROPE_BUILD_TYPE},
                {"licence", "Apache-2.0"},
                {"dependencies", dependencies()}});
    return;
  }
  print_line("version", ISOTROPE_VERSION);
  print_line("commit", ISOTROPE_COMMIT);
  print_line("compiler", ISOTROPE_COMPILER);
  print_line("build type", ISOTROPE_BUILD_TYPE);
  std::puts(fmt::format("\n{}", isotrope_notice.substr(0, isotrope_notice.find_last_not_of('\n') + 1)).c_str());
}

void show_path(const fs::path& asked, bool as_json) {
  const auto path = fs::exists(asked) ? single_file_model(asked).value_or(asked) : resolve_model(asked);
  if (fs::is_directory(path)) {
    const auto model = describe_model(path);
    return as_json ? print_json(model) : print_model(model);
  }
  for (const auto& kind : file_kinds) {
    if (path.extension() != kind.extension) continue;
    auto file = kind.describe(path);
    file["path"] = path.string();
    return as_json ? print_json(file) : kind.print(file);
  }
  throw InputError("info", "{}: expected a model folder or a .gguf, .safetensors, .npy or .tokens file, or llama2.c's .bin", path.string());
}

void add_info(CLI::App& root) {
  auto& command = *root.add_subcommand("info", "What a model or file is, and the licence of everything inside this program");
  const auto options = std::make_shared<InfoOptions>();
  command
      .add_option("model", options->path,
                  "A model, run or checkpoint folder, a .gguf, .safetensors, .npy or .tokens file, llama2.c's .bin, or a name in the "
                  "Hugging Face cache")
      ->type_name("MODEL|FILE");
  command.add_flag("--build", options->build, "Version, commit, compiler, and the licences of all that is linked or embedded");
  add_common_options(command, options->common);
  set_examples(command, {"isotrope info runs/demo/run", "isotrope info model.safetensors --json", "isotrope info --build"});
  command.callback([options] {
    if (options->build == !options->path.empty()) throw UsageError("info", "expected either MODEL|FILE or --build");
    if (options->build) show_build(options->common.json);
    else show_path(options->path, options->common.json);
  });
}

const Command info_command{Order::info, add_info};

}  // namespace

}  // namespace isotrope::app
