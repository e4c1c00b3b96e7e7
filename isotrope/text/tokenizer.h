#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace isotrope {

using TokenId = std::int32_t;

struct EncodeOptions {
  bool add_special_tokens = true;    ///< what the post-processor adds around the text (BOS, [CLS] …)
  bool parse_special_tokens = true;  ///< "<|endoftext|>" in the text becomes its id; otherwise it is plain text
};

struct DecodeOptions {
  bool skip_special_tokens = false;
};

/// Text to ids and back. Immutable after construction: one object serves any number of threads.
///
/// encode  equals HF tokenizers' ids. Bytes that are not UTF-8 become U+FFFD with one warning a process; check_utf8() (utf8.h) finds them first.
/// decode  always valid UTF-8: bytes of a character that is cut off or broken become U+FFFD, as HF's decode does.
/// Ids out of range throw InputError that names the id and the vocabulary size.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::size_t vocab_size() const = 0;  ///< largest id + 1
  virtual std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const = 0;
  /// The exact bytes that the token stands for in running text; for a special token, its written form.
  virtual std::string token_bytes(TokenId id) const = 0;
  virtual bool is_special(TokenId id) const = 0;
  virtual std::optional<TokenId> find(std::string_view token) const = 0;  ///< by its name in the vocabulary file
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::optional<TokenId> eos() const = 0;
  /// Writes tokenizer.json and tokenizer_config.json into an existing folder, as `transformers` reads them.
  virtual void save(const std::filesystem::path& folder) const = 0;
  /// SHA-256 (hex) over everything that decides ids: vocabulary, merges, pre-tokenizer, added tokens. Equal fingerprints, equal ids.
  virtual std::string fingerprint() const = 0;

  /// The first place at or after `position` where `text` can be cut so that the ids of the two parts, without the post-processor's,
  /// are those of the whole; text.size() when there is none. Lets long texts be encoded in parts.
  virtual std::size_t safe_cut(std::string_view text, std::size_t position) const;
  /// The ids of encode(), computed on up to `threads` threads where the text can be cut.
  virtual std::vector<TokenId> encode_parallel(std::string_view text, int threads, const EncodeOptions& options = {}) const;

  /// Bytes of all tokens joined, broken UTF-8 replaced by U+FFFD.
  std::string decode(std::span<const TokenId> ids, const DecodeOptions& options = {}) const;
};

/// Ids to text piece by piece: each push() returns the text that has become certain, holding back the bytes of an unfinished character.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options = {}) : tokenizer_(tokenizer), options_(options) {}
  std::string push(TokenId id);
  std::string finish();  ///< what is held back, broken bytes as U+FFFD

 private:
  const Tokenizer& tokenizer_;
  DecodeOptions options_;
  std::string pending_;
};

/// A tokenizer from a folder (HF, run or checkpoint folder), a tokenizer.json or .gguf file, or a .bin of llama2.c; "bytes" names the byte tokenizer.
/// Throws InputError for a missing, broken or unsupported file, naming the construct.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& path);

/// A tokenizer from the text of tokenizer.json, and of tokenizer_config.json unless empty. `file` names the first in errors.
std::shared_ptr<const Tokenizer> parse_tokenizer(std::string_view tokenizer_json, std::string_view tokenizer_config = {},
                                                 std::string_view file = "tokenizer.json");

/// One token a byte, id = byte value, and <|endoftext|> = 256. Saved as a byte-level BPE without merges, which HF loads.
std::shared_ptr<const Tokenizer> byte_tokenizer();

}  // namespace isotrope
