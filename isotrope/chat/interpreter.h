#pragma once

#include <ctime>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isotrope/chat/ast.h"
#include "isotrope/chat/value.h"

namespace isotrope::chat {

/// What a template may spend: nodes evaluated, values counted through, bytes made (16 for one). InputError once it is gone.
class Budget {
 public:
  explicit Budget(std::size_t limit) : left_(limit), limit_(limit) {}
  void spend(std::size_t cost);
  void spend_bytes(std::size_t bytes) { spend(1 + bytes / 16); }

 private:
  std::size_t left_, limit_;
};

class Interpreter;

/// Arguments of a function, method, filter or test; of the latter three the first is what they are applied to.
struct Call {
  Interpreter& interpreter;
  std::string name;  ///< for errors
  std::vector<Value> places;
  std::vector<std::pair<std::string, Value>> named;

  /// The arguments in the order of their names, by place or by name; nothing where one is left out. InputError for others.
  std::vector<std::optional<Value>> bind(std::initializer_list<std::string_view> names) const;
};

/// Evaluates a template's tree.
class Interpreter {
 public:
  struct Options {
    std::size_t budget = std::size_t{1} << 24;
    std::size_t longest_output = std::size_t{1} << 25;
    std::time_t now = 0;  ///< for strftime_now, in local time
  };
  Interpreter(const Options& options, std::vector<std::pair<std::string, Value>> variables);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  std::string run(const Node& root);

  Budget& budget() { return budget_; }
  const Options& options() const { return options_; }
  Value call(const Value& callee, std::vector<Value> places, std::vector<std::pair<std::string, Value>> named = {},
             std::string_view name = "");
  Value apply_filter(const std::string& name, std::vector<Value> places, std::vector<std::pair<std::string, Value>> named = {});
  bool apply_test(const std::string& name, std::vector<Value> places, std::vector<std::pair<std::string, Value>> named = {});
  Value attribute(const Value& of, const std::string& name);
  Value item(const Value& of, const Value& key);
  /// str(), equal() and less() within the budget.
  std::string text_of(const Value& value);
  bool same(const Value& a, const Value& b);
  bool contains(const Value& container, const Value& item);
  bool before(const Value& a, const Value& b);
  /// What is counted through: of a dict the keys, of a text the characters. A generator is empty afterwards.
  std::vector<Value> items_of(const Value& value);
  /// A namespace that is emptied at the end: it may hold itself.
  Value make_namespace();

 private:
  struct Scope;
  enum class Flow { on, stop, next };

  Flow execute(const Node& node);
  Flow execute_block(const Node& node);
  Flow execute_loop(const Node& node);
  void assign(const Node& target, Value value);
  Value evaluate(const Node& node);
  Value evaluate_call(const Node& node);
  Value arithmetic(const std::string& sign, const Value& a, const Value& b);
  bool compare(const std::string& sign, const Value& a, const Value& b);
  Value slice(const Node& node);
  Value lookup(const std::string& name);
  Value make_macro(const Node& node, std::size_t body, std::string name);
  Flow text_of_block(const Node& block, std::string& text);
  Value apply_filters(const Node& chain, const Value& text);
  std::pair<std::vector<Value>, std::vector<std::pair<std::string, Value>>> arguments(const Node& node, std::vector<Value> places);
  void write(std::string_view text);

  Options options_;
  Budget budget_;
  std::shared_ptr<Scope> scope_;
  std::vector<std::shared_ptr<Scope>> kept_scopes_;  ///< of macros, which hold their scopes
  std::vector<Value> namespaces_;
  std::string* out_ = nullptr;
  const Value* piped_ = nullptr;  ///< what a filter without a value is applied to
  int depth_ = 0, line_ = 0;
};

// What is there by name (filters.cpp, builtins.cpp, methods.cpp); null where nothing is.
using Function = Value (*)(Call&);
Function find_filter(std::string_view name);
Function find_test(std::string_view name);  ///< gives a boolean
Function find_global(std::string_view name);
/// The method of a text, list, tuple or dict, which gets the value as its first argument.
Function find_method(const Value& of, std::string_view name);
/// Whether it is a method of a list or dict that changes it: templates may not, and see nothing there.
bool would_change(const Value& of, std::string_view name);

}  // namespace isotrope::chat
