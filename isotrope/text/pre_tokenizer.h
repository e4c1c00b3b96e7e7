#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/pattern.h"
#include "isotrope/text/pattern_regex.h"

namespace isotrope {

/// Cuts text into words for a byte-level model: the pre_tokenizer of tokenizer.json. Immutable, thread-safe.
///
/// Honoured: ByteLevel (add_prefix_space, use_regex), alone or as the last of a Sequence after any of Split (Regex or String;
/// Isolated, Removed, invert) and Digits. Everything else is an InputError that names it.
class PreTokenizer {
 public:
  /// `description` is the pre_tokenizer object; `file` names it in errors.
  PreTokenizer(const nlohmann::json& description, std::string_view file);

  /// Visits the words of `text` (valid UTF-8) in order, as views that live until the visit returns.
  template <class Visit>
  void for_each_word(std::string_view text, Visit&& visit) const {
    if (!scans_one_pattern_) return apply(0, text, [&](std::string_view word) { visit(word); });
    const auto& table = UnicodeTable::instance();
    for (std::size_t position = 0; position < text.size();) {
      const auto length = next_piece(steps_.front().pattern, table, text, position);
      visit(text.substr(position, length));
      position += length;
    }
  }

  /// The pattern when it is all there is to do, so that PieceScanner can take over.
  std::optional<Pattern> only_pattern() const { return scans_one_pattern_ ? std::optional(steps_.front().pattern) : std::nullopt; }

  /// Whether a cut between an ASCII letter and a space keeps every word whole; with `bytes_alone`, keeps at least every byte.
  bool allows_cuts_before_spaces(bool bytes_alone) const;

 private:
  struct Step {
    enum class Kind { pattern, regex, digits, byte_level } kind = Kind::pattern;
    Pattern pattern = Pattern::gpt2;
    std::shared_ptr<const PatternRegex> regex;
    bool keep_matches = true, keep_others = true;  ///< what Split's behaviour leaves of matches and of the rest
    bool individual_digits = false;
    bool add_prefix_space = false;  ///< byte_level
  };

  void read(const nlohmann::json& description, std::string_view file);
  void read_split(const nlohmann::json& description, std::string_view file);
  void read_byte_level(const nlohmann::json& description, std::string_view file);
  void apply(std::size_t step, std::string_view text, const std::function<void(std::string_view)>& visit) const;

  std::vector<Step> steps_;
  bool scans_one_pattern_ = false;
};

/// The description of GPT-2's and Llama 3's pre-tokenizers as HF tokenizers writes them.
nlohmann::json describe_pre_tokenizer(Pattern pattern);

}  // namespace isotrope
