#include "isotrope/base/config.h"

#include <algorithm>
#include <cmath>
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
#include <toml++/toml.h>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"

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

std::string value_text(const ConfigSchema::Value& value) {
  return std::visit(
      [](auto* bound) -> std::string {
        using T = std::remove_pointer_t<decltype(bound)>;
        if constexpr (std::is_same_v<T, bool>) return *bound ? "true" : "false";
        else if constexpr (std::is_same_v<T, std::string>) return toml_string(*bound);
        else if constexpr (std::is_same_v<T, double>) return number_text(*bound);
        else return std::to_string(*bound);
      },
      value);
}

const char* type_text(const ConfigSchema::Value& value) {
  constexpr const char* names[] = {"boolean", "integer", "number", "string"};
  return names[value.index()];
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
  for (auto& key : keys_)
    if (key.name == name) return key;
  std::vector<std::string> names;
  for (const auto& key : keys_) names.push_back(key.name);
  const auto suggestion = nearest(name, names);
  UsageError error("config", "{}: unknown key {}", origin, name);
  throw with_hint(std::move(error), suggestion.empty() ? "isotrope config --list shows every key" : "did you mean " + suggestion + "?");
}

namespace {

/// Sets the bound variable from a TOML node; throws a UsageError that says what was expected.
void assign(const ConfigSchema::Value& value, const KeyInfo& info, const toml::node& node, const std::string& name,
            std::string_view origin) {
  const auto wrong_type = [&] {
    return UsageError("config", "{}: {} expects {} {}, got {}", origin, name, value.index() == 1 ? "an" : "a", type_text(value),
                      type_text(node.type()));
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
        } else {
          const auto exact = node.value_exact<T>();
          if (!exact) throw wrong_type();
          if constexpr (std::is_same_v<T, std::int64_t>) check_range(static_cast<double>(*exact));
          if constexpr (std::is_same_v<T, std::string>) {
            if (!info.choices.empty() && std::ranges::find(info.choices, *exact) == info.choices.end()) {
              UsageError error("config", "{}: {} = \"{}\" is not one of {}", origin, name, *exact, range_text(info));
              const auto suggestion = nearest(*exact, info.choices);
              throw suggestion.empty() ? std::move(error) : with_hint(std::move(error), "did you mean " + suggestion + "?");
            }
          }
          *bound = *exact;
        }
      },
      value);
}

void each_leaf(const toml::table& table, const std::string& prefix, const auto& visit) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix.empty() ? std::string(key.str()) : prefix + "." + std::string(key.str());
    if (const auto* inner = node.as_table()) each_leaf(*inner, name, visit);
    else visit(name, node);
  }
}

}  // namespace

namespace {

[[noreturn]] void refuse_character(std::string_view text, std::size_t at, std::string_view name, std::string_view place) {
  const auto before = text.substr(0, at);
  throw UsageError("config", "{}:{}:{}: a character that is not ASCII {}", name, std::ranges::count(before, '\n') + 1,
                   at - (before.rfind('\n') + 1) + 1, place);
}

bool beyond_ascii(std::string_view text, std::size_t at) { return at < text.size() && static_cast<unsigned char>(text[at]) >= 0x80; }

/// Where the string that begins at `at` with a quotation mark ends: after its closing mark, or at the end of its line or of the text.
std::size_t end_of_string(std::string_view text, std::size_t at, std::string_view name) {
  const char quote = text[at];
  const std::string three(3, quote);
  const bool long_form = text.substr(at, 3) == three;
  for (at += long_form ? 3 : 1; at < text.size(); ++at) {
    if (text[at] == '\\' && quote == '"') {
      const auto next = std::min(text.find_first_not_of(" \t\r\n", at + 1), text.size());
      if (long_form && beyond_ascii(text, next)) refuse_character(text, next, name, "after a backslash; write it as \\uXXXX");
      ++at;
    } else if (long_form ? text.substr(at, 3) == three : text[at] == quote) {
      at += long_form ? 3 : 1;
      for (int extra = 0; long_form && extra < 2 && at < text.size() && text[at] == quote; ++extra) ++at;  // `""""` ends with a mark inside
      return at;
    } else if (!long_form && text[at] == '\n') {
      return at;
    }
  }
  return text.size();
}

/// toml++ 3.3 looks every character where white space may stand up in a table that does not hold all of them, and runs into what it takes
/// to be unreachable. Such characters are refused before it sees them: beyond ASCII outside strings and comments, where TOML has none
/// anyway, and where a backslash in a long string may have skipped to.
void refuse_beyond_ascii(std::string_view text, std::string_view name) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  for (std::size_t at = text.starts_with(byte_order_mark) ? byte_order_mark.size() : 0; at < text.size();) {
    if (text[at] == '"' || text[at] == '\'') at = end_of_string(text, at, name);
    else if (text[at] == '#') at = std::min(text.find('\n', at), text.size());
    else if (beyond_ascii(text, at)) refuse_character(text, at, name, "outside of strings and comments");
    else ++at;
  }
}

}  // namespace

