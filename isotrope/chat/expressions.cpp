// Values of a template's expressions.
#include <algorithm>

#include "isotrope/chat/interpreter_state.h"
#include "isotrope/chat/texts.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::chat {

using std::string_view;
using Kind = Node::Kind;

namespace {

/// Places of a Python slice.
std::vector<std::size_t> places_of(std::size_t size, const Value& first, const Value& last, const Value& step) {
  const auto number = [](const Value& value, std::int64_t otherwise) {
    if (value.is_none()) return otherwise;
    if (!value.is_integer()) throw InputError("chat", "a slice needs whole numbers, not {}", value.type_name());
    return std::clamp<std::int64_t>(value.integer(), -(std::int64_t{1} << 40), std::int64_t{1} << 40);
  };
  const auto n = static_cast<std::int64_t>(size), by = number(step, 1);
  if (by == 0) throw InputError("chat", "the step of a slice is 0");
  const auto place = [&](const Value& value, std::int64_t otherwise) {
    auto at = number(value, otherwise);
    if (!value.is_none() && at < 0) at += n;
    return by > 0 ? std::clamp<std::int64_t>(at, 0, n) : std::clamp<std::int64_t>(at, -1, n - 1);
  };
  std::vector<std::size_t> out;
  const auto begin = place(first, by > 0 ? 0 : n - 1), end = place(last, by > 0 ? n : -1);
  for (auto i = begin; by > 0 ? i < end : i > end; i += by) out.push_back(static_cast<std::size_t>(i));
  return out;
}

}  // namespace

Value Interpreter::lookup(const std::string& name) {
  for (const auto* scope = scope_.get(); scope; scope = scope->outer.get()) {
    budget_.spend(1);
    if (const auto found = scope->names.find(name); found != scope->names.end()) return found->second;
  }
  if (const auto function = find_global(name)) return Value::callable(name, function);
  for (const auto* missing : {"cycler", "joiner", "lipsum", "self", "varargs", "kwargs"})
    if (name == missing) throw InputError("chat", "{} is not supported", name);
  return Value::undefined(name);
}

Value Interpreter::evaluate(const Node& node) {
  budget_.spend(1);
  const Deeper deeper(depth_);
  const auto child = [&](std::size_t i) { return evaluate(*node.children[i]); };
  switch (node.kind) {
    case Kind::constant: return node.value;
    case Kind::name: return lookup(node.text);
    case Kind::list:
    case Kind::tuple: {
      std::vector<Value> items;
      for (const auto& one : node.children) items.push_back(evaluate(*one));
      return Value::sequence(std::move(items), node.kind == Kind::list ? Sequence::Kind::list : Sequence::Kind::tuple);
    }
    case Kind::dict: {
      std::vector<std::pair<Value, Value>> items;
      for (std::size_t i = 0; i < node.children.size(); i += 2) {
        auto key = child(i);
        items.emplace_back(std::move(key), child(i + 1));
      }
      budget_.spend(items.size());
      return Value::mapping(std::move(items));
    }
    case Kind::negative:
    case Kind::positive: {
      const auto value = child(0);
      expect_defined(value);
      if (!value.is_number()) throw InputError("chat", "{} has no sign", value.type_name());
      if (node.kind == Kind::positive) return value.is_integer() ? Value(value.integer()) : value;
      if (!value.is_integer()) return -value.number();
      std::int64_t out = 0;
      const bool overflows = __builtin_sub_overflow(std::int64_t{0}, value.integer(), &out);
      return whole(overflows, out);
    }
    case Kind::negation: return !child(0).truth();
    case Kind::arithmetic: {
      const auto a = child(0), b = child(1);
      return arithmetic(node.text, a, b);
    }
    case Kind::concat: {
      std::string text;
      for (const auto& one : node.children) {
        text += text_of(evaluate(*one));
        budget_.spend_bytes(text.size());
        if (text.size() > options_.longest_output) throw InputError("chat", "a text has more than {} bytes", options_.longest_output);
      }
      return text;
    }
    case Kind::compare: {
      auto a = child(0);
      for (std::size_t i = 0; i < node.names.size(); ++i) {
        auto b = child(i + 1);
        if (!compare(node.names[i], a, b)) return false;
        a = std::move(b);
      }
      return true;
    }
    case Kind::all_of:
    case Kind::any_of: {
      Value out;
      for (const auto& one : node.children) {
        out = evaluate(*one);
        if (out.truth() == (node.kind == Kind::any_of)) break;
      }
      return out;
    }
    case Kind::condition:
      if (child(1).truth()) return child(0);
      return node.children[2] ? child(2) : Value::undefined("the value of a condition without else");
    case Kind::attribute: return attribute(child(0), node.text);
    case Kind::item: {
      const auto of = child(0);
      return item(of, child(1));
    }
    case Kind::slice: return slice(node);
    case Kind::call: return evaluate_call(node);
    case Kind::filter:
    case Kind::test: {
      // default and defined look at what is not there; every filter decides itself.
      std::vector<Value> places;
      places.push_back(node.children[0] ? child(0) : *piped_);
      auto [all, named] = arguments(node, std::move(places));
      return node.kind == Kind::filter ? apply_filter(node.text, std::move(all), std::move(named))
                                       : Value(apply_test(node.text, std::move(all), std::move(named)));
    }
    default: throw WorkError("chat", "a statement stands where an expression should");
  }
}

