// Methods of texts, lists, tuples and dicts, as Python has them; the value itself is the first argument.
#include <algorithm>
#include <limits>

#include "isotrope/base/error.h"
#include "isotrope/chat/interpreter.h"
#include "isotrope/chat/texts.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::chat {

namespace {

using std::string_view;

const std::string& text_argument(const std::optional<Value>& value, const Call& call) {
  if (!value || !value->is_text()) throw InputError("chat", "{} needs a text{}", call.name, value ? ", not " + value->type_name() : "");
  return value->text();
}

std::int64_t number_argument(const std::optional<Value>& value, std::int64_t otherwise, const Call& call) {
  if (!value || value->is_none()) return otherwise;
  if (!value->is_integer()) throw InputError("chat", "{} needs a whole number, not {}", call.name, value->type_name());
  return value->integer();
}

const std::string& self(Call& call) {
  call.interpreter.budget().spend_bytes(call.places.front().text().size());
  return call.places.front().text();
}

void expect_no_names(const Call& call) {
  if (!call.named.empty()) throw InputError("chat", "{} has no argument {}", call.name, call.named.front().first);
}

Value stripped(Call& call, bool left, bool right) {
  expect_no_names(call);
  const auto got = call.bind({"self", "chars"});
  if (got[1]) call.interpreter.budget().spend(got[1]->extent().size);
  return strip(self(call), got[1] ? *got[1] : Value(), left, right);
}
Value text_strip(Call& call) { return stripped(call, true, true); }
Value text_lstrip(Call& call) { return stripped(call, true, false); }
Value text_rstrip(Call& call) { return stripped(call, false, true); }
Value text_upper(Call& call) { return call.bind({"self"}), Value(upper(self(call))); }
Value text_lower(Call& call) { return call.bind({"self"}), Value(lower(self(call))); }
Value text_capitalize(Call& call) { return call.bind({"self"}), Value(capitalize(self(call))); }

Value text_title(Call& call) {
  call.bind({"self"});
  expect_ascii_letters(self(call), "title");
  auto out = self(call);
  bool inside = false;
  for (auto& c : out) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter) c = static_cast<char>(inside ? c | 32 : c & ~32);
    inside = letter;
  }
  return out;
}

Value text_swapcase(Call& call) {
  call.bind({"self"});
  expect_ascii_letters(self(call), "swapcase");
  auto out = self(call);
  for (auto& c : out)
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) c = static_cast<char>(c ^ 32);
  return out;
}

Value text_split(Call& call) {
  const auto got = call.bind({"self", "sep", "maxsplit"});
  string_view rest = self(call);
  auto left = number_argument(got[2], -1, call);
  std::vector<Value> out;
  if (!got[1] || got[1]->is_none()) {                     // by runs of white space
    const auto past = [&](std::size_t at, bool spaces) {  // a run of white space, or of anything else
      while (at < rest.size()) {
        auto behind = at;
        if (is_python_space(next_code_point(rest, behind)) != spaces) break;
        at = behind;
      }
      return at;
    };
    for (auto begin = past(0, true); begin < rest.size(); --left) {
      const auto end = left == 0 ? rest.size() : past(begin, false);
      out.emplace_back(rest.substr(begin, end - begin));
      begin = past(end, true);
    }
    call.interpreter.budget().spend(out.size());
    return Value::sequence(std::move(out));
  }
  const auto& by = text_argument(got[1], call);
  if (by.empty()) throw InputError("chat", "split by an empty text");
  spend_search(call.interpreter.budget(), rest, by);
  for (; left != 0; --left) {
    const auto found = rest.find(by);
    if (found == rest.npos) break;
    out.emplace_back(rest.substr(0, found));
    rest.remove_prefix(found + by.size());
  }
  out.emplace_back(rest);
  call.interpreter.budget().spend(out.size());
  return Value::sequence(std::move(out));
}

Value text_rsplit(Call& call) {
  const auto got = call.bind({"self", "sep", "maxsplit"});
  string_view rest = self(call);
  auto left = number_argument(got[2], -1, call);
  if (!got[1] || got[1]->is_none()) {
    if (left < 0) return text_split(call);
    throw InputError("chat", "rsplit at white space with a limit is not supported");
  }
  const auto& by = text_argument(got[1], call);
  if (by.empty()) throw InputError("chat", "rsplit by an empty text");
  spend_search(call.interpreter.budget(), rest, by);
  std::vector<Value> out;
  for (; left != 0; --left) {
    const auto found = rest.rfind(by);
    if (found == rest.npos) break;
    out.emplace_back(rest.substr(found + by.size()));
    rest = rest.substr(0, found);
  }
  out.emplace_back(rest);
  std::ranges::reverse(out);
  call.interpreter.budget().spend(out.size());
  return Value::sequence(std::move(out));
}

