// Reading tokenizer.json and tokenizer_config.json: docs/formats/tokenizer.md says what is honoured and what refused.
#include <algorithm>
#include <charconv>

#include "isotrope/base/error.h"
#include "isotrope/text/byte_alphabet.h"
#include "isotrope/text/json_field.h"
#include "isotrope/text/tokenizer_definition.h"
#include "isotrope/text/tokenizer_limits.h"

namespace isotrope {

using nlohmann::json;

namespace {

namespace field = json_field;

/// Where bytes without a token would become the unknown one, which is not built, there must be none. Those that stand in no UTF-8 may be
/// absent, as in GPT-NeoX's vocabulary.
void expect_every_byte(const TokenizerDefinition& definition) {
  std::vector<bool> present(256);
  for (int byte = 0; byte < 256; ++byte) present[byte] = byte == 0xC0 || byte == 0xC1 || byte >= 0xF5;
  for (std::size_t id = 0; id < definition.names.size(); ++id) {
    if (!definition.in_model[id]) continue;
    if (const auto bytes = unspell_bytes(definition.names[id]); bytes && bytes->size() == 1)
      present[static_cast<unsigned char>(bytes->front())] = true;
  }
  const auto missing = std::ranges::find(present, false);
  if (missing != present.end())
    throw InputError("tokenizer", "{}: the vocabulary has no token for byte {:#04x}, and unk_token is not supported there", definition.file,
                     missing - present.begin());
}

/// Reads one tokenizer.json into a definition, top to bottom.
class Reader {
 public:
  Reader(const json& root, std::string_view file) : root_(root), file_(file) { definition_.file = file; }

  TokenizerDefinition read() {
    field::object(root_, "the file", file_);
    read_truncation(definition_.truncation = field::find(root_, "truncation"), file_);
    read_padding(definition_.padding = field::find(root_, "padding"), file_);
    definition_.normalizer = drop_empty(field::find(root_, "normalizer"));
    definition_.pre_tokenizer = field::find(root_, "pre_tokenizer");
    definition_.post_processor = field::find(root_, "post_processor");
    definition_.decoder = field::find(root_, "decoder");
    read_model(field::object(field::at(root_, "model", file_), "model", file_));
    if (definition_.is_byte_level()) expect_byte_level_decoder(definition_.decoder);
    return std::move(definition_);
  }

 private:
  /// Null for a Sequence without parts, which does nothing.
  static json drop_empty(const json& normalizer) {
    const bool empty =
        normalizer.is_object() && field::find(normalizer, "type") == "Sequence" && field::find(normalizer, "normalizers") == json::array();
    return empty ? json() : normalizer;
  }

  /// Whether a component, or one in its Sequence, is ByteLevel.
  static bool is_byte_level(const json& component, const char* parts) {
    if (!component.is_object()) return false;
    if (field::find(component, "type") == "ByteLevel") return true;
    const auto& list = field::find(component, parts);
    return list.is_array() && std::ranges::any_of(list, [&](const json& part) { return is_byte_level(part, parts); });
  }

  void expect_byte_level_decoder(const json& decoder) const {
    if (decoder.is_null()) throw InputError("tokenizer", "{}: the decoder is null; a byte-level model needs ByteLevel", file_);
    const auto type = field::type(decoder, "decoder", file_);
    if (type == "ByteLevel") return;
    if (type != "Sequence") throw InputError("tokenizer", "{}: decoder {} is not supported after a byte-level model", file_, type);
    const auto& parts = field::array(field::at(decoder, "decoders", file_), "decoders", file_);
    if (parts.size() != 1)
      throw InputError("tokenizer", "{}: a Sequence of {} decoders is not supported after a byte-level model, only ByteLevel", file_,
                       parts.size());
    expect_byte_level_decoder(parts.front());
  }

  void read_model(const json& model) {
    const auto& vocabulary = field::object(field::at(model, "vocab", file_), "model.vocab", file_);
    const auto& added = field::find(root_, "added_tokens");
    if (!added.is_null()) read_added_tokens(field::array(added, "added_tokens", file_));
    // Older files do not name the type.
    const auto& named = field::find(model, "type");
    const auto type = named.is_null() ? (model.contains("merges") ? "BPE" : "WordPiece") : field::text(named, "type", file_);
    if (type == "WordPiece") {
      read_names(vocabulary);
      read_word_piece(model, vocabulary);
    } else if (type == "BPE") {
      read_bpe(model, vocabulary);
    } else {
      throw InputError("tokenizer", "{}: model {} is not supported, only BPE and WordPiece", file_, type);
    }
  }

