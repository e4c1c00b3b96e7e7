#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/aligned_text.h"
#include "isotrope/text/steps/charsmap.h"
#include "isotrope/text/steps/double_array.h"
#include "isotrope/text/steps/space_cuts.h"
#include "isotrope/text/steps/tokenizer_definition.h"

namespace isotrope {

/// What sentencepiece makes of a text before its model gets it: the longest entry of the charsmap at each place, user-defined pieces left
/// as they are, white space taken out and spelled "▁". Immutable, thread-safe.
class SentencePieceNormalizer {
 public:
  explicit SentencePieceNormalizer(const TokenizerDefinition& definition);

  /// Which part of a text a text is, when it has been cut by cuts().
  struct Part {
    bool begins = true, ends = true;
  };
  /// Appends what becomes of valid UTF-8.
  void append(std::string_view text, const Part& part, std::string& result) const;
  /// The same of a whole text, with what each byte comes from.
  void append(const AlignedView& text, std::string& result, std::vector<TextRange>& ranges) const;
  /// Where raw text can be cut, or nothing where it cannot; may_cut_before(c) tells of which ASCII punctuation the model allows it.
  std::optional<SpaceCuts> cuts(const std::function<bool(unsigned char)>& may_cut_before) const;

 private:
  /// note(begin, end, size): what `result` has up to `size` and was not noted before comes from these bytes.
  template <class Note>
  void append(std::string_view text, const Part& part, std::string& result, Note&& note) const;
  struct Step {
    std::string_view becomes;
    std::size_t length;
  };
  Step next(std::string_view text, std::size_t position) const;
  std::size_t plain_end(std::string_view text, std::size_t position) const;
  /// What holds of a code point, as bits: it stays what it is unless an entry of several characters takes it; some entry begins with it; some
  /// has it behind its first character.
  static constexpr unsigned stays = 1, begins = 2, inner = begins << 1;
  unsigned role_of(char32_t character) const;

  SentencePieceRules rules_;
  std::optional<Charsmap> charsmap_;
  std::optional<DoubleArray> user_defined_;
  std::string_view mark_;
  std::array<bool, 128> in_user_defined_{};
  std::vector<std::uint8_t> roles_;  ///< of code points below U+10000; none of a space, NUL and what user-defined pieces begin with
  bool space_stays_ = false;         ///< as what it is or as the mark, whatever stands beside it
  bool is_cuttable_ = false;
};

}  // namespace isotrope
