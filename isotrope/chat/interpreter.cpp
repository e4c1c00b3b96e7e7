#include "isotrope/chat/interpreter.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <unordered_map>

#include "isotrope/base/error.h"
#include "isotrope/chat/texts.h"
#include "isotrope/text/utf8.h"

namespace isotrope::chat {

using std::string_view;
using Kind = Node::Kind;

namespace {

constexpr int deepest = 800;

[[noreturn]] void fail_undefined(const Value& value) {
  throw InputError("chat", "{} is undefined", std::get<Undefined>(value.data()).what);
}

void expect_defined(const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
}

/// One step deeper for as long as it lives: nodes in nodes, blocks in blocks, macros in macros.
class Deeper {
 public:
  explicit Deeper(int& depth) : depth_(depth) {
    if (depth_ >= deepest) throw InputError("chat", "blocks, expressions or macros stand too deep in each other");
    ++depth_;
  }
  ~Deeper() { --depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  int& depth_;
};

/// Sets a variable for as long as it lives.
template <class T>
class Now {
 public:
  Now(T& place, T value) : place_(place), before_(std::exchange(place, std::move(value))) {}
  ~Now() { place_ = std::move(before_); }
  Now(const Now&) = delete;
  Now& operator=(const Now&) = delete;

 private:
  T& place_;
  T before_;
};

std::int64_t whole(bool overflows, std::int64_t value) {
  if (overflows) throw InputError("chat", "a whole number has more than 64 bits");
  return value;
}

std::int64_t power_of(std::int64_t base, std::int64_t exponent) {
  std::int64_t out = 1;
  bool overflows = false;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) overflows |= __builtin_mul_overflow(out, base, &out);
    if (exponent > 1 && (base > 1 || base < -1)) overflows |= __builtin_mul_overflow(base, base, &base);
  }
  return whole(overflows, out);
}

double real_power(double x, double y) {
  if (x == 0 && y < 0) throw InputError("chat", "division by zero");
  if (x < 0 && std::isfinite(y) && y != std::floor(y)) throw InputError("chat", "a power of a negative number is no real number");
  const auto out = std::pow(x, y);
  if (std::isinf(out) && std::isfinite(x) && std::isfinite(y)) throw InputError("chat", "a number is too large");
  return out;
}

/// Python's // and % of real numbers: the rest has the sign of the divisor.
std::pair<double, double> divided(double x, double y) {
  auto rest = std::fmod(x, y), quotient = (x - rest) / y;
  if (rest == 0) rest = std::copysign(0.0, y);
  else if ((rest < 0) != (y < 0)) rest += y, quotient -= 1;
  if (quotient == 0) return {std::copysign(0.0, x / y), rest};
  const auto down = std::floor(quotient);
  return {quotient - down > 0.5 ? down + 1 : down, rest};
}

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

void Budget::spend(std::size_t cost) {
  if (cost > left_) throw InputError("chat", "the template does more than {} steps", limit_);
  left_ -= cost;
}

std::vector<std::optional<Value>> Call::bind(std::initializer_list<string_view> names) const {
  std::vector<std::optional<Value>> out(names.size());
  if (places.size() > names.size()) throw InputError("chat", "{} takes {} arguments at most, not {}", name, names.size(), places.size());
  for (std::size_t i = 0; i < places.size(); ++i) out[i] = places[i];
  for (const auto& [key, value] : named) {
    const auto at = static_cast<std::size_t>(std::ranges::find(names, string_view(key)) - names.begin());
    if (at == names.size()) throw InputError("chat", "{} has no argument {}", name, key);
    if (out[at]) throw InputError("chat", "{} gets {} twice", name, key);
    out[at] = value;
  }
  return out;
}

struct Interpreter::Scope {
  std::shared_ptr<Scope> outer;
  std::unordered_map<std::string, Value> names;
};

Interpreter::Interpreter(const Options& options, std::vector<std::pair<std::string, Value>> variables)
    : options_(options), budget_(options.budget), scope_(std::make_shared<Scope>()) {
  for (auto& [name, value] : variables) scope_->names.insert_or_assign(std::move(name), std::move(value));
}

Interpreter::~Interpreter() {
  // Macros hold the scopes that hold them, and namespaces may hold themselves.
  for (auto& scope : kept_scopes_) scope->names.clear();
  for (auto& one : namespaces_) one.as_mapping()->items.clear();
}

std::string Interpreter::run(const Node& root) {
  std::string out;
  out_ = &out;
  try {
    execute(root);
  } catch (const InputError& error) {
    throw InputError("chat", "line {} of the template: {}", line_, error.message());
  }
  return out;
}

void Interpreter::write(string_view text) {
  budget_.spend_bytes(text.size());
  if (out_->size() + text.size() > options_.longest_output)
    throw InputError("chat", "the text has more than {} bytes", options_.longest_output);
  out_->append(text);
}

// ---- statements -----------------------------------------------------------------------------------------------------

Interpreter::Flow Interpreter::execute_block(const Node& node) {
  for (const auto& child : node.children)
    if (const auto flow = execute(*child); flow != Flow::on) return flow;
  return Flow::on;
}

Interpreter::Flow Interpreter::execute(const Node& node) {
  budget_.spend(1);
  const Deeper deeper(depth_);
  if (node.kind != Kind::block) line_ = node.line;
  switch (node.kind) {
    case Kind::block: return execute_block(node);
    case Kind::data: write(node.text); return Flow::on;
    case Kind::print: write(text_of(evaluate(*node.children[0]))); return Flow::on;
    case Kind::loop: return execute_loop(node);
    case Kind::choice:
      if (evaluate(*node.children[0]).truth()) return execute(*node.children[1]);
      return node.children[2] ? execute(*node.children[2]) : Flow::on;
    case Kind::assign: assign(*node.children[0], evaluate(*node.children[1])); return Flow::on;
    case Kind::assign_block: {
      std::string text;
      if (const auto flow = text_of_block(*node.children[1], text); flow != Flow::on) return flow;
      assign(*node.children[0], node.children[2] ? apply_filters(*node.children[2], text) : Value(text));
      return Flow::on;
    }
    case Kind::macro: scope_->names.insert_or_assign(node.text, make_macro(node, 0, node.text)); return Flow::on;
    case Kind::call_block: {
      const auto caller = make_macro(node, 1, "caller");
      const auto& target = *node.children[0];
      auto [places, named] = arguments(target, {});
      named.emplace_back("caller", caller);
      write(call(evaluate(*target.children[0]), std::move(places), std::move(named)).str());
      return Flow::on;
    }
    case Kind::filter_block: {
      std::string text;
      if (const auto flow = text_of_block(*node.children[1], text); flow != Flow::on) return flow;
      write(text_of(apply_filters(*node.children[0], text)));
      return Flow::on;
    }
    case Kind::with: {
      auto inner = std::make_shared<Scope>(Scope{scope_, {}});
      for (std::size_t i = 0; i < node.names.size(); ++i) inner->names.insert_or_assign(node.names[i], evaluate(*node.children[i + 1]));
      const Now scope(scope_, inner);
      return execute(*node.children[0]);
    }
    case Kind::stop: return Flow::stop;
    case Kind::next: return Flow::next;
    default: throw WorkError("chat", "an expression stands where a statement should");
  }
}

Interpreter::Flow Interpreter::execute_loop(const Node& node) {
  const auto& target = *node.children[0];
  auto items = items_of(evaluate(*node.children[1]));
  if (const auto* filter = node.children[2].get()) {
    std::vector<Value> kept;
    for (auto& item : items) {
      const Now scope(scope_, std::make_shared<Scope>(Scope{scope_, {}}));
      assign(target, item);
      if (evaluate(*filter).truth()) kept.push_back(std::move(item));
    }
    items = std::move(kept);
  }
  const auto count = static_cast<std::int64_t>(items.size());
  bool completed = false;  // an iteration has come to its end
  const auto last_seen = std::make_shared<std::optional<std::vector<Value>>>();
  for (std::int64_t i = 0; i < count; ++i) {
    budget_.spend(16);
    const Now scope(scope_, std::make_shared<Scope>(Scope{scope_, {}}));
    const auto at = [&](std::int64_t place, const char* what) {
      return place >= 0 && place < count ? items[static_cast<std::size_t>(place)] : Value::undefined(what);
    };
    auto loop = std::make_shared<Callable>();
    loop->name = "loop";
    loop->attributes = {{"index", i + 1},
                        {"index0", i},
                        {"revindex", count - i},
                        {"revindex0", count - i - 1},
                        {"first", i == 0},
                        {"last", i == count - 1},
                        {"length", count},
                        {"depth", 1},
                        {"depth0", 0},
                        {"previtem", at(i - 1, "there is no previous item: loop.previtem")},
                        {"nextitem", at(i + 1, "there is no next item: loop.nextitem")},
                        {"cycle", Value::callable("loop.cycle",
                                                  [i](Call& call) -> Value {
                                                    if (call.places.empty()) throw InputError("chat", "loop.cycle needs values");
                                                    return call.places[static_cast<std::size_t>(i) % call.places.size()];
                                                  })},
                        {"changed", Value::callable("loop.changed", [last_seen](Call& call) -> Value {
                           const bool same =
                               *last_seen && std::ranges::equal(**last_seen, call.places, [&call](const Value& a, const Value& b) {
                                 return call.interpreter.same(a, b);
                               });
                           if (!same) *last_seen = call.places;
                           return !same;
                         })}};
    for (const auto place : {i - 1, i + 1})
      if (place >= 0 && place < count) {
        const auto inner = items[static_cast<std::size_t>(place)].extent();
        loop->extent.depth = std::max(loop->extent.depth, inner.depth + 1), loop->extent.size += inner.size;
      }
    scope_->names.insert_or_assign("loop", Value(Value::Data(std::move(loop))));
    assign(target, items[static_cast<std::size_t>(i)]);
    const auto flow = execute(*node.children[3]);
    if (flow == Flow::stop) break;
    completed = completed || flow == Flow::on;
  }
  if (!completed && node.children[4]) {
    const Now scope(scope_, std::make_shared<Scope>(Scope{scope_, {}}));
    return execute(*node.children[4]);
  }
  return Flow::on;
}

void Interpreter::assign(const Node& target, Value value) {
  switch (target.kind) {
    case Kind::name: scope_->names.insert_or_assign(target.text, std::move(value)); return;
    case Kind::attribute: {
      const auto of = evaluate(*target.children[0]);
      auto* names = of.as_mapping();
      if (!names || !names->is_namespace) throw InputError("chat", "only attributes of a namespace can be set, not of {}", of.type_name());
      if (target.text.starts_with('_')) throw InputError("chat", "names that begin with _ cannot be set in a namespace");
      names->set(target.text, std::move(value));
      return;
    }
    default: {
      const auto items = items_of(value);
      if (items.size() != target.children.size())
        throw InputError("chat", "{} values cannot be given to {} names", items.size(), target.children.size());
      for (std::size_t i = 0; i < items.size(); ++i) assign(*target.children[i], items[i]);
    }
  }
}

Interpreter::Flow Interpreter::text_of_block(const Node& block, std::string& text) {
  const Now out(out_, &text);
  const Now scope(scope_, std::make_shared<Scope>(Scope{scope_, {}}));
  return execute(block);
}

std::string Interpreter::text_of(const Value& value) {
  budget_.spend_bytes(value.extent().size);
  return value.str();
}

bool Interpreter::same(const Value& a, const Value& b) {
  budget_.spend_bytes(std::min(a.extent().size, b.extent().size));
  return equal(a, b);
}

bool Interpreter::before(const Value& a, const Value& b) {
  budget_.spend_bytes(std::min(a.extent().size, b.extent().size));
  return less(a, b);
}

Value Interpreter::apply_filters(const Node& chain, const Value& text) {
  const Now<const Value*> piped(piped_, &text);
  return evaluate(chain);
}

/// children[body], then defaults of the last parameters.
Value Interpreter::make_macro(const Node& node, std::size_t body, std::string name) {
  if (std::ranges::find(kept_scopes_, scope_) == kept_scopes_.end()) kept_scopes_.push_back(scope_);
  budget_.spend(kept_scopes_.size());
  return Value::callable(name, [this, &node, body, name, home = scope_](Call& call) -> Value {
    auto inner = std::make_shared<Scope>(Scope{home, {}});
    const auto parameters = node.names.size(), defaults = node.children.size() - body - 1;
    std::vector<Value> more;
    std::vector<std::pair<Value, Value>> named;
    for (std::size_t i = 0; i < call.places.size(); ++i) {
      if (i < parameters) inner->names.insert_or_assign(node.names[i], call.places[i]);
      else more.push_back(call.places[i]);
    }
    for (const auto& [key, value] : call.named) {
      if (key == "caller" && node.kind == Kind::macro && !node.value.truth())
        throw InputError("chat", "{} does not name its caller, and is called by a block", name);
      if (key != "caller" && std::ranges::find(node.names, key) == node.names.end()) named.emplace_back(key, value);
      else if (!inner->names.try_emplace(key, value).second) throw InputError("chat", "{} gets {} twice", name, key);
    }
    if (!more.empty()) throw InputError("chat", "{} takes {} arguments at most, not {}", name, parameters, call.places.size());
    if (!named.empty()) throw InputError("chat", "{} has no argument {}", name, named.front().first.str());
    const Now scope(scope_, inner);
    for (std::size_t i = 0; i < parameters; ++i) {
      if (inner->names.contains(node.names[i])) continue;
      if (i + defaults < parameters) inner->names.emplace(node.names[i], Value::undefined("the parameter " + node.names[i]));
      else inner->names.insert_or_assign(node.names[i], evaluate(*node.children[body + 1 + i + defaults - parameters]));
    }
    std::string text;
    const Now out(out_, &text);
    execute(*node.children[body]);
    return text;
  });
}

// ---- expressions ----------------------------------------------------------------------------------------------------

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

Value Interpreter::arithmetic(const std::string& sign, const Value& a, const Value& b) {
  expect_defined(a), expect_defined(b);
  const auto refuse = [&]() -> Value { throw InputError("chat", "{} {} {} has no meaning", a.type_name(), sign, b.type_name()); };
  if (a.is_text() && b.is_text() && sign == "+") {
    if (a.text().size() + b.text().size() > options_.longest_output)
      throw InputError("chat", "a text has more than {} bytes", options_.longest_output);
    budget_.spend_bytes(a.text().size() + b.text().size());
    return a.text() + b.text();
  }
  if (const auto *x = a.as_sequence(), *y = b.as_sequence();
      x && y && sign == "+" && x->kind == y->kind && (x->kind == Sequence::Kind::list || x->kind == Sequence::Kind::tuple)) {
    budget_.spend(x->items.size() + y->items.size());
    auto items = x->items;
    items.insert(items.end(), y->items.begin(), y->items.end());
    return Value::sequence(std::move(items), x->kind);
  }
  if (sign == "*" && (a.is_integer() != b.is_integer()) && !(a.is_number() && b.is_number())) {
    const auto &times = a.is_integer() ? a : b, &what = a.is_integer() ? b : a;
    const auto count = static_cast<std::size_t>(std::max<std::int64_t>(0, times.integer()));
    const auto* sequence = what.as_sequence();
    if (!what.is_text() && !(sequence && (sequence->kind == Sequence::Kind::list || sequence->kind == Sequence::Kind::tuple)))
      return refuse();
    if (count > 0 && what.extent().size > options_.longest_output / count) throw InputError("chat", "a text or list is repeated too often");
    budget_.spend_bytes(count * what.extent().size);
    if (what.is_text()) {
      std::string out;
      for (std::size_t i = 0; i < count; ++i) out += what.text();
      return out;
    }
    std::vector<Value> items;
    for (std::size_t i = 0; i < count; ++i) items.insert(items.end(), sequence->items.begin(), sequence->items.end());
    return Value::sequence(std::move(items), sequence->kind);
  }
  if (a.is_text() && sign == "%") throw InputError("chat", "formatting with % is not supported");
  if (!a.is_number() || !b.is_number()) return refuse();
  const auto divisor = [&] {
    if (b.number() == 0) throw InputError("chat", "division by zero");
  };
  if (a.is_integer() && b.is_integer() && sign != "/") {
    const auto x = a.integer(), y = b.integer();
    std::int64_t out = 0;
    if (sign == "+") return whole(__builtin_add_overflow(x, y, &out), 0), out;
    if (sign == "-") return whole(__builtin_sub_overflow(x, y, &out), 0), out;
    if (sign == "*") return whole(__builtin_mul_overflow(x, y, &out), 0), out;
    if (sign == "**") return y >= 0 ? Value(power_of(x, y)) : Value(real_power(a.number(), b.number()));
    divisor();
    whole(y == -1 && x == INT64_MIN, 0);
    const auto quotient = x / y, rest = x % y;
    const bool down = rest != 0 && (rest < 0) != (y < 0);
    return sign == "//" ? quotient - down : rest + (down ? y : 0);
  }
  const auto x = a.number(), y = b.number();
  if (sign == "+") return x + y;
  if (sign == "-") return x - y;
  if (sign == "*") return x * y;
  if (sign == "**") return real_power(x, y);
  divisor();
  if (sign == "/") return x / y;
  const auto [quotient, rest] = divided(x, y);
  return sign == "%" ? rest : quotient;
}

}  // namespace isotrope::chat
