// Reading tokenizer.json and tokenizer_config.json: docs/formats/tokenizer.md says what is honoured and what refused.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "isotrope/base/error.h"
#include "isotrope/text/files/sentencepiece_rules.h"
#include "isotrope/text/files/tokenizer_json.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/steps/json_field.h"
#include "isotrope/text/steps/pre_tokenizer.h"
#include "isotrope/text/steps/tokenizer_limits.h"

namespace isotrope {

using nlohmann::json;

namespace {

namespace field = json_field;

/// From here on no word is too long for a WordPiece model.
constexpr std::size_t unlimited_word = INT32_MAX;

/// Whether the model has a token for each byte. Those that stand in no UTF-8 may be absent unless `all`, as in GPT-NeoX's vocabulary.
bool has_every_byte(const TokenizerDefinition& definition, bool all) {
  std::vector<bool> present(256);
  for (int byte = 0; byte < 256; ++byte) present[byte] = !all && (byte == 0xC0 || byte == 0xC1 || byte >= 0xF5);
  for (std::size_t id = 0; id < definition.names.size(); ++id) {
    if (!definition.in_model[id]) continue;
    if (const auto bytes = unspell_bytes(definition.names[id]); bytes && bytes->size() == 1)
      present[static_cast<unsigned char>(bytes->front())] = true;
  }
  return std::ranges::find(present, false) == present.end();
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
    return std::move(definition_);
  }

 private:
  /// Null for a Sequence without parts, which does nothing.
  static json drop_empty(const json& normalizer) {
    const bool empty =
        normalizer.is_object() && field::find(normalizer, "type") == "Sequence" && field::find(normalizer, "normalizers") == json::array();
    return empty ? json() : normalizer;
  }

  void read_model(const json& model) {
    const auto& added = field::find(root_, "added_tokens");
    if (!added.is_null()) read_added_tokens(field::array(added, "added_tokens", file_));
    // Older files do not name the type.
    const auto& named = field::find(model, "type");
    const auto type = named.is_null() ? usual_type(model) : field::text(named, "type", file_);
    if (type == "Unigram") return read_unigram(model);
    if (type != "WordPiece" && type != "BPE" && type != "WordLevel")
      throw InputError("tokenizer", "{}: model {} is not supported, only BPE, WordPiece, WordLevel and Unigram", file_, type);
    const auto& vocabulary = field::object(field::at(model, "vocab", file_), "model.vocab", file_);
    read_names(vocabulary);
    if (type == "WordPiece") read_word_piece(model, vocabulary);
    else if (type == "BPE") read_bpe(model, vocabulary);
    else read_word_level(model, vocabulary);
  }

  static const char* usual_type(const json& model) {
    if (field::find(model, "vocab").is_array()) return "Unigram";
    if (model.contains("merges")) return "BPE";
    return model.contains("continuing_subword_prefix") ? "WordPiece" : "WordLevel";
  }

  void read_word_level(const json& model, const json& vocabulary) {
    const auto& unknown = field::find(model, "unk_token");
    const auto found = vocabulary.find(unknown.is_null() ? "<unk>" : field::text(unknown, "unk_token", file_));
    definition_.model = WordLevelDefinition{.unknown = found == vocabulary.end() ? no_token : found->get<TokenId>()};
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
    const auto name = unknown.is_null() ? "[UNK]" : field::text(unknown, "unk_token", file_);
    // The longest match over bytes, in the words of a WordPiece model: RWKV's.
    pieces.byte_level = pieces.prefix.empty() && pieces.longest_word >= unlimited_word && spells_bytes(definition_.pre_tokenizer) &&
                        has_every_byte(definition_, true);
    pieces.unknown = pieces.byte_level && !vocabulary.contains(name) ? no_token : unknown_token(name, vocabulary);
    definition_.model = std::move(pieces);
  }

