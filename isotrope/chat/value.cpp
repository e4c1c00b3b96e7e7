#include "isotrope/chat/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::chat {

namespace {

constexpr int deepest_value = 100;
constexpr std::size_t largest = std::size_t{1} << 26;

Extent around(const Extent& inner) {
  if (inner.depth >= deepest_value) throw InputError("chat", "lists or dicts stand more than {} deep in each other", deepest_value);
  if (inner.size > largest) throw InputError("chat", "a list or dict holds more than {} MiB", largest >> 20);
  return {inner.depth + 1, inner.size + 2};
}

Extent extent_of(const std::vector<Value>& items) {
  Extent sum;
  for (const auto& item : items) {
    const auto one = item.extent();
    sum.depth = std::max(sum.depth, one.depth), sum.size += one.size + 2;
  }
  return around(sum);
}

/// One text for all keys that are equal: 1, 1.0 and true.
std::string place_of(const Value& key) {
  if (key.is_text()) return "t" + key.text();
  if (key.is_none()) return "none";
  if (key.is_integer()) return "n" + std::to_string(key.integer());
  if (key.is<double>()) {
    const auto x = key.number();
    return x == std::floor(x) && std::abs(x) < 9e18 ? "n" + std::to_string(static_cast<std::int64_t>(x)) : "d" + key.repr();
  }
  throw InputError("chat", "{} cannot be the key of a dict", key.type_name());
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (UnicodeTable::instance().category(c)) {
    case Category::Cc:
    case Category::Cf:
    case Category::Co:
    case Category::Cn:
    case Category::Zl:
    case Category::Zp:
    case Category::Zs: return false;
    default: return true;
  }
}

std::string repr_of_text(std::string_view text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const auto begin = at;
    const auto c = next_code_point(text, at);
    if (c == static_cast<char32_t>(quote) || c == '\\') out += '\\', out += static_cast<char>(c);
    else if (c == '\n') out += "\\n";
    else if (c == '\r') out += "\\r";
    else if (c == '\t') out += "\\t";
    else if (is_printable(c)) out += text.substr(begin, at - begin);
    else if (c < 0x100) out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    else if (c < 0x10000) out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else out += fmt::format("\\U{:08x}", static_cast<unsigned>(c));
  }
  return out + quote;
}

/// The shortest digits that read back the same, as Python writes them.
std::string repr_of_number(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, x, std::chars_format::scientific).ptr;
  std::string shortest(buffer, end);  // d.ddde±xx
  const auto e = shortest.find('e');
  const int exponent = std::stoi(shortest.substr(e + 1));
  std::string sign = shortest.front() == '-' ? "-" : "", digits;
  for (const char c : shortest.substr(0, e))
    if (c >= '0' && c <= '9') digits += c;
  if (exponent < -4 || exponent >= 16) {
    auto out = sign + digits.substr(0, 1);
    if (digits.size() > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02d}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

template <class Items>
std::string joined(const Items& items, const auto& text_of) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "" : ", ") + text_of(item);
  return out;
}

void append_json_text(std::string& out, std::string_view text, bool ensure_ascii) {
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const auto begin = at;
    const auto c = next_code_point(text, at);
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\f': out += "\\f"; break;
      case '\b': out += "\\b"; break;
      default:
        if (c < 0x20 || (ensure_ascii && c >= 0x7F && c < 0x10000)) out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        else if (ensure_ascii && c >= 0x10000)
          out += fmt::format("\\u{:04x}\\u{:04x}", static_cast<unsigned>(0xD800 + ((c - 0x10000) >> 10)),
                             static_cast<unsigned>(0xDC00 + ((c - 0x10000) & 0x3FF)));
        else out += text.substr(begin, at - begin);
    }
  }
  out += '"';
}

std::string json_number(const Value& value) {
  if (!value.is<double>()) return std::to_string(value.integer());
  const auto x = value.number();
  return std::isnan(x) ? "NaN" : std::isinf(x) ? x < 0 ? "-Infinity" : "Infinity" : repr_of_number(x);
}

std::string json_key(const Value& key) {
  if (key.is_text()) return key.text();
  if (key.is_none()) return "null";
  if (key.is<bool>()) return key.truth() ? "true" : "false";
  if (key.is_number()) return json_number(key);
  throw InputError("chat", "tojson: keys must be texts, numbers, booleans or none, not {}", key.type_name());
}

