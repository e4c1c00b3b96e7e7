#include "isotrope/chat/interpreter.h"

#include <algorithm>

#include "isotrope/chat/interpreter_state.h"

namespace isotrope::chat {

using std::string_view;
using Kind = Node::Kind;

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

}  // namespace isotrope::chat
