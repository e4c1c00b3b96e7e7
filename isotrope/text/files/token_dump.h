#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/steps/encoding.h"

namespace isotrope {

/// What another implementation makes of a text: docs/formats/token_dump.md. Reads it record by record; every failure is an InputError of one line
/// that names the file and the line.
class TokenDump {
 public:
  struct Record {
    std::size_t begin = 0, end = 0;  ///< bytes of the text
    std::vector<TokenId> ids;
    std::optional<std::vector<TextRange>> offsets;          ///< one a token, in code points of the record's text
    std::optional<std::string> decoded, skipped;            ///< with special tokens, and without
    bool decoded_is_text = false, skipped_is_text = false;  ///< it is what the text has there
  };

  /// `content` is the file's, and must outlive this.
  TokenDump(std::string_view content, std::string_view file);

  const std::string& source() const { return source_; }  ///< library, version and vocabulary
  bool adds_special_tokens() const { return adds_special_tokens_; }
  std::size_t records() const { return records_; }
  /// Throws InputError unless `text` is what the dump was made of.
  void expect_text(std::string_view text, std::string_view name) const;
  /// The next record, nothing behind the last.
  std::optional<Record> next();

 private:
  std::string_view take_line();
  void read_header(std::string_view line);
  Record read_record(std::string_view line) const;

  std::string_view rest_;
  std::string file_, source_, text_sha256_;
  std::size_t text_bytes_ = 0, records_ = 0, line_ = 0, read_ = 0;
  bool adds_special_tokens_ = true;
};

}  // namespace isotrope
