#include "isotrope/train/measures.h"

#include <algorithm>
#include <limits>

#include "isotrope/base/error.h"

namespace isotrope {

void Measures::add(const std::string& name, double nll, double correct, std::int64_t count) {
  auto found = std::ranges::find(parts_, name, [](const auto& part) { return part.first; });
  if (found == parts_.end()) found = parts_.insert(parts_.end(), {name, {}});
  auto& part = found->second;
  part.nll_sum += nll, part.correct += correct, part.count += count;
}

void Measures::set(const std::string& name, nlohmann::json number, const std::string& unit) {
  numbers_.push_back({name, std::move(number), unit});
}

Measure Measures::part(const std::string& name) const {
  const auto found = std::ranges::find(parts_, name, [](const auto& part) { return part.first; });
  return found == parts_.end() ? Measure{} : found->second;
}

bool Measures::any() const {
  return std::ranges::any_of(parts_, [](const auto& part) { return part.second.count > 0; });
}

double Measures::loss() const {
  if (!any()) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  for (const auto& [name, part] : parts_)
    if (part.count > 0) sum += part.loss();
  return sum;
}

void Measures::write(nlohmann::json& record) const {
  const auto asked = std::ranges::count_if(parts_, [](const auto& part) { return part.second.count > 0; });
  for (const auto& [name, part] : parts_) {
    if (part.count == 0) continue;
    const bool main = name == parts_.front().first;
    record[main ? "accuracy" : name + "_accuracy"] = part.accuracy();
    if (!main || asked > 1) record[name + "_loss"] = part.loss();
  }
  for (const auto& number : numbers_) record[number.name] = number.value;
}

std::string Measures::text() const {
  std::string text;
  for (const auto& [name, part] : parts_)
    if (part.count > 0) text += fmt::format("  {}accuracy {:.1f}%", name == parts_.front().first ? "" : name + " ", 100 * part.accuracy());
  for (const auto& number : numbers_)
    if (!number.unit.empty()) text += fmt::format("  {:.4f} {}", number.value.get<double>(), number.unit);
  return text;
}

}  // namespace isotrope
