#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace isotrope::chat {

class Value;
struct Call;
class Budget;

/// A name or attribute that is not there: prints as nothing, is false and empty; whatever else is done with it is an error that says `what`.
struct Undefined {
  std::string what;
};
struct None {};

/// How deep containers stand in each other, and about how many bytes all that is in them would print: shared parts count each time.
struct Extent {
  int depth = 0;
  std::size_t size = 0;
};

/// What Python counts through. A generator is used up by the first who counts through it; a view (of a dict's items) has no places.
struct Sequence {
  enum class Kind { list, tuple, range, view, generator } kind = Kind::list;
  std::vector<Value> items;
  std::size_t next = 0;  ///< generator: what has been taken
  Extent extent;
};

/// A dict, in the order of insertion; also a namespace, whose values {% set ns.name %} may change.
struct Mapping {
  std::vector<std::pair<Value, Value>> items;
  bool is_namespace = false;
  Extent extent;
  std::unordered_map<std::string, std::size_t> places;  ///< of the keys, in one form for those that are equal

  const Value* find(const Value& key) const;  ///< InputError for a key that cannot be one
  void set(const Value& key, Value value);    ///< InputError where it would stand too deep or become too large
};

/// Something to be called: a macro, a method bound to its value, a global function.
struct Callable {
  std::string name;
  std::function<Value(Call&)> call;
  std::vector<std::pair<std::string, Value>> attributes;  ///< of a loop object, which is not called
  Extent extent;                                          ///< of what it holds: the value of a bound method
};

/// A value of a template, as Python has it: text is UTF-8, whole numbers have 64 bits. Copies share what they hold.
class Value {
 public:
  using Text = std::shared_ptr<const std::string>;
  using Data = std::variant<Undefined, None, bool, std::int64_t, double, Text, std::shared_ptr<Sequence>, std::shared_ptr<Mapping>,
                            std::shared_ptr<Callable>>;

  Value() : data_(None{}) {}
  Value(bool x) : data_(x) {}               // NOLINT(google-explicit-constructor): values stand for what they hold
  Value(int x) : data_(std::int64_t{x}) {}  // NOLINT(google-explicit-constructor)
  Value(std::int64_t x) : data_(x) {}       // NOLINT(google-explicit-constructor)
  Value(double x) : data_(x) {}             // NOLINT(google-explicit-constructor)
  Value(std::string x) : data_(std::make_shared<const std::string>(std::move(x))) {}  // NOLINT(google-explicit-constructor)
  Value(std::string_view x) : Value(std::string(x)) {}                                // NOLINT(google-explicit-constructor)
  Value(const char* x) : Value(std::string(x)) {}                                     // NOLINT(google-explicit-constructor)
  Value(Data data) : data_(std::move(data)) {}                                        // NOLINT(google-explicit-constructor)

  static Value undefined(std::string what) { return Data(Undefined{std::move(what)}); }
  /// InputError where containers stand too deep in each other, or hold too much.
  static Value sequence(std::vector<Value> items, Sequence::Kind kind = Sequence::Kind::list);
  static Value mapping(std::vector<std::pair<Value, Value>> items);
  /// `holds`: what the function keeps alive. InputError where that stands too deep.
  static Value callable(std::string name, std::function<Value(Call&)> call, const Extent& holds = {});
  static Value from_json(const nlohmann::ordered_json& json, int depth = 0);

  template <class T>
  bool is() const {
    return std::holds_alternative<T>(data_);
  }
  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_text() const { return is<Text>(); }
  bool is_integer() const { return is<std::int64_t>() || is<bool>(); }  // as Python's int
  bool is_number() const { return is_integer() || is<double>(); }

  const std::string& text() const { return *std::get<Text>(data_); }
  Sequence* as_sequence() const { return pointer<Sequence>(); }
  Mapping* as_mapping() const { return pointer<Mapping>(); }
  Callable* as_callable() const { return pointer<Callable>(); }
  std::int64_t integer() const { return is<bool>() ? std::int64_t{std::get<bool>(data_)} : std::get<std::int64_t>(data_); }
  double number() const { return is<double>() ? std::get<double>(data_) : static_cast<double>(integer()); }
  const Data& data() const { return data_; }
  Extent extent() const;

  bool truth() const;
  /// Python's name of the type, for errors.
  std::string type_name() const;
  /// str() and repr(). InputError for what prints an address in Python.
  std::string str() const;
  std::string repr() const;

 private:
  template <class T>
  T* pointer() const {
    const auto* found = std::get_if<std::shared_ptr<T>>(&data_);
    return found ? found->get() : nullptr;
  }
  Data data_;
};

/// Python's == and <; InputError where < does not apply.
bool equal(const Value& a, const Value& b);
bool less(const Value& a, const Value& b);

struct JsonStyle {
  bool ensure_ascii = false, sort_keys = false;
  std::string indent;  ///< of one level; with `lines`
  bool lines = false;
  std::string comma = ", ", colon = ": ";
  std::size_t longest = std::size_t{1} << 25;  ///< bytes; InputError for more
};
/// Python's json.dumps.
std::string to_json_text(const Value& value, const JsonStyle& style);

/// The code points of a text as texts of one each.
std::vector<Value> characters(std::string_view text);
std::size_t character_count(std::string_view text);
bool is_python_space(char32_t code_point);

}  // namespace isotrope::chat