Value text_splitlines(Call& call) {
  const auto got = call.bind({"self", "keepends"});
  std::vector<Value> out;
  for (auto& line : split_lines(self(call), got[1] && got[1]->truth())) out.emplace_back(std::move(line));
  call.interpreter.budget().spend(out.size());
  return Value::sequence(std::move(out));
}

Value text_partition(Call& call) {
  const auto got = call.bind({"self", "sep"});
  const auto &text = self(call), &by = text_argument(got[1], call);
  if (by.empty()) throw InputError("chat", "partition by an empty text");
  spend_search(call.interpreter.budget(), text, by);
  const auto found = call.name == "partition" ? text.find(by) : text.rfind(by);
  if (found == text.npos) {
    if (call.name == "partition") return Value::sequence({text, "", ""}, Sequence::Kind::tuple);
    return Value::sequence({"", "", text}, Sequence::Kind::tuple);
  }
  return Value::sequence({text.substr(0, found), by, text.substr(found + by.size())}, Sequence::Kind::tuple);
}

/// Whether the text, or its part from a place on, begins or ends with one text or one of a tuple.
Value has_end(Call& call, bool front) {
  expect_no_names(call);
  const auto got = call.bind({"self", "what"});
  const auto& text = self(call);
  const auto has = [&](const Value& one) {
    if (!one.is_text()) throw InputError("chat", "{} needs a text or a tuple of texts, not {}", call.name, one.type_name());
    call.interpreter.budget().spend_bytes(std::min(one.text().size(), text.size()));
    return front ? text.starts_with(one.text()) : text.ends_with(one.text());
  };
  if (!got[1]) throw InputError("chat", "{} needs a text", call.name);
  const auto* several = got[1]->as_sequence();
  if (several && several->kind == Sequence::Kind::tuple) return std::ranges::any_of(several->items, has);
  return has(*got[1]);
}
Value text_startswith(Call& call) { return has_end(call, true); }
Value text_endswith(Call& call) { return has_end(call, false); }

Value text_removeprefix(Call& call) {
  const auto got = call.bind({"self", "prefix"});
  const auto &text = self(call), &prefix = text_argument(got[1], call);
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}
Value text_removesuffix(Call& call) {
  const auto got = call.bind({"self", "suffix"});
  const auto &text = self(call), &suffix = text_argument(got[1], call);
  return text.ends_with(suffix) ? text.substr(0, text.size() - suffix.size()) : text;
}

Value text_replace(Call& call) {
  const auto got = call.bind({"self", "old", "new", "count"});
  return replace(self(call), text_argument(got[1], call), text_argument(got[2], call), number_argument(got[3], -1, call),
                 call.interpreter.budget());
}

Value text_join(Call& call) {
  const auto got = call.bind({"self", "iterable"});
  const auto& between = self(call);
  std::string out;
  bool first = true;
  if (!got[1]) throw InputError("chat", "join needs a list");
  for (const auto& item : call.interpreter.items_of(*got[1])) {
    if (!item.is_text()) throw InputError("chat", "join puts texts together, not {}", item.type_name());
    if (!first) out += between;
    first = false;
    out += item.text();
    call.interpreter.budget().spend_bytes(between.size() + item.text().size());
    if (out.size() > call.interpreter.options().longest_output)
      throw InputError("chat", "a text has more than {} bytes", call.interpreter.options().longest_output);
  }
  return out;
}

Value found_at(Call& call, bool last, bool required) {
  expect_no_names(call);
  const auto got = call.bind({"self", "sub", "start"});
  const auto &text = self(call), &what = text_argument(got[1], call);
  spend_search(call.interpreter.budget(), text, what);
  std::size_t begin = 0;
  auto start = number_argument(got[2], 0, call);
  if (start != 0) {
    const auto count = static_cast<std::int64_t>(character_count(text));
    if (start < 0) start = std::max<std::int64_t>(0, start + count);
    if (start > count) begin = text.npos;
    else
      for (std::int64_t i = 0; i < start; ++i) next_code_point(text, begin);
  }
  auto found = begin == text.npos ? text.npos : last ? text.rfind(what) : text.find(what, begin);
  if (last && found != text.npos && found < begin) found = text.npos;
  if (found == text.npos && required) throw InputError("chat", "{}: the text is not there", call.name);
  return found == text.npos ? Value(-1) : Value(static_cast<std::int64_t>(character_count(string_view(text).substr(0, found))));
}
Value text_find(Call& call) { return found_at(call, false, false); }
Value text_rfind(Call& call) { return found_at(call, true, false); }
Value text_index(Call& call) { return found_at(call, false, true); }
Value text_rindex(Call& call) { return found_at(call, true, true); }

