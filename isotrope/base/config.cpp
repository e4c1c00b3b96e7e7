#include "isotrope/base/config.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <stdexcept>
#include <type_traits>

// toml++ states its own invariants, and some broken files violate them: checked in every build, as an exception instead of an abort.
namespace {
struct TomlInvariant : std::logic_error {
  using std::logic_error::logic_error;
};
}  // namespace
#undef NDEBUG
#define TOML_ASSERT(expr) (static_cast<bool>(expr) ? void() : throw TomlInvariant(#expr))
#define TOML_EXCEPTIONS 1
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wterminate"  // some of them stand in functions that may not throw; no input is known that reaches those
#endif
#include <toml++/toml.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"

namespace isotrope {

namespace {

std::string toml_string(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

/// A double so that it reads back as the same double and as a float, not an integer.
std::string number_text(double value) {
  std::string text = fmt::format("{}", value);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string list_text(const std::vector<std::string>& list) {
  std::vector<std::string> quoted;
  for (const auto& text : list) quoted.push_back(toml_string(text));
  return fmt::format("[{}]", fmt::join(quoted, ", "));
}

std::string value_text(const ConfigSchema::Value& value) {
  return std::visit(
      [](auto* bound) -> std::string {
        using T = std::remove_pointer_t<decltype(bound)>;
        if constexpr (std::is_same_v<T, bool>) return *bound ? "true" : "false";
        else if constexpr (std::is_same_v<T, std::string>) return toml_string(*bound);
        else if constexpr (std::is_same_v<T, double>) return number_text(*bound);
        else if constexpr (std::is_same_v<T, std::vector<std::string>>) return list_text(*bound);
        else return std::to_string(*bound);
      },
      value);
}

const char* type_text(const ConfigSchema::Value& value) {
  constexpr const char* names[] = {"boolean", "integer", "number", "string", "list of strings"};
  return names[value.index()];
}

/// "a number", "an integer".
std::string expected_text(const ConfigSchema::Value& value) {
  return fmt::format("{} {}", std::holds_alternative<std::int64_t*>(value) ? "an" : "a", type_text(value));
}

const char* type_text(toml::node_type type) {
  switch (type) {
    case toml::node_type::table: return "table";
    case toml::node_type::array: return "array";
    case toml::node_type::string: return "string";
    case toml::node_type::integer: return "integer";
    case toml::node_type::floating_point: return "number";
    case toml::node_type::boolean: return "boolean";
    default: return "date";
  }
}

std::string bound_text(double bound) {
  return bound == std::floor(bound) && std::abs(bound) < 1e15 ? fmt::format("{:.0f}", bound) : fmt::format("{}", bound);
}

std::string range_text(const KeyInfo& info) {
  if (!info.choices.empty()) return fmt::format("{}", fmt::join(info.choices, ", "));
  const bool low = std::isfinite(info.min), high = std::isfinite(info.max);
  if (low && high) return fmt::format("{} … {}", bound_text(info.min), bound_text(info.max));
  if (low) return fmt::format("≥ {}", bound_text(info.min));
  if (high) return fmt::format("≤ {}", bound_text(info.max));
  return "";
}

std::string plain(const ConfigSchema::Value& value) {
  if (const auto* text = std::get_if<std::string*>(&value)) return **text;
  return value_text(value);
}

}  // namespace

void ConfigSchema::add(std::string name, Value value, KeyInfo info) {
  keys_.push_back({std::move(name), value, std::move(info), value_text(value), ""});
}

ConfigSchema::Key& ConfigSchema::find(std::string_view name, std::string_view origin) {
  for (auto& key : keys_) {
    if (key.name == name) return key;
    if (key.info.formerly.empty() || key.info.formerly != name) continue;
    warn_once("config/" + key.name, fmt::format("[config] {}: {} is called {} now", origin, name, key.name));
    return key;
  }
  std::vector<std::string> names;
  for (const auto& key : keys_) names.push_back(key.name);
  const auto suggestion = nearest(name, names);
  UsageError error("config", "{}: unknown key {}", origin, name);
  throw with_hint(std::move(error), suggestion.empty() ? "isotrope config --list shows every key" : "did you mean " + suggestion + "?");
}

namespace {

// toml++ 3.3 looks characters beyond ASCII up in tables that do not hold all of them, and runs into what it takes to be unreachable; also
// in valid files. It takes every character beyond U+FEFF for what it is, so it is shown the others 0x100000 higher, where nothing is
// assigned.

constexpr char32_t lift = 0x100000;

/// The length of the UTF-8 sequence at `at`, and its code point; 0 when there is none.
std::size_t decode_at(std::string_view text, std::size_t at, char32_t& code) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U; };
  const unsigned first = byte(0);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xf0 && first < 0xf5 ? 4
                             : first >= 0xe0 && first < 0xf0 ? 3
                             : first >= 0xc2 && first < 0xe0 ? 2
                                                             : 0;
  if (length == 0) return 0;
  code = length == 1 ? first : first & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return 0;
    code = code << 6 | (byte(i) & 0x3fU);
  }
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  return code < smallest[length] || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff ? 0 : length;
}

void append_utf8(std::string& out, char32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr unsigned marks[] = {0, 0xc0, 0xe0, 0xf0};
  out += static_cast<char>(marks[more] | code >> (6 * more));
  for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80U | (code >> (6 * i) & 0x3fU));
}