void append_json(std::string& out, const Value& value, const JsonStyle& style, int level) {
  const auto line = [&](int at) {
    if (out.size() > style.longest) throw InputError("chat", "tojson: the text has more than {} bytes", style.longest);
    if (!style.lines) return;
    out += '\n';
    for (int i = 0; i < at; ++i) out += style.indent;
  };
  // With lines, a comma stands before the line's end as it is; json.dumps leaves its space away where there is an indent.
  if (value.is_none()) out += "null";
  else if (value.is<bool>()) out += value.truth() ? "true" : "false";
  else if (value.is_number()) out += json_number(value);
  else if (value.is_text()) append_json_text(out, value.text(), style.ensure_ascii);
  else if (const auto* sequence = value.as_sequence();
           sequence && (sequence->kind == Sequence::Kind::list || sequence->kind == Sequence::Kind::tuple)) {
    out += '[';
    bool first = true;
    for (const auto& item : sequence->items) {
      if (!first) out += style.comma;
      first = false;
      line(level + 1);
      append_json(out, item, style, level + 1);
    }
    if (!first) line(level);
    out += ']';
  } else if (const auto* mapping = value.as_mapping(); mapping && !mapping->is_namespace) {
    auto items = mapping->items;
    if (style.sort_keys) std::ranges::stable_sort(items, [](const auto& a, const auto& b) { return less(a.first, b.first); });
    out += '{';
    bool first = true;
    for (const auto& [key, item] : items) {
      if (!first) out += style.comma;
      first = false;
      line(level + 1);
      append_json_text(out, json_key(key), style.ensure_ascii);
      out += style.colon;
      append_json(out, item, style, level + 1);
    }
    if (!first) line(level);
    out += '}';
  } else throw InputError("chat", "tojson: {} has no form in JSON", value.type_name());
}

}  // namespace

const Value* Mapping::find(const Value& key) const {
  const auto found = places.find(place_of(key));
  return found == places.end() ? nullptr : &items[found->second].second;
}

void Mapping::set(const Value& key, Value value) {
  const auto inner = value.extent();
  // What a namespace holds changes and may be itself: nothing that goes through values goes through one.
  if (!is_namespace) extent = around({std::max(extent.depth - 1, inner.depth), extent.size + key.extent().size + inner.size + 4});
  else around(inner);
  const auto [place, added] = places.try_emplace(place_of(key), items.size());
  if (added) items.emplace_back(key, std::move(value));
  else items[place->second].second = std::move(value);
}

Value Value::sequence(std::vector<Value> items, Sequence::Kind kind) {
  const auto extent = extent_of(items);
  return Data(std::make_shared<Sequence>(Sequence{kind, std::move(items), 0, extent}));
}

Value Value::mapping(std::vector<std::pair<Value, Value>> items) {
  auto out = std::make_shared<Mapping>();
  for (auto& [key, value] : items) out->set(key, std::move(value));
  return Data(std::move(out));
}

Value Value::callable(std::string name, std::function<Value(Call&)> call, const Extent& holds) {
  return Data(std::make_shared<Callable>(Callable{std::move(name), std::move(call), {}, around(holds)}));
}

Value Value::from_json(const nlohmann::ordered_json& json, int depth) {
  if (depth > deepest_value) throw InputError("chat", "lists or objects stand more than {} deep in each other", deepest_value);
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::null: return {};
    case nlohmann::ordered_json::value_t::boolean: return json.get<bool>();
    case nlohmann::ordered_json::value_t::number_integer: return json.get<std::int64_t>();
    case nlohmann::ordered_json::value_t::number_unsigned: {
      const auto x = json.get<std::uint64_t>();
      if (x > static_cast<std::uint64_t>(INT64_MAX)) throw InputError("chat", "the number {} is too large", x);
      return static_cast<std::int64_t>(x);
    }
    case nlohmann::ordered_json::value_t::number_float: return json.get<double>();
    case nlohmann::ordered_json::value_t::string: return replace_invalid_utf8(json.get_ref<const std::string&>());
    case nlohmann::ordered_json::value_t::array: {
      std::vector<Value> items;
      for (const auto& item : json) items.push_back(from_json(item, depth + 1));
      return sequence(std::move(items));
    }
    case nlohmann::ordered_json::value_t::object: {
      std::vector<std::pair<Value, Value>> items;
      for (const auto& [key, item] : json.items()) items.emplace_back(replace_invalid_utf8(key), from_json(item, depth + 1));
      return mapping(std::move(items));
    }
    default: throw InputError("chat", "a value of this kind has no place in a template");
  }
}

Extent Value::extent() const {
  if (const auto* sequence = as_sequence()) return sequence->extent;
  if (const auto* mapping = as_mapping()) return mapping->is_namespace ? Extent{1, 16} : mapping->extent;
  if (const auto* callable = as_callable()) return callable->extent;
  return {0, is_text() ? text().size() + 2 : 8};
}

