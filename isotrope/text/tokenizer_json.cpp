// Reading tokenizer.json and tokenizer_config.json: docs/formats/tokenizer.md says what is honoured and what refused.
#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/text/byte_alphabet.h"
#include "isotrope/text/byte_level_bpe.h"
#include "isotrope/text/json_field.h"

namespace isotrope {

using nlohmann::json;

namespace {

namespace field = json_field;

/// Reads one tokenizer.json into a definition, top to bottom.
class Reader {
 public:
  Reader(const json& root, std::string_view file) : root_(root), file_(file) { definition_.file = file; }

  BpeDefinition read() {
    field::object(root_, "the file", file_);
    refuse_unless_null("truncation");
    refuse_unless_null("padding");
    read_normalizer(field::find(root_, "normalizer"));
    read_model(field::object(field::at(root_, "model", file_), "model", file_));
    definition_.pre_tokenizer = field::find(root_, "pre_tokenizer");
    definition_.post_processor = field::find(root_, "post_processor");
    if (!definition_.post_processor.is_null()) read_post_processor(definition_.post_processor);
    read_decoder(field::find(root_, "decoder"), "decoder");
    return std::move(definition_);
  }

 private:
  void refuse_unless_null(const char* key) const {
    if (!field::find(root_, key).is_null()) throw InputError("tokenizer", "{}: {} is not supported", file_, key);
  }

  void read_normalizer(const json& normalizer) const {
    if (normalizer.is_null()) return;
    const auto type = field::type(normalizer, "normalizer", file_);
    if (type != "Sequence") throw InputError("tokenizer", "{}: normalizer {} is not supported", file_, type);
    for (const auto& part : field::array(field::at(normalizer, "normalizers", file_), "normalizers", file_)) read_normalizer(part);
  }

  void read_decoder(const json& decoder, std::string_view what) const {
    if (decoder.is_null())
      throw InputError("tokenizer", "{}: the {} is null; only byte-level tokenizers (ByteLevel) are read", file_, what);
    const auto type = field::type(decoder, what, file_);
    if (type == "ByteLevel") return;
    if (type != "Sequence") throw InputError("tokenizer", "{}: {} {} is not supported", file_, what, type);
    const auto& parts = field::array(field::at(decoder, "decoders", file_), "decoders", file_);
    if (parts.size() != 1)
      throw InputError("tokenizer", "{}: a Sequence of {} decoders is not supported, only ByteLevel", file_, parts.size());
    read_decoder(parts.front(), what);
  }

  void read_model(const json& model) {
    if (const auto& type = field::find(model, "type"); !type.is_null() && type != "BPE")
      throw InputError("tokenizer", "{}: model {} is not supported, only BPE", file_, field::text(type, "type", file_));
    refuse_model_options(model);
    definition_.ignore_merges = field::flag(model, "ignore_merges", false, file_);
    const auto& vocabulary = field::object(field::at(model, "vocab", file_), "model.vocab", file_);
    const auto& added = field::find(root_, "added_tokens");
    if (!added.is_null()) read_added_tokens(field::array(added, "added_tokens", file_));
    read_names(vocabulary);
    read_merges(field::array(field::at(model, "merges", file_), "model.merges", file_), vocabulary);
    if (!field::find(model, "unk_token").is_null()) expect_every_byte();
  }

  /// With an unk_token bytes would become it; that is not built, so there must be none without a token.
  void expect_every_byte() const {
    std::vector<bool> present(256);
    for (std::size_t id = 0; id < definition_.names.size(); ++id) {
      if (!definition_.in_model[id]) continue;
      if (const auto bytes = unspell_bytes(definition_.names[id]); bytes && bytes->size() == 1)
        present[static_cast<unsigned char>(bytes->front())] = true;
    }
    const auto missing = std::ranges::find(present, false);
    if (missing != present.end())
      throw InputError("tokenizer", "{}: the vocabulary has no token for byte {:#04x}, and unk_token is not supported", file_,
                       missing - present.begin());
  }

