#include "isotrope/text/steps/sentencepiece_decoder.h"

#include <algorithm>

#include "isotrope/text/steps/mark_cuts.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

using Type = PieceType;

void append_bytes(std::string& bytes, std::string& text) {
  for (std::size_t position = 0; position < bytes.size();) {
    const auto step = utf8_step(bytes, position);
    text += step.valid ? std::string_view(bytes).substr(position, step.length) : "\uFFFD";
    position += step.valid ? step.length : 1;
  }
  bytes.clear();
}

}  // namespace

std::string decode_as_sentencepiece(const TokenizerDefinition& definition, std::span<const TokenId> ids, bool skips_control,
                                    const std::vector<bool>& special) {
  const auto& rules = *definition.sentencepiece;
  std::string text, bytes;
  bool begins = rules.add_dummy_prefix || rules.remove_extra_whitespaces;
  for (const auto id : ids) {
    const auto index = static_cast<std::size_t>(id);
    const std::string_view name = definition.names[index];
    const bool is_piece = index < rules.types.size();
    const auto type = static_cast<Type>(rules.type_of(index));
    if (type == Type::byte) {
      bytes += static_cast<char>(*fallback_byte(name));
      continue;
    }
    append_bytes(bytes, text);
    if (type == Type::control || !is_piece) {
      if (!skips_control || (type != Type::control && !special[index])) text += name;
      continue;
    }
    begins &= text.empty();
    auto piece = name;
    if (begins && piece.starts_with(MarkCuts::mark)) {
      piece.remove_prefix(MarkCuts::mark.size());
      begins = rules.remove_extra_whitespaces;  // which takes out all that come first
    }
    if (type == Type::unknown) {
      text += rules.unknown_surface;
      continue;
    }
    for (std::size_t at = 0; at < piece.size();) {
      const auto mark = std::min(piece.find(MarkCuts::mark, at), piece.size());
      text += piece.substr(at, mark - at);
      if (mark < piece.size()) text += ' ';
      at = mark + MarkCuts::mark.size();
    }
  }
  append_bytes(bytes, text);
  return text;
}

}  // namespace isotrope
