#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/files/chat_settings.h"
#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

struct Encoding;
struct EncodingOptions;
struct TextPair;
struct Truncation;
struct Padding;

struct DecodeOptions {
  bool skip_special_tokens = false;
};

/// Text to ids and back. Immutable after construction: one object serves any number of threads.
///
/// encode  equals HF tokenizers' ids. Bytes that are not UTF-8 become U+FFFD with one warning a process; check_utf8() (utf8.h) finds them
/// first.
///         The truncation and padding that tokenizer.json may ask for are left to max_length and to who makes batches.
/// decode  equals HF tokenizers' text; always valid UTF-8: bytes of a character that is cut off or broken become U+FFFD.
/// Ids out of range throw InputError that names the id and the vocabulary size.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::size_t vocab_size() const = 0;  ///< largest id + 1
  virtual std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const = 0;
  /// The exact bytes that the token stands for inside running text; for a special token, its written form. A WordPiece token that begins a
  /// word has a space before it.
  virtual std::string token_bytes(TokenId id) const = 0;
  /// What decode() gives for the token, as the first of a text or later: BERT's and Llama 2's begin without a space.
  virtual std::string token_bytes_at(TokenId id, bool /*first*/) const { return token_bytes(id); }
  virtual bool is_special(TokenId id) const = 0;
  /// Whether decode(encode(text)), without what the post-processor adds, is the text for any valid UTF-8.
  virtual bool keeps_every_byte() const { return false; }
  virtual std::optional<TokenId> find(std::string_view token) const = 0;  ///< by its name in the vocabulary file
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::optional<TokenId> eos() const = 0;
  virtual std::optional<TokenId> cls() const { return std::nullopt; }
  virtual std::optional<TokenId> sep() const { return std::nullopt; }
  virtual std::optional<TokenId> mask() const { return std::nullopt; }
  virtual std::optional<TokenId> pad() const { return std::nullopt; }
  virtual std::optional<TokenId> unk() const { return std::nullopt; }
  virtual ChatSettings chat_settings() const { return {}; }
  /// What ends a document in a token file: eos(), or sep() where there is none, as in BERT's vocabularies.
  std::optional<TokenId> document_end() const { return eos() ? eos() : sep(); }
  /// Whether a new word begins with the token, for masking whole words: its bytes inside running text begin with white space (a WordPiece
  /// token without "##", a byte-level token with a space or line end, "▁…"), or it is special. Punctuation glued to a word belongs to it.
  bool is_word_start(TokenId id) const;
  /// Writes tokenizer.json and tokenizer_config.json into an existing folder, as `transformers` reads them.
  virtual void save(const std::filesystem::path& folder) const = 0;
  /// SHA-256 (hex) over all that decides a text's ids: vocabulary, model, normalizer, pre-tokenizer, added tokens. Equal prints, equal ids.
  virtual std::string fingerprint() const = 0;

  /// The first place at or after `position` where `text` can be cut so that the ids of the two parts, without the post-processor's,
  /// are those of the whole; text.size() when there is none. Lets long texts be encoded in parts.
  virtual std::size_t safe_cut(std::string_view text, std::size_t position) const;
  /// The ids of encode(), computed on up to `threads` threads where the text can be cut.
  virtual std::vector<TokenId> encode_parallel(std::string_view text, int threads, const EncodeOptions& options = {}) const;

  /// The ids of one text or two, each encoded without special tokens, with what the post-processor puts around and between them.
  /// max_length cuts the longer one first. Throws UsageError when max_length has no room for the special tokens, InputError for a second
  /// text where the post-processor has no template for pairs.
  virtual TokenSequence assemble(std::vector<TokenId> first, std::optional<std::vector<TokenId>> second,
                                 const EncodeOptions& options = {}) const;
  /// assemble() of texts.
  TokenSequence encode_typed(std::string_view text, const EncodeOptions& options = {}) const;
  TokenSequence encode_pair(std::string_view first, std::string_view second, const EncodeOptions& options = {}) const;

  /// Ids, offsets, names, masks and overflow of a text or two, as HF tokenizers' Encoding has them (encoding.h), with truncation and padding. The
  /// ids are those of encode(); it takes many times as long.
  virtual Encoding encode_full(const TextPair& texts, const EncodingOptions& options) const;
  /// encode_full() of many on up to `threads` threads, padded together; the result does not depend on them.
  std::vector<Encoding> encode_full_batch(std::span<const TextPair> texts, int threads, const EncodingOptions& options) const;
  /// encode() of many on up to `threads` threads.
  std::vector<std::vector<TokenId>> encode_batch(std::span<const std::string_view> texts, int threads,
                                                 const EncodeOptions& options = {}) const;
  /// What tokenizer.json says under `truncation` and `padding`, which encode() and encode_full() do only when they are asked to.
  virtual std::optional<Truncation> own_truncation() const;
  virtual std::optional<Padding> own_padding() const;

  virtual std::string decode(std::span<const TokenId> ids, const DecodeOptions& options = {}) const;
};

/// Ids to text piece by piece: each push() returns the text that has become certain, holding back the bytes of an unfinished character.
/// Joined it is decode()'s text, except that a broken run of byte tokens (<0xE6>) keeps the characters in it that are whole.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options = {}) : tokenizer_(tokenizer), options_(options) {}
  std::string push(TokenId id);
  std::string finish();  ///< what is held back, broken bytes as U+FFFD

 private:
  const Tokenizer& tokenizer_;
  DecodeOptions options_;
  std::string pending_;
  bool first_ = true;
};

/// A tokenizer from a folder (HF, run or checkpoint folder), or a file: tokenizer.json, vocab.txt, a SentencePiece .model, llama2.c's
/// tokenizer.bin, a model of one file (.gguf; llama2.c's .bin, whose vocabulary lies beside it); "bytes" names the byte tokenizer. What does
/// not exist may be the name of a model in the hub cache (io/hub_cache.h).
/// Throws InputError for a missing, broken or unsupported file, naming the construct.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& path);

/// A tokenizer from the text of tokenizer.json, and of tokenizer_config.json unless empty. `file` names the first in errors.
std::shared_ptr<const Tokenizer> parse_tokenizer(std::string_view tokenizer_json, std::string_view tokenizer_config = {},
                                                 std::string_view file = "tokenizer.json");

/// One token a byte, id = byte value, and <|endoftext|> = 256. Saved as a byte-level BPE without merges, which HF loads.
std::shared_ptr<const Tokenizer> byte_tokenizer();

}  // namespace isotrope
