#include "isotrope/models/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include <fmt/ranges.h>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/io/json.h"
#include "isotrope/io/model_path.h"
#include "isotrope/io/safetensors.h"
#include "isotrope/models/packed_checkpoint.h"
#include "isotrope/nn/additions.h"

namespace isotrope {

DType stored_dtype(at::ScalarType type) {
  switch (type) {
    case at::kDouble: return DType::f64;
    case at::kFloat: return DType::f32;
    case at::kHalf: return DType::f16;
    case at::kBFloat16: return DType::bf16;
    case at::kLong: return DType::i64;
    case at::kInt: return DType::i32;
    default: throw WorkError("model", "dtype {} has no place in a safetensors file", c10::toString(type));
  }
}

at::ScalarType tensor_dtype(DType dtype) {
  switch (dtype) {
    case DType::f64: return at::kDouble;
    case DType::f32: return at::kFloat;
    case DType::f16: return at::kHalf;
    case DType::bf16: return at::kBFloat16;
    case DType::i64: return at::kLong;
    case DType::i32: return at::kInt;
    default: throw InputError("model", "weights of dtype {} are not supported", dtype_name(dtype));
  }
}

at::ScalarType dtype_from_option(const std::string& name) {
  if (name == "float32" || name == "F32" || name == "fp32") return at::kFloat;
  if (name == "bfloat16" || name == "BF16" || name == "bf16") return at::kBFloat16;
  if (name == "float16" || name == "F16" || name == "fp16") return at::kHalf;
  throw UsageError("model", "dtype {} is not one of float32, bfloat16, float16", name);
}

at::Tensor tensor_of(const TensorView& view) {
  // The map is read-only and outlives this use; from_blob only wants a non-const pointer.
  return at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape, at::TensorOptions(tensor_dtype(view.dtype)));
}

namespace {

/// The dtype that holds most of the bytes.
at::ScalarType main_dtype(const TensorFolder& tensors) {
  std::map<DType, std::size_t> bytes;
  for (const auto& tensor : tensors.tensors())
    if (is_floating(tensor.dtype)) bytes[tensor.dtype] += tensor.bytes.size();
  if (bytes.empty()) throw InputError("model", "{}: holds no floating-point tensor", tensors.path().string());
  return tensor_dtype(std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; })->first);
}

/// The stored tensor of a parameter: under its own name or an older one, with the prefix or, as the bare model writes it, without.
const TensorView* stored(const TensorFolder& tensors, const Model& model, const std::string& parameter) {
  for (const auto& name : {parameter, model.older_name(parameter)}) {
    if (const auto* view = tensors.find(name)) return view;
    if (!name.starts_with(model.prefix())) continue;
    if (const auto* view = tensors.find(name.substr(model.prefix().size()))) return view;
  }
  return nullptr;
}

bool same_bytes(const TensorView& a, const TensorView& b) {
  return a.dtype == b.dtype && a.shape == b.shape && std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0;
}

/// A tied tensor may be stored a second time, but then it must be the same: a different one would be ignored in silence.
bool is_tied_copy(const TensorFolder& tensors, const Model& model, const TensorView& extra) {
  const auto name = model.copy_of(extra.name);
  if (name.empty()) return false;
  const auto* original = stored(tensors, model, name);
  if (!original || !same_bytes(extra, *original))
    throw with_hint(InputError("model", "{}: {} differs from {}, which config.json ties it to", tensors.path().string(), extra.name, name),
                    "set \"tie_word_embeddings\": false in config.json if the head is its own");
  return true;
}

