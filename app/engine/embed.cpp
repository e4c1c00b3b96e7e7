#include "isotrope/infer/embed.h"

#include <chrono>
#include <cstdio>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/progress.h"
#include "isotrope/base/stop.h"
#include "isotrope/io/npy.h"
#include "isotrope/io/safetensors.h"

namespace isotrope::app {

namespace {

std::vector<std::string> lines_of(const std::string& path) {
  const auto content = read_file(path, "embed", std::size_t{1} << 36);
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < content.size();) {
    const auto end = std::min(content.find('\n', begin), content.size());
    lines.push_back(content.substr(begin, end - begin));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    begin = end + 1;
  }
  if (lines.empty()) throw InputError("embed", "{}: the file is empty", path);
  return lines;
}

std::vector<TokenSequence> encode_lines(const LoadedModel& loaded, const EmbedCommand& options, std::int64_t max_length) {
  std::vector<TokenSequence> texts;
  for (const auto& line : lines_of(options.text)) {
    texts.push_back(loaded.tokenizer->encode_typed(line, {.max_length = static_cast<std::size_t>(max_length)}));
    const auto where = [&] { return fmt::format("{}: line {}", options.text, texts.size()); };
    if (texts.back().ids.empty()) throw InputError("embed", "{}: no tokens", where());
    if (const auto limit = loaded.model->shape().max_positions; static_cast<std::int64_t>(texts.back().ids.size()) > limit)
      throw with_hint(InputError("embed", "{}: {} tokens, the model has {} positions", where(), texts.back().ids.size(), limit),
                      fmt::format("--max-length {} cuts longer texts", limit));
  }
  return texts;
}

std::span<const std::byte> bytes_of(const at::Tensor& x) { return {static_cast<const std::byte*>(x.const_data_ptr()), x.nbytes()}; }

void write(const std::string& path, const at::Tensor& features, const std::vector<TokenSequence>& texts, Pooling pooling) {
  if (path.ends_with(".npy")) return write_npy(path, DType::f32, features.sizes(), bytes_of(features));
  std::vector<TensorView> views{{"features", DType::f32, features.sizes().vec(), bytes_of(features)}};
  std::vector<std::int64_t> offsets{0};
  for (const auto& text : texts) offsets.push_back(offsets.back() + static_cast<std::int64_t>(text.ids.size()));
  const std::span values(offsets);
  if (pooling == Pooling::none)
    views.push_back({"offsets", DType::i64, {static_cast<std::int64_t>(offsets.size())}, std::as_bytes(values)});
  write_safetensors(path, views);
}

}  // namespace

void run_embed(const EmbedCommand& options) {
  if (!options.output.ends_with(".npy") && !options.output.ends_with(".safetensors"))
    throw UsageError("embed", "{}: the output is a .npy or a .safetensors file", options.output);
  if (options.concatenate && options.layers.size() < 2) throw UsageError("embed", "--concatenate needs two --layers or more");
  const auto loaded = load(options.model, options.compute, options.common);
  const auto recipe = read_sentence_recipe(loaded.folder);
  EmbedOptions embedding{.layers = options.layers, .concatenate = options.concatenate, .batch_tokens = options.batch_tokens};
  embedding.pooling = !options.pooling.empty()       ? pooling_from_name(options.pooling)
                      : recipe                       ? recipe->pooling
                      : loaded.model->shape().causal ? Pooling::last
                                                     : Pooling::mean;
  embedding.normalize = options.normalize || (recipe && recipe->normalize && !options.no_normalize);
  if (embedding.pooling == Pooling::none && options.output.ends_with(".npy"))
    throw UsageError("embed", "--pooling none writes features and where each text begins: name a .safetensors file");
  const auto max_length = options.max_length > 0 ? options.max_length : recipe ? recipe->max_length : 0;
  StopRequest stop;
  at::Tensor features;
  const auto begun = std::chrono::steady_clock::now();
  const auto texts = encode_lines(loaded, options, max_length);
  {
    Progress progress("embed", static_cast<std::int64_t>(texts.size()), "texts");
    embedding.progress = [&](std::int64_t done) { progress.update(done); };
    embedding.stop_requested = [&] { return stop.requested(); };
    features = embed(*loaded.model, texts, embedding);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  write(options.output, features, texts, embedding.pooling);
  std::int64_t tokens = 0;
  for (const auto& text : texts) tokens += static_cast<std::int64_t>(text.ids.size());
  if (options.common.json)
    return print_json(
        {{"output", options.output}, {"texts", texts.size()}, {"tokens", tokens}, {"shape", features.sizes().vec()}, {"seconds", seconds}});
  std::puts(fmt::format("{}: {} × {} numbers of {} texts, {} tokens, {} ({:.0f} texts/s)", options.output, features.size(0),
                        features.size(1), texts.size(), tokens, duration_text(seconds), static_cast<double>(texts.size()) / seconds)
                .c_str());
}

}  // namespace isotrope::app
