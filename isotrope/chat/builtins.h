#pragma once

#include <algorithm>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/chat/interpreter.h"

// What the filters (filters.cpp), the tests and the functions (builtins.cpp) of templates have in common.
namespace isotrope::chat {

/// One of a table of filters, tests or functions.
struct Entry {
  std::string_view name;
  Function function;
};

/// That of the name in a table, or null.
Function find(const auto& entries, std::string_view name) {
  const auto* found = std::ranges::find(entries, name, &Entry::name);
  return found == std::end(entries) ? nullptr : found->function;
}

/// The argument that must be there; the value that must not be undefined; the whole number that must be one: InputError.
inline const Value& required(const std::optional<Value>& value, const Call& call, std::string_view name) {
  if (!value) throw InputError("chat", "{} needs the argument {}", call.name, name);
  return *value;
}

inline const Value& defined(const Value& value) {
  if (value.is_undefined()) throw InputError("chat", "{} is undefined", std::get<Undefined>(value.data()).what);
  return value;
}

inline std::int64_t integer(const Value& value, const Call& call) {
  if (!value.is_integer()) throw InputError("chat", "{} needs a whole number, not {}", call.name, defined(value).type_name());
  return value.integer();
}

/// What the filter is applied to, as a text; nothing is the empty one.
inline std::string subject_text(const Value& value, Call& call) { return call.interpreter.text_of(value); }

}  // namespace isotrope::chat
