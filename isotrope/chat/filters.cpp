// Filters of templates, with the names, arguments and results of Jinja 3.1 in the environment that transformers makes.
#include <charconv>
#include <cmath>

#include "isotrope/chat/builtins.h"
#include "isotrope/chat/texts.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::chat {

namespace {

using std::string_view;

Value generator(std::vector<Value> items) { return Value::sequence(std::move(items), Sequence::Kind::generator); }

/// An attribute by its dotted name, numbers being places: what map(attribute=…) and its like look at.
/// What is missing on the way is `otherwise`, unless that is none.
Value reach(Call& call, Value of, const Value& path, const Value& otherwise = {}) {
  const auto step = [&](const Value& key) {
    of = call.interpreter.item(of, key);
    if (of.is_undefined() && !otherwise.is_none()) of = otherwise;
  };
  if (path.is_integer()) return step(path), of;
  if (!path.is_text()) throw InputError("chat", "{} needs the name of an attribute, not {}", call.name, path.type_name());
  const auto& names = path.text();
  for (std::size_t begin = 0; begin <= names.size();) {
    const auto end = std::min(names.find('.', begin), names.size());
    const auto name = names.substr(begin, end - begin);
    std::int64_t place = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), place);
    const bool number = !name.empty() && read.ec == std::errc() && read.ptr == name.data() + name.size() && place >= 0;
    step(number ? Value(place) : Value(name));
    begin = end + 1;
  }
  return of;
}

/// Stable, in Python's order; texts without regard to case unless asked.
void sort(std::vector<std::pair<Value, Value>>& keyed, bool reverse, bool case_sensitive, Call& call) {
  for (auto& [key, value] : keyed)
    if (!case_sensitive && key.is_text()) key = lower(call.interpreter.text_of(key));
  std::size_t count = keyed.size(), steps = 1;
  while (count >>= 1) ++steps;
  call.interpreter.budget().spend(keyed.size() * steps);
  std::ranges::stable_sort(keyed, [&](const auto& a, const auto& b) {
    return reverse ? call.interpreter.before(b.first, a.first) : call.interpreter.before(a.first, b.first);
  });
}

std::vector<Value> seconds(std::vector<std::pair<Value, Value>>& keyed) {
  std::vector<Value> out;
  for (auto& [key, value] : keyed) out.push_back(std::move(value));
  return out;
}

Value filter_trim(Call& call) {
  const auto got = call.bind({"value", "chars"});
  if (got[1]) call.interpreter.budget().spend(got[1]->extent().size);
  return strip(subject_text(*got[0], call), got[1] ? *got[1] : Value(), true, true);
}
Value filter_upper(Call& call) { return upper(subject_text(*call.bind({"s"})[0], call)); }
Value filter_lower(Call& call) { return lower(subject_text(*call.bind({"s"})[0], call)); }
Value filter_capitalize(Call& call) { return capitalize(subject_text(*call.bind({"s"})[0], call)); }
Value filter_title(Call& call) {
  // Jinja's title begins words behind blanks, "-" and brackets alone, unlike Python's.
  const auto text = subject_text(*call.bind({"s"})[0], call);
  expect_ascii_letters(text, "title");
  std::string out;
  bool begins = true;
  for (std::size_t at = 0; at < text.size();) {
    const auto begin = at;
    const auto c = next_code_point(text, at);
    const auto one = string_view(text).substr(begin, at - begin);
    out += c >= 0x80 ? std::string(one) : begins ? upper(one) : lower(one);
    begins = c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_python_space(c);
  }
  return out;
}
Value filter_string(Call& call) { return subject_text(*call.bind({"object"})[0], call); }
Value filter_safe(Call& call) { return subject_text(*call.bind({"value"})[0], call); }

Value filter_replace(Call& call) {
  const auto got = call.bind({"s", "old", "new", "count"});
  return replace(subject_text(*got[0], call), subject_text(required(got[1], call, "old"), call),
                 subject_text(required(got[2], call, "new"), call), got[3] && !got[3]->is_none() ? integer(*got[3], call) : -1,
                 call.interpreter.budget());
}

