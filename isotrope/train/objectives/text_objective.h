#pragma once

#include <optional>

#include "isotrope/base/temporary_folder.h"
#include "isotrope/data/sampler.h"
#include "isotrope/data/token_file.h"
#include "isotrope/train/objective.h"

namespace isotrope {

/// Windows of a token file, in the order that a sampler gives them.
struct TextWindows {
  TextWindows(const fs::path& path, std::uint64_t window, std::uint64_t seed) : file(path), sampler(file, window, seed) {}
  TextWindows(const TextWindows&) = delete;
  TokenFile file;
  WindowSampler sampler;
};

/// What objectives on running text share: token files, windows of them as rows, evaluation over rows of the validation file.
class TextObjective : public Objective {
 public:
  std::string data() const override;
  DataSize data_size() const override { return size_; }
  Batch batch(std::uint64_t position, std::int64_t rows) const override;
  void evaluate(Model& model, const std::function<bool()>& stop_requested, Measures& measures) const override;

 protected:
  /// `window`: tokens of text in a row; `evaluates_windows`: whether evaluate() is this class's. Without a tokenizer it makes files of tokens
  /// without meaning, in documents as long as those of data.train if that is there.
  TextObjective(const ObjectiveSetup& setup, std::int64_t window, bool evaluates_windows = true);

  /// Rows [position, position + count) of these windows, on the CPU.
  virtual Batch rows(const TextWindows& windows, std::uint64_t position, std::int64_t count) const = 0;
  const TextWindows& training() const { return *training_; }
  const TextWindows* validation() const { return validation_.get(); }   ///< null without an evaluation of windows
  const fs::path& validation_path() const { return validation_path_; }  ///< empty without an evaluation

  /// The part `name` of a batch's loss: head_input [N, d] against targets [N] through the model's head. Undefined where nothing is counted.
  at::Tensor token_loss(const Model& model, const std::function<at::Tensor()>& head_input, const Batch& batch, const std::string& name,
                        const at::Tensor& targets, const StepCounts& counts, Measures& measures) const;

  std::int64_t context_, evaluation_rows_, evaluation_batch_;
  bool document_mask_;

 private:
  void make_files(const ObjectiveSetup& setup, std::int64_t window);

  at::Device device_;
  double z_loss_;
  std::optional<TemporaryFolder> made_;  // files of tokens without meaning
  fs::path training_path_, validation_path_;
  DataSize size_;
  std::unique_ptr<TextWindows> training_, validation_;
};

/// a + b, where either may be undefined.
at::Tensor sum_of(const at::Tensor& a, const at::Tensor& b);

/// Rows of a causal model: `targets` [B, T], the token after each of the ids, and if asked `backward_targets`, the one before; −100: not
/// counted, as across documents that are kept apart. Counts: `token`, `backward`.
Batch neighbour_rows(const TextWindows& windows, std::uint64_t position, std::int64_t count, std::int64_t context, bool document_mask,
                     bool backwards);

}  // namespace isotrope
