#include "isotrope/text/files/token_dump.h"

#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/base/sha256.h"
#include "isotrope/text/steps/json_field.h"

namespace isotrope {

using nlohmann::json;
namespace field = json_field;

namespace {

std::uint64_t count_of(const json& value, std::string_view what, std::string_view file, std::uint64_t most) {
  const auto number = field::integer(value, what, file);
  if (number < 0 || static_cast<std::uint64_t>(number) > most)
    throw InputError("tokenizer", "{}: {}: expected 0 to {}, got {}", file, what, most, number);
  return static_cast<std::uint64_t>(number);
}

/// A text, or true where it is that of the record.
void read_decoded(const json& record, const char* key, std::optional<std::string>& text, bool& is_text, std::string_view file) {
  const auto& value = field::find(record, key);
  if (value.is_null()) return;
  if (value == true) is_text = true;
  else text = field::text(value, key, file);
}

}  // namespace

TokenDump::TokenDump(std::string_view content, std::string_view file) : rest_(content), file_(file) { read_header(take_line()); }

std::string_view TokenDump::take_line() {
  const auto line = rest_.substr(0, rest_.find('\n'));
  rest_.remove_prefix(std::min(line.size() + 1, rest_.size()));
  ++line_;
  return line;
}

void TokenDump::read_header(std::string_view line) {
  json header;
  try {
    header = field::parse(line, file_);
  } catch (const InputError&) {
    // Not JSON at all: what is said of it below says more.
  }
  if (!header.is_object() || field::find(header, "format") != "token_dump")
    throw InputError("tokenizer", "{}: expected a token dump, whose first line has \"format\": \"token_dump\", got \"{}\"", file_,
                     printable(line.substr(0, 40)));
  if (const auto& version = field::find(header, "version"); version != 1)
    throw InputError("tokenizer", "{}: expected a token dump of version 1, got {}", file_, printable(version.dump().substr(0, 40)));
  const auto source = [&](const char* key) { return field::text(field::at(header, key, file_), key, file_); };
  source_ = source("library") + " " + source("library_version") + ", " + source("tokenizer");
  text_sha256_ = source("text_sha256");
  text_bytes_ = count_of(field::at(header, "text_bytes", file_), "text_bytes", file_, INT64_MAX);
  records_ = count_of(field::at(header, "records", file_), "records", file_, INT64_MAX);
  adds_special_tokens_ = field::flag(header, "add_special_tokens", true, file_);
}

void TokenDump::expect_text(std::string_view text, std::string_view name) const {
  if (text.size() != text_bytes_)
    throw InputError("tokenizer", "{}: the dump is of a text of {} bytes, {} has {}", file_, text_bytes_, name, text.size());
  if (const auto hash = sha256_hex(text); hash != text_sha256_)
    throw InputError("tokenizer", "{}: the dump is of another text: SHA-256 {}, {} has {}", file_, printable(text_sha256_.substr(0, 64)),
                     name, hash);
}

std::optional<TokenDump::Record> TokenDump::next() {
  if (rest_.empty() && read_ == records_) return std::nullopt;
  if (rest_.empty()) throw InputError("tokenizer", "{}: the dump ends after {} of {} records", file_, read_, records_);
  if (read_ == records_) throw InputError("tokenizer", "{}: line {}: expected {} records, got more", file_, line_ + 1, records_);
  ++read_;
  return read_record(take_line());
}

TokenDump::Record TokenDump::read_record(std::string_view line) const {
  const auto where = file_ + ": line " + std::to_string(line_);
  const auto record = field::parse(line, where);
  field::object(record, "the record", where);
  Record result;
  const auto& bytes = field::array(field::at(record, "bytes", where), "bytes", where);
  if (bytes.size() != 2) throw InputError("tokenizer", "{}: bytes: expected 2 numbers, got {}", where, bytes.size());
  result.end = count_of(bytes[1], "bytes", where, text_bytes_);
  result.begin = count_of(bytes[0], "bytes", where, result.end);
  for (const auto& id : field::array(field::at(record, "ids", where), "ids", where))
    result.ids.push_back(static_cast<TokenId>(count_of(id, "ids", where, INT32_MAX)));
  if (const auto& offsets = field::find(record, "offsets"); !offsets.is_null()) {
    if (field::array(offsets, "offsets", where).size() != 2 * result.ids.size())
      throw InputError("tokenizer", "{}: offsets: expected two a token, {}, got {}", where, 2 * result.ids.size(), offsets.size());
    auto& ranges = result.offsets.emplace();
    for (std::size_t i = 0; i < offsets.size(); i += 2)
      ranges.push_back({static_cast<std::uint32_t>(count_of(offsets[i], "offsets", where, UINT32_MAX)),
                        static_cast<std::uint32_t>(count_of(offsets[i + 1], "offsets", where, UINT32_MAX))});
  }
  read_decoded(record, "decoded", result.decoded, result.decoded_is_text, where);
  read_decoded(record, "skipped", result.skipped, result.skipped_is_text, where);
  return result;
}

}  // namespace isotrope
