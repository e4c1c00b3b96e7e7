#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/aligned_text.h"
#include "isotrope/text/steps/pattern.h"
#include "isotrope/text/steps/pattern_regex.h"
#include "isotrope/text/steps/split_rules.h"
#include "isotrope/text/unicode/normalization.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

/// Cuts text into words for a model: the pre_tokenizer of tokenizer.json. Immutable, thread-safe.
///
/// Honoured: null, ByteLevel, Split, Digits, Punctuation, BertPreTokenizer, Whitespace, WhitespaceSplit, CharDelimiterSplit, UnicodeScripts,
/// FixedLength, Metaspace, Sequences of these. Everything else is an InputError that names it.
/// What stands behind ByteLevel sees text spelled in the byte alphabet (byte_alphabet.h).
class PreTokenizer {
 public:
  /// `description` is the pre_tokenizer object, or null; `file` names it in errors. byte_level: the model takes the bytes that words are
  /// spelled with, which spells_bytes(description) makes possible.
  PreTokenizer(const nlohmann::json& description, bool byte_level, std::string_view file);

  /// Visits the words of `text` (valid UTF-8) in order, as views that live until the visit returns.
  /// begins_text: no text comes before this one, which Metaspace's "first" asks.
  template <class Visit>
  void for_each_word(std::string_view text, bool begins_text, Visit&& visit) const {
    if (is_bert_alone()) return split_for_bert(text, visit);
    if (!scans_one_pattern_) return apply(0, text, begins_text, [&](std::string_view word) { visit(word); });
    const auto& table = UnicodeTable::instance();
    for (std::size_t position = 0; position < text.size();) {
      const auto length = next_piece(steps_.front().pattern, table, text, position);
      visit(text.substr(position, length));
      position += length;
    }
  }

  /// The same words, with where they come from (aligned_pre_tokenizer.cpp): the slow way, for offsets.
  void for_each_aligned_word(const AlignedView& text, const std::function<void(const AlignedView&)>& visit) const;
  /// Whether there is none: a text is one word.
  bool is_null() const { return steps_.empty(); }
  /// Whether a text that SpaceCuts cuts may be given to it part by part: words begin at spaces.
  bool allows_parts() const;

  /// The pattern when it is all there is to do, so that PieceScanner can take over.
  std::optional<Pattern> only_pattern() const { return scans_one_pattern_ ? std::optional(steps_.front().pattern) : std::nullopt; }

  /// Whether BertPreTokenizer is all there is to do.
  bool is_bert_alone() const { return steps_.size() == 1 && steps_.front().kind == Step::Kind::bert; }

  /// Whether a cut between an ASCII letter and a space keeps every word whole; with `bytes_alone`, keeps at least every byte.
  bool allows_cuts_before_spaces(bool bytes_alone) const;
  /// Whether the words depend on begins_text.
  bool asks_for_beginning() const;
  /// Whether begins_text alone does not tell which words are at the beginning: several may be, where text was put before the first, or where
  /// one character became several, and it was cut since. Then for_each_aligned_word() tells. A text that is_normalized, by anything that changes
  /// some text, counts as one where that may have happened.
  bool needs_alignment(bool is_normalized) const;
  /// Whether the words joined are always the text.
  bool keeps_every_byte() const;

 private:
  friend class BertEncoder;  // splits words that it cleaned
  struct Step {
    enum class Kind {
      pattern,
      regex,
      digits,
      punctuation,
      bert,
      white_space,
      words,
      delimiter,
      scripts,
      fixed_length,
      metaspace,
      byte_level,  ///< the prefix of ByteLevel, and its spelling where `spells`
      unspell      ///< back to bytes
    } kind = Kind::pattern;
    Pattern pattern = Pattern::gpt2;
    std::shared_ptr<const PatternRegex> regex;
    SplitBehavior behavior = SplitBehavior::isolated;  ///< pattern, regex, punctuation
    bool invert = false;                               ///< pattern, regex
    bool individual_digits = false;
    char32_t delimiter = 0;
    std::size_t length = 0;                         ///< fixed_length
    bool add_prefix_space = false, spells = false;  ///< byte_level
    enum class Prefix { never, first, always } prefix = Prefix::always;
    std::string replacement;  ///< metaspace: what stands for a space
    bool split = true;        ///< metaspace
  };
  using Words = std::function<void(std::string_view)>;

  void read(const nlohmann::json& description, std::string_view file);
  void read_split(const nlohmann::json& description, std::string_view file);
  void read_byte_level(const nlohmann::json& description, std::string_view file);
  void read_metaspace(const nlohmann::json& description, std::string_view file);
  void read_length(const nlohmann::json& description, std::string_view file);
  void settle_spelling();
  void apply(std::size_t step, std::string_view text, bool begins_text, const Words& visit) const;
  void apply(std::size_t step, const AlignedView& text, const std::function<void(const AlignedView&)>& visit) const;
  /// A step that only cuts: its pieces are parts of `text`.
  static void cut(const Step& step, std::string_view text, const Words& visit);
  /// visit(word, whether the text begins with it)
  static void apply_metaspace(const Step& step, std::string_view text, bool begins_text,
                              const std::function<void(std::string_view, bool)>& visit);

  /// Words between white space, each punctuation mark by itself.
  template <class Visit>
  static void split_for_bert(std::string_view text, Visit&& visit) {
    const auto& table = NormalizationTable::instance();
    std::size_t start = 0;
    for (std::size_t position = 0; position < text.size();) {
      const auto here = position;
      const auto traits = table.traits(next_code_point(text, position));
      if (!(traits & (text_trait::separator | text_trait::punctuation))) continue;
      if (here > start) visit(text.substr(start, here - start));
      if (traits & text_trait::punctuation) visit(text.substr(here, position - here));
      start = position;
    }
    if (start < text.size()) visit(text.substr(start));
  }

  bool byte_level_;
  std::vector<Step> steps_;
  bool scans_one_pattern_ = false;
};

/// Whether all words that a pre_tokenizer of tokenizer.json makes are spelled in the byte alphabet: ByteLevel stands there, and nothing
/// behind it that puts other characters in.
bool spells_bytes(const nlohmann::json& description);

/// The description of GPT-2's and Llama 3's pre-tokenizers as HF tokenizers writes them.
nlohmann::json describe_pre_tokenizer(Pattern pattern);

}  // namespace isotrope
