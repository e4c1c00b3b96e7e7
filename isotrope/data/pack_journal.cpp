#include "isotrope/data/pack_journal.h"

#include <algorithm>
#include <array>
#include <bit>
#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/base/sha256.h"
#include "isotrope/io/json.h"
#include "isotrope_version.h"

namespace isotrope {

namespace {

constexpr std::int64_t journal_version = 1;

/// A digest of named values; lengths keep two lists of values from looking alike.
class Digest {
 public:
  void add(std::string_view value) {
    hash_.add(std::to_string(value.size()) + ":");
    hash_.add(value);
  }
  void add(std::uint64_t value) { add(std::to_string(value)); }
  void add(double value) { add(std::bit_cast<std::uint64_t>(value)); }
  void add(const std::optional<ByteRange>& range) {
    add(static_cast<std::uint64_t>(range.has_value()));
    if (range) add(range->begin), add(range->end);
  }
  std::string hex() { return hash_.hex(); }

 private:
  Sha256 hash_;
};

std::string settings_digest(const Tokenizer& tokenizer, const PackOptions& options) {
  Digest digest;
  digest.add(std::string_view(ISOTROPE_VERSION));
  digest.add(tokenizer.fingerprint());
  digest.add(static_cast<std::uint64_t>(tokenizer.vocab_size()));
  digest.add(static_cast<std::uint64_t>(tokenizer.document_end().value_or(-1)));
  digest.add(options.tokenizer_name);
  digest.add(static_cast<std::uint64_t>(options.documents.kind));
  digest.add(options.documents.separator);
  digest.add(options.text_key);
  for (const bool flag : {options.append_eos, options.parse_special_tokens, options.strict}) digest.add(static_cast<std::uint64_t>(flag));
  digest.add(options.validation_fraction);
  digest.add(options.validation_tail);
  digest.add(options.validation_bytes);
  digest.add(options.train_bytes);
  digest.add(options.seed);
  digest.add(static_cast<std::uint64_t>(options.piece_bytes));
  return digest.hex();
}

/// The first bytes of the file as it lies there, compressed or not.
std::string beginning_of(const fs::path& file) { return std::string(MappedFile(file, in_data).text().substr(0, 4096)); }

}  // namespace

std::optional<PackIdentity> identify_pack(const Tokenizer& tokenizer, const PackOptions& options, const std::vector<fs::path>& files) {
  if (!std::ranges::all_of(files, [](const auto& file) { return fs::is_regular_file(file); })) return std::nullopt;
  Digest inputs;
  for (const auto& file : files) {
    inputs.add(fs::absolute(file).lexically_normal().string());
    inputs.add(static_cast<std::uint64_t>(fs::file_size(file)));
    inputs.add(static_cast<std::uint64_t>(fs::last_write_time(file).time_since_epoch().count()));
    inputs.add(beginning_of(file));
  }
  return PackIdentity{settings_digest(tokenizer, options), inputs.hex()};
}

// ---- to JSON and back ---------------------------------------------------------------------------------------------

namespace {

nlohmann::json to_json(const TokenFilePoint& point) {
  return {{"tokens", point.tokens},
          {"documents", point.documents},
          {"document_begin", point.document_begin},
          {"source_bytes", point.source_bytes},
          {"tokens_crc", point.tokens_crc},
          {"documents_crc", point.documents_crc}};
}

nlohmann::json to_json(const PackPosition& position) {
  return {{"file", position.file},
          {"offset", position.splitter.offset},
          {"next_try", position.splitter.next_try},
          {"in_document", position.splitter.in_document},
          {"read", position.read},
          {"line", position.line},
          {"part", static_cast<int>(position.part)},
          {"text", position.text},
          {"segment", position.segment},
          {"consumed", position.consumed}};
}

std::uint64_t count(const JsonReader& json, std::string_view key) {
  const auto value = json.get_int(key);
  if (value < 0) throw InputError(in_data, "{}: \"{}\" is negative", json.name(), key);
  return static_cast<std::uint64_t>(value);
}

TokenFilePoint to_point(const JsonReader& json) {
  return {.tokens = count(json, "tokens"),
          .documents = count(json, "documents"),
          .document_begin = count(json, "document_begin"),
          .source_bytes = count(json, "source_bytes"),
          .tokens_crc = static_cast<std::uint32_t>(count(json, "tokens_crc")),
          .documents_crc = static_cast<std::uint32_t>(count(json, "documents_crc"))};
}

PackPosition to_position(const JsonReader& json) {
  PackPosition position{
      .file = count(json, "file"),
      .splitter = {.offset = count(json, "offset"), .next_try = count(json, "next_try"), .in_document = json.get_bool("in_document")},
      .read = count(json, "read"),
      .line = count(json, "line"),
      .part = static_cast<PackPart>(std::min<std::uint64_t>(count(json, "part"), 2)),
      .text = count(json, "text"),
      .segment = count(json, "segment"),
      .consumed = count(json, "consumed")};
  if (position.read < position.splitter.offset) throw InputError(in_data, "{}: contradicts itself", json.name());
  return position;
}

/// Of everything else in the journal.
std::string checksum_of(nlohmann::json journal) {
  journal.erase("checksum");
  return sha256_hex(journal.dump());
}

}  // namespace

std::string pack_journal_text(const PackIdentity& identity, const PackState& state) {
  using Json = nlohmann::json;
  Json journal{{"format", "isotrope pack journal"}, {"version", journal_version},          {"settings", identity.settings},
               {"inputs", identity.inputs},         {"position", to_json(state.position)}, {"skipped", state.skipped},
               {"replaced", state.replaced},        {"first_bad", state.first_bad},        {"train", to_json(state.train)}};
  if (state.validation) journal["validation"] = to_json(*state.validation);
  // A path in first_bad may hold bytes that are not UTF-8: they are replaced before the checksum is taken.
  journal = Json::parse(journal.dump(-1, ' ', false, Json::error_handler_t::replace));
  journal["checksum"] = checksum_of(journal);
  return journal.dump(2) + "\n";
}

PackState parse_pack_journal(std::string_view text, const std::string& name, const PackIdentity& identity) {
  const auto json = parse_json(text, in_data, name);
  const JsonReader journal(json, std::string(in_data), name);
  if (journal.get_string("format", "") != "isotrope pack journal") throw InputError(in_data, "{}: not a pack's journal", name);
  if (const auto version = journal.get_int("version"); version != journal_version)
    throw InputError(in_data, "{}: format version {}, this program goes on from {}", name, version, journal_version);
  if (journal.get_string("checksum", "") != checksum_of(json)) throw InputError(in_data, "{}: corrupt (checksum)", name);
  if (journal.get_string("settings") != identity.settings) throw InputError(in_data, "its options, tokenizer or program were others");
  if (journal.get_string("inputs") != identity.inputs) throw InputError(in_data, "its inputs were others, or have changed since");
  PackState state{.position = to_position(journal.get_object("position")),
                  .skipped = count(journal, "skipped"),
                  .replaced = count(journal, "replaced"),
                  .first_bad = journal.get_string("first_bad"),
                  .train = to_point(journal.get_object("train")),
                  .validation = std::nullopt};
  if (journal.has("validation")) state.validation = to_point(journal.get_object("validation"));
  return state;
}

}  // namespace isotrope
