#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "isotrope/base/error.h"
#include "isotrope/chat/interpreter.h"

// What the parts of the interpreter share (interpreter.cpp, expressions.cpp, arithmetic.cpp).
namespace isotrope::chat {

struct Interpreter::Scope {
  std::shared_ptr<Scope> outer;
  std::unordered_map<std::string, Value> names;
};

/// One step deeper for as long as it lives: nodes in nodes, blocks in blocks, macros in macros.
class Deeper {
 public:
  static constexpr int deepest = 800;
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

/// Throws InputError for what is undefined.
inline void expect_defined(const Value& value) {
  if (value.is_undefined()) throw InputError("chat", "{} is undefined", std::get<Undefined>(value.data()).what);
}

/// The whole number that a calculation gave; throws InputError where it overflowed.
inline std::int64_t whole(bool overflows, std::int64_t value) {
  if (overflows) throw InputError("chat", "a whole number has more than 64 bits");
  return value;
}

}  // namespace isotrope::chat
