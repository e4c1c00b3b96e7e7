#include "isotrope/text/steps/json_field.h"

#include <array>
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

std::string base64(const json& value, std::string_view what, std::string_view file) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static constexpr auto values = [] {
    std::array<std::int8_t, 256> table{};
    table.fill(-1);
    for (std::size_t i = 0; i < digits.size(); ++i) table[static_cast<unsigned char>(digits[i])] = static_cast<std::int8_t>(i);
    return table;
  }();
  auto spelled = text(value, what, file);
  const auto fail = [&] { throw InputError("tokenizer", "{}: {}: it is not base 64", file, what); };
  if (spelled.size() % 4 != 0) fail();
  for (int padding = 0; padding < 2 && spelled.ends_with('='); ++padding) spelled.pop_back();
  std::string bytes;
  bytes.reserve(spelled.size() * 3 / 4);
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < spelled.size(); ++i) {
    const auto digit = values[static_cast<unsigned char>(spelled[i])];
    if (digit < 0) fail();
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    if (i % 4 != 0) bytes += static_cast<char>(bits >> (6 - i % 4 * 2));
  }
  return bytes;
}

std::string spell_base64(std::string_view bytes) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string spelled;
  spelled.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) bits = bits << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (std::size_t j = 0; j < 4; ++j) spelled += i + j < bytes.size() + 1 ? digits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return spelled;
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
