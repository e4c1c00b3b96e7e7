// Tests and functions of templates, with the names, arguments and results of Jinja 3.1 in the environment that transformers makes.
#include "isotrope/chat/builtins.h"

#include <ctime>

#include "isotrope/chat/texts.h"

namespace isotrope::chat {

namespace {

using std::string_view;

Value test_defined(Call& call) { return !call.bind({"value"})[0]->is_undefined(); }
Value test_undefined(Call& call) { return call.bind({"value"})[0]->is_undefined(); }
Value test_none(Call& call) { return call.bind({"value"})[0]->is_none(); }
Value test_string(Call& call) { return call.bind({"value"})[0]->is_text(); }
Value test_number(Call& call) { return call.bind({"value"})[0]->is_number(); }
Value test_integer(Call& call) { return call.bind({"value"})[0]->is<std::int64_t>(); }
Value test_float(Call& call) { return call.bind({"value"})[0]->is<double>(); }
Value test_boolean(Call& call) { return call.bind({"value"})[0]->is<bool>(); }
Value test_true(Call& call) {
  const auto of = *call.bind({"value"})[0];
  return of.is<bool>() && of.truth();
}
Value test_false(Call& call) {
  const auto of = *call.bind({"value"})[0];
  return of.is<bool>() && !of.truth();
}
Value test_mapping(Call& call) {
  const auto* mapping = call.bind({"value"})[0]->as_mapping();
  return mapping && !mapping->is_namespace;
}
Value test_iterable(Call& call) {
  const auto of = *call.bind({"value"})[0];
  return of.is_undefined() || of.is_text() || of.as_sequence() || (of.as_mapping() && !of.as_mapping()->is_namespace);
}
Value test_sequence(Call& call) {  // whatever has a length and places or keys
  const auto of = *call.bind({"value"})[0];
  const auto* sequence = of.as_sequence();
  return of.is_undefined() || of.is_text() || (of.as_mapping() && !of.as_mapping()->is_namespace) ||
         (sequence && sequence->kind != Sequence::Kind::generator && sequence->kind != Sequence::Kind::view);
}
Value test_callable(Call& call) { return call.bind({"value"})[0]->as_callable() != nullptr; }
Value test_sameas(Call& call) {
  const auto got = call.bind({"value", "other"});
  const auto &a = *got[0], &b = required(got[1], call, "other");
  if (a.as_sequence() || a.as_mapping() || a.as_callable())
    return a.as_sequence() == b.as_sequence() && a.as_mapping() == b.as_mapping() && a.as_callable() == b.as_callable();
  return a.data().index() == b.data().index() && call.interpreter.same(a, b);
}
Value test_odd(Call& call) { return integer(*call.bind({"value"})[0], call) % 2 != 0; }
Value test_even(Call& call) { return integer(*call.bind({"value"})[0], call) % 2 == 0; }
Value test_divisibleby(Call& call) {
  const auto got = call.bind({"value", "num"});
  const auto by = integer(required(got[1], call, "num"), call);
  if (by == 0) throw InputError("chat", "division by zero");
  return by == -1 || integer(*got[0], call) % by == 0;
}
Value test_lower(Call& call) { return is_lower(subject_text(*call.bind({"value"})[0], call)); }
Value test_upper(Call& call) { return is_upper(subject_text(*call.bind({"value"})[0], call)); }
Value test_eq(Call& call) {
  const auto got = call.bind({"a", "b"});
  return call.interpreter.same(*got[0], required(got[1], call, "b"));
}
Value test_ne(Call& call) { return !test_eq(call).truth(); }
Value test_lt(Call& call) {
  const auto got = call.bind({"a", "b"});
  return call.interpreter.before(defined(*got[0]), defined(required(got[1], call, "b")));
}
Value test_gt(Call& call) {
  const auto got = call.bind({"a", "b"});
  return call.interpreter.before(defined(required(got[1], call, "b")), defined(*got[0]));
}
Value test_le(Call& call) { return test_lt(call).truth() || test_eq(call).truth(); }
Value test_ge(Call& call) { return test_gt(call).truth() || test_eq(call).truth(); }
Value test_in(Call& call) {
  const auto got = call.bind({"value", "seq"});
  const auto& container = required(got[1], call, "seq");
  return call.interpreter.contains(container, *got[0]);
}
Value test_filter(Call& call) { return find_filter(subject_text(*call.bind({"value"})[0], call)) != nullptr; }
Value test_test(Call& call) { return find_test(subject_text(*call.bind({"value"})[0], call)) != nullptr; }

Value global_range(Call& call) {
  if (!call.named.empty() || call.places.empty() || call.places.size() > 3) throw InputError("chat", "range takes one to three numbers");
  const auto first = call.places.size() > 1 ? integer(call.places[0], call) : 0,
             last = integer(call.places[call.places.size() > 1 ? 1 : 0], call);
  const auto step = call.places.size() > 2 ? integer(call.places[2], call) : 1;
  if (step == 0) throw InputError("chat", "the step of a range is 0");
  constexpr std::int64_t longest = 100'000;  // as Jinja's sandbox
  std::vector<Value> items;
  for (auto i = first; step > 0 ? i < last : i > last;) {
    if (std::ssize(items) >= longest) throw InputError("chat", "a range has more than {} numbers", longest);
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  call.interpreter.budget().spend(items.size());
  return Value::sequence(std::move(items), Sequence::Kind::range);
}

/// dict() and namespace() of pairs and named values.
void fill(Call& call, Mapping& into) {
  if (call.places.size() > 1) throw InputError("chat", "{} takes one dict or list of pairs", call.name);
  if (!call.places.empty()) {
    const auto& from = defined(call.places.front());
    if (const auto* mapping = from.as_mapping()) {
      call.interpreter.budget().spend(mapping->items.size());
      for (const auto& [key, value] : mapping->items) into.set(key, value);
    } else
      for (const auto& item : call.interpreter.items_of(from)) {
        const auto pair = call.interpreter.items_of(item);
        if (pair.size() != 2) throw InputError("chat", "{} takes pairs, not {} values", call.name, pair.size());
        call.interpreter.budget().spend(1);
        into.set(pair[0], pair[1]);
      }
  }
  for (const auto& [key, value] : call.named) into.set(key, value);
}

Value global_dict(Call& call) {
  auto out = std::make_shared<Mapping>();
  fill(call, *out);
  return Value::Data(std::move(out));
}

Value global_namespace(Call& call) {
  auto out = call.interpreter.make_namespace();
  fill(call, *out.as_mapping());
  for (const auto& [key, value] : out.as_mapping()->items)
    if (!key.is_text() || key.text().starts_with('_')) throw InputError("chat", "names that begin with _ cannot be set in a namespace");
  return out;
}

Value global_raise_exception(Call& call) {
  throw InputError("chat", "the template refuses these messages: {}", required(call.bind({"message"})[0], call, "message").str());
}

Value global_strftime_now(Call& call) {
  const auto format = required(call.bind({"format"})[0], call, "format").str();
  if (format.empty()) return "";
  for (std::size_t at = format.find('%'); at != format.npos && at + 1 < format.size(); at = format.find('%', at + 2))
    if (format[at + 1] == 'f' || format[at + 1] == 'z' || format[at + 1] == 'Z')
      throw InputError("chat", "strftime_now: %{} is not supported", format[at + 1]);
  if (format.size() > 200) throw InputError("chat", "a date's format has more than 200 bytes");
  std::tm now{};
  localtime_r(&call.interpreter.options().now, &now);
  char text[4096];
  return std::string(text, std::strftime(text, sizeof text, format.c_str(), &now));
}

constexpr Entry tests[] = {
    {"!=", test_ne},
    {"<", test_lt},
    {"<=", test_le},
    {"==", test_eq},
    {">", test_gt},
    {">=", test_ge},
    {"boolean", test_boolean},
    {"callable", test_callable},
    {"defined", test_defined},
    {"divisibleby", test_divisibleby},
    {"eq", test_eq},
    {"equalto", test_eq},
    {"even", test_even},
    {"false", test_false},
    {"filter", test_filter},
    {"float", test_float},
    {"ge", test_ge},
    {"greaterthan", test_gt},
    {"gt", test_gt},
    {"in", test_in},
    {"integer", test_integer},
    {"iterable", test_iterable},
    {"le", test_le},
    {"lessthan", test_lt},
    {"lower", test_lower},
    {"lt", test_lt},
    {"mapping", test_mapping},
    {"ne", test_ne},
    {"none", test_none},
    {"number", test_number},
    {"odd", test_odd},
    {"sameas", test_sameas},
    {"sequence", test_sequence},
    {"string", test_string},
    {"test", test_test},
    {"true", test_true},
    {"undefined", test_undefined},
    {"upper", test_upper},
};

constexpr Entry globals[] = {
    {"dict", global_dict},   {"namespace", global_namespace},       {"raise_exception", global_raise_exception},
    {"range", global_range}, {"strftime_now", global_strftime_now},
};

}  // namespace

Function find_test(string_view name) { return find(tests, name); }
Function find_global(string_view name) { return find(globals, name); }

}  // namespace isotrope::chat
