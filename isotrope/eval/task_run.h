#pragma once

#include <functional>
#include <vector>

#include "isotrope/eval/task_journal.h"
#include "isotrope/eval/task_scores.h"
#include "isotrope/infer/score.h"

namespace isotrope {

struct TaskRunOptions {
  std::int64_t context = 0;                          ///< tokens that the model reads at most; 0: scoring_context()
  std::int64_t batch_tokens = 4096, batch_size = 0;  ///< as in ScoringOptions
  std::int64_t max_tokens = 256;                     ///< generated at most
  std::vector<TokenId> eos;                          ///< end a generated text; and begin one where the tokenizer has no BOS
  std::function<void(std::size_t done, std::size_t all)> progress = {};  ///< requests
  std::function<bool()> stop_requested = {};
};

/// What a model says of a task's items. Answers that the journal has are taken from it, new ones added. The same bits for every batch,
/// order and number of threads (infer/score.h); generated texts too, one after the other. Throws Interrupted, with all answers so far in
/// the journal, WorkError naming the item for a score that is not finite, InputError naming it for a text that cannot be asked.
std::vector<ItemOutcome> run_task(Model& model, const Tokenizer& tokenizer, const Task& task, const TaskRunOptions& options,
                                  TaskJournal& journal);

/// SHA-256 over the configuration and all parameters as they are computed with: which model it is.
std::string model_fingerprint(const Model& model);

}  // namespace isotrope
