#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

/// Fields of JSON from outside. Every failure is an InputError `[tokenizer] file: what: expected …, got …`.
namespace isotrope::json_field {

/// Parses text whose nesting is at most 64 deep.
nlohmann::json parse(std::string_view text, std::string_view file);
/// The member, which must be there.
const nlohmann::json& at(const nlohmann::json& object, const char* key, std::string_view file);
/// The member, or null when it is absent.
const nlohmann::json& find(const nlohmann::json& object, const char* key);
std::string text(const nlohmann::json& value, std::string_view what, std::string_view file);
/// The bytes that a text spells in base 64.
std::string base64(const nlohmann::json& value, std::string_view what, std::string_view file);
std::string spell_base64(std::string_view bytes);
bool flag(const nlohmann::json& object, const char* key, bool fallback, std::string_view file);
std::int64_t integer(const nlohmann::json& value, std::string_view what, std::string_view file);
const nlohmann::json& array(const nlohmann::json& value, std::string_view what, std::string_view file);
const nlohmann::json& object(const nlohmann::json& value, std::string_view what, std::string_view file);
/// The "type" member of a component: "BPE", "ByteLevel", …
std::string type(const nlohmann::json& component, std::string_view what, std::string_view file);

}  // namespace isotrope::json_field
