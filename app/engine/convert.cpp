#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdio>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/progress.h"
#include "isotrope/io/model_path.h"
#include "isotrope/models/packed_checkpoint.h"
#include "isotrope/text/files/piece_vocabulary.h"
#include "isotrope/text/pipeline.h"

namespace isotrope::app {

namespace {

struct Type {
  std::string_view name;
  Packing packing;
  std::optional<at::ScalarType> dtype;  ///< nothing for what a folder cannot hold
};
constexpr Type types[] = {{"f32", Packing::f32, at::kFloat},
                          {"f16", Packing::f16, at::kHalf},
                          {"bf16", Packing::bf16, at::kBFloat16},
                          {"q8_0", Packing::q8_0, std::nullopt}};

/// As asked, else as the model was loaded.
const Type& type_of(const ConvertCommand& options, const Model& model) {
  const auto dtype = model.parameters().all().front().value.scalar_type();
  for (const auto& type : types)
    if (options.type.empty() ? type.dtype == dtype : type.name == options.type) return type;
  throw InputError("convert", "{}: weights of dtype {} need a --type", options.in, c10::toString(dtype));
}

/// The tokenizer, or null where none is wanted.
std::shared_ptr<const Tokenizer> tokenizer_of(const ConvertCommand& options, const fs::path& in, const Model& model) {
  if (options.no_tokenizer) return nullptr;
  try {
    auto tokenizer = load_tokenizer(in);
    if (static_cast<std::int64_t>(tokenizer->vocab_size()) > model.shape().vocab_size)
      throw InputError("convert", "{}: the tokenizer has {} tokens, the model's vocab_size is {}", in.string(), tokenizer->vocab_size(),
                       model.shape().vocab_size);
    return tokenizer;
  } catch (InputError& error) {
    error.set_hint("--no-tokenizer converts the model alone");
    throw;
  }
}

/// A value in the folder's dtype. InputError when it has become infinite there.
at::Tensor converted(const Parameter& parameter, at::ScalarType dtype) {
  auto value = parameter.value.detach().to(dtype);
  if (!at::isfinite(parameter.value).all().item<bool>())
    throw InputError("convert", "{} holds numbers that are not finite", parameter.name);
  if (dtype != parameter.value.scalar_type() && !at::isfinite(value).all().item<bool>())
    throw InputError("convert", "{} holds numbers that do not fit into {}", parameter.name, c10::toString(dtype));
  return value;
}

void write_folder(const ConvertCommand& options, const fs::path& in, const Model& model, const Tokenizer* tokenizer, at::ScalarType dtype) {
  AtomicFolder folder(options.out, "convert");
  save_model(model, folder.path(), {.value = [&](const Parameter& parameter) { return converted(parameter, dtype); }});
  if (tokenizer) tokenizer->save(folder.path());
  // The source's own, whose ends of text come before config.json's.
  const auto generation = in / "generation_config.json";
  if (fs::is_directory(in) && fs::exists(generation))
    fs::copy_file(generation, folder.path() / "generation_config.json", fs::copy_options::overwrite_existing);
  folder.commit();
}

void write_gguf_file(const ConvertCommand& options, const fs::path& in, const Model& model, const Tokenizer* tokenizer, Packing packing) {
  GgufSaveOptions save{.packing = packing, .name = fs::path(options.out).stem().string(), .ends = eos_ids(in, model.config())};
  if (tokenizer) save.vocabulary = vocabulary_metadata(definition_of(*tokenizer), static_cast<std::size_t>(model.shape().vocab_size));
  save_gguf(model, options.out, save);
}

double size_on_disk(const fs::path& path) {
  if (!fs::is_directory(path)) return static_cast<double>(fs::file_size(path));
  double sum = 0;
  for (const auto& entry : fs::directory_iterator(path)) sum += static_cast<double>(entry.file_size());
  return sum;
}

}  // namespace

void run_convert(const ConvertCommand& options) {
  at::set_num_threads(thread_count(options.common));
  const bool to_gguf = fs::path(options.out).extension() == ".gguf";
  if (fs::exists(options.out)) throw UsageError("convert", "{}: exists already", options.out);
  if (options.type == "q8_0" && !to_gguf) throw UsageError("convert", "q8_0 needs an OUT that ends in .gguf, got {}", options.out);
  const auto in = resolve_model(options.in);
  const auto model = load_model(in);
  const auto& type = type_of(options, *model);
  const auto tokenizer = tokenizer_of(options, in, *model);
  if (to_gguf) write_gguf_file(options, in, *model, tokenizer.get(), type.packing);
  else write_folder(options, in, *model, tokenizer.get(), type.dtype.value());

  const auto bytes = size_on_disk(options.out);
  if (options.common.json)
    return print_json({{"out", options.out}, {"type", type.name}, {"parameters", model->parameters().count()}, {"bytes", bytes}});
  std::puts(fmt::format("{}: {} parameters as {}, {}", options.out, count_text(static_cast<double>(model->parameters().count())), type.name,
                        bytes_text(bytes))
                .c_str());
}

}  // namespace isotrope::app