  void read_unigram(const json& model) {
    UnigramDefinition unigram;
    const auto& list = field::array(field::at(model, "vocab", file_), "model.vocab", file_);
    if (list.size() > INT32_MAX / 2) throw InputError("tokenizer", "{}: {} pieces are more than ids can count", file_, list.size());
    std::unordered_map<std::string_view, TokenId> ids;
    definition_.names.reserve(list.size() + definition_.added_tokens.size());
    for (const auto& entry : list) {
      const auto id = definition_.names.size();
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
        throw InputError("tokenizer", "{}: model.vocab: piece {}: expected [text, score], got {}", file_, id, entry.dump().substr(0, 60));
      definition_.names.push_back(entry[0].get<std::string>());
      unigram.scores.push_back(entry[1].get<double>());
      check_piece(definition_.names.back(), unigram.scores.back(), id);
      ids[entry[0].get_ref<const std::string&>()] = static_cast<TokenId>(id);  // of equal pieces the last counts, as in HF tokenizers
    }
    definition_.in_model.assign(definition_.names.size(), true);
    for (const auto& token : definition_.added_tokens) {
      const auto found = ids.find(token.content);
      const auto expected = found == ids.end() ? static_cast<std::size_t>(token.id) : static_cast<std::size_t>(found->second);
      if (expected != static_cast<std::size_t>(token.id))
        throw InputError("tokenizer", "{}: added token \"{}\" has id {}, and {} in the vocabulary", file_, token.content, token.id,
                         expected);
      if (found == ids.end()) added_beside_pieces_.push_back(&token);
    }
    place_added_tokens();
    unigram.byte_fallback = field::flag(model, "byte_fallback", false, file_);
    if (const auto& unknown = field::find(model, "unk_id"); !unknown.is_null()) {
      const auto id = field::integer(unknown, "unk_id", file_);
      if (id < 0 || static_cast<std::size_t>(id) >= list.size())
        throw InputError("tokenizer", "{}: unk_id is {}, but there are {} pieces", file_, id, list.size());
      unigram.unknown = static_cast<TokenId>(id);
    }
    definition_.model = std::move(unigram);
    definition_.sentencepiece = read_sentencepiece_rules(model, definition_);
  }

  void place_added_tokens() {
    const auto limit = 2 * (definition_.names.size() + added_beside_pieces_.size()) + 262'144;
    taken_.assign(definition_.names.size(), true);
    for (const auto* token : added_beside_pieces_) {
      const auto id = static_cast<std::size_t>(token->id);
      if (id >= limit)
        throw InputError("tokenizer", "{}: added token \"{}\" has id {}, but beside {} pieces ids must be below {}", file_, token->content,
                         id, definition_.in_model.size(), limit);
      if (id >= taken_.size()) {
        taken_.resize(id + 1);
        definition_.names.resize(id + 1);
        definition_.in_model.resize(id + 1);
      }
      if (taken_[id])
        throw InputError("tokenizer", "{}: tokens \"{}\" and \"{}\" have the same id {}", file_, definition_.names[id], token->content, id);
      taken_[id] = true;
      definition_.names[id] = token->content;
    }
  }

  void check_piece(const std::string& piece, double score, std::size_t id) const {
    constexpr std::size_t longest = 8000;  // sentencepiece's limit, too: the time of encoding grows with the longest piece
    if (piece.size() >= longest)
      throw InputError("tokenizer", "{}: piece {} has {} bytes, the limit is {}", file_, id, piece.size(), longest);
    if (!(std::abs(score) <= 1e30)) throw InputError("tokenizer", "{}: piece {} has the score {}, out of range", file_, id, score);
  }

  TokenId unknown_token(const std::string& name, const json& vocabulary) const {
    const auto found = vocabulary.find(name);
    if (found == vocabulary.end()) throw InputError("tokenizer", "{}: the vocabulary lacks the unk_token \"{}\"", file_, name);
    return found->get<TokenId>();
  }

