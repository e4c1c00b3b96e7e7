#include "isotrope/text/steps/post_processor.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/text/steps/json_field.h"

namespace isotrope {

using nlohmann::json;
namespace field = json_field;

/// Reads pieces of templates, with what their errors need.
class PostProcessor::Reader {
 public:
  Reader(std::size_t vocab_size, std::string_view file) : vocab_size_(vocab_size), file_(file) {}

  std::string_view file() const { return file_; }

  Template read(const json& description, const char* key, const json& special) const {
    Template pieces;
    for (const auto& piece : field::array(field::at(description, key, file_), key, file_)) {
      field::object(piece, key, file_);
      if (piece.contains("Sequence")) {
        const auto& sequence = field::object(piece["Sequence"], "Sequence", file_);
        const auto name = field::text(field::at(sequence, "id", file_), "Sequence.id", file_);
        if (name != "A" && name != "B")
          throw InputError("tokenizer", "{}: TemplateProcessing: expected sequence A or B, got \"{}\"", file_, name);
        pieces.push_back({.kind = name == "A" ? Piece::Kind::first : Piece::Kind::second, .type = type_of(sequence)});
        continue;
      }
      const auto& token = field::object(field::at(piece, "SpecialToken", file_), "SpecialToken", file_);
      const auto name = field::text(field::at(token, "id", file_), "SpecialToken.id", file_);
      const auto ids = ids_of(special, name);
      const auto names = names_of(special, name, ids.size());
      for (std::size_t i = 0; i < ids.size(); ++i) pieces.push_back({.id = ids[i], .type = type_of(token), .name = names[i]});
    }
    return pieces;
  }

  /// "cls" and "sep" of BertProcessing and RobertaProcessing: [name, id].
  Piece named(const json& description, const char* key, std::int32_t type) const {
    const auto& pair = field::array(field::at(description, key, file_), key, file_);
    if (pair.size() != 2) throw InputError("tokenizer", "{}: {}: expected [name, id], got {} entries", file_, key, pair.size());
    const auto name = field::text(pair[0], key, file_);
    return {.id = checked(field::integer(pair[1], key, file_), name), .type = type, .name = name};
  }

 private:
  std::int32_t type_of(const json& piece) const {
    const auto& type = field::find(piece, "type_id");
    const auto value = type.is_null() ? 0 : field::integer(type, "type_id", file_);
    if (value < 0 || value > 255) throw InputError("tokenizer", "{}: type_id {} is out of range", file_, value);
    return static_cast<std::int32_t>(value);
  }

  std::vector<TokenId> ids_of(const json& special, const std::string& name) const {
    const auto found = special.find(name);
    if (found == special.end()) throw InputError("tokenizer", "{}: TemplateProcessing has no ids for \"{}\"", file_, name);
    std::vector<TokenId> ids;
    for (const auto& id : field::array(field::at(field::object(*found, name, file_), "ids", file_), "ids", file_))
      ids.push_back(checked(field::integer(id, "ids", file_), name));
    return ids;
  }

  /// The names of a special token's ids, which the file gives beside them.
  std::vector<std::string> names_of(const json& special, const std::string& name, std::size_t count) const {
    const auto& tokens = field::find(special[name], "tokens");
    if (tokens.is_null()) return std::vector<std::string>(count, name);
    std::vector<std::string> names;
    for (const auto& token : field::array(tokens, "tokens", file_)) names.push_back(field::text(token, "tokens", file_));
    if (names.size() != count)
      throw InputError("tokenizer", "{}: TemplateProcessing: \"{}\" has {} ids and {} tokens", file_, name, count, names.size());
    return names;
  }

  TokenId checked(std::int64_t id, std::string_view name) const {
    if (id < 0 || static_cast<std::uint64_t>(id) >= vocab_size_)
      throw InputError("tokenizer", "{}: post_processor: \"{}\" has id {}, but the vocabulary has {} tokens", file_, name, id, vocab_size_);
    return static_cast<TokenId>(id);
  }

