#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace isotrope {

struct JsonOptions {
  std::size_t max_depth = 256;  ///< arrays and objects within each other
  bool unique_keys = false;     ///< refuse an object that names a key twice; otherwise the last one counts, as in Python
  std::size_t first_line = 1;   ///< where the text begins in its file, for errors
  /// Reads the bare Infinity, -Infinity and NaN that Python writes as transformers' newer form of them, {"__float__": "Infinity"}; columns
  /// of errors behind one count that form.
  bool python_floats = false;
};

/// Text from outside to a JSON value. `where` is the component and `name` the file in errors.
/// Throws InputError `[where] name: line 3, column 7: …` for anything that is not exactly one JSON value.
nlohmann::json parse_json(std::string_view text, std::string_view where, std::string_view name, const JsonOptions& options = {});

/// parse_json of a file's text.
nlohmann::json read_json(const std::filesystem::path& path, std::string_view where, const JsonOptions& options = {});

/// A JSON object that knows where it comes from, so that a wrong field is reported by file and key:
/// `[config] config.json: "n_layer": expected an integer, got a string`. Holds a reference: the JSON value must outlive the reader.
///
/// get_X(key)            required: InputError when the key is absent, null or of another type
/// get_X(key, fallback)  the fallback when the key is absent or null; InputError when it is of another type
class JsonReader {
 public:
  /// Throws InputError unless `value` is an object. `prefix` stands before the key in messages ("rope_scaling.").
  JsonReader(const nlohmann::json& value, std::string where, std::string name, std::string prefix = "");

  bool has(std::string_view key) const { return find(key) != nullptr; }  ///< present and not null
  std::int64_t get_int(std::string_view key) const;                      ///< integers; 4.0 counts as 4, as some writers put it
  std::int64_t get_int(std::string_view key, std::int64_t fallback) const;
  double get_number(std::string_view key) const;
  double get_number(std::string_view key, double fallback) const;
  bool get_bool(std::string_view key) const;
  bool get_bool(std::string_view key, bool fallback) const;
  std::string get_string(std::string_view key) const;
  std::string get_string(std::string_view key, std::string_view fallback) const;
  JsonReader get_object(std::string_view key) const;
  const nlohmann::json& get_array(std::string_view key) const;

  const nlohmann::json& object() const { return *object_; }
  const std::string& name() const { return name_; }

 private:
  const nlohmann::json* find(std::string_view key) const;  ///< null when absent or null
  [[noreturn]] void wrong(std::string_view key, std::string_view expected, const nlohmann::json* got) const;

  const nlohmann::json* object_;
  std::string where_, name_, prefix_;
};

/// A number, also in the tagged form of what JSON cannot say (JsonOptions::python_floats); nothing for any other value.
std::optional<double> json_number(const nlohmann::json& value);

/// "an integer", "a string", "null": what a message calls this value.
std::string_view json_kind(const nlohmann::json& value);

}  // namespace isotrope
