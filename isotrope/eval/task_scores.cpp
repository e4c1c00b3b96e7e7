#include "isotrope/eval/task_scores.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "isotrope/base/error.h"
#include "isotrope/eval/task_requests.h"

namespace isotrope {

namespace {

Metric mean_of(std::string name, const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() < 2) return {std::move(name), mean, std::nullopt};
  double squares = 0;
  for (const auto value : values) squares += (value - mean) * (value - mean);
  return {std::move(name), mean, std::sqrt(squares / (n - 1) / n)};
}

/// Σ of −log-likelihoods over Σ of sizes, and the standard error of that ratio.
Metric ratio_of(std::string name, const std::vector<ItemOutcome>& outcomes, std::int64_t ItemOutcome::* size) {
  double sum = 0, sizes = 0;
  for (const auto& one : outcomes) sum -= one.log_likelihoods.front(), sizes += static_cast<double>(one.*size);
  const double ratio = sum / sizes;
  if (outcomes.size() < 2) return {std::move(name), ratio, std::nullopt};
  double squares = 0;
  for (const auto& one : outcomes) {
    const double rest = -one.log_likelihoods.front() - ratio * static_cast<double>(one.*size);
    squares += rest * rest;
  }
  const auto n = static_cast<double>(outcomes.size());
  return {std::move(name), ratio, std::sqrt(squares * n / (n - 1)) / sizes};
}

Metric perplexity_of(std::string name, const std::vector<ItemOutcome>& outcomes, std::int64_t ItemOutcome::* size) {
  auto metric = ratio_of(std::move(name), outcomes, size);
  metric.value = std::exp(metric.value);
  if (metric.standard_error) *metric.standard_error *= metric.value;
  return metric;
}

std::vector<Metric> perplexities(const std::vector<ItemOutcome>& outcomes) {
  auto bits = ratio_of("bits_per_byte", outcomes, &ItemOutcome::bytes);
  bits.value /= std::numbers::ln2;
  if (bits.standard_error) *bits.standard_error /= std::numbers::ln2;
  return {perplexity_of("word_perplexity", outcomes, &ItemOutcome::words), perplexity_of("byte_perplexity", outcomes, &ItemOutcome::bytes),
          bits, perplexity_of("token_perplexity", outcomes, &ItemOutcome::tokens)};
}

std::vector<Metric> accuracies(const Task& task, const std::vector<ItemOutcome>& outcomes) {
  std::vector<double> raw, per_character, per_byte, information;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const auto gold = task.items[i].gold;
    const auto chosen = choose(task.items[i], outcomes[i]);
    raw.push_back(chosen.raw == gold);
    per_character.push_back(chosen.per_character == gold);
    per_byte.push_back(chosen.per_byte == gold);
    if (chosen.mutual_information) information.push_back(*chosen.mutual_information == gold);
  }
  std::vector<Metric> metrics{mean_of("acc", raw), mean_of("acc_norm", per_character), mean_of("acc_bytes", per_byte)};
  if (information.size() == outcomes.size()) metrics.push_back(mean_of("acc_mutual_info", information));
  return metrics;
}

std::vector<Metric> matches(const Task& task, const std::vector<ItemOutcome>& outcomes) {
  std::vector<double> strict, flexible;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const auto right = judge(outcomes[i].generated, task.items[i].answer);
    strict.push_back(right.strict), flexible.push_back(right.flexible);
  }
  if (!std::ranges::any_of(task.items, [](const TaskItem& item) { return has_final_number(item.answer); }))
    return {mean_of("exact_match", strict)};
  return {mean_of("exact_match,strict-match", strict), mean_of("exact_match,flexible-extract", flexible)};
}

/// The place of the largest, the first of equals.
std::size_t largest(const std::vector<double>& values) {
  return static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
}

}  // namespace

Choices choose(const TaskItem& item, const ItemOutcome& outcome) {
  std::vector<double> per_character, per_byte, information;
  for (std::size_t i = 0; i < item.choices.size(); ++i) {
    const auto& text = item.choices[i].text;
    const auto likelihood = outcome.log_likelihoods[i];
    per_character.push_back(likelihood / static_cast<double>(std::max<std::int64_t>(1, count_characters(text))));
    per_byte.push_back(likelihood / static_cast<double>(std::max<std::size_t>(1, text.size())));
    if (!outcome.unconditional.empty()) information.push_back(likelihood - outcome.unconditional[i]);
  }
  Choices choices{largest(outcome.log_likelihoods), largest(per_character), largest(per_byte), std::nullopt};
  if (!information.empty()) choices.mutual_information = largest(information);
  return choices;
}

