#pragma once

#include <array>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/aligned_text.h"
#include "isotrope/text/steps/pattern_regex.h"
#include "isotrope/text/steps/space_cuts.h"

namespace isotrope {

/// The settings of a BertNormalizer.
struct BertCleaning {
  bool clean_text = true, handle_chinese_chars = true, strip_accents = true, lowercase = true;
};

/// Changes text before it is cut into words: the normalizer of tokenizer.json. Immutable, thread-safe.
///
/// Honoured: BertNormalizer, NFC, NFD, NFKC, NFKD, Nmt, Strip, Lowercase, StripAccents, ByteLevel, Precompiled, Prepend, Replace (String or Regex),
/// Sequences of these. Everything else is an InputError that names it.
class Normalizer {
 public:
  Normalizer() = default;  ///< changes nothing
  /// `description` is the normalizer object, or null; `file` names it in errors.
  Normalizer(const nlohmann::json& description, std::string_view file);

  bool changes_nothing() const { return steps_.empty(); }
  /// `text` (valid UTF-8) itself where it stays as it is, else what it becomes, which lies in `scratch` until the next call.
  struct Scratch {
    std::string texts[2];
  };
  /// Which part of a text a text is: some steps act at its ends alone.
  struct Part {
    bool begins = true, ends = true;
  };
  std::string_view apply(std::string_view text, Scratch& scratch, const Part& part) const;
  std::string_view apply(std::string_view text, Scratch& scratch) const { return apply(text, scratch, {}); }
  /// The same on text that remembers where it comes from (aligned_normalizer.cpp).
  void apply(AlignedText& text) const;
  /// Whether the beginning of what `text` becomes comes from its beginning: not where a first character is taken out.
  bool keeps_beginning(std::string_view text) const;
  /// What SpaceCuts must know so that a text can be normalized part by part; nothing where it cannot be.
  std::optional<SpaceCuts::Changes> changes_to_parts() const;
  /// Whether every space of a part becomes "▁".
  bool spells_marks() const;
  /// Whether a text may be cut between an ASCII letter and a space without a change of what it becomes.
  bool allows_cuts_before_spaces() const;
  /// The settings when a BertNormalizer is all there is to do, so that BertCharacters can take over.
  std::optional<BertCleaning> only_bert() const;

 private:
  struct Step {
    enum class Kind {
      bert,
      nfc,
      nfd,
      nfkc,
      nfkd,
      nmt,
      strip,
      byte_level,
      lowercase,
      strip_accents,
      prepend,
      replace,
      replace_regex,
      precompiled
    } kind = Kind::bert;
    bool clean_text = true, handle_chinese_chars = true, strip_accents = true, lowercase = true;  ///< bert
    std::array<char, 128> ascii{};               ///< bert: what a character below U+0080 becomes; −1: nothing
    bool strip_left = true, strip_right = true;  ///< strip
    std::string pattern = {}, content = {};      ///< replace, prepend
    std::shared_ptr<const PatternRegex> regex = nullptr;
    std::shared_ptr<const Charsmap> charsmap = nullptr;
  };

  void read(const nlohmann::json& description, std::string_view file);
  void read_bert(const nlohmann::json& description, std::string_view file);
  void read_replace(const nlohmann::json& description, std::string_view file);
  void read_precompiled(const nlohmann::json& description, std::string_view file);
  static bool leaves_alone(const Step& step, std::string_view text);
  static void apply(const Step& step, std::string_view text, std::string& result);
  static void apply_bert(const Step& step, std::string_view text, std::string& result);
  static void apply(const Step& step, AlignedText& text);

  std::vector<Step> steps_;
};

}  // namespace isotrope