bool Value::truth() const {
  if (is_undefined() || is_none()) return false;
  if (is<bool>()) return std::get<bool>(data_);
  if (is_number()) return number() != 0;
  if (is_text()) return !text().empty();
  if (const auto* sequence = as_sequence()) return sequence->kind == Sequence::Kind::generator || !sequence->items.empty();
  if (const auto* mapping = as_mapping()) return mapping->is_namespace || !mapping->items.empty();
  return true;
}

std::string Value::type_name() const {
  if (is_undefined()) return "undefined";
  if (is_none()) return "none";
  if (is<bool>()) return "a boolean";
  if (is_integer()) return "a whole number";
  if (is<double>()) return "a number";
  if (is_text()) return "a text";
  if (const auto* sequence = as_sequence()) {
    switch (sequence->kind) {
      case Sequence::Kind::list: return "a list";
      case Sequence::Kind::tuple: return "a tuple";
      case Sequence::Kind::range: return "a range";
      case Sequence::Kind::view: return "a view of a dict";
      case Sequence::Kind::generator: return "a generator";
    }
  }
  if (const auto* mapping = as_mapping()) return mapping->is_namespace ? "a namespace" : "a dict";
  return "the function " + as_callable()->name;
}

std::string Value::str() const { return is_undefined() ? std::string() : is_text() ? text() : repr(); }

std::string Value::repr() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "None";
  if (is<bool>()) return truth() ? "True" : "False";
  if (is<double>()) return repr_of_number(number());
  if (is_integer()) return std::to_string(integer());
  if (is_text()) return repr_of_text(text());
  const auto repr_of = [](const Value& item) { return item.repr(); };
  if (const auto* sequence = as_sequence()) {
    if (sequence->kind == Sequence::Kind::list) return "[" + joined(sequence->items, repr_of) + "]";
    if (sequence->kind == Sequence::Kind::tuple) return "(" + joined(sequence->items, repr_of) + (sequence->items.size() == 1 ? ",)" : ")");
  }
  if (const auto* mapping = as_mapping(); mapping && !mapping->is_namespace)
    return "{" + joined(mapping->items, [](const auto& item) { return item.first.repr() + ": " + item.second.repr(); }) + "}";
  throw InputError("chat", "{} has no text that is the same everywhere", type_name());
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return a.is_integer() && b.is_integer() ? a.integer() == b.integer() : a.number() == b.number();
  if (a.is_text() && b.is_text()) return a.text() == b.text();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (const auto *x = a.as_sequence(), *y = b.as_sequence(); x && y)
    return x == y || (x->kind == y->kind && x->kind != Sequence::Kind::generator &&
                      std::ranges::equal(x->items, y->items, [](const Value& p, const Value& q) { return equal(p, q); }));
  if (const auto *x = a.as_mapping(), *y = b.as_mapping(); x && y) {
    if (x == y) return true;
    if (x->is_namespace || y->is_namespace || x->items.size() != y->items.size()) return false;
    return std::ranges::all_of(x->items, [&](const auto& item) {
      const auto* other = y->find(item.first);
      return other && equal(item.second, *other);
    });
  }
  if (a.as_callable() && b.as_callable()) return a.as_callable() == b.as_callable();
  return false;
}

bool less(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return a.is_integer() && b.is_integer() ? a.integer() < b.integer() : a.number() < b.number();
  if (a.is_text() && b.is_text()) return a.text() < b.text();  // UTF-8 keeps the order of code points
  if (const auto *x = a.as_sequence(), *y = b.as_sequence();
      x && y && x->kind == y->kind && (x->kind == Sequence::Kind::list || x->kind == Sequence::Kind::tuple)) {
    for (std::size_t i = 0; i < std::min(x->items.size(), y->items.size()); ++i)
      if (!equal(x->items[i], y->items[i])) return less(x->items[i], y->items[i]);
    return x->items.size() < y->items.size();
  }
  throw InputError("chat", "{} and {} have no order", a.type_name(), b.type_name());
}

std::string to_json_text(const Value& value, const JsonStyle& style) {
  std::string out;
  append_json(out, value, style, 0);
  return out;
}

std::vector<Value> characters(std::string_view text) {
  std::vector<Value> out;
  for (std::size_t at = 0; at < text.size();) {
    const auto begin = at;
    next_code_point(text, at);
    out.emplace_back(text.substr(begin, at - begin));
  }
  return out;
}

std::size_t character_count(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool is_python_space(char32_t c) { return UnicodeTable::instance().is_space(c) || (c >= 0x1C && c <= 0x1F); }

}  // namespace isotrope::chat