std::pair<std::vector<Value>, std::vector<std::pair<std::string, Value>>> Interpreter::arguments(const Node& node,
                                                                                                 std::vector<Value> places) {
  std::vector<std::pair<std::string, Value>> named;
  for (const auto& [name, value] : node.arguments) {
    auto evaluated = evaluate(*value);
    if (name.empty()) places.push_back(std::move(evaluated));
    else if (name == "*") std::ranges::copy(items_of(evaluated), std::back_inserter(places));
    else if (name == "**") {
      const auto* mapping = evaluated.as_mapping();
      if (!mapping) throw InputError("chat", "** needs a dict, not {}", evaluated.type_name());
      for (const auto& [key, one] : mapping->items) {
        if (!key.is_text()) throw InputError("chat", "** needs a dict whose keys are texts");
        named.emplace_back(key.text(), one);
      }
    } else named.emplace_back(name, std::move(evaluated));
  }
  return {std::move(places), std::move(named)};
}

Value Interpreter::evaluate_call(const Node& node) {
  const auto callee = evaluate(*node.children[0]);
  auto [places, named] = arguments(node, {});
  const auto& of = *node.children[0];
  return call(callee, std::move(places), std::move(named), of.kind == Kind::name || of.kind == Kind::attribute ? of.text : "");
}

Value Interpreter::call(const Value& callee, std::vector<Value> places, std::vector<std::pair<std::string, Value>> named,
                        string_view name) {
  expect_defined(callee);
  auto* function = callee.as_callable();
  if (!function || !function->call) throw InputError("chat", "{} cannot be called", name.empty() ? callee.type_name() : std::string(name));
  budget_.spend(1 + places.size() + named.size());
  const Deeper deeper(depth_);
  Call call{*this, function->name, std::move(places), std::move(named)};
  return function->call(call);
}

Value Interpreter::apply_filter(const std::string& name, std::vector<Value> places, std::vector<std::pair<std::string, Value>> named) {
  const auto function = find_filter(name);
  if (!function) throw InputError("chat", "the filter {} is not supported", name);
  budget_.spend(1 + places.size());
  const Deeper deeper(depth_);
  Call call{*this, "the filter " + name, std::move(places), std::move(named)};
  return function(call);
}

bool Interpreter::apply_test(const std::string& name, std::vector<Value> places, std::vector<std::pair<std::string, Value>> named) {
  const auto function = find_test(name);
  if (!function) throw InputError("chat", "the test {} is not supported", name);
  budget_.spend(1 + places.size());
  const Deeper deeper(depth_);
  Call call{*this, "the test " + name, std::move(places), std::move(named)};
  return function(call).truth();
}

Value Interpreter::attribute(const Value& of, const std::string& name) {
  expect_defined(of);
  if (would_change(of, name)) return Value::undefined("the method " + name + ", which would change its value,");
  if (const auto method = find_method(of, name))
    return Value::callable(
        name,
        [of, method](Call& call) {
          call.places.insert(call.places.begin(), of);
          return method(call);
        },
        of.extent());
  if (const auto* mapping = of.as_mapping())
    if (const auto* found = mapping->find(name)) return *found;
  if (of.is_number())
    for (const auto* part : {"real", "imag", "numerator", "denominator", "bit_length", "bit_count", "is_integer", "as_integer_ratio",
                             "conjugate", "hex", "to_bytes"})
      if (name == part) throw InputError("chat", "the attribute {} of a number is not supported", name);
  if (const auto* callable = of.as_callable())
    for (const auto& [key, value] : callable->attributes)
      if (key == name) return value;
  return Value::undefined(fmt::format("{} of {}", name, of.type_name()));
}

