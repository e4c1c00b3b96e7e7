#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "isotrope/text/tokenizer.h"

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

  /// What stands around a single text.
  const std::vector<TokenId>& before() const { return before_; }
  const std::vector<TokenId>& after() const { return after_; }

 private:
  struct Piece {
    enum class Kind { token, first, second } kind = Kind::token;
    TokenId id = 0;
    std::int32_t type = 0;
  };
  using Template = std::vector<Piece>;

  class Reader;
  void read(const nlohmann::json& description, const Reader& reader);
  void set(Template single, Template pair, const Reader& reader);

  Template single_, pair_;  ///< empty pair_: there is none
  bool is_set_ = false;
  std::vector<TokenId> before_, after_;
};

}  // namespace isotrope