Value filter_join(Call& call) {
  const auto got = call.bind({"value", "d", "attribute"});
  const auto between = got[1] ? subject_text(*got[1], call) : "";
  std::string out;
  bool first = true;
  for (const auto& item : call.interpreter.items_of(*got[0])) {
    if (!first) out += between;
    first = false;
    out += (got[2] && !got[2]->is_none() ? reach(call, item, *got[2]) : item).str();
    call.interpreter.budget().spend_bytes(between.size() + item.extent().size);
    if (out.size() > call.interpreter.options().longest_output)
      throw InputError("chat", "a text has more than {} bytes", call.interpreter.options().longest_output);
  }
  return out;
}

Value filter_length(Call& call) {
  const auto of = *call.bind({"obj"})[0];
  if (of.is_undefined()) return 0;
  if (of.is_text()) return static_cast<std::int64_t>(character_count(of.text()));
  if (const auto* sequence = of.as_sequence(); sequence && sequence->kind != Sequence::Kind::generator)
    return static_cast<std::int64_t>(sequence->items.size());
  if (const auto* mapping = of.as_mapping(); mapping && !mapping->is_namespace) return static_cast<std::int64_t>(mapping->items.size());
  throw InputError("chat", "{} has no length", of.type_name());
}

Value filter_default(Call& call) {
  const auto got = call.bind({"value", "default_value", "boolean"});
  const bool replaced = got[0]->is_undefined() || (got[2] && got[2]->truth() && !got[0]->truth());
  return replaced ? (got[1] ? *got[1] : Value("")) : *got[0];
}

Value filter_first(Call& call) {
  const auto of = *call.bind({"seq"})[0];
  if (auto* sequence = of.as_sequence(); sequence && sequence->kind == Sequence::Kind::generator)
    return sequence->next < sequence->items.size() ? sequence->items[sequence->next++] : Value::undefined("the first of nothing");
  const auto items = call.interpreter.items_of(of);
  return items.empty() ? Value::undefined("the first of nothing") : items.front();
}

Value filter_last(Call& call) {
  const auto of = *call.bind({"seq"})[0];
  if (const auto* sequence = of.as_sequence(); sequence && sequence->kind == Sequence::Kind::generator)
    throw InputError("chat", "a generator has no last");
  const auto items = call.interpreter.items_of(of);
  return items.empty() ? Value::undefined("the last of nothing") : items.back();
}

Value filter_list(Call& call) { return Value::sequence(call.interpreter.items_of(*call.bind({"value"})[0])); }

Value filter_items(Call& call) {
  const auto of = *call.bind({"value"})[0];
  if (of.is_undefined()) return generator({});
  const auto* mapping = of.as_mapping();
  if (!mapping || mapping->is_namespace) throw InputError("chat", "the filter items needs a dict, not {}", of.type_name());
  std::vector<Value> items;
  for (const auto& [key, value] : mapping->items) items.push_back(Value::sequence({key, value}, Sequence::Kind::tuple));
  call.interpreter.budget().spend(items.size());
  return generator(std::move(items));
}

Value filter_dictsort(Call& call) {
  const auto got = call.bind({"value", "case_sensitive", "by", "reverse"});
  const auto* mapping = got[0]->as_mapping();
  if (!mapping || mapping->is_namespace) throw InputError("chat", "the filter dictsort needs a dict, not {}", defined(*got[0]).type_name());
  const auto by = got[2] ? got[2]->str() : "key";
  if (by != "key" && by != "value") throw InputError("chat", "dictsort is by key or value, not {}", by);
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, value] : mapping->items)
    keyed.emplace_back(by == "key" ? key : value, Value::sequence({key, value}, Sequence::Kind::tuple));
  sort(keyed, got[3] && got[3]->truth(), got[1] && got[1]->truth(), call);
  return Value::sequence(seconds(keyed));
}

Value filter_sort(Call& call) {
  const auto got = call.bind({"value", "reverse", "case_sensitive", "attribute"});
  std::vector<std::pair<Value, Value>> keyed;
  for (auto& item : call.interpreter.items_of(*got[0]))
    keyed.emplace_back(got[3] && !got[3]->is_none() ? reach(call, item, *got[3]) : item, item);
  sort(keyed, got[1] && got[1]->truth(), got[2] && got[2]->truth(), call);
  return Value::sequence(seconds(keyed));
}

