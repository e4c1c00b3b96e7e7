#pragma once

#include <string_view>

#include "isotrope/text/steps/tokenizer_definition.h"

namespace isotrope {

/// A vocabulary of tiktoken: lines of a token in base 64 and its rank, which is its id. Of all neighbours that are a token together the lowest
/// rank merges first, the leftmost of equals. The file says nothing else: how text is cut and the special tokens go by `name`, the file's
/// without .tiktoken (r50k_base, p50k_base, p50k_edit, cl100k_base, o200k_base, gpt2).
/// Throws InputError for another name, a broken line, a byte without a token, a token or rank that stands there twice.
TokenizerDefinition read_tiktoken_vocabulary(std::string_view text, std::string_view name, std::string_view file);

/// CLIP's bpe_simple_vocab_16e6.txt, uncompressed: a first line, then merges, of which the first 48,894 count (Radford et al. 2021).
/// The tokens are the bytes, the bytes that end a word ("</w>"), what the merges give, <|startoftext|> and <|endoftext|>.
/// Throws InputError for fewer merges, or one of tokens that are not there yet.
TokenizerDefinition read_clip_merges(std::string_view text, std::string_view file);

/// RWKV's vocabulary: lines of an id, a token as Python writes it ('…' or b'…') and its length in bytes. A text becomes the longest token that
/// begins it, and so on. Id 0 ends a text. Throws InputError for a broken line, a wrong length, a byte without a token, a token or id that
/// stands there twice.
TokenizerDefinition read_rwkv_vocabulary(std::string_view text, std::string_view file);
/// Whether the first line is one of RWKV's vocabulary.
bool looks_like_rwkv_vocabulary(std::string_view text);

/// BERT's tokenizer around WordPiece, as tokenizer.json has it. `cls` and `sep` stand around a text.
struct BertSettings {
  bool lowercase = true, handle_chinese_chars = true;
  nlohmann::json strip_accents;  ///< null: follows lowercase
  std::string cls = "[CLS]", sep = "[SEP]", unknown = "[UNK]";
};
/// vocabulary: ids by token; added: as tokenizer.json lists added tokens. Throws InputError as read_definition() does.
TokenizerDefinition define_bert_tokenizer(nlohmann::json vocabulary, const nlohmann::json& added, const BertSettings& settings,
                                          std::string_view file);

}  // namespace isotrope
