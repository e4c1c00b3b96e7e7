#pragma once

#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace isotrope::test {

/// Variables of the environment set, or unset where the value is nothing, for one test; the program that a test runs sees them too.
class Environment {
 public:
  using Variable = std::pair<std::string, std::optional<std::string>>;
  Environment(std::initializer_list<Variable> variables) {
    for (const auto& [name, value] : variables) {
      const char* old = std::getenv(name.c_str());
      before_.emplace_back(name, old ? std::optional<std::string>(old) : std::nullopt);
      put(name, value);
    }
  }
  Environment(const Environment&) = delete;
  ~Environment() {
    for (auto at = before_.rbegin(); at != before_.rend(); ++at) put(at->first, at->second);
  }

 private:
  static void put(const std::string& name, const std::optional<std::string>& value) {
    if (value) ::setenv(name.c_str(), value->c_str(), 1);
    else ::unsetenv(name.c_str());
  }
  std::vector<Variable> before_;
};

}  // namespace isotrope::test