Value filter_unique(Call& call) {
  const auto got = call.bind({"value", "case_sensitive", "attribute"});
  std::vector<Value> kept, keys;
  for (const auto& item : call.interpreter.items_of(*got[0])) {
    auto key = got[2] && !got[2]->is_none() ? reach(call, item, *got[2]) : item;
    if (key.is_text() && !(got[1] && got[1]->truth())) key = lower(subject_text(key, call));
    if (std::ranges::any_of(keys, [&](const Value& one) { return call.interpreter.same(one, key); })) continue;
    keys.push_back(std::move(key));
    kept.push_back(item);
  }
  return generator(std::move(kept));
}

Value filter_reverse(Call& call) {
  const auto of = *call.bind({"value"})[0];
  auto items = call.interpreter.items_of(defined(of));
  std::ranges::reverse(items);
  if (!of.is_text()) return generator(std::move(items));
  std::string out;
  for (const auto& one : items) out += one.text();
  return out;
}

Value extreme(Call& call, bool largest) {
  const auto got = call.bind({"value", "case_sensitive", "attribute"});
  const auto items = call.interpreter.items_of(*got[0]);
  if (items.empty()) return Value::undefined("the extreme of nothing");
  std::vector<Value> keys;
  for (const auto& item : items) {
    auto key = got[2] && !got[2]->is_none() ? reach(call, item, *got[2]) : item;
    keys.push_back(key.is_text() && !(got[1] && got[1]->truth()) ? Value(lower(subject_text(key, call))) : std::move(key));
  }
  std::size_t best = 0;
  for (std::size_t i = 1; i < items.size(); ++i)
    if (largest ? call.interpreter.before(keys[best], keys[i]) : call.interpreter.before(keys[i], keys[best])) best = i;
  return items[best];
}
Value filter_min(Call& call) { return extreme(call, false); }
Value filter_max(Call& call) { return extreme(call, true); }

Value filter_sum(Call& call) {
  const auto got = call.bind({"iterable", "attribute", "start"});
  std::int64_t whole = 0;
  double real = 0;
  bool is_whole = true;
  const auto add = [&](const Value& value) {
    if (!value.is_number()) throw InputError("chat", "the filter sum adds numbers, not {}", defined(value).type_name());
    if (is_whole && value.is_integer()) {
      if (__builtin_add_overflow(whole, value.integer(), &whole)) throw InputError("chat", "a whole number has more than 64 bits");
      return;
    }
    if (is_whole) real = static_cast<double>(whole), is_whole = false;
    real += value.number();
  };
  if (got[2]) add(*got[2]);
  for (const auto& item : call.interpreter.items_of(*got[0])) add(got[1] && !got[1]->is_none() ? reach(call, item, *got[1]) : item);
  return is_whole ? Value(whole) : Value(real);
}

Value filter_abs(Call& call) {
  const auto of = *call.bind({"x"})[0];
  if (!of.is_number()) throw InputError("chat", "the filter abs needs a number, not {}", defined(of).type_name());
  if (of.is_integer() && of.integer() == INT64_MIN) throw InputError("chat", "a whole number has more than 64 bits");
  return of.is_integer() ? Value(std::abs(of.integer())) : Value(std::abs(of.number()));
}

Value filter_int(Call& call) {
  const auto got = call.bind({"value", "default", "base"});
  const auto fallback = got[1] ? *got[1] : Value(0);
  const auto& of = defined(*got[0]);
  if (got[2] && integer(*got[2], call) != 10) throw InputError("chat", "the filter int reads decimal numbers alone");
  if (of.is_integer()) return of.integer();
  const auto from_real = [&](double x) -> Value {
    if (std::isnan(x)) return fallback;
    if (std::abs(x) >= 9e18) throw InputError("chat", "a whole number has more than 64 bits");
    return static_cast<std::int64_t>(x);
  };
  if (of.is<double>()) return from_real(of.number());
  if (!of.is_text()) return fallback;
  call.interpreter.budget().spend_bytes(of.text().size());
  if (const auto number = read_integer(of.text())) return *number;
  const auto real = read_real(of.text());
  return real ? from_real(*real) : fallback;
}

Value filter_float(Call& call) {
  const auto got = call.bind({"value", "default"});
  if (defined(*got[0]).is_number()) return got[0]->number();
  if (got[0]->is_text())
    if (const auto real = read_real(got[0]->text())) return *real;
  return got[1] ? *got[1] : Value(0.0);
}

