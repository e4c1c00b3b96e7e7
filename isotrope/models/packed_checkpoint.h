#pragma once

#include <memory>

#include "isotrope/io/gguf.h"
#include "isotrope/models/checkpoint.h"

namespace isotrope {

/// A model from a GGUF file, its numbers expanded one tensor at a time into the model's own memory. Default dtype: that of most numbers,
/// fp32 for packed ones. Throws InputError for an architecture that is not read, by name; a vocabulary of another size than the model's;
/// and as load_model does for tensors that are missing, surplus or misshapen.
std::unique_ptr<Model> load_gguf(const fs::path& path, const LoadOptions& options = {});

/// A model from a .bin file of llama2.c.
std::unique_ptr<Model> load_llama2c(const fs::path& path, const LoadOptions& options = {});

struct GgufSaveOptions {
  Packing packing = Packing::f16;       ///< of matrices; vectors and learned positions are F32, rows of no whole blocks F16
  GgufMetadata vocabulary = {};         ///< tokenizer.*, see vocabulary_metadata
  std::string name = {};                ///< general.name
  std::vector<std::int32_t> ends = {};  ///< ids that end a text, where they are not config.json's eos_token_id
};

/// Writes a model as llama.cpp's converter lays it out (AtomicFile). Throws InputError for a family or a setting that GGUF has no place
/// for, a model without a head, and a number that does not fit into the packing, naming its tensor.
void save_gguf(const Model& model, const fs::path& path, const GgufSaveOptions& options = {});

}  // namespace isotrope
