#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace isotrope {

/// Tokens to text: the decoder of tokenizer.json for models that are not byte-level. Immutable, thread-safe.
///
/// Honoured: WordPiece, Metaspace, Replace (String), ByteFallback, Fuse, Strip, Sequences of these; null puts spaces between tokens.
/// Everything else is an InputError that names it.
class Decoder {
 public:
  Decoder() = default;  ///< for byte-level models, which do not ask it
  Decoder(const nlohmann::json& description, std::string_view file);

  /// The text of tokens by their names, as HF's decode gives it.
  std::string decode(std::vector<std::string> names) const;
  /// The bytes that one token contributes, at the beginning of a text or later. Joined they are decode()'s text, but for the bytes of
  /// broken characters and for what the decoder finds across two tokens.
  std::string bytes_of(std::string_view name, bool first) const;

 private:
  struct Step {
    enum class Kind { word_piece, metaspace, replace, byte_fallback, fuse, strip } kind = Kind::fuse;
    std::string pattern = {}, content = {};  ///< word_piece: its prefix; metaspace: what stands for a space; strip: the character
    bool clean_up = false, drops_first = true;
    std::size_t start = 0, stop = 0;  ///< strip: how many at most
  };
  using Tokens = std::vector<std::string>;

  void read(const nlohmann::json& description, std::string_view file);
  static void apply(const Step& step, Tokens& tokens);
  static void join_word_pieces(const Step& step, Tokens& tokens);
  static void join_bytes(Tokens& tokens);
  static void strip(const Step& step, std::string& token);

  bool joins_with_spaces_ = false;
  std::vector<Step> steps_;
};

}  // namespace isotrope
