#include "isotrope/text/byte_level_bpe.h"

#include <algorithm>
#include <exception>
#include <thread>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/text/byte_alphabet.h"
#include "isotrope/text/sha256.h"
#include "isotrope/text/utf8.h"

namespace isotrope {

namespace {

/// What each id stands for: an added token for its written form, a model token for its bytes.
std::vector<std::string> written_forms(const BpeDefinition& definition) {
  std::vector<std::string> bytes;
  bytes.reserve(definition.names.size());
  for (const auto& name : definition.names) bytes.push_back(unspell_bytes(name).value_or(name));
  for (const auto& token : definition.added_tokens) bytes[static_cast<std::size_t>(token.id)] = token.content;
  return bytes;
}

/// SHA-256 of numbers and texts, each text with its length so that no two sequences of them look alike.
class Digest {
 public:
  void number(std::int64_t value) { hash_.add({reinterpret_cast<const char*>(&value), sizeof value}); }
  void text(std::string_view bytes) {
    number(static_cast<std::int64_t>(bytes.size()));
    hash_.add(bytes);
  }
  std::string hex() { return hash_.hex(); }

 private:
  Sha256 hash_;
};

/// The bytes of valid UTF-8 that no token of the model stands for.
std::array<bool, 256> absent_bytes(const BpeDefinition& definition) {
  std::array<bool, 256> absent{};
  for (int byte = 0; byte < 256; ++byte) absent[static_cast<std::size_t>(byte)] = byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
  for (std::size_t id = 0; id < definition.names.size(); ++id) {
    if (!definition.in_model[id]) continue;
    if (const auto bytes = unspell_bytes(definition.names[id]); bytes && bytes->size() == 1)
      absent[static_cast<unsigned char>(bytes->front())] = false;
  }
  return absent;
}

}  // namespace

BpeModel::Parts bpe_parts(const BpeDefinition& definition) {
  BpeModel::Parts parts;
  for (std::size_t id = 0; id < definition.names.size(); ++id) {
    if (!definition.in_model[id]) continue;
    const auto model_bytes = unspell_bytes(definition.names[id]);
    if (!model_bytes) continue;  // a name outside the byte alphabet: no text reaches it through the model
    if (model_bytes->size() == 1) parts.byte_ids[static_cast<unsigned char>(model_bytes->front())] = static_cast<TokenId>(id);
    parts.words.emplace_back(*model_bytes, static_cast<TokenId>(id));
  }
  parts.merges = definition.merges;
  parts.ignore_merges = definition.ignore_merges;
  return parts;
}

ByteLevelBpe::ByteLevelBpe(BpeDefinition definition)
    : definition_(std::move(definition)),
      pre_tokenizer_(definition_.pre_tokenizer, definition_.file),
      added_(definition_.added_tokens),
      model_(bpe_parts(definition_)),
      bytes_(written_forms(definition_)),
      special_(definition_.names.size()),
      absent_(absent_bytes(definition_)),
      any_absent_(std::ranges::count(absent_, true) > 0) {
  for (const auto& token : definition_.added_tokens) special_[static_cast<std::size_t>(token.id)] = token.special;
  ids_.reserve(definition_.names.size());
  for (std::size_t id = 0; id < definition_.names.size(); ++id) ids_.emplace(definition_.names[id], static_cast<TokenId>(id));
  cuttable_ = added_.allow_cuts_before_spaces() && pre_tokenizer_.allows_cuts_before_spaces(model_.is_plain_bytes());
}

bool ByteLevelBpe::has_absent_byte(std::string_view text) const {
  return any_absent_ && std::ranges::any_of(text, [&](char c) { return absent_[static_cast<unsigned char>(c)]; });
}

void ByteLevelBpe::encode_text(std::string_view text, bool parse_special, std::vector<TokenId>& ids) const {
  BpeModel::Worker worker(model_);
  const auto pattern = pre_tokenizer_.only_pattern();
  added_.split(text, parse_special, [&](std::string_view stretch, const AddedToken* token) {
    if (token) return ids.push_back(token->id);
    const bool drops = has_absent_byte(stretch);
    if (pattern && !drops) return worker.encode(*pattern, stretch, ids);
    if (drops) warn_once("absent-bytes", fmt::format("[tokenizer] {}: bytes of the text that have no token are dropped", definition_.file));
    pre_tokenizer_.for_each_word(stretch, [&](std::string_view word) {
      if (!has_absent_byte(word)) return worker.encode_word(word, ids);
      std::string rest(word);  // what is left of a word merges across the gap
      std::erase_if(rest, [&](char c) { return absent_[static_cast<unsigned char>(c)]; });
      if (!rest.empty()) worker.encode_word(rest, ids);
    });
  });
}

std::vector<TokenId> ByteLevelBpe::encode(std::string_view text, const EncodeOptions& options) const {
  return encode_parallel(text, 1, options);
}

std::size_t ByteLevelBpe::safe_cut(std::string_view text, std::size_t position) const {
  if (!cuttable_) return text.size();
  for (std::size_t i = std::max<std::size_t>(position, 1); i < text.size(); ++i) {
    const char before = text[i - 1];
    if (text[i] == ' ' && ((before >= 'a' && before <= 'z') || (before >= 'A' && before <= 'Z'))) return i;
  }
  return text.size();
}

std::vector<TokenId> ByteLevelBpe::encode_parallel(std::string_view text, int threads, const EncodeOptions& options) const {
  std::string repaired;
  if (check_utf8(text)) {
    warn_once("utf8", "the text has bytes that are not UTF-8; they become U+FFFD");
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  constexpr std::size_t least_part = 1 << 16;  // below this a thread costs more than it brings
  const auto parts_wanted = std::clamp<std::size_t>(text.size() / least_part, 1, static_cast<std::size_t>(std::max(threads, 1)));
  std::vector<std::size_t> cuts{0};
  for (std::size_t part = 1; part < parts_wanted; ++part)
    cuts.push_back(safe_cut(text, std::max(cuts.back(), text.size() / parts_wanted * part)));
  cuts.push_back(text.size());

  std::vector<std::vector<TokenId>> parts(cuts.size() - 1);
  std::vector<std::exception_ptr> errors(parts.size());
  const auto work = [&](std::size_t part) {
    try {
      const auto slice = text.substr(cuts[part], cuts[part + 1] - cuts[part]);
      if (part == 0 && options.add_special_tokens) parts[part] = definition_.before;
      encode_text(slice, options.parse_special_tokens, parts[part]);
    } catch (...) {
      errors[part] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> workers;
    for (std::size_t part = 1; part < parts.size(); ++part) workers.emplace_back(work, part);
    work(0);
  }
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
  auto ids = std::move(parts.front());
  for (std::size_t part = 1; part < parts.size(); ++part) ids.insert(ids.end(), parts[part].begin(), parts[part].end());
  if (options.add_special_tokens) ids.insert(ids.end(), definition_.after.begin(), definition_.after.end());
  return ids;
}

void ByteLevelBpe::check_id(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= vocab_size())
    throw InputError("tokenizer", "id {} is out of range: the vocabulary has {} tokens", id, vocab_size());
}

std::string ByteLevelBpe::token_bytes(TokenId id) const {
  check_id(id);
  return bytes_[static_cast<std::size_t>(id)];
}

bool ByteLevelBpe::is_special(TokenId id) const {
  check_id(id);
  return special_[static_cast<std::size_t>(id)];
}

std::optional<TokenId> ByteLevelBpe::find(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

void ByteLevelBpe::save(const std::filesystem::path& folder) const {
  write_file(folder / "tokenizer.json", write_tokenizer_json(definition_), "tokenizer");
  write_file(folder / "tokenizer_config.json", write_tokenizer_config(definition_), "tokenizer");
}

std::string ByteLevelBpe::fingerprint() const {
  Digest digest;
  digest.text("isotrope byte-level bpe 1");
  digest.number(static_cast<std::int64_t>(definition_.names.size()));
  for (std::size_t id = 0; id < definition_.names.size(); ++id) {
    digest.text(definition_.names[id]);
    digest.number(definition_.in_model[id]);
  }
  digest.number(static_cast<std::int64_t>(definition_.merges.size()));
  for (const auto& merge : definition_.merges) digest.number(merge.left), digest.number(merge.right);
  digest.number(definition_.ignore_merges);
  digest.text(definition_.pre_tokenizer.dump());
  for (const auto& token : definition_.added_tokens) {
    digest.text(token.content);
    for (const bool flag : {token.single_word, token.lstrip, token.rstrip, token.normalized, token.special}) digest.number(flag);
    digest.number(token.id);
  }
  for (const auto* ids : {&definition_.before, &definition_.after}) {
    digest.number(static_cast<std::int64_t>(ids->size()));
    for (const auto id : *ids) digest.number(id);
  }
  return digest.hex();
}

}  // namespace isotrope