Value text_count(Call& call) {
  const auto got = call.bind({"self", "sub"});
  const auto &text = self(call), &what = text_argument(got[1], call);
  if (what.empty()) return static_cast<std::int64_t>(character_count(text)) + 1;
  spend_search(call.interpreter.budget(), text, what);
  std::int64_t count = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

/// Whether there are characters and all are of one kind.
Value all_characters(Call& call, const auto& is) {
  call.bind({"self"});
  const auto& text = self(call);
  for (std::size_t at = 0; at < text.size();)
    if (!is(next_code_point(text, at))) return false;
  return !text.empty();
}
bool is_alpha(char32_t c) { return UnicodeTable::instance().kind(c) == CharKind::letter; }
bool is_decimal(char32_t c) { return UnicodeTable::instance().category(c) == Category::Nd; }
Value text_isspace(Call& call) { return all_characters(call, is_python_space); }
Value text_isalpha(Call& call) { return all_characters(call, is_alpha); }
Value text_isdecimal(Call& call) { return all_characters(call, is_decimal); }
Value text_isdigit(Call& call) {
  return all_characters(call, [](char32_t c) {
    if (c >= 0x80 && UnicodeTable::instance().category(c) == Category::No)
      throw InputError("chat", "isdigit is only there for decimal digits");
    return is_decimal(c);
  });
}
Value text_isalnum(Call& call) {
  return all_characters(call, [](char32_t c) { return is_alpha(c) || UnicodeTable::instance().kind(c) == CharKind::number; });
}
Value text_isascii(Call& call) {
  const auto& text = self(call);
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}
Value text_islower(Call& call) { return call.bind({"self"}), Value(is_lower(self(call))); }
Value text_isupper(Call& call) { return call.bind({"self"}), Value(is_upper(self(call))); }

Value padded(Call& call, bool left, bool right) {
  expect_no_names(call);
  const auto got = call.bind({"self", "width", "fillchar"});
  const auto& text = self(call);
  const auto fill = got[2] ? text_argument(got[2], call) : " ";
  if (character_count(fill) != 1) throw InputError("chat", "{} fills with one character", call.name);
  const auto missing = number_argument(got[1], 0, call) - static_cast<std::int64_t>(character_count(text));
  if (missing <= 0) return text;
  if (missing > 100'000) throw InputError("chat", "{} by more than 100000 characters", call.name);
  call.interpreter.budget().spend_bytes(static_cast<std::size_t>(missing) * fill.size());
  const auto width = number_argument(got[1], 0, call);
  // center() puts an odd one to the left where the width is odd too
  const auto before = left && right ? missing / 2 + (missing & width & 1) : left ? missing : 0;
  std::string out;
  for (std::int64_t i = 0; i < before; ++i) out += fill;
  out += text;
  for (std::int64_t i = before; i < missing; ++i) out += fill;
  return out;
}
Value text_rjust(Call& call) { return padded(call, true, false); }
Value text_ljust(Call& call) { return padded(call, false, true); }
Value text_center(Call& call) { return padded(call, true, true); }

Value text_zfill(Call& call) {
  const auto got = call.bind({"self", "width"});
  auto out = self(call);
  const auto missing = number_argument(got[1], 0, call) - static_cast<std::int64_t>(character_count(out));
  if (missing > 100'000) throw InputError("chat", "zfill by more than 100000 characters");
  if (missing > 0) out.insert(out.starts_with('-') || out.starts_with('+') ? 1 : 0, static_cast<std::size_t>(missing), '0');
  return out;
}

// ---- lists and dicts ------------------------------------------------------------------------------------------------

Value list_index(Call& call) {
  const auto got = call.bind({"self", "value"});
  if (!got[1]) throw InputError("chat", "index needs a value");
  const auto& items = got[0]->as_sequence()->items;
  call.interpreter.budget().spend(items.size());
  const auto found = std::ranges::find_if(items, [&](const Value& one) { return call.interpreter.same(one, *got[1]); });
  if (found == items.end()) throw InputError("chat", "index: the value is not there");
  return static_cast<std::int64_t>(found - items.begin());
}

Value list_count(Call& call) {
  const auto got = call.bind({"self", "value"});
  if (!got[1]) throw InputError("chat", "count needs a value");
  const auto& items = got[0]->as_sequence()->items;
  call.interpreter.budget().spend(items.size());
  return static_cast<std::int64_t>(std::ranges::count_if(items, [&](const Value& one) { return call.interpreter.same(one, *got[1]); }));
}

Value list_copy(Call& call) {
  call.interpreter.budget().spend(call.places.front().as_sequence()->items.size());
  return Value::sequence(call.bind({"self"})[0]->as_sequence()->items);
}

Value dict_get(Call& call) {
  expect_no_names(call);
  const auto got = call.bind({"self", "key", "default"});
  if (!got[1]) throw InputError("chat", "get needs a key");
  const auto* mapping = got[0]->as_mapping();
  call.interpreter.budget().spend_bytes(got[1]->extent().size);
  const auto* found = mapping->find(*got[1]);
  return found ? *found : got[2] ? *got[2] : Value();
}

Value view(Call& call, const auto& of) {
  const auto got = call.bind({"self"});
  std::vector<Value> items;
  for (const auto& [key, value] : got[0]->as_mapping()->items) items.push_back(of(key, value));
  call.interpreter.budget().spend(items.size());
  return Value::sequence(std::move(items), Sequence::Kind::view);
}
Value dict_items(Call& call) {
  return view(call, [](const Value& key, const Value& value) { return Value::sequence({key, value}, Sequence::Kind::tuple); });
}
Value dict_keys(Call& call) {
  return view(call, [](const Value& key, const Value&) { return key; });
}
Value dict_values(Call& call) {
  return view(call, [](const Value&, const Value& value) { return value; });
}
Value dict_copy(Call& call) {
  call.interpreter.budget().spend(call.places.front().as_mapping()->items.size());
  return Value::mapping(call.bind({"self"})[0]->as_mapping()->items);
}

Value refuse(Call& call) { throw InputError("chat", "the method {} is not supported", call.name); }

struct MethodEntry {
  string_view name;
  Function function;
};

constexpr MethodEntry of_texts[] = {
    {"capitalize", text_capitalize},
    {"casefold", refuse},
    {"center", text_center},
    {"count", text_count},
    {"encode", refuse},
    {"endswith", text_endswith},
    {"expandtabs", refuse},
    {"find", text_find},
    {"format", refuse},
    {"format_map", refuse},
    {"index", text_index},
    {"isalnum", text_isalnum},
    {"isalpha", text_isalpha},
    {"isascii", text_isascii},
    {"isdecimal", text_isdecimal},
    {"isdigit", text_isdigit},
    {"isidentifier", refuse},
    {"islower", text_islower},
    {"isnumeric", refuse},
    {"isprintable", refuse},
    {"isspace", text_isspace},
    {"istitle", refuse},
    {"isupper", text_isupper},
    {"join", text_join},
    {"ljust", text_ljust},
    {"lower", text_lower},
    {"lstrip", text_lstrip},
    {"maketrans", refuse},
    {"partition", text_partition},
    {"removeprefix", text_removeprefix},
    {"removesuffix", text_removesuffix},
    {"replace", text_replace},
    {"rfind", text_rfind},
    {"rindex", text_rindex},
    {"rjust", text_rjust},
    {"rpartition", text_partition},
    {"rsplit", text_rsplit},
    {"rstrip", text_rstrip},
    {"split", text_split},
    {"splitlines", text_splitlines},
    {"startswith", text_startswith},
    {"strip", text_strip},
    {"swapcase", text_swapcase},
    {"title", text_title},
    {"translate", refuse},
    {"upper", text_upper},
    {"zfill", text_zfill},
};
constexpr MethodEntry of_lists[] = {
    {"copy", list_copy},
    {"count", list_count},
    {"index", list_index},
};
constexpr MethodEntry of_tuples[] = {{"count", list_count}, {"index", list_index}};
constexpr MethodEntry of_dicts[] = {
    {"copy", dict_copy}, {"fromkeys", refuse}, {"get", dict_get}, {"items", dict_items}, {"keys", dict_keys}, {"values", dict_values},
};

constexpr string_view changing[] = {"append", "clear",   "extend",     "insert", "pop",   "popitem",
                                    "remove", "reverse", "setdefault", "sort",   "update"};

Function find_method(const auto& entries, string_view name) {
  const auto* found = std::ranges::find(entries, name, &MethodEntry::name);
  return found == std::end(entries) ? nullptr : found->function;
}

}  // namespace

bool would_change(const Value& of, string_view name) {
  const auto* mapping = of.as_mapping();
  const auto* sequence = of.as_sequence();
  return ((mapping && !mapping->is_namespace) || (sequence && sequence->kind == Sequence::Kind::list)) &&
         std::ranges::find(changing, name) != std::end(changing);
}

Function find_method(const Value& of, string_view name) {
  if (of.is_text()) return find_method(of_texts, name);
  if (const auto* mapping = of.as_mapping()) return mapping->is_namespace ? nullptr : find_method(of_dicts, name);
  if (const auto* sequence = of.as_sequence()) {
    if (sequence->kind == Sequence::Kind::list) return find_method(of_lists, name);
    if (sequence->kind == Sequence::Kind::tuple || sequence->kind == Sequence::Kind::range) return find_method(of_tuples, name);
  }
  return nullptr;
}

}  // namespace isotrope::chat
