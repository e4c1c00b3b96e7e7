#include "isotrope/train/objectives/text_objective.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/base/random.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/train/objectives/encoder_rows.h"
#include "isotrope/train/step.h"

namespace isotrope {

namespace {

/// What is known of a token file; nothing, where there is none yet.
TokenFileInfo info_of(const std::string& file) { return file.empty() || !fs::exists(file) ? TokenFileInfo{} : TokenFile(file).info(); }

/// Token ids without meaning, the same ones every time, in documents of one length.
void write_random_tokens(const fs::path& path, std::int64_t vocab_size, std::int64_t count, std::int64_t document) {
  const auto size = static_cast<std::uint64_t>(vocab_size);
  TokenFileWriter writer(path, {.vocab_size = size, .fingerprint = std::string(64, '0')});
  RandomStream random(0, "plan/ids");
  for (std::int64_t i = 1; i <= count; ++i) {
    const auto id = static_cast<TokenId>(random.below(size));
    writer.add(std::span(&id, 1));
    if (i % document == 0) writer.end_document();
  }
  writer.end_document();
  writer.finish();
  writer.commit();
}

}  // namespace

at::Tensor sum_of(const at::Tensor& a, const at::Tensor& b) { return !a.defined() ? b : !b.defined() ? a : a + b; }

TextObjective::TextObjective(const ObjectiveSetup& setup, std::int64_t window, bool evaluates_windows)
    : context_(setup.config.train.context),
      evaluation_rows_(setup.config.eval.max_windows),
      evaluation_batch_(setup.config.eval.batch_size),
      document_mask_(setup.config.data.document_mask),
      device_(setup.model.parameters().options().device()),
      z_loss_(setup.config.train.z_loss),
      training_path_(setup.config.data.train),
      validation_path_(setup.config.observe.evaluation > 0 ? setup.config.data.validation : "") {
  const auto training = info_of(setup.config.data.train), validation = info_of(setup.config.data.validation);
  const auto rows = [&](std::uint64_t tokens) { return tokens < 2 ? 0 : (static_cast<std::int64_t>(tokens) - 2) / context_ + 1; };
  size_ = {static_cast<std::int64_t>(training.token_count), static_cast<std::int64_t>(validation.token_count),
           rows(validation.token_count)};
  if (!setup.tokenizer) make_files(setup, window);
  const auto length = static_cast<std::uint64_t>(window);
  training_ = std::make_unique<TextWindows>(training_path_, length, static_cast<std::uint64_t>(setup.config.train.seed));
  if (evaluates_windows && !validation_path_.empty()) validation_ = std::make_unique<TextWindows>(validation_path_, length, /*seed=*/0);
  if (!setup.tokenizer) return;
  training_->file.expect_tokenizer(*setup.tokenizer);
  if (validation_) validation_->file.expect_tokenizer(*setup.tokenizer);
}

void TextObjective::make_files(const ObjectiveSetup& setup, std::int64_t window) {
  made_.emplace();
  const auto info = info_of(setup.config.data.train);
  const bool known = info.token_count > 0 && info.document_count > 0;
  const auto document =
      known ? std::clamp<std::int64_t>(static_cast<std::int64_t>(info.token_count / info.document_count), 2, window) : window;
  const auto write = [&](const char* name, std::int64_t rows) {
    write_random_tokens(made_->path() / name, setup.model.shape().vocab_size, (rows + 1) * window + 1, document);
    return made_->path() / name;
  };
  training_path_ = write("train.tokens", setup.config.train.batch_size);
  validation_path_ = write("validation.tokens", evaluation_rows_ = evaluation_batch_);
}

std::string TextObjective::data() const {
  const auto& file = training_->file;
  return fmt::format("{} tokens, checksum {:08x}, vocabulary {}", file.size(), file.info().checksum, file.info().fingerprint);
}

Batch TextObjective::batch(std::uint64_t position, std::int64_t count) const { return rows(*training_, position, count).to(device_); }

void TextObjective::evaluate(Model& model, const std::function<bool()>& stop_requested, Measures& measures) const {
  const at::NoGradGuard no_grad;
  auto windows = static_cast<std::int64_t>(validation_->sampler.windows_per_epoch());
  if (evaluation_rows_ > 0) windows = std::min(windows, evaluation_rows_);
  for (std::int64_t at = 0; at < windows; at += evaluation_batch_) {
    if (stop_requested()) throw Interrupted("eval", "after {} of {} windows", at, windows);
    const auto batch = rows(*validation_, static_cast<std::uint64_t>(at), std::min(evaluation_batch_, windows - at)).to(device_);
    loss(model, batch, StepCounts({&batch, 1}), forward_context(batch), measures);
  }
  measures.set("tokens", measures.part("token").count);
}

at::Tensor TextObjective::token_loss(const Model& model, const std::function<at::Tensor()>& head_input, const Batch& batch,
                                     const std::string& name, const at::Tensor& targets, const StepCounts& counts,
                                     Measures& measures) const {
  const auto counted = batch.counts.at(name);
  if (counted == 0) {
    measures.add(name, 0, 0, 0);
    return {};
  }
  const auto out = head_loss(head_input(), model.head(), targets, {.scale = counts.share(name), .z_loss = z_loss_});
  measures.add(name, out.nll.sum(at::kDouble).item<double>(), out.correct.sum(at::kDouble).item<double>(), counted);
  return out.loss;
}

Batch neighbour_rows(const TextWindows& windows, std::uint64_t position, std::int64_t count, std::int64_t context, bool document_mask,
                     bool backwards) {
  Batch batch{.ids = filled(count, context, 0)};
  const auto targets = filled(count, context, 0), before = backwards ? filled(count, context, ignored_target) : at::Tensor();
  if (document_mask) batch.documents = filled(count, context, 0);
  std::vector<std::int64_t> window(static_cast<std::size_t>(context + 1));
  for (std::int64_t row = 0; row < count; ++row) {
    const auto place = position + static_cast<std::uint64_t>(row);
    windows.sampler.copy(place, window.data());
    std::copy_n(window.begin(), context, row_of(batch.ids, row));
    std::copy_n(window.begin() + 1, context, row_of(targets, row));
    if (backwards) std::copy_n(window.begin(), context - 1, row_of(before, row) + 1);
    if (!document_mask) continue;
    const auto documents = windows.file.document_ids(windows.sampler.at(place).begin, static_cast<std::uint64_t>(context + 1));
    for (std::int64_t i = 0; i < context; ++i) {
      row_of(batch.documents, row)[i] = documents[i];
      if (documents[i + 1] == documents[i]) continue;
      row_of(targets, row)[i] = ignored_target;
      if (backwards && i + 1 < context) row_of(before, row)[i + 1] = ignored_target;
    }
  }
  const auto counted = [](const at::Tensor& x) { return (x != ignored_target).sum().item<std::int64_t>(); };
  batch.tensors["targets"] = targets;
  batch.counts["token"] = batch.tokens = counted(targets);
  if (backwards) batch.tensors["backward_targets"] = before, batch.counts["backward"] = counted(before);
  return batch;
}

}  // namespace isotrope