  void read_word_piece(const json& model, const json& vocabulary) {
    WordPieceDefinition pieces;
    const auto& prefix = field::find(model, "continuing_subword_prefix");
    if (!prefix.is_null()) pieces.prefix = field::text(prefix, "continuing_subword_prefix", file_);
    const auto& longest = field::find(model, "max_input_chars_per_word");
    if (!longest.is_null()) {
      const auto characters = field::integer(longest, "max_input_chars_per_word", file_);
      if (characters < 0) throw InputError("tokenizer", "{}: max_input_chars_per_word is {}, below 0", file_, characters);
      pieces.longest_word = static_cast<std::size_t>(characters);
    }
    const auto& unknown = field::find(model, "unk_token");
    pieces.unknown = unknown_token(unknown.is_null() ? "[UNK]" : field::text(unknown, "unk_token", file_), vocabulary);
    definition_.model = std::move(pieces);
  }

  TokenId unknown_token(const std::string& name, const json& vocabulary) const {
    const auto found = vocabulary.find(name);
    if (found == vocabulary.end()) throw InputError("tokenizer", "{}: the vocabulary lacks the unk_token \"{}\"", file_, name);
    return found->get<TokenId>();
  }

  void read_bpe(const json& model, const json& vocabulary) {
    auto& bpe = std::get<BpeDefinition>(definition_.model);
    bpe.byte_level = is_byte_level(definition_.pre_tokenizer, "pretokenizers") || is_byte_level(definition_.decoder, "decoders");
    refuse_model_options(model);
    bpe.ignore_merges = field::flag(model, "ignore_merges", false, file_);
    read_names(vocabulary);
    read_merges(field::array(field::at(model, "merges", file_), "model.merges", file_), vocabulary);
    if (bpe.byte_level) return field::find(model, "unk_token").is_null() ? void() : expect_every_byte(definition_);
    bpe.byte_fallback = field::flag(model, "byte_fallback", false, file_);
    bpe.fuse_unknown = field::flag(model, "fuse_unk", false, file_);
    const auto& unknown = field::find(model, "unk_token");
    if (!unknown.is_null()) bpe.unknown = unknown_token(field::text(unknown, "unk_token", file_), vocabulary);
  }

  /// In a byte-level model unk_token and fuse_unk may stand there where every byte has a token, so that nothing is unknown.
  void refuse_model_options(const json& model) const {
    if (definition_.is_byte_level() && field::flag(model, "byte_fallback", false, file_))
      throw InputError("tokenizer", "{}: byte_fallback is not supported in a byte-level model", file_);
    const auto& dropout = field::find(model, "dropout");
    if (!dropout.is_null() && dropout != 0) throw InputError("tokenizer", "{}: dropout is not supported", file_);
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const auto& value = field::find(model, key);
      if (!value.is_null() && value != "") throw InputError("tokenizer", "{}: {} is not supported", file_, key);
    }
  }

  void read_added_tokens(const json& tokens) {
    for (const auto& entry : tokens) {
      field::object(entry, "added_tokens", file_);
      AddedToken token;
      token.content = field::text(field::at(entry, "content", file_), "content", file_);
      token.id = checked_id(field::integer(field::at(entry, "id", file_), "id", file_), token.content);
      token.special = field::flag(entry, "special", false, file_);
      token.normalized = field::flag(entry, "normalized", !token.special, file_);
      token.single_word = field::flag(entry, "single_word", false, file_);
      token.lstrip = field::flag(entry, "lstrip", false, file_);
      token.rstrip = field::flag(entry, "rstrip", false, file_);
      if (token.content.empty()) throw InputError("tokenizer", "{}: added token {} is empty", file_, token.id);
      definition_.added_tokens.push_back(std::move(token));
    }
  }

  TokenId checked_id(std::int64_t id, std::string_view token) const {
    if (id < 0 || id > INT32_MAX) throw InputError("tokenizer", "{}: token \"{}\" has id {}, out of range", file_, token, id);
    return static_cast<TokenId>(id);
  }

  /// Names by id. As many distinct ids below `total` as there are tokens means that there are no holes.
  void read_names(const json& vocabulary) {
    std::size_t total = vocabulary.size();
    for (const auto& token : definition_.added_tokens) total += !vocabulary.contains(token.content);
    definition_.names.resize(total);
    definition_.in_model.resize(total);
    std::vector<bool> taken(total);
    const auto place = [&](std::int64_t id, const std::string& name, bool in_model) {
      if (id < 0 || static_cast<std::size_t>(id) >= total)
        throw InputError("tokenizer", "{}: token \"{}\" has id {}, but {} tokens must have the ids 0 to {} without holes", file_, name, id,
                         total, total - 1);
      const auto index = static_cast<std::size_t>(id);
      if (taken[index])
        throw InputError("tokenizer", "{}: tokens \"{}\" and \"{}\" have the same id {}", file_, definition_.names[index], name, id);
      taken[index] = true;
      definition_.names[index] = name;
      definition_.in_model[index] = in_model;
    };
    for (const auto& [name, id] : vocabulary.items()) place(field::integer(id, "model.vocab: " + name, file_), name, true);
    for (const auto& token : definition_.added_tokens) {
      const auto found = vocabulary.find(token.content);
      if (found == vocabulary.end()) place(token.id, token.content, false);
      else if (*found != token.id)
        throw InputError("tokenizer", "{}: added token \"{}\" has id {}, and {} in the vocabulary", file_, token.content, token.id,
                         found->dump());
    }
  }

