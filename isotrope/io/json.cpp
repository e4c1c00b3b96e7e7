#include "isotrope/io/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"

namespace isotrope {

using nlohmann::json;

namespace {

/// "line 3, column 7" of the byte at `offset` of text that begins in `line`.
std::string position_text(std::string_view text, std::size_t offset, std::size_t line) {
  std::size_t start = 0;
  for (std::size_t i = 0; i < offset && i < text.size(); ++i)
    if (text[i] == '\n') ++line, start = i + 1;
  return fmt::format("line {}, column {}", line, offset - start + 1);
}

/// The library's message without its own prefix, on one printable line of bounded length.
std::string tidy(std::string_view what) {
  for (const std::string_view mark : {": syntax error while parsing", "] "})
    if (const auto at = what.find(mark); at != std::string_view::npos) {
      what.remove_prefix(at + 2);
      break;
    }
  std::string line;
  for (const unsigned char c : what.substr(0, 160)) line += c >= 0x20 && c < 0x7f ? static_cast<char>(c) : '?';
  return what.size() > 160 ? line + "..." : line;
}

/// Builds the value while it watches depth and keys: the library's own builder does neither.
class Builder : public nlohmann::json_sax<json> {
 public:
  Builder(std::string_view text, std::string_view where, std::string_view name, const JsonOptions& options)
      : text_(text), where_(where), name_(name), options_(options) {}

  json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& key) override {
    auto [place, fresh] = stack_.back()->get_ref<json::object_t&>().emplace(std::move(key), nullptr);
    if (!fresh && options_.unique_keys) throw InputError(where_, "{}: the key \"{}\" stands twice in one object", name_, place->first);
    slot_ = &place->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const json::exception& error) override {
    throw InputError(where_, "{}: {}: not valid JSON: {}", name_,
                     position_text(text_, position > 0 ? position - 1 : 0, options_.first_line), tidy(error.what()));
  }

 private:
  template <class Value>
  bool put(Value&& value) {
    place(json(std::forward<Value>(value)));
    return true;
  }

  json* place(json value) {
    if (stack_.empty()) return &(root_ = std::move(value));
    if (stack_.back()->is_object()) return &(*slot_ = std::move(value));
    auto& array = stack_.back()->get_ref<json::array_t&>();
    array.push_back(std::move(value));
    return &array.back();
  }

  bool open(json container) {
    if (stack_.size() >= options_.max_depth)
      throw InputError(where_, "{}: JSON is nested deeper than {} levels", name_, options_.max_depth);
    stack_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    stack_.pop_back();
    return true;
  }