void ConfigSchema::read_toml(std::string_view text, std::string_view name) {
  refuse_beyond_ascii(text, name);
  toml::table table;
  try {
    table = toml::parse(text, std::string(name));
  } catch (const toml::parse_error& error) {
    const auto at = error.source().begin;
    throw UsageError("config", "{}:{}:{}: {}", name, at.line, at.column, error.description());
  } catch (const TomlInvariant&) {
    throw UsageError("config", "{}: is not valid TOML", name);
  }
  each_leaf(table, "", [&](const std::string& key_name, const toml::node& node) {
    auto& key = find(key_name, name);
    assign(key.value, key.info, node, key_name, name);
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
  // A string key takes the text as it stands unless it is quoted; other types are TOML.
  const bool bare = std::holds_alternative<std::string*>(key.value) && !(text.size() >= 2 && (text.front() == '"' || text.front() == '\''));
  try {
    const auto line = "value = " + (bare ? toml_string(text) : text);
    refuse_beyond_ascii(line, "--set");
    table = toml::parse(line);
  } catch (const std::exception&) {  // UsageError, parse_error or TomlInvariant
    throw UsageError("config", "--set: {} expects {} {}, got `{}`", name, key.value.index() == 1 ? "an" : "a", type_text(key.value), text);
  }
  assign(key.value, key.info, *table.get("value"), name, "--set");
  key.origin = "--set";
}

void ConfigSchema::check() const {
  for (const auto& key : keys_) {
    if (key.info.required && key.origin.empty()) throw UsageError("config", "{} is not set: {}", key.name, key.info.meaning);
    if (!key.info.used_when || key.origin.empty() || value_text(key.value) == key.initial) continue;
    const auto& condition = *key.info.used_when;
    const auto other = std::ranges::find(keys_, condition.key, &Key::name);
    const auto present = plain(other->value);
    if (std::ranges::find(condition.values, present) == condition.values.end())
      throw UsageError("config", "{}: {} has no effect with {} = {} (it is used with {})", key.origin, key.name, condition.key,
                       value_text(other->value), fmt::join(condition.values, ", "));
  }
}

std::string ConfigSchema::to_toml() const {
  std::string text, section;
  for (const auto& key : keys_) {
    const auto dot = key.name.find('.');
    const auto group = key.name.substr(0, dot);
    if (group != section) text += fmt::format("{}[{}]\n", section.empty() ? "" : "\n", group);
    section = group;
    text += fmt::format("{} = {}\n", key.name.substr(dot + 1), value_text(key.value));
  }
  return text;
}

std::string ConfigSchema::to_markdown() const {
  std::string text, section;
  for (const auto& key : keys_) {
    const auto group = key.name.substr(0, key.name.find('.'));
    if (group != section)
      text += fmt::format("\n## {}\n\n| key | type | default | range | unit | meaning |\n|---|---|---|---|---|---|\n", group);
    section = group;
    std::string meaning = key.info.meaning;
    if (key.info.used_when)
      meaning += fmt::format(" (used with `{}` = {})", key.info.used_when->key, fmt::join(key.info.used_when->values, ", "));
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
