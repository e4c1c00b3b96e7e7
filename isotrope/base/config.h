#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace isotrope {

/// Everything there is to say about a key besides its name, type and default.
struct KeyInfo {
  std::string meaning;
  std::string unit = "";
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices = {};  ///< of a string; empty: any
  bool required = false;
  /// The key has an effect only when each of these other keys has one of its values; set otherwise, it is an error, never ignored.
  struct Condition {
    std::string key;
    std::vector<std::string> values;
  };
  std::vector<Condition> used_when = {};
  std::string formerly = "";  ///< the key's name in older files and command lines: still taken, with a note
};

/// The one table of a configuration: each key is declared once, bound to the variable that it sets, whose value at that moment is its
/// default. Parser, `isotrope config --list|--check`, docs/config.md and the resolved config.toml of a run all come from it.
///
/// A TOML file and `a.b=c` overrides set values; a list is a TOML array, in an override also bare words between commas. An unknown key, a wrong type, a value out of range, a missing required key and a key that
/// has no effect under the other settings are UsageErrors naming file and key, with the nearest name as a hint.
/// The schema refers to the bound variables: it must not outlive them.
class ConfigSchema {
 public:
  using Value = std::variant<bool*, std::int64_t*, double*, std::string*, std::vector<std::string>*>;

  void add(std::string name, Value value, KeyInfo info);

  void read_file(const std::filesystem::path& path);
  /// `text` with `name` for the messages.
  void read_toml(std::string_view text, std::string_view name);
  /// `key=value`; the value is TOML, and a bare word stands for a string.
  void set(std::string_view assignment);
  /// Required keys, conditions between keys. Call after the last read or set.
  void check() const;

  /// Every key with its present value: what a run writes beside its results. read_toml() reads it back to the same values.
  std::string to_toml() const;
  /// The same as pairs of full name and value in TOML.
  std::vector<std::pair<std::string, std::string>> settings() const;
  /// The table as Markdown (docs/config.md) or as plain text for a terminal.
  std::string to_markdown() const;
  std::string to_text() const;

 private:
  struct Key {
    std::string name;
    Value value;
    KeyInfo info;
    std::string initial;  // the default, as TOML
    std::string origin;   // where it was set: a file's name, "--set", or empty
  };
  Key& find(std::string_view name, std::string_view origin);
  std::vector<Key> keys_;
};

}  // namespace isotrope