/// The text as toml++ is shown it. Refuses what is not UTF-8, and the private characters that are needed here, spelled out or escaped.
std::string lifted(std::string_view text, std::string_view name) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  std::string result;
  std::size_t line = 1;
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  for (std::size_t at = 0; at < text.size();) {
    char32_t code = 0;
    const auto length = decode_at(text, at, code);
    if (length == 0) throw UsageError("config", "{}:{}: is not UTF-8", name, line);
    if (code >= lift || text.substr(at).starts_with("\\U0010"))
      throw UsageError("config", "{}:{}: a character of private use, U+100000 or above", name, line);
    append_utf8(result, code < 0x80 || code >= 0x10000 ? code : code + lift);
    if (code == '\n') ++line;
    at += length;
  }
  return result;
}

/// What lifted() has made of a text, made undone.
std::string lowered(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    char32_t code = 0;
    const auto length = decode_at(text, at, code);
    if (length == 0) code = U'\xfffd';
    append_utf8(result, code >= lift ? code - lift : code);
    at += std::max<std::size_t>(length, 1);
  }
  return result;
}

void check_choice(const KeyInfo& info, const std::string& text, const std::string& name, std::string_view origin) {
  if (info.choices.empty() || std::ranges::find(info.choices, text) != info.choices.end()) return;
  UsageError error("config", "{}: {} = \"{}\" is not one of {}", origin, name, text, range_text(info));
  const auto suggestion = nearest(text, info.choices);
  throw suggestion.empty() ? std::move(error) : with_hint(std::move(error), "did you mean " + suggestion + "?");
}

/// Sets the bound variable from a TOML node; throws a UsageError that says what was expected.
void assign(const ConfigSchema::Value& value, const KeyInfo& info, const toml::node& node, const std::string& name,
            std::string_view origin) {
  const auto wrong_type = [&] {
    return UsageError("config", "{}: {} expects {}, got {}", origin, name, expected_text(value), type_text(node.type()));
  };
  const auto check_range = [&](double number) {
    if (!(number >= info.min && number <= info.max))
      throw UsageError("config", "{}: {} = {} is out of range ({})", origin, name, bound_text(number), range_text(info));
  };
  std::visit(
      [&](auto* bound) {
        using T = std::remove_pointer_t<decltype(bound)>;
        if constexpr (std::is_same_v<T, double>) {
          const auto number = node.is_number() ? node.value<double>() : std::nullopt;
          if (!number) throw wrong_type();
          if (!std::isfinite(*number)) throw UsageError("config", "{}: {} = {} is not a finite number", origin, name, *number);
          check_range(*number);
          *bound = *number;
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          if (!node.is_array()) throw wrong_type();
          T list;
          for (const auto& item : *node.as_array()) {
            const auto text = item.value_exact<std::string>();
            if (!text) throw UsageError("config", "{}: {} expects strings in its list, got {}", origin, name, type_text(item.type()));
            list.push_back(lowered(*text));
            check_choice(info, list.back(), name, origin);
          }
          *bound = std::move(list);
        } else {
          auto exact = node.value_exact<T>();
          if (!exact) throw wrong_type();
          if constexpr (std::is_same_v<T, std::string>) {
            *exact = lowered(*exact);
            check_choice(info, *exact, name, origin);
          }
          if constexpr (std::is_same_v<T, std::int64_t>) check_range(static_cast<double>(*exact));
          *bound = *exact;
        }
      },
      value);
}

/// The words of `a,b,c`; none of an empty text.
std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    found.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(text.size(), comma + 1));
  }
  return found;
}

void each_leaf(const toml::table& table, const std::string& prefix, const auto& visit) {
  for (const auto& [key, node] : table) {
    const std::string name = (prefix.empty() ? "" : prefix + ".") + lowered(key.str());
    if (const auto* inner = node.as_table()) each_leaf(*inner, name, visit);
    else visit(name, node);
  }
}

}  // namespace