  std::size_t vocab_size_;
  std::string_view file_;
};

PostProcessor::PostProcessor(const json& description, std::size_t vocab_size, std::string_view file)
    : single_{{.kind = Piece::Kind::first}}, pair_{{.kind = Piece::Kind::first}, {.kind = Piece::Kind::second, .type = 1}} {
  is_null_ = description.is_null();
  if (!is_null_) read(description, Reader(vocab_size, file));
}

void PostProcessor::read(const json& description, const Reader& reader) {
  const auto file = reader.file();
  const auto type = field::type(description, "post_processor", file);
  const Piece first{.kind = Piece::Kind::first}, second{.kind = Piece::Kind::second};
  const auto trimming = [&](Step::Kind kind) -> Step {
    return {kind, field::flag(description, "trim_offsets", true, file), field::flag(description, "add_prefix_space", true, file)};
  };
  if (type == "Sequence") {
    for (const auto& part : field::array(field::at(description, "processors", file), "processors", file)) read(part, reader);
  } else if (type == "TemplateProcessing") {
    const auto& special = field::object(field::at(description, "special_tokens", file), "special_tokens", file);
    set(reader.read(description, "single", special), description.contains("pair") ? reader.read(description, "pair", special) : Template{},
        reader);
    steps_.push_back({});
  } else if (type == "BertProcessing") {
    const auto cls = reader.named(description, "cls", 0), sep = reader.named(description, "sep", 0);
    const Piece second_of_type_1{.kind = Piece::Kind::second, .type = 1};
    set({cls, first, sep}, {cls, first, sep, second_of_type_1, reader.named(description, "sep", 1)}, reader);
    steps_.push_back({.kind = Step::Kind::bert});
  } else if (type == "RobertaProcessing") {
    const auto cls = reader.named(description, "cls", 0), sep = reader.named(description, "sep", 0);
    set({cls, first, sep}, {cls, first, sep, sep, second, sep}, reader);
    steps_.push_back(trimming(Step::Kind::roberta));
  } else if (type == "ByteLevel") {
    steps_.push_back(trimming(Step::Kind::byte_level));
  } else {
    throw InputError("tokenizer", "{}: post_processor {} is not supported", file, type);
  }
}

void PostProcessor::set(Template single, Template pair, const Reader& reader) {
  const auto count = [](const Template& pieces, Piece::Kind kind) { return std::ranges::count(pieces, kind, &Piece::kind); };
  if (is_set_) throw InputError("tokenizer", "{}: a Sequence of two post_processors that add tokens is not supported", reader.file());
  if (count(single, Piece::Kind::first) + count(single, Piece::Kind::second) != 1)
    throw InputError("tokenizer", "{}: TemplateProcessing with {} sequences in \"single\" is not supported, only 1", reader.file(),
                     count(single, Piece::Kind::first) + count(single, Piece::Kind::second));
  if (!pair.empty() && (count(pair, Piece::Kind::first) != 1 || count(pair, Piece::Kind::second) != 1))
    throw InputError("tokenizer", "{}: TemplateProcessing: expected each of A and B once in \"pair\"", reader.file());
  is_set_ = true;
  single_ = std::move(single);
  pair_ = std::move(pair);
  auto* ids = &before_;
  for (const auto& piece : single_) {
    if (piece.kind == Piece::Kind::token) ids->push_back(piece.id);
    else ids = &after_;
  }
}

void cut_longest_first(std::size_t most, std::size_t& first, std::size_t& second) {
  auto& shorter = first <= second ? first : second;
  auto& longer = first <= second ? second : first;
  if (shorter > most) longer = shorter;
  else longer = std::min(longer, std::max(shorter, most - shorter));
  if (shorter + longer <= most) return;
  shorter = most / 2;
  longer = shorter + most % 2;
}

TokenSequence PostProcessor::assemble(std::vector<TokenId> first, std::optional<std::vector<TokenId>> second,
                                      const EncodeOptions& options) const {
  const auto& pieces = second ? pair_ : single_;
  if (pieces.empty()) throw InputError("tokenizer", "the post_processor has no template for pairs of texts");
  const auto is_token = [](const Piece& piece) { return piece.kind == Piece::Kind::token; };
  const auto added = options.add_special_tokens ? static_cast<std::size_t>(std::ranges::count_if(pieces, is_token)) : 0;
  if (options.max_length > 0) {
    if (added > options.max_length)
      throw UsageError("tokenizer", "a length of {} has no room for the {} special tokens around a text", options.max_length, added);
    const auto most = options.max_length - added;
    auto first_size = first.size(), second_size = second ? second->size() : 0;
    if (!second) first_size = std::min(first_size, most);
    else if (first_size + second_size > most) cut_longest_first(most, first_size, second_size);
    first.resize(first_size);
    if (second) second->resize(second_size);
  }
  TokenSequence result;
  const auto put = [&](const std::vector<TokenId>& ids, std::int32_t type) {
    result.ids.insert(result.ids.end(), ids.begin(), ids.end());
    result.types.resize(result.ids.size(), type);
  };
  for (const auto& piece : pieces) {
    if (piece.kind == Piece::Kind::second && second) put(*second, piece.type);
    else if (!is_token(piece)) put(first, piece.type);
    else if (options.add_special_tokens) put({piece.id}, piece.type);
  }
  return result;
}

}  // namespace isotrope