  void read_merges(const json& merges, const json& vocabulary) {
    auto& read = std::get<BpeDefinition>(definition_.model).merges;
    read.reserve(merges.size());
    const auto id_of = [&](std::size_t rank, const std::string& name) {
      const auto found = vocabulary.find(name);
      if (found == vocabulary.end())
        throw InputError("tokenizer", "{}: merge {} has the token \"{}\", which the vocabulary lacks", file_, rank, name);
      return found->get<TokenId>();
    };
    for (const auto& merge : merges) {
      const auto [left, right] = merge_names(merge, read.size());
      const auto rank = read.size();
      read.push_back({id_of(rank, left), id_of(rank, right), id_of(rank, left + right)});
    }
  }

  /// Either spelling: "a b" or ["a", "b"].
  std::pair<std::string, std::string> merge_names(const json& merge, std::size_t rank) const {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) return {merge[0], merge[1]};
    if (merge.is_string()) {
      const auto text = merge.get<std::string>();
      const auto space = text.find(' ');
      if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
        return {text.substr(0, space), text.substr(space + 1)};
    }
    throw InputError("tokenizer", "{}: merge {}: expected \"left right\" or [\"left\", \"right\"], got {}", file_, rank,
                     merge.dump().substr(0, 60));
  }

  const json& root_;
  std::string_view file_;
  TokenizerDefinition definition_;
};

std::optional<TokenId> find_id(const TokenizerDefinition& definition, std::string_view name) {
  const auto found = std::ranges::find(definition.names, name);
  if (found == definition.names.end()) return std::nullopt;
  return static_cast<TokenId>(found - definition.names.begin());
}

constexpr std::pair<const char*, std::optional<TokenId> SpecialTokens::*> named_tokens[] = {
    {"bos_token", &SpecialTokens::bos}, {"eos_token", &SpecialTokens::eos},   {"cls_token", &SpecialTokens::cls},
    {"sep_token", &SpecialTokens::sep}, {"mask_token", &SpecialTokens::mask}, {"pad_token", &SpecialTokens::pad},
    {"unk_token", &SpecialTokens::unk}};

}  // namespace

std::optional<unsigned char> fallback_byte(std::string_view name) {
  unsigned byte = 0;
  if (name.size() != 6 || !name.starts_with("<0x") || name[5] != '>') return std::nullopt;
  const auto [end, error] = std::from_chars(name.data() + 3, name.data() + 5, byte, 16);
  if (error != std::errc{} || end != name.data() + 5) return std::nullopt;
  return static_cast<unsigned char>(byte);
}

TokenizerDefinition read_definition(const json& root, std::string_view file) { return Reader(root, file).read(); }

TokenizerDefinition read_tokenizer_json(std::string_view text, std::string_view file) {
  return read_definition(field::parse(text, file), file);
}

void read_tokenizer_config(TokenizerDefinition& definition, std::string_view text, std::string_view file) {
  auto config = field::parse(text, file);
  field::object(config, "the file", file);
  for (const auto& [key, token] : named_tokens) {
    const auto& value = field::find(config, key);
    if (!config.contains(key)) continue;
    definition.special.*token = std::nullopt;
    if (!value.is_null())
      definition.special.*token =
          find_id(definition, field::text(value.is_object() ? field::at(value, "content", file) : value, key, file));
  }
  definition.config = std::move(config);
}

void find_usual_special_tokens(TokenizerDefinition& definition) {
  const auto usual = [&](const char* key, std::optional<TokenId> SpecialTokens::* token, std::initializer_list<const char*> names) {
    if (definition.config.is_object() && definition.config.contains(key)) return;
    for (const auto* name : names)
      if (!(definition.special.*token)) definition.special.*token = find_id(definition, name);
  };
  usual("bos_token", &SpecialTokens::bos, {"<|begin_of_text|>", "<s>", "<|endoftext|>"});
  usual("eos_token", &SpecialTokens::eos, {"<|endoftext|>", "<|end_of_text|>", "</s>"});
  usual("cls_token", &SpecialTokens::cls, {"[CLS]"});
  usual("sep_token", &SpecialTokens::sep, {"[SEP]"});
  usual("mask_token", &SpecialTokens::mask, {"[MASK]", "<mask>"});
  usual("pad_token", &SpecialTokens::pad, {"[PAD]", "<pad>"});
  usual("unk_token", &SpecialTokens::unk, {"[UNK]", "<unk>"});
}

}  // namespace isotrope