void ConfigSchema::read_toml(std::string_view text, std::string_view name) {
  toml::table table;
  try {
    table = toml::parse(lifted(text, name), std::string(name));
  } catch (const toml::parse_error& error) {
    const auto at = error.source().begin;
    throw UsageError("config", "{}:{}:{}: {}", name, at.line, at.column, lowered(error.description()));
  } catch (const TomlInvariant&) {
    throw UsageError("config", "{}: is not valid TOML", name);
  }
  std::set<const Key*> read;
  each_leaf(table, "", [&](const std::string& key_name, const toml::node& node) {
    auto& key = find(key_name, name);
    if (!read.insert(&key).second) throw UsageError("config", "{}: {} is set twice, once as {}", name, key.name, key.info.formerly);
    assign(key.value, key.info, node, key.name, name);
    key.origin = name;
  });
}

void ConfigSchema::read_file(const std::filesystem::path& path) {
  const auto text = isotrope::read_file(path, "config", std::size_t{1} << 24);
  read_toml(text, path.string());
}

void ConfigSchema::set(std::string_view assignment) {
  const auto equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) throw UsageError("config", "--set {}: expected key=value", assignment);
  const std::string name(assignment.substr(0, equals)), text(assignment.substr(equals + 1));
  auto& key = find(name, "--set");
  toml::table table;
  // A string key takes the text as it stands unless it is quoted, a list its words between commas; other types are TOML.
  const auto quoted = [](const std::string& word) { return word.size() >= 2 && (word.front() == '"' || word.front() == '\''); };
  std::string value = text;
  if (std::holds_alternative<std::string*>(key.value) && !quoted(text)) value = toml_string(text);
  if (std::holds_alternative<std::vector<std::string>*>(key.value) && !text.starts_with('[')) value = list_text(words(text));
  try {
    table = toml::parse(lifted("value = " + value, "--set"));
  } catch (const std::exception&) {  // UsageError, parse_error or TomlInvariant
    throw UsageError("config", "--set: {} expects {}, got `{}`", key.name, expected_text(key.value), text);
  }
  assign(key.value, key.info, *table.get("value"), key.name, "--set");
  key.origin = "--set";
}

void ConfigSchema::check() const {
  for (const auto& key : keys_) {
    if (key.info.required && key.origin.empty()) throw UsageError("config", "{} is not set: {}", key.name, key.info.meaning);
    if (key.origin.empty() || value_text(key.value) == key.initial) continue;
    for (const auto& condition : key.info.used_when) {
      const auto other = std::ranges::find(keys_, condition.key, &Key::name);
      if (std::ranges::find(condition.values, plain(other->value)) == condition.values.end())
        throw UsageError("config", "{}: {} has no effect with {} = {} (it is used with {})", key.origin, key.name, condition.key,
                         value_text(other->value), fmt::join(condition.values, ", "));
    }
  }
}

std::string ConfigSchema::to_toml() const {
  std::string text, section;
  for (const auto& key : keys_) {
    const auto dot = key.name.rfind('.');
    const auto group = key.name.substr(0, dot);
    if (group != section) text += fmt::format("{}[{}]\n", section.empty() ? "" : "\n", group);
    section = group;
    text += fmt::format("{} = {}\n", key.name.substr(dot + 1), value_text(key.value));
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> ConfigSchema::settings() const {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const auto& key : keys_) settings.emplace_back(key.name, value_text(key.value));
  return settings;
}

std::string ConfigSchema::to_markdown() const {
  std::string text, section;
  for (const auto& key : keys_) {
    const auto group = key.name.substr(0, key.name.rfind('.'));
    if (group != section)
      text += fmt::format("\n## {}\n\n| key | type | default | range | unit | meaning |\n|---|---|---|---|---|---|\n", group);
    section = group;
    std::string meaning = key.info.meaning, conditions;
    for (const auto& condition : key.info.used_when)
      conditions +=
          fmt::format("{}`{}` = {}", conditions.empty() ? " (used with " : " and ", condition.key, fmt::join(condition.values, ", "));
    if (!conditions.empty()) meaning += conditions + ")";
    text += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", key.name, type_text(key.value),
                        key.info.required ? "required" : "`" + key.initial + "`", range_text(key.info), key.info.unit, meaning);
  }
  return text;
}

std::string ConfigSchema::to_text() const {
  std::string text;
  for (const auto& key : keys_) {
    const auto range = range_text(key.info);
    text += fmt::format("{:<28} {:<8} {}{}{}\n    {}\n", key.name, type_text(key.value),
                        key.info.required ? "required" : "default " + key.initial, key.info.unit.empty() ? "" : " " + key.info.unit,
                        range.empty() ? "" : "  [" + range + "]", key.info.meaning);
  }
  return text;
}

}  // namespace isotrope