void read_tensors(Model& model, const TensorFolder& tensors) {
  const at::NoGradGuard no_grad;
  const auto file = tensors.path().string();
  std::set<std::string> used;
  for (auto& parameter : model.parameters().all()) {
    const auto* view = stored(tensors, model, parameter.name);
    if (!view) throw InputError("model", "{}: tensor {} {} is missing", file, parameter.name, shape_text(parameter.value.sizes()));
    expect_shape("model", fmt::format("{}: tensor {}", file, view->name), parameter.value.sizes(), view->shape);
    if (!is_floating(view->dtype))
      throw InputError("model", "{}: tensor {} has dtype {}, weights are floating-point", file, view->name, dtype_name(view->dtype));
    parameter.value.copy_(tensor_of(*view));
    used.insert(view->name);
  }
  for (auto& [name, table] : model.tables()) {
    const auto* view = tensors.find(name);
    if (!view) throw InputError("model", "{}: tensor {} {} is missing", file, name, shape_text(table.sizes()));
    expect_shape("model", fmt::format("{}: tensor {}", file, name), table.sizes(), view->shape);
    if (view->dtype != DType::i32)
      throw InputError("model", "{}: tensor {} has dtype {}, expected I32", file, name, dtype_name(view->dtype));
    table.copy_(tensor_of(*view));
    used.insert(name);
  }
  model.check_tables(file);
  std::vector<std::string> left_out;
  for (const auto& view : tensors.tensors()) {
    if (used.contains(view.name) || model.is_buffer(view.name) || is_tied_copy(tensors, model, view)) continue;
    if (!model.is_left_out(view.name))
      throw InputError("model", "{}: tensor {} {} belongs to no parameter of this architecture", file, view.name, shape_text(view.shape));
    left_out.push_back(view.name);
  }
  if (!left_out.empty())
    warn_once("left-out " + file, fmt::format("[model] {}: without effect in this architecture: {}", file, fmt::join(left_out, ", ")));
}

}  // namespace

std::unique_ptr<Model> load_model(const fs::path& folder, const LoadOptions& options) {
  const auto file = single_file_model(folder);
  if (file && file->extension() == ".gguf") return load_gguf(*file, options);
  if (options.keep_packed) throw InputError("model", "{}: is no GGUF file, and holds no packed matrices to keep", folder.string());
  if (file) return load_llama2c(*file, options);
  const auto config = read_json(folder / "config.json", "model", {.python_floats = true});
  const TensorFolder tensors(folder);
  auto model = make_model(config, {options.dtype.value_or(main_dtype(tensors)), options.device}, (folder / "config.json").string());
  read_tensors(*model, tensors);
  return model;
}

namespace {

std::string torch_dtype_name(at::ScalarType type) {
  return type == at::kFloat ? "float32" : type == at::kBFloat16 ? "bfloat16" : type == at::kHalf ? "float16" : "float64";
}

nlohmann::json generation_config(const nlohmann::json& config) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto* key : {"bos_token_id", "eos_token_id", "pad_token_id"})
    if (config.contains(key) && !config[key].is_null()) out[key] = config[key];
  out["_from_model_config"] = true;
  return out;
}

}  // namespace

void save_model(const Model& model, const fs::path& folder, const SaveOptions& options) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> kept;  // what the views below point into
  std::vector<TensorView> views;
  const auto keep = [&](const std::string& name, const at::Tensor& value) {
    kept.push_back(value.contiguous());
    const auto* bytes = static_cast<const std::byte*>(kept.back().const_data_ptr());
    views.push_back({name, stored_dtype(value.scalar_type()), value.sizes().vec(), {bytes, value.nbytes()}});
  };
  const auto value_of = [&](const Parameter& parameter) { return options.value ? options.value(parameter) : parameter.value; };
  for (const auto& parameter : model.parameters().all()) {
    if (!parameter.addition_to.empty()) continue;
    const auto value = merged_value(model.parameters(), parameter, value_of);
    keep(parameter.name, value.detach().to(at::kCPU, options.dtype.value_or(value_of(parameter).scalar_type())));
  }
  for (const auto& [name, table] : model.tables()) keep(name, table.to(at::kCPU));
  auto config = model.config();
  config.erase("torch_dtype");
  config["dtype"] = torch_dtype_name(kept.front().scalar_type());
  write_file(folder / "config.json", config.dump(2) + "\n", "model");
  write_file(folder / "generation_config.json", generation_config(config).dump(2) + "\n", "model");
  write_tensor_folder(folder, views, options.max_shard_bytes);
}

}  // namespace isotrope
