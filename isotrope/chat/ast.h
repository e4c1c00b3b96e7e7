#pragma once

#include <memory>
#include <string>
#include <vector>

#include "isotrope/chat/value.h"

namespace isotrope::chat {

/// A node of a template's tree. What `text`, `names` and `children` are stands with each kind.
struct Node {
  enum class Kind {
    // Statements
    block,         ///< children in order
    data,          ///< text as it stands
    print,         ///< {{ children[0] }}
    loop,          ///< for target(0) in (1) if (2, or null): body (3), else (4, or null)
    choice,        ///< if (0): block (1), else block (2, or null)
    assign,        ///< set target (0) = (1)
    assign_block,  ///< set target (0) to the text of block (1), through the filters of (2, or null)
    macro,         ///< text: its name; names: parameters; children: block, then defaults of the last parameters
    call_block,    ///< {% call(names) (0) %} block (1), then defaults
    filter_block,  ///< filters (0) of the text of block (1)
    with,          ///< names[i] = children[i + 1] in block (0)
    stop,          ///< {% break %}
    next,          ///< {% continue %}
    // Expressions
    constant,  ///< value
    name,      ///< text
    list,
    tuple,
    dict,  ///< key, value, key, value …
    negative,
    positive,
    negation,
    arithmetic,  ///< text: + - * / // % **
    concat,      ///< ~
    compare,     ///< names[i] between children i and i + 1: == != < <= > >= in "not in"
    all_of,
    any_of,
    condition,  ///< (0) if (1) else (2, or null)
    attribute,  ///< (0).text
    item,       ///< (0)[(1)]
    slice,      ///< (0)[(1):(2):(3)], any of the last three null
    call,       ///< (0)(arguments)
    filter,     ///< (0, or null: the text of a block) | text(arguments)
    test,       ///< (0) is text(arguments)
  };
  using Pointer = std::unique_ptr<Node>;

  Kind kind;
  int line;
  std::string text;
  std::vector<std::string> names;
  std::vector<Pointer> children;
  Value value;
  /// call, filter, test: arguments behind children[0]: by place, or named (not empty); "*" and "**" spread a list and a dict.
  struct Argument {
    std::string name;
    Pointer value;
  };
  std::vector<Argument> arguments;
};

}  // namespace isotrope::chat