  std::string_view text_, where_, name_;
  JsonOptions options_;
  json root_;
  std::vector<json*> stack_;  // stays valid: a container grows only while it is on top
  json* slot_ = nullptr;
};

constexpr std::string_view float_tag = "__float__";
constexpr std::pair<std::string_view, double> special_floats[] = {{"Infinity", std::numeric_limits<double>::infinity()},
                                                                  {"-Infinity", -std::numeric_limits<double>::infinity()},
                                                                  {"NaN", std::numeric_limits<double>::quiet_NaN()}};

/// The text with every bare Infinity, -Infinity and NaN in its tagged form.
std::string with_tagged_floats(std::string_view text) {
  std::string out;
  bool quoted = false, value = true;  // inside a string; a value may begin here
  for (std::size_t i = 0; i < text.size();) {
    const auto rest = text.substr(i);
    const auto* found =
        std::ranges::find_if(special_floats, [&](const auto& each) { return !quoted && value && rest.starts_with(each.first); });
    if (found != std::end(special_floats)) {
      out += fmt::format(R"({{"{}": "{}"}})", float_tag, found->first);
      i += found->first.size();
      value = false;
      continue;
    }
    const char c = text[i++];
    out += c;
    if (quoted && c == '\\' && i < text.size()) out += text[i++];
    else if (c == '"') quoted = !quoted;
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') value = c == '[' || c == ':' || c == ',';
  }
  return out;
}

}  // namespace

std::optional<double> json_number(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (!value.is_object() || value.size() != 1 || !value.contains(float_tag) || !value.at(float_tag).is_string()) return std::nullopt;
  for (const auto& [name, number] : special_floats)
    if (value.at(float_tag).get_ref<const std::string&>() == name) return number;
  return std::nullopt;
}

json parse_json(std::string_view text, std::string_view where, std::string_view name, const JsonOptions& options) {
  if (options.python_floats && (text.find("Infinity") != text.npos || text.find("NaN") != text.npos)) {
    auto plain = options;
    plain.python_floats = false;
    return parse_json(with_tagged_floats(text), where, name, plain);
  }
  Builder builder(text, where, name, options);
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

json read_json(const std::filesystem::path& path, std::string_view where, const JsonOptions& options) {
  return parse_json(read_file(path, where), where, path.string(), options);
}

std::string_view json_kind(const json& value) {
  switch (value.type()) {
    case json::value_t::null: return "null";
    case json::value_t::boolean: return "true or false";
    case json::value_t::string: return "a string";
    case json::value_t::array: return "an array";
    case json::value_t::object: return "an object";
    case json::value_t::number_float: return "a fraction";
    default: return "an integer";
  }
}

JsonReader::JsonReader(const json& value, std::string where, std::string name, std::string prefix)
    : object_(&value), where_(std::move(where)), name_(std::move(name)), prefix_(std::move(prefix)) {
  if (!value.is_object()) throw InputError(where_, "{}: expected a JSON object, got {}", name_, json_kind(value));
}

const json* JsonReader::find(std::string_view key) const {
  const auto at = object_->find(key);
  return at == object_->end() || at->is_null() ? nullptr : &*at;
}

void JsonReader::wrong(std::string_view key, std::string_view expected, const json* got) const {
  if (!got && !object_->contains(key)) throw InputError(where_, "{}: \"{}{}\" is missing (expected {})", name_, prefix_, key, expected);
  throw InputError(where_, "{}: \"{}{}\": expected {}, got {}", name_, prefix_, key, expected, got ? json_kind(*got) : "null");
}

std::int64_t JsonReader::get_int(std::string_view key) const {
  const auto* value = find(key);
  if (value && value->is_number_float()) {
    const double number = value->get<double>();
    if (number == std::floor(number) && std::abs(number) < 0x1p53) return static_cast<std::int64_t>(number);
  }
  if (!value || !value->is_number_integer()) wrong(key, "an integer", value);
  if (value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX)
    throw InputError(where_, "{}: \"{}{}\": {} does not fit 64 bits", name_, prefix_, key, value->get<std::uint64_t>());
  return value->get<std::int64_t>();
}

double JsonReader::get_number(std::string_view key) const {
  const auto* value = find(key);
  if (!value || !value->is_number()) wrong(key, "a number", value);
  return value->get<double>();
}

bool JsonReader::get_bool(std::string_view key) const {
  const auto* value = find(key);
  if (!value || !value->is_boolean()) wrong(key, "true or false", value);
  return value->get<bool>();
}

std::string JsonReader::get_string(std::string_view key) const {
  const auto* value = find(key);
  if (!value || !value->is_string()) wrong(key, "a string", value);
  return value->get<std::string>();
}

JsonReader JsonReader::get_object(std::string_view key) const {
  const auto* value = find(key);
  if (!value || !value->is_object()) wrong(key, "an object", value);
  return {*value, where_, name_, prefix_ + std::string(key) + "."};
}

const json& JsonReader::get_array(std::string_view key) const {
  const auto* value = find(key);
  if (!value || !value->is_array()) wrong(key, "an array", value);
  return *value;
}

std::int64_t JsonReader::get_int(std::string_view key, std::int64_t fallback) const { return has(key) ? get_int(key) : fallback; }
double JsonReader::get_number(std::string_view key, double fallback) const { return has(key) ? get_number(key) : fallback; }
bool JsonReader::get_bool(std::string_view key, bool fallback) const { return has(key) ? get_bool(key) : fallback; }
std::string JsonReader::get_string(std::string_view key, std::string_view fallback) const {
  return has(key) ? get_string(key) : std::string(fallback);
}

}  // namespace isotrope