Value filter_round(Call& call) {
  const auto got = call.bind({"value", "precision", "method"});
  const auto& of = *got[0];
  if (!of.is_number()) throw InputError("chat", "the filter round needs a number, not {}", defined(of).type_name());
  const auto places = got[1] ? integer(*got[1], call) : 0;
  const auto method = got[2] ? got[2]->str() : "common";
  if (places < 0 || places > 15) throw InputError("chat", "the filter round keeps 0 to 15 digits, not {}", places);
  const double power = std::pow(10.0, static_cast<double>(places));
  if (method == "ceil") return std::ceil(of.number() * power) / power;
  if (method == "floor") return std::floor(of.number() * power) / power;
  if (method != "common") throw InputError("chat", "the filter round knows common, ceil and floor, not {}", method);
  if (of.is_integer()) return of.integer();
  char digits[400];  // the nearest decimal, ties by the exact binary value, as Python rounds
  const auto end = std::to_chars(digits, digits + sizeof digits, of.number(), std::chars_format::fixed, static_cast<int>(places)).ptr;
  double out = 0;
  std::from_chars(digits, end, out);
  return out;
}

Value filter_indent(Call& call) {
  const auto got = call.bind({"s", "width", "first", "blank"});
  if (!got[0]->is_text()) throw InputError("chat", "the filter indent needs a text, not {}", defined(*got[0]).type_name());
  const auto width = got[1] ? *got[1] : Value(4);
  if (width.is_integer() && (width.integer() < 0 || width.integer() > 1000))
    throw InputError("chat", "indent by {} blanks", width.integer());
  const auto margin = width.is_text() ? width.text() : std::string(static_cast<std::size_t>(integer(width, call)), ' ');
  const bool first = got[2] && got[2]->truth(), blank = got[3] && got[3]->truth();
  const auto text = subject_text(*got[0], call) + "\n";  // as Jinja: a last line without its end becomes one with it, which goes again
  std::string out;
  bool begun = false;
  if (blank) {
    for (const char c : text.substr(0, text.size() - 1)) out += c == '\n' ? "\n" + margin : std::string(1, c);
  } else {
    for (const auto& line : split_lines(text, false)) {
      if (begun) out += '\n';
      if (begun && !line.empty()) out += margin;
      out += line;
      begun = true;
      call.interpreter.budget().spend_bytes(margin.size());
      if (out.size() > call.interpreter.options().longest_output)
        throw InputError("chat", "a text has more than {} bytes", call.interpreter.options().longest_output);
    }
  }
  call.interpreter.budget().spend_bytes(out.size());
  return first ? margin + out : out;
}

Value filter_tojson(Call& call) {
  const auto got = call.bind({"x", "ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = got[1] && got[1]->truth();
  style.sort_keys = got[4] && got[4]->truth();
  if (got[2] && !got[2]->is_none()) {
    style.lines = true;
    style.comma = ",";
    if (got[2]->is_text()) style.indent = got[2]->text();
    else style.indent = std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(integer(*got[2], call), 0, 100)), ' ');
    if (style.indent.size() > 100) throw InputError("chat", "tojson: an indent of {} bytes", style.indent.size());
  }
  if (got[3] && !got[3]->is_none()) {
    const auto both = call.interpreter.items_of(*got[3]);
    if (both.size() != 2 || !both[0].is_text() || !both[1].is_text()) throw InputError("chat", "tojson: separators are two texts");
    style.comma = both[0].text(), style.colon = both[1].text();
    if (style.comma.size() + style.colon.size() > 100) throw InputError("chat", "tojson: separators of more than 100 bytes");
  }
  call.interpreter.budget().spend_bytes((style.lines ? 4 + style.indent.size() : 2) * (defined(*got[0]).extent().size + 1));
  auto out = to_json_text(*got[0], style);
  call.interpreter.budget().spend_bytes(out.size());
  return out;
}

