#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/pattern_regex.h"

namespace isotrope {

/// Tokens to text: the decoder of tokenizer.json. Immutable, thread-safe.
///
/// Honoured: ByteLevel, BPEDecoder, WordPiece, Metaspace, CTC, Replace (String or Regex), ByteFallback, Fuse, Strip, Sequences of these; null
/// puts spaces between tokens. Everything else is an InputError that names it.
class Decoder {
 public:
  Decoder() = default;  ///< for byte-level models that end in ByteLevel, which do not ask it
  Decoder(const nlohmann::json& description, std::string_view file);

  /// The text of tokens by their names, as HF's decode gives it.
  std::string decode(std::vector<std::string> names) const;
  /// The bytes that one token contributes, at the beginning of a text or later. Joined they are decode()'s text, but for the bytes of
  /// broken characters and for what the decoder finds across two tokens.
  std::string bytes_of(std::string_view name, bool first) const;

 private:
  struct Step {
    enum class Kind { byte_level, bpe, word_piece, metaspace, ctc, replace, byte_fallback, fuse, strip } kind = Kind::fuse;
    /// word_piece: its prefix; bpe: its suffix; metaspace: what stands for a space; strip: the character; ctc: the blank, what parts words
    std::string pattern = {}, content = {};
    std::shared_ptr<const PatternRegex> regex = nullptr;  ///< replace, unless it is for a String
    bool clean_up = false, drops_first = true;
    std::size_t start = 0, stop = 0;  ///< strip: how many at most
  };
  using Tokens = std::vector<std::string>;

  void read(const nlohmann::json& description, std::string_view file);
  void read_replace(const nlohmann::json& description, std::string_view file);
  static void apply(const Step& step, Tokens& tokens);
  static void replace(const Step& step, std::string& token);
  static void clean_blanks(const Step& step, Tokens& tokens);
  static void join_word_pieces(const Step& step, Tokens& tokens);
  static void join_bytes(Tokens& tokens);
  static void strip(const Step& step, std::string& token);

  bool joins_with_spaces_ = false;
  std::vector<Step> steps_;
};

}  // namespace isotrope
