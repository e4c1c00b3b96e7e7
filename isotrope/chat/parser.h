#pragma once

#include <string_view>

#include "isotrope/chat/ast.h"

namespace isotrope::chat {

/// The tree of a template: a block. InputError with the line for what is no Jinja, and for statements that chat templates have no use for
/// (extends, include, import, block …), which are named.
Node::Pointer parse_template(std::string_view source);

}  // namespace isotrope::chat