  void read_bpe(const json& model, const json& vocabulary) {
    auto& bpe = std::get<BpeDefinition>(definition_.model);
    const auto& dropout = field::find(model, "dropout");
    if (!dropout.is_null() && dropout != 0) throw InputError("tokenizer", "{}: dropout is not supported", file_);
    const auto affix = [&](const char* key) {
      const auto& value = field::find(model, key);
      return value.is_null() ? std::string() : field::text(value, key, file_);
    };
    bpe.prefix = affix("continuing_subword_prefix");
    bpe.suffix = affix("end_of_word_suffix");
    if (!std::ranges::all_of(bpe.prefix, [](char c) { return static_cast<unsigned char>(c) < 0x80; }))
      throw InputError("tokenizer", "{}: continuing_subword_prefix \"{}\" is not ASCII, which is not supported", file_, bpe.prefix);
    bpe.ignore_merges = field::flag(model, "ignore_merges", false, file_);
    bpe.byte_fallback = field::flag(model, "byte_fallback", false, file_);
    bpe.fuse_unknown = field::flag(model, "fuse_unk", false, file_);
    read_merges(field::array(field::at(model, "merges", file_), "model.merges", file_), vocabulary);
    const auto& unknown = field::find(model, "unk_token");
    // Words of bytes are encoded as bytes where nothing can be unknown, or what is drops out.
    const bool drops = unknown.is_null() && !bpe.byte_fallback;
    bpe.byte_level = spells_bytes(definition_.pre_tokenizer) && bpe.prefix.empty() && bpe.suffix.empty() &&
                     (drops || has_every_byte(definition_, false));
    if (bpe.byte_level) bpe.byte_fallback = bpe.fuse_unknown = false;
    else if (!unknown.is_null()) bpe.unknown = unknown_token(field::text(unknown, "unk_token", file_), vocabulary);
    definition_.sentencepiece = bpe.byte_level ? std::nullopt : read_sentencepiece_rules(model, definition_);
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

  /// Names by id. Ids without a token are few enough that the list of names is no burden.
  void read_names(const json& vocabulary) {
    expect_ids_of_added_tokens(vocabulary);
    const auto count = vocabulary.size() + definition_.added_tokens.size();
    const auto limit = 2 * count + 262'144;
    const auto place = [&](std::int64_t id, const std::string& name, bool in_model) {
      if (id < 0 || static_cast<std::size_t>(id) >= limit)
        throw InputError("tokenizer", "{}: token \"{}\" has id {}, but {} tokens must have ids from 0 to {}", file_, name, id, count,
                         limit - 1);
      const auto index = static_cast<std::size_t>(id);
      if (index >= taken_.size()) {
        taken_.resize(index + 1);
        definition_.names.resize(index + 1);
        definition_.in_model.resize(index + 1);
      }
      if (taken_[index])
        throw InputError("tokenizer", "{}: tokens \"{}\" and \"{}\" have the same id {}", file_, definition_.names[index], name, id);
      taken_[index] = true;
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

  /// An added token that is not in the vocabulary gets an id behind it in `tokenizers`, whatever the file says.
  void expect_ids_of_added_tokens(const json& vocabulary) const {
    const auto size = static_cast<std::int64_t>(vocabulary.size());
    std::int64_t next = size;
    for (const auto& token : definition_.added_tokens) {
      if (!vocabulary.contains(token.content) && token.id != next)
        throw InputError("tokenizer", "{}: added token \"{}\" has id {}, where tokenizers gives it {}, as the vocabulary lacks it", file_,
                         token.content, token.id, next);
      if (token.id >= next) next = token.id + 1;
    }
  }

  void read_merges(const json& merges, const json& vocabulary) {
    auto& read = std::get<BpeDefinition>(definition_.model).merges;
    const auto prefix_size = std::get<BpeDefinition>(definition_.model).prefix.size();
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
      if (right.size() < prefix_size)
        throw InputError("tokenizer", "{}: merge {}: \"{}\" is shorter than continuing_subword_prefix", file_, rank, right);
      read.push_back({id_of(rank, left), id_of(rank, right), id_of(rank, left + right.substr(prefix_size))});
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
  std::vector<bool> taken_;                             ///< by id
  std::vector<const AddedToken*> added_beside_pieces_;  ///< of a Unigram model
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
