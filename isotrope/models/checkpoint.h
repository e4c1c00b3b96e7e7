#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "isotrope/io/safetensors.h"
#include "isotrope/models/model.h"

namespace isotrope {

DType stored_dtype(at::ScalarType type);  ///< WorkError for a type that safetensors does not have
at::ScalarType tensor_dtype(DType dtype);
/// "float32", "bfloat16", "float16" (and safetensors' F32, BF16, F16); UsageError names another.
at::ScalarType dtype_from_option(const std::string& name);

/// The view's bytes as a tensor, without a copy: valid as long as the file's object lives, and not to be written to.
at::Tensor tensor_of(const TensorView& view);

struct LoadOptions {
  std::optional<at::ScalarType> dtype;  ///< default: as stored (the dtype of most bytes)
  at::Device device = at::kCPU;
  bool keep_packed =
      false;  ///< quantized matrices of a GGUF file stay in their blocks (kernels/packed_weights.h); InputError where there are none
};

/// A model with its weights from a Hugging Face folder (config.json, *.safetensors), or from a file that is a whole model (.gguf,
/// llama2.c's .bin; single_file_model in io/model_path.h, load_gguf and load_llama2c in models/packed_checkpoint.h). Tensors are read one
/// at a time through the memory map, so that the peak is the model in its new dtype and the largest tensor.
/// Throws InputError naming file, tensor, expected and found: missing, surplus or misshapen tensors, an integer dtype where weights belong.
std::unique_ptr<Model> load_model(const fs::path& folder, const LoadOptions& options = {});

struct SaveOptions {
  std::optional<at::ScalarType> dtype;                     ///< default: the values' own
  std::function<at::Tensor(const Parameter&)> value = {};  ///< what a parameter is taken to be; default: its value
  std::uint64_t max_shard_bytes = 5'000'000'000;
};

/// Writes config.json, generation_config.json and model.safetensors (or shards and their index) into an existing folder, as transformers
/// reads them. A tied head is not written twice; multipliers and low-rank factors are merged into the weights that they belong to.
void save_model(const Model& model, const fs::path& folder, const SaveOptions& options = {});

}  // namespace isotrope