std::vector<Metric> task_metrics(const Task& task, const std::vector<ItemOutcome>& outcomes) {
  if (outcomes.empty() || outcomes.size() != task.items.size())
    throw WorkError("eval", "{}: {} outcomes of {} items", task.name, outcomes.size(), task.items.size());
  switch (task.kind) {
    case TaskKind::multiple_choice: return accuracies(task, outcomes);
    case TaskKind::perplexity: return perplexities(outcomes);
    case TaskKind::generation: return matches(task, outcomes);
  }
  return {};
}

std::vector<Metric> group_metrics(const std::vector<std::vector<Metric>>& tasks, const std::vector<std::size_t>& items) {
  std::vector<Metric> together;
  if (tasks.empty()) return together;
  for (const auto& first : tasks.front()) {
    double sum = 0, squares = 0, count = 0;
    bool everywhere = true, known = true;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const auto found = std::ranges::find(tasks[i], first.name, &Metric::name);
      everywhere = found != tasks[i].end();
      if (!everywhere) break;
      const auto n = static_cast<double>(items[i]);
      sum += n * found->value, count += n;
      known = known && found->standard_error.has_value();
      if (known) squares += (n - 1) * n * *found->standard_error * *found->standard_error;
    }
    const auto rest = count - static_cast<double>(tasks.size());
    if (everywhere) together.push_back({first.name, sum / count, known ? std::optional(std::sqrt(squares / rest / count)) : std::nullopt});
  }
  return together;
}

// ---- generated answers --------------------------------------------------------------------------------------------

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_number_part(char c) { return is_digit(c) || c == '.' || c == ','; }

/// #### (\-?[0-9\.\,]+), the first of them.
std::optional<std::string> marked_number(const std::string& text) {
  for (auto at = text.find("#### "); at != std::string::npos; at = text.find("#### ", at + 1)) {
    const auto begin = at + 5;
    auto end = begin + (begin < text.size() && text[begin] == '-');
    const auto digits = end;
    while (end < text.size() && is_number_part(text[end])) ++end;
    if (end > digits) return text.substr(begin, end - begin);
  }
  return std::nullopt;
}

/// (-?[$0-9.,]{2,})|(-?[0-9]+), the last of them.
std::optional<std::string> last_number(const std::string& text) {
  std::optional<std::string> found;
  for (std::size_t at = 0; at < text.size();) {
    const auto begin = at + (text[at] == '-');
    auto end = begin;
    while (end < text.size() && (is_number_part(text[end]) || text[end] == '$')) ++end;
    const bool number = end - begin >= 2 || (end - begin == 1 && is_digit(text[begin]));
    if (number) found = text.substr(at, end - at);
    at = number ? end : at + 1;
  }
  return found;
}

/// What lm-evaluation-harness compares of a GSM8K answer.
std::string comparable(std::string text) {
  std::erase_if(text, [](char c) { return c == ',' || c == '$'; });
  if (const auto mark = text.rfind("#### "); mark != std::string::npos) text.erase(0, mark + 5);
  if (text.ends_with('.')) text.pop_back();
  else if (text.ends_with(".\n")) text.erase(text.size() - 2, 1);
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

std::string stripped(const std::string& text) {
  constexpr const char* space = " \t\n\r\v\f";
  const auto begin = text.find_first_not_of(space);
  return begin == std::string::npos ? std::string() : text.substr(begin, text.find_last_not_of(space) + 1 - begin);
}

}  // namespace

bool has_final_number(const std::string& answer) { return answer.find("#### ") != std::string::npos; }

Judgement judge(const std::string& generated, const std::string& answer) {
  if (!has_final_number(answer)) {
    const bool same = stripped(generated) == stripped(answer);
    return {same, same};
  }
  const auto wanted = comparable(answer);
  const auto is_wanted = [&](const std::optional<std::string>& found) { return found && comparable(*found) == wanted; };
  return {is_wanted(marked_number(generated)), is_wanted(last_number(generated))};
}

}  // namespace isotrope
