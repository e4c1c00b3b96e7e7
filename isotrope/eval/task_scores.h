#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "isotrope/data/task.h"

namespace isotrope {

/// A metric of a task, and its standard error where more than one item tells of it.
struct Metric {
  std::string name;
  double value = 0;
  std::optional<double> standard_error;
};

/// What a model said of an item.
struct ItemOutcome {
  std::vector<double> log_likelihoods;            ///< of each choice; of a text, one
  std::vector<double> unconditional;              ///< of each choice behind a context that says nothing; empty where the task has none
  std::vector<bool> greedy;                       ///< of each choice
  std::int64_t tokens = 0, words = 0, bytes = 0;  ///< of a text
  std::string generated;
};

/// Metrics by lm-evaluation-harness's definitions and names. Multiple choice: acc by the largest log-likelihood (the first of equals),
/// acc_norm by the largest per character of the choice, acc_bytes per byte, acc_mutual_info by the largest gain over the context that says
/// nothing, where every item has one. Texts: word_perplexity, byte_perplexity, bits_per_byte, token_perplexity, all texts together.
/// Generation: see judge(). Standard errors: sample deviation / √n; of ratios of sums, by linearisation.
std::vector<Metric> task_metrics(const Task& task, const std::vector<ItemOutcome>& outcomes);

/// The choice that each of acc, acc_norm, acc_bytes and acc_mutual_info takes; the last is absent without unconditional scores.
struct Choices {
  std::size_t raw, per_character, per_byte;
  std::optional<std::size_t> mutual_information;
};
Choices choose(const TaskItem& item, const ItemOutcome& outcome);

/// Whether a generated answer is right. An answer that ends in "#### 42" (GSM8K): `strict` finds the number behind the first "#### " of
/// what was generated, `flexible` the last number in it; commas, dollar signs and a final full stop do not count. Any other answer: both,
/// whether the two texts are the same but for white space around them.
struct Judgement {
  bool strict, flexible;
};
Judgement judge(const std::string& generated, const std::string& answer);
bool has_final_number(const std::string& answer);

/// The metrics of tasks that are one together, weighted by their items; those that all of them have. Standard errors are pooled as
/// lm-evaluation-harness pools them: √(Σ (n − 1) n s² / (Σ n − tasks) / Σ n).
std::vector<Metric> group_metrics(const std::vector<std::vector<Metric>>& tasks, const std::vector<std::size_t>& items);

}  // namespace isotrope
