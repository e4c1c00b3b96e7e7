#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/encoding.h"
#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

/// Puts tokens around a text and between two: the post_processor of tokenizer.json. Immutable, thread-safe.
///
/// Honoured: null, ByteLevel (which moves offsets, not ids), TemplateProcessing, BertProcessing, RobertaProcessing, a Sequence with at most
/// one of these beside ByteLevel. Everything else is an InputError that names it.
class PostProcessor {
 public:
  PostProcessor(const nlohmann::json& description, std::size_t vocab_size, std::string_view file);

  /// first, second: ids of the texts by themselves. Cuts them to what max_length leaves, the longer one first, as HF's "longest_first"
  /// does; UsageError when the tokens around them alone are more. InputError when there is a second and no template for pairs.
  TokenSequence assemble(std::vector<TokenId> first, std::optional<std::vector<TokenId>> second, const EncodeOptions& options) const;

  /// The same of encodings, the second of which may be absent: what ByteLevel and RobertaProcessing do to offsets, tokens around the texts. The
  /// tables say at which byte of its text each code point begins, and where the last one ends.
  struct Part {
    Encoding encoding;
    std::vector<std::uint32_t> bytes;
  };
  Encoding assemble(Part first, std::optional<Part> second, const EncodingOptions& options) const;

  /// What stands around a single text.
  const std::vector<TokenId>& before() const { return before_; }
  const std::vector<TokenId>& after() const { return after_; }

 private:
  struct Piece {
    enum class Kind { token, first, second } kind = Kind::token;
    TokenId id = 0;
    std::int32_t type = 0;
    std::string name = {};  ///< of a token
  };
  /// What is done to encodings, in the file's order.
  struct Step {
    enum class Kind { byte_level, pieces, bert, roberta } kind = Kind::pieces;
    bool trim_offsets = false, add_prefix_space = true;  ///< byte_level, roberta
  };
  using Template = std::vector<Piece>;

  class Reader;
  void read(const nlohmann::json& description, const Reader& reader);
  void set(Template single, Template pair, const Reader& reader);

  static std::vector<Part> apply(const Step& step, const Template& pieces, std::vector<Part> parts, bool add_special_tokens);
  static std::vector<Part> put_tokens_around(const Step& step, const Template& pieces, std::vector<Part> parts, bool add_special_tokens);

  Template single_, pair_;  ///< empty pair_: there is none
  std::vector<Step> steps_;
  bool is_null_ = false;
  bool is_set_ = false;
  std::vector<TokenId> before_, after_;
};

/// Cuts two texts of `first` and `second` tokens so that they are at most `most` together: the longer one until both are equal, then both.
void cut_longest_first(std::size_t most, std::size_t& first, std::size_t& second);

}  // namespace isotrope