/// The items' attribute, or what a filter makes of each.
Value filter_map(Call& call) {
  auto places = call.places;
  auto named = call.named;
  const auto of = places.front();
  std::vector<Value> out;
  const auto attribute = std::ranges::find(named, "attribute", &std::pair<std::string, Value>::first);
  if (places.size() == 1 && attribute != named.end()) {
    const auto fallback = std::ranges::find(named, "default", &std::pair<std::string, Value>::first);
    if (named.size() != (fallback == named.end() ? 1U : 2U))
      throw InputError("chat", "the filter map takes attribute and default, or the name of a filter");
    for (const auto& item : call.interpreter.items_of(of)) {
      out.push_back(reach(call, item, attribute->second, fallback != named.end() ? fallback->second : Value()));
    }
    return generator(std::move(out));
  }
  if (places.size() < 2 || !places[1].is_text())
    throw InputError("chat", "the filter map takes attribute and default, or the name of a filter");
  for (const auto& item : call.interpreter.items_of(of)) {
    std::vector<Value> arguments{item};
    arguments.insert(arguments.end(), places.begin() + 2, places.end());
    out.push_back(call.interpreter.apply_filter(places[1].text(), std::move(arguments), named));
  }
  return generator(std::move(out));
}

Value selected(Call& call, bool by_attribute, bool wanted) {
  const std::size_t begin = by_attribute ? 2 : 1;
  if (call.places.size() < begin) throw InputError("chat", "{} needs the name of an attribute", call.name);
  std::vector<Value> out;
  for (const auto& item : call.interpreter.items_of(call.places.front())) {
    const auto looked_at = by_attribute ? reach(call, item, call.places[1]) : item;
    bool holds = false;
    if (call.places.size() == begin) holds = looked_at.truth();
    else {
      if (!call.places[begin].is_text()) throw InputError("chat", "{} needs the name of a test", call.name);
      std::vector<Value> arguments{looked_at};
      arguments.insert(arguments.end(), call.places.begin() + static_cast<std::ptrdiff_t>(begin) + 1, call.places.end());
      holds = call.interpreter.apply_test(call.places[begin].text(), std::move(arguments), call.named);
    }
    if (holds == wanted) out.push_back(item);
  }
  return generator(std::move(out));
}
Value filter_select(Call& call) { return selected(call, false, true); }
Value filter_reject(Call& call) { return selected(call, false, false); }
Value filter_selectattr(Call& call) { return selected(call, true, true); }
Value filter_rejectattr(Call& call) { return selected(call, true, false); }

Value filter_attr(Call& call) {
  const auto got = call.bind({"obj", "name"});
  const auto name = subject_text(required(got[1], call, "name"), call);
  if (const auto* mapping = got[0]->as_mapping(); mapping && !mapping->is_namespace && !find_method(*got[0], name))
    return Value::undefined(name);
  return call.interpreter.attribute(*got[0], name);
}

Value filter_wordcount(Call& call) {
  const auto text = subject_text(*call.bind({"s"})[0], call);
  std::int64_t count = 0;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const bool word = is_word_character(next_code_point(text, at));
    count += word && !inside;
    inside = word;
  }
  return count;
}

constexpr Entry filters[] = {
    {"abs", filter_abs},
    {"attr", filter_attr},
    {"capitalize", filter_capitalize},
    {"count", filter_length},
    {"d", filter_default},
    {"default", filter_default},
    {"dictsort", filter_dictsort},
    {"first", filter_first},
    {"float", filter_float},
    {"indent", filter_indent},
    {"int", filter_int},
    {"items", filter_items},
    {"join", filter_join},
    {"last", filter_last},
    {"length", filter_length},
    {"list", filter_list},
    {"lower", filter_lower},
    {"map", filter_map},
    {"max", filter_max},
    {"min", filter_min},
    {"reject", filter_reject},
    {"rejectattr", filter_rejectattr},
    {"replace", filter_replace},
    {"reverse", filter_reverse},
    {"round", filter_round},
    {"safe", filter_safe},
    {"select", filter_select},
    {"selectattr", filter_selectattr},
    {"sort", filter_sort},
    {"string", filter_string},
    {"sum", filter_sum},
    {"title", filter_title},
    {"tojson", filter_tojson},
    {"trim", filter_trim},
    {"unique", filter_unique},
    {"upper", filter_upper},
    {"wordcount", filter_wordcount},
};

}  // namespace

Function find_filter(string_view name) { return find(filters, name); }

}  // namespace isotrope::chat