  void refuse_model_options(const json& model) const {
    if (field::flag(model, "byte_fallback", false, file_)) throw InputError("tokenizer", "{}: byte_fallback is not supported", file_);
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
    definition_.merges.reserve(merges.size());
    const auto id_of = [&](std::size_t rank, const std::string& name) {
      const auto found = vocabulary.find(name);
      if (found == vocabulary.end())
        throw InputError("tokenizer", "{}: merge {} has the token \"{}\", which the vocabulary lacks", file_, rank, name);
      return found->get<TokenId>();
    };
    for (const auto& merge : merges) {
      const auto [left, right] = merge_names(merge, definition_.merges.size());
      const auto rank = definition_.merges.size();
      definition_.merges.push_back({id_of(rank, left), id_of(rank, right), id_of(rank, left + right)});
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

  void read_post_processor(const json& processor) {
    const auto type = field::type(processor, "post_processor", file_);
    if (type == "ByteLevel") return;  // moves offsets, not ids
    if (type == "TemplateProcessing") return read_template(processor);
    if (type != "Sequence") throw InputError("tokenizer", "{}: post_processor {} is not supported", file_, type);
    for (const auto& part : field::array(field::at(processor, "processors", file_), "processors", file_)) read_post_processor(part);
  }

  void read_template(const json& processor) {
    std::vector<TokenId> before, after;
    int sequences = 0;
    const auto& special = field::object(field::at(processor, "special_tokens", file_), "special_tokens", file_);
    for (const auto& piece : field::array(field::at(processor, "single", file_), "single", file_)) {
      field::object(piece, "single", file_);
      if (piece.contains("Sequence")) {
        ++sequences;
        continue;
      }
      const auto& token = field::object(field::at(piece, "SpecialToken", file_), "SpecialToken", file_);
      const auto name = field::text(field::at(token, "id", file_), "SpecialToken.id", file_);
      for (const auto& id : template_ids(special, name)) (sequences ? after : before).push_back(id);
    }
    if (sequences != 1)
      throw InputError("tokenizer", "{}: TemplateProcessing with {} sequences in \"single\" is not supported, only 1", file_, sequences);
    definition_.before.insert(definition_.before.begin(), before.begin(), before.end());
    definition_.after.insert(definition_.after.end(), after.begin(), after.end());
  }

  std::vector<TokenId> template_ids(const json& special, const std::string& name) const {
    const auto found = special.find(name);
    if (found == special.end()) throw InputError("tokenizer", "{}: TemplateProcessing has no ids for \"{}\"", file_, name);
    std::vector<TokenId> ids;
    for (const auto& id : field::array(field::at(field::object(*found, name, file_), "ids", file_), "ids", file_)) {
      const auto value = field::integer(id, "ids", file_);
      if (value < 0 || static_cast<std::size_t>(value) >= definition_.names.size())
        throw InputError("tokenizer", "{}: TemplateProcessing: \"{}\" has id {}, but the vocabulary has {} tokens", file_, name, value,
                         definition_.names.size());
      ids.push_back(static_cast<TokenId>(value));
    }
    return ids;
  }

  const json& root_;
  std::string_view file_;
  BpeDefinition definition_;
};

std::optional<TokenId> find_id(const BpeDefinition& definition, std::string_view name) {
  const auto found = std::ranges::find(definition.names, name);
  if (found == definition.names.end()) return std::nullopt;
  return static_cast<TokenId>(found - definition.names.begin());
}

}  // namespace

BpeDefinition read_definition(const json& root, std::string_view file) { return Reader(root, file).read(); }

BpeDefinition read_tokenizer_json(std::string_view text, std::string_view file) { return read_definition(field::parse(text, file), file); }

void read_tokenizer_config(BpeDefinition& definition, std::string_view text, std::string_view file) {
  auto config = field::parse(text, file);
  field::object(config, "the file", file);
  const auto named = [&](const char* key) -> std::optional<TokenId> {
    const auto& value = field::find(config, key);
    if (value.is_null()) return std::nullopt;
    return find_id(definition, field::text(value.is_object() ? field::at(value, "content", file) : value, key, file));
  };
  if (config.contains("bos_token")) definition.bos = named("bos_token");
  if (config.contains("eos_token")) definition.eos = named("eos_token");
  definition.config = std::move(config);
}

void find_usual_bos_and_eos(BpeDefinition& definition) {
  const auto first_of = [&](std::initializer_list<const char*> names) -> std::optional<TokenId> {
    for (const auto* name : names)
      if (const auto id = find_id(definition, name)) return id;
    return std::nullopt;
  };
  const auto told = [&](const char* key) { return definition.config.is_object() && definition.config.contains(key); };
  if (!told("bos_token")) definition.bos = first_of({"<|begin_of_text|>", "<s>", "<|endoftext|>"});
  if (!told("eos_token")) definition.eos = first_of({"<|endoftext|>", "<|end_of_text|>", "</s>"});
}

}  // namespace isotrope
