#include "isotrope/text/steps/tokenizer_definition.h"

#include <charconv>

#include "isotrope/text/steps/json_field.h"

namespace isotrope {

bool is_byte_level_decoder(const nlohmann::json& decoder) {
  if (!decoder.is_object()) return false;
  const auto& type = json_field::find(decoder, "type");
  const auto& parts = json_field::find(decoder, "decoders");
  return type == "ByteLevel" || (type == "Sequence" && parts.is_array() && parts.size() == 1 && is_byte_level_decoder(parts.front()));
}

bool TokenizerDefinition::joins_bytes() const { return is_byte_level() && is_byte_level_decoder(decoder); }

std::optional<unsigned char> fallback_byte(std::string_view name) {
  unsigned byte = 0;
  if (name.size() != 6 || !name.starts_with("<0x") || name[5] != '>') return std::nullopt;
  const auto [end, error] = std::from_chars(name.data() + 3, name.data() + 5, byte, 16);
  if (error != std::errc{} || end != name.data() + 5) return std::nullopt;
  return static_cast<unsigned char>(byte);
}

}  // namespace isotrope
