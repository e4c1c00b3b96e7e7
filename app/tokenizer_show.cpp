// The pieces of a text for the eye.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/tokenizer_commands.h"
#include "isotrope/base/log.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::app {

namespace {

constexpr std::string_view reset = "\x1b[0m", backgrounds[] = {"\x1b[30;46m", "\x1b[30;43m"}, special_background = "\x1b[30;45m";

/// Marks that change the direction of what follows would move pieces about.
bool turns_direction(char32_t c) {
  return c == 0x200E || c == 0x200F || c == 0x61C || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/// One line of text that only shows itself: control characters and marks of direction as escapes.
std::string visible(std::string_view text) {
  std::string marked;
  for (std::size_t position = 0; position < text.size();) {
    const auto start = position;
    const auto c = next_code_point(text, position);
    if (turns_direction(c)) marked += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c));
    else marked.append(text, start, position - start);
  }
  return printable(marked);
}

/// The pieces of one text on backgrounds in turns. A token that stands for no more than one before it, as the second byte of a character
/// does, shows as U+FFFD.
class Painter {
 public:
  explicit Painter(std::string_view text) : text_(text) {}

  void put(const TextRange& bytes, std::string_view background) {
    if (bytes.begin > done_) plain(bytes.begin);
    const auto begin = std::max<std::size_t>(bytes.begin, done_);
    paint(bytes.end > begin         ? replace_invalid_utf8(text_.substr(begin, bytes.end - begin))
          : bytes.end > bytes.begin ? "\uFFFD"
                                    : "",
          background);
    done_ = std::max<std::size_t>(done_, bytes.end);
  }
  std::string finish() {
    plain(text_.size());
    return std::move(result_);
  }

 private:
  void plain(std::size_t end) {
    if (end > done_) paint(replace_invalid_utf8(text_.substr(done_, end - done_)), "");
    done_ = std::max(done_, end);
  }
  /// A line end shows as ↵, and the background ends there.
  void paint(std::string_view piece, std::string_view background) {
    while (!piece.empty()) {
      const auto end = std::min(piece.find('\n'), piece.size());
      const bool line_ends = end < piece.size();
      result_.append(background).append(visible(piece.substr(0, end))).append(line_ends ? "↵" : "").append(background.empty() ? "" : reset);
      if (line_ends) result_ += '\n';
      piece.remove_prefix(end + line_ends);
    }
  }

  std::string_view text_;
  std::size_t done_ = 0;
  std::string result_;
};

std::string_view background_of(const Tokenizer& tokenizer, const Encoding& encoding, std::size_t token) {
  return tokenizer.is_special(encoding.ids[token]) ? special_background : backgrounds[token % 2];
}

std::string painted(const Tokenizer& tokenizer, std::string_view text, int sequence, const Encoding& encoding) {
  Painter painter(text);
  const auto sequences = encoding.sequences();
  for (std::size_t i = 0; i < encoding.size(); ++i)
    if (sequences[i] == sequence && encoding.byte_offsets[i].end > 0)
      painter.put(encoding.byte_offsets[i], background_of(tokenizer, encoding, i));
  return painter.finish() + "\n";
}

}  // namespace

std::string shown_tokens(const Tokenizer& tokenizer, const TextPair& texts, const Encoding& encoding, bool colour) {
  std::string result;
  if (colour) {
    result += painted(tokenizer, texts.first, 0, encoding);
    if (texts.second) result += painted(tokenizer, *texts.second, 1, encoding);
    result += '\n';
  }
  for (std::size_t i = 0; i < encoding.size(); ++i) {
    const auto [begin, end] = encoding.offsets[i];
    const auto bytes = replace_invalid_utf8(tokenizer.token_bytes(encoding.ids[i]));
    const auto piece = visible(nlohmann::json(bytes).dump());
    result +=
        fmt::format("{:>7}  {:>5}-{:<5}  {}{}{}{}\n", encoding.ids[i], begin, end, colour ? background_of(tokenizer, encoding, i) : "",
                    piece, colour ? reset : "", tokenizer.is_special(encoding.ids[i]) ? "  special" : "");
  }
  return result;
}

}  // namespace isotrope::app
