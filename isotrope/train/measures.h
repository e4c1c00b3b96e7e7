#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace isotrope {

/// How well something was predicted.
struct Measure {
  double nll_sum = 0;  ///< nats
  double correct = 0;
  std::int64_t count = 0;
  double loss() const { return nll_sum / static_cast<double>(count); }  ///< NaN where nothing was asked for
  double accuracy() const { return correct / static_cast<double>(count); }
};

/// What an objective has found: the named parts of its loss, and numbers besides. Records of the log, progress and results of evaluations
/// are made of it, and nothing else knows the names.
class Measures {
 public:
  /// More of a part. The first part that is named is the main one, whose accuracy is called so; it is named also where its count is 0.
  void add(const std::string& part, double nll, double correct, std::int64_t count);
  /// A number of its own. One with a unit is said on the terminal.
  void set(const std::string& name, nlohmann::json number, const std::string& unit = "");

  Measure part(const std::string& name) const;  ///< of count 0 where there is none
  /// The sum of the means of those parts that were asked for: what is minimised, z-loss apart. NaN where nothing was.
  double loss() const;
  bool any() const;
  /// Into a record of the log: `accuracy`, NAME_accuracy of the other parts, NAME_loss of each where there are several, and the numbers
  /// (docs/formats/run_log.md).
  void write(nlohmann::json& record) const;
  std::string text() const;  ///< for a reader: accuracies and numbers with a unit, two spaces before each

 private:
  struct Number {
    std::string name;
    nlohmann::json value;
    std::string unit;
  };
  std::vector<std::pair<std::string, Measure>> parts_;
  std::vector<Number> numbers_;
};

}  // namespace isotrope