Value Interpreter::item(const Value& of, const Value& key) {
  expect_defined(of);
  if (const auto* mapping = of.as_mapping(); mapping && !mapping->is_namespace && (key.is_text() || key.is_number() || key.is_none()))
    if (const auto* found = mapping->find(key)) return *found;
  if (key.is_integer()) {
    const auto at = [&](std::size_t size) -> std::optional<std::size_t> {
      const auto n = static_cast<std::int64_t>(size), i = key.integer() < 0 ? key.integer() + n : key.integer();
      return i >= 0 && i < n ? std::optional(static_cast<std::size_t>(i)) : std::nullopt;
    };
    if (const auto* sequence = of.as_sequence();
        sequence && sequence->kind != Sequence::Kind::generator && sequence->kind != Sequence::Kind::view)
      if (const auto place = at(sequence->items.size())) return sequence->items[*place];
    if (of.is_text()) {
      const auto& text = of.text();
      budget_.spend_bytes(text.size());
      if (const auto place = at(character_count(text))) {
        std::size_t begin = 0;
        for (std::size_t i = 0; i < *place; ++i) next_code_point(text, begin);
        auto end = begin;
        next_code_point(text, end);
        return text.substr(begin, end - begin);
      }
    }
  }
  if (key.is_text()) return attribute(of, key.text());
  return Value::undefined(fmt::format("the element {} of {}", key.is_number() ? key.str() : key.type_name(), of.type_name()));
}

Value Interpreter::slice(const Node& node) {
  const auto of = evaluate(*node.children[0]);
  expect_defined(of);
  Value parts[3];
  for (std::size_t i = 0; i < 3; ++i)
    if (node.children[i + 1]) parts[i] = evaluate(*node.children[i + 1]);
  if (of.is_text()) {
    const auto& text = of.text();
    budget_.spend_bytes(8 * text.size());
    std::vector<std::size_t> begins;  // of the characters, and the end
    for (std::size_t at = 0; at < text.size(); next_code_point(text, at)) begins.push_back(at);
    begins.push_back(text.size());
    std::string out;
    for (const auto place : places_of(begins.size() - 1, parts[0], parts[1], parts[2]))
      out.append(text, begins[place], begins[place + 1] - begins[place]);
    return out;
  }
  const auto* sequence = of.as_sequence();
  if (!sequence || sequence->kind == Sequence::Kind::generator || sequence->kind == Sequence::Kind::view)
    throw InputError("chat", "{} cannot be sliced", of.type_name());
  std::vector<Value> items;
  for (const auto place : places_of(sequence->items.size(), parts[0], parts[1], parts[2])) items.push_back(sequence->items[place]);
  budget_.spend(items.size());
  return Value::sequence(std::move(items), sequence->kind);
}

std::vector<Value> Interpreter::items_of(const Value& value) {
  if (value.is_undefined()) return {};
  std::vector<Value> out;
  if (auto* sequence = value.as_sequence()) {
    if (sequence->kind == Sequence::Kind::generator) {
      out.assign(sequence->items.begin() + static_cast<std::ptrdiff_t>(sequence->next), sequence->items.end());
      sequence->next = sequence->items.size();
    } else out = sequence->items;
  } else if (const auto* mapping = value.as_mapping(); mapping && !mapping->is_namespace) {
    for (const auto& [key, one] : mapping->items) out.push_back(key);
  } else if (value.is_text()) {
    budget_.spend(8 * value.text().size());
    out = characters(value.text());
  } else throw InputError("chat", "{} cannot be counted through", value.type_name());
  budget_.spend(out.size());
  return out;
}

Value Interpreter::make_namespace() {
  auto out = std::make_shared<Mapping>();
  out->is_namespace = true;
  namespaces_.emplace_back(Value::Data(out));
  return namespaces_.back();
}

bool Interpreter::contains(const Value& container, const Value& item) {
  if (container.is_text()) {
    if (!item.is_text()) throw InputError("chat", "{} cannot be in a text", item.type_name());
    spend_search(budget_, container.text(), item.text());
    return container.text().find(item.text()) != std::string::npos;
  }
  if (const auto* mapping = container.as_mapping(); mapping && !mapping->is_namespace) {
    budget_.spend_bytes(item.extent().size);
    return mapping->find(item) != nullptr;
  }
  if (auto* sequence = container.as_sequence(); sequence && sequence->kind == Sequence::Kind::generator) {
    while (sequence->next < sequence->items.size())
      if (same(sequence->items[sequence->next++], item)) return true;
    return false;
  }
  const auto items = items_of(container);
  return std::ranges::any_of(items, [&](const Value& one) { return same(one, item); });
}

bool Interpreter::compare(const std::string& sign, const Value& a, const Value& b) {
  if (sign == "in") return contains(b, a);
  if (sign == "not in") return !contains(b, a);
  if (sign == "==") return same(a, b);
  if (sign == "!=") return !same(a, b);
  expect_defined(a), expect_defined(b);
  if (sign == "<") return before(a, b);
  if (sign == ">") return before(b, a);
  if (sign == "<=") return before(a, b) || same(a, b);
  return before(b, a) || same(a, b);
}

}  // namespace isotrope::chat
