#include "isotrope/text/json_field.h"

#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"

namespace isotrope::json_field {

using nlohmann::json;

namespace {

constexpr int deepest_nesting = 64;

void check_depth(std::string_view text, std::string_view file) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > deepest_nesting) throw InputError("tokenizer", "{}: nested more than {} deep at byte {}", file, deepest_nesting, i);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

void expect(bool right, const json& value, std::string_view what, std::string_view expected, std::string_view file) {
  if (!right) throw InputError("tokenizer", "{}: {}: expected {}, got {}", file, what, expected, value.type_name());
}

}  // namespace

json parse(std::string_view text, std::string_view file) {
  check_depth(text, file);
  try {
    return json::parse(text);
  } catch (const json::exception& error) {
    const std::string_view what = error.what();  // "[json.exception.parse_error.101] parse error at line 1, …"
    const auto start = what.find("] ");
    throw InputError("tokenizer", "{}: not valid JSON: {}", file, start == std::string_view::npos ? what : what.substr(start + 2));
  }
}

const json& find(const json& object, const char* key) {
  static const json absent;
  const auto found = object.find(key);
  return found == object.end() ? absent : *found;
}

const json& at(const json& object, const char* key, std::string_view file) {
  const auto found = object.find(key);
  if (found == object.end()) throw InputError("tokenizer", "{}: \"{}\" is missing", file, key);
  return *found;
}

std::string text(const json& value, std::string_view what, std::string_view file) {
  expect(value.is_string(), value, what, "a string", file);
  return value.get<std::string>();
}

bool flag(const json& object, const char* key, bool fallback, std::string_view file) {
  const auto& value = find(object, key);
  if (value.is_null()) return fallback;
  expect(value.is_boolean(), value, key, "true or false", file);
  return value.get<bool>();
}

std::int64_t integer(const json& value, std::string_view what, std::string_view file) {
  expect(value.is_number_integer(), value, what, "an integer", file);
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) return INT64_MAX;
  return value.get<std::int64_t>();
}

const json& array(const json& value, std::string_view what, std::string_view file) {
  expect(value.is_array(), value, what, "an array", file);
  return value;
}

const json& object(const json& value, std::string_view what, std::string_view file) {
  expect(value.is_object(), value, what, "an object", file);
  return value;
}

std::string type(const json& component, std::string_view what, std::string_view file) {
  return text(at(object(component, what, file), "type", file), "type", file);
}

}  // namespace isotrope::json_field
