// Vocabularies of GGUF files: docs/formats/gguf.md says which are read.
#include "isotrope/text/files/piece_vocabulary.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/text/files/ranked_vocabulary.h"
#include "isotrope/text/files/tokenizer_json.h"
#include "isotrope/text/steps/post_processor.h"
#include "isotrope/text/steps/pre_tokenizer.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using nlohmann::json;
using Type = ScoredVocabulary::Type;

namespace {

constexpr std::string_view in_vocabulary = "tokenizer";

// ---- pre-tokenizers by name ---------------------------------------------------------------------------------------

/// What llama.cpp's name of a pre-tokenizer stands for.
struct PreTokenizerName {
  std::string_view name;
  Pattern pattern;
  bool single_digits;  ///< every digit apart first (Digits of HF tokenizers), then the pattern
  bool ignore_merges, add_bos;
};

// The first of those that mean the same is the one that is written.
constexpr PreTokenizerName names[] = {
    {"gpt-2", Pattern::gpt2, false, false, false},     {"default", Pattern::gpt2, false, false, false},
    {"phi-2", Pattern::gpt2, false, false, false},     {"mpt", Pattern::gpt2, false, false, false},
    {"olmo", Pattern::gpt2, false, false, false},      {"jais", Pattern::gpt2, false, false, false},
    {"llama-bpe", Pattern::llama3, false, true, true}, {"llama3", Pattern::llama3, false, true, true},
    {"llama-v3", Pattern::llama3, false, true, true},  {"falcon3", Pattern::llama3, false, true, true},
    {"dbrx", Pattern::llama3, false, false, false},    {"smaug-bpe", Pattern::llama3, false, false, false},
    {"qwen2", Pattern::qwen2, false, false, false},    {"deepseek-r1-qwen", Pattern::qwen2, false, false, false},
    {"megrez", Pattern::qwen2, false, false, false},   {"stablelm2", Pattern::qwen2, false, false, false},
    {"smollm", Pattern::gpt2, true, false, false},     {"starcoder", Pattern::gpt2, true, false, false},
    {"refact", Pattern::gpt2, true, false, false},     {"command-r", Pattern::gpt2, true, false, false},
    {"codeshell", Pattern::gpt2, true, false, false},  {"exaone", Pattern::gpt2, true, false, false},
    {"minerva-7b", Pattern::gpt2, true, false, false},
};

json describe(const PreTokenizerName& name) {
  auto description = describe_pre_tokenizer(name.pattern);
  if (!name.single_digits) return description;
  return {{"type", "Sequence"},
          {"pretokenizers", json::array({{{"type", "Digits"}, {"individual_digits", true}}, std::move(description)})}};
}

const PreTokenizerName& named(const std::string& name, const std::string& file) {
  const auto found = std::ranges::find(names, name, &PreTokenizerName::name);
  if (found != std::end(names)) return *found;
  std::vector<std::string_view> known;
  for (const auto& each : names) known.push_back(each.name);
  throw InputError(in_vocabulary, "{}: tokenizer.ggml.pre \"{}\" is not supported (known: {})", file, name, fmt::join(known, ", "));
}

// ---- reading ------------------------------------------------------------------------------------------------------

std::optional<TokenId> special_id(const GgufFile& file, const char* name, std::size_t size) {
  const auto key = fmt::format("tokenizer.ggml.{}_token_id", name);
  if (!file.value(key)) return std::nullopt;
  const auto id = file.get_int(key);
  // 2^32 − 1 is how some writers say that there is none.
  if (id == UINT32_MAX) return std::nullopt;
  if (id < 0 || static_cast<std::uint64_t>(id) >= size)
    throw InputError(in_vocabulary, "{}: {} is {}, the vocabulary has {} tokens", file.path().string(), key, id, size);
  return static_cast<TokenId>(id);
}

std::optional<bool> flag(const GgufFile& file, const char* key) {
  return file.value(key) ? std::optional(file.get_bool(key, false)) : std::nullopt;
}

std::vector<Type> read_kinds(const GgufFile& file, std::size_t size) {
  const auto* key = "tokenizer.ggml.token_type";
  if (!file.value(key)) return std::vector(size, Type::normal);
  const auto numbers = file.get_ints(key);
  std::vector<Type> kinds;
  for (const auto number : numbers) {
    if (number < 1 || number > 6) throw InputError(in_vocabulary, "{}: {}: {} is no kind of token", file.path().string(), key, number);
    kinds.push_back(static_cast<Type>(number));
  }
  return kinds;
}

std::vector<float> read_scores(const GgufFile& file) {
  const auto* key = "tokenizer.ggml.scores";
  const auto* value = file.value(key);
  if (!value) return {};
  const auto* array = std::get_if<GgufArray>(value);
  const auto* scores = array ? std::get_if<std::vector<float>>(&array->elements) : nullptr;
  if (!scores) throw InputError(in_vocabulary, "{}: {}: expected an array of 32-bit floats", file.path().string(), key);
  return *scores;
}

void check_utf8_of(const PieceVocabulary& v, const std::vector<std::string>& texts, std::string_view what) {
  for (std::size_t i = 0; i < texts.size(); ++i)
    if (check_utf8(texts[i])) throw InputError(in_vocabulary, "{}: {} {} is not UTF-8", v.file, what, i);
}

void check_lengths(const PieceVocabulary& v) {
  if (v.pieces.empty() || v.pieces.size() > INT32_MAX)
    throw InputError(in_vocabulary, "{}: a vocabulary of {} tokens", v.file, v.pieces.size());
  if (v.kinds.size() != v.pieces.size())
    throw InputError(in_vocabulary, "{}: {} tokens, but {} kinds of them", v.file, v.pieces.size(), v.kinds.size());
  if (!v.scores.empty() && v.scores.size() != v.pieces.size())
    throw InputError(in_vocabulary, "{}: {} tokens, but {} scores", v.file, v.pieces.size(), v.scores.size());
}

}  // namespace

PieceVocabulary read_vocabulary(const GgufFile& file) {
  PieceVocabulary v{.file = file.path().string()};
  if (!file.value("tokenizer.ggml.model") || !file.value("tokenizer.ggml.tokens"))
    throw InputError(in_vocabulary, "{}: holds no vocabulary (tokenizer.ggml.model, tokenizer.ggml.tokens)", v.file);
  v.model = file.get_string("tokenizer.ggml.model");
  v.pre = file.get_string("tokenizer.ggml.pre", "default");
  if (v.pre == "default" && v.model == "gpt2")
    warn_once("gguf-pre " + v.file,
              fmt::format("[tokenizer] {}: does not say how text is cut into words (tokenizer.ggml.pre); GPT-2's way is taken, "
                          "which may give other ids than the model was trained with",
                          v.file));
  v.pieces = file.get_strings("tokenizer.ggml.tokens");
  v.kinds = read_kinds(file, v.pieces.size());
  v.scores = read_scores(file);
  if (file.value("tokenizer.ggml.merges")) v.merges = file.get_strings("tokenizer.ggml.merges");
  check_lengths(v);
  check_utf8_of(v, v.pieces, "token");
  if (v.merges) check_utf8_of(v, *v.merges, "merge");
  v.bos = special_id(file, "bos", v.pieces.size());
  v.eos = special_id(file, "eos", v.pieces.size());
  v.eot = special_id(file, "eot", v.pieces.size());
  v.unknown = special_id(file, "unknown", v.pieces.size());
  v.padding = special_id(file, "padding", v.pieces.size());
  v.cls = special_id(file, "cls", v.pieces.size());
  v.sep = special_id(file, "seperator", v.pieces.size());  // so it is spelled there
  v.mask = special_id(file, "mask", v.pieces.size());
  v.add_bos = flag(file, "tokenizer.ggml.add_bos_token");
  v.add_eos = flag(file, "tokenizer.ggml.add_eos_token");
  v.add_space_prefix = flag(file, "tokenizer.ggml.add_space_prefix");
  v.chat_template = replace_invalid_utf8(file.get_string("tokenizer.chat_template", ""));
  return v;
}

// ---- to a tokenizer -----------------------------------------------------------------------------------------------

namespace {

/// tokenizer.json's post-processor that puts BOS before and EOS after a text, or null.
json post_processor(const PieceVocabulary& v, bool add_bos, bool add_eos) {
  if (!add_bos && !add_eos) return nullptr;
  json single = json::array(), special = json::object();
  const auto add = [&](const std::optional<TokenId>& id, const char* name) {
    if (!id)
      throw InputError(in_vocabulary, "{}: tokenizer.ggml.add_{}_token is true, but there is no tokenizer.ggml.{}_token_id", v.file, name,
                       name);
    const auto& piece = v.pieces[static_cast<std::size_t>(*id)];
    single.push_back({{"SpecialToken", {{"id", piece}, {"type_id", 0}}}});
    special[piece] = {{"id", piece}, {"ids", {*id}}, {"tokens", {piece}}};
  };
  if (add_bos) add(v.bos, "bos");
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  if (add_eos) add(v.eos, "eos");
  json pair = single;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

json tokenizer_config(const PieceVocabulary& v) {
  json config{{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* key, const std::optional<TokenId>& id) {
    config[key] = id ? json(v.pieces[static_cast<std::size_t>(*id)]) : json();
  };
  name("bos_token", v.bos);
  name("eos_token", v.eos);
  if (v.cls) name("cls_token", v.cls);
  if (v.sep) name("sep_token", v.sep);
  if (v.mask) name("mask_token", v.mask);
  if (v.unknown) name("unk_token", v.unknown);
  if (v.padding) name("pad_token", v.padding);
  if (!v.chat_template.empty()) config["chat_template"] = v.chat_template;
  return config;
}

/// The tokenizer.json that says the same, read as any other.
TokenizerDefinition define_byte_level(const PieceVocabulary& v) {
  const auto& pre = named(v.pre, v.file);
  if (!v.merges) throw InputError(in_vocabulary, "{}: the vocabulary of kind gpt2 has no merges (tokenizer.ggml.merges)", v.file);
  json vocabulary = json::object(), added = json::array();
  for (std::size_t id = 0; id < v.pieces.size(); ++id) {
    if (!vocabulary.emplace(v.pieces[id], id).second)
      throw InputError(in_vocabulary, "{}: tokens {} and {} are both \"{}\"", v.file, vocabulary[v.pieces[id]].dump(), id, v.pieces[id]);
    if (v.kinds[id] == Type::control || v.kinds[id] == Type::user_defined)
      added.push_back({{"id", id}, {"content", v.pieces[id]}, {"special", v.kinds[id] == Type::control}, {"normalized", false}});
  }
  const json root{
      {"added_tokens", std::move(added)},
      {"pre_tokenizer", describe(pre)},
      {"post_processor", post_processor(v, v.add_bos.value_or(pre.add_bos && v.bos), v.add_eos.value_or(false))},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"ignore_merges", pre.ignore_merges}, {"vocab", std::move(vocabulary)}, {"merges", *v.merges}}}};
  return read_definition(root, v.file);
}

/// llama.cpp's spelling of WordPiece turned back: "▁the" begins a word, "the" continues one, "[CLS]" is as it is. Its tokenizer always takes
/// text in lowercase; here a vocabulary with capitals keeps them, as its model was trained.
TokenizerDefinition define_word_pieces(const PieceVocabulary& v) {
  constexpr std::string_view mark = "\u2581";
  json vocabulary = json::object(), added = json::array();
  bool capitals = false;
  for (std::size_t id = 0; id < v.pieces.size(); ++id) {
    const auto& piece = v.pieces[id];
    const bool bracketed = piece.size() > 2 && piece.starts_with('[') && piece.ends_with(']');
    const auto name = bracketed || v.kinds[id] != Type::normal ? piece : piece.starts_with(mark) ? piece.substr(mark.size()) : "##" + piece;
    if (!bracketed) capitals |= std::ranges::any_of(name, [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!vocabulary.emplace(name, id).second) throw InputError(in_vocabulary, "{}: the token \"{}\" is there twice", v.file, name);
    if (v.kinds[id] == Type::control || v.kinds[id] == Type::unknown) added.push_back({{"id", id}, {"content", name}, {"special", true}});
  }
  const auto name_of = [&](const std::optional<TokenId>& id, const char* usual) {
    return id ? v.pieces[static_cast<std::size_t>(*id)] : std::string(usual);
  };
  auto definition = define_bert_tokenizer(std::move(vocabulary), added,
                                          {.lowercase = !capitals,
                                           .cls = name_of(v.cls ? v.cls : v.bos, "[CLS]"),
                                           .sep = name_of(v.sep ? v.sep : v.eos, "[SEP]"),
                                           .unknown = name_of(v.unknown, "[UNK]")},
                                          v.file);
  definition.special.cls = v.cls;
  definition.special.sep = v.sep;
  definition.special.mask = v.mask;
  return definition;
}

TokenizerDefinition define_scored(const PieceVocabulary& v) {
  if (v.scores.empty()) throw InputError(in_vocabulary, "{}: the vocabulary of kind llama has no scores (tokenizer.ggml.scores)", v.file);
  ScoredVocabulary scored{.add_dummy_prefix = v.add_space_prefix.value_or(true), .add_bos = false, .file = v.file};
  for (std::size_t id = 0; id < v.pieces.size(); ++id) scored.pieces.push_back({v.pieces[id], v.scores[id], v.kinds[id]});
  auto definition = define_tokenizer(scored);
  definition.post_processor = post_processor(v, v.add_bos.value_or(v.bos.has_value()), v.add_eos.value_or(false));
  return definition;
}

}  // namespace

TokenizerDefinition define_tokenizer(const PieceVocabulary& vocabulary) {
  if (vocabulary.model != "gpt2" && vocabulary.model != "llama" && vocabulary.model != "bert")
    throw InputError(in_vocabulary, "{}: a vocabulary of kind \"{}\" is not supported (gpt2, llama, bert)", vocabulary.file,
                     vocabulary.model);
  auto definition = vocabulary.model == "gpt2"    ? define_byte_level(vocabulary)
                    : vocabulary.model == "llama" ? define_scored(vocabulary)
                                                  : define_word_pieces(vocabulary);
  definition.config = tokenizer_config(vocabulary);
  definition.special.bos = vocabulary.bos;
  definition.special.eos = vocabulary.eos;
  definition.special.pad = vocabulary.padding;
  if (vocabulary.unknown) definition.special.unk = vocabulary.unknown;
  return definition;
}

// ---- writing ------------------------------------------------------------------------------------------------------

namespace {

std::string_view model_name_of(const TokenizerDefinition& definition) {
  if (!definition.normalizer.is_null())
    throw InputError(in_vocabulary, "{}: GGUF has no place for this normalizer: {}", definition.file,
                     definition.normalizer.dump().substr(0, 200));
  const bool ignore_merges = std::get<BpeDefinition>(definition.model).ignore_merges;
  for (const auto& name : names)
    if (describe(name) == definition.pre_tokenizer && name.ignore_merges == ignore_merges) return name.name;
  throw InputError(in_vocabulary, "{}: GGUF has no name for this pre-tokenizer: {}", definition.file,
                   definition.pre_tokenizer.dump().substr(0, 200));
}

/// Whether the post-processor puts exactly `id` there, or nothing.
bool adds(const std::vector<TokenId>& ids, const std::optional<TokenId>& id, const TokenizerDefinition& definition) {
  if (ids.empty()) return false;
  if (ids.size() == 1 && id && ids.front() == *id) return true;
  throw InputError(in_vocabulary, "{}: GGUF cannot say what this post-processor adds to a text", definition.file);
}

}  // namespace

GgufMetadata vocabulary_metadata(const TokenizerDefinition& definition, std::size_t size) {
  if (!definition.joins_bytes() || !std::holds_alternative<BpeDefinition>(definition.model))
    throw InputError(in_vocabulary, "only byte-level BPE tokenizers are written to GGUF");
  auto pieces = definition.names;
  std::vector<std::int32_t> kinds(pieces.size(), static_cast<std::int32_t>(Type::normal));
  for (const auto& token : definition.added_tokens) {
    if (token.lstrip || token.rstrip || token.single_word)
      warn_once("strip " + definition.file + token.content,
                fmt::format("[{}] {}: lstrip, rstrip and single_word of token \"{}\" have no place in GGUF and are left out", in_vocabulary,
                            definition.file, token.content));
    kinds[static_cast<std::size_t>(token.id)] = static_cast<std::int32_t>(token.special ? Type::control : Type::user_defined);
  }
  kinds.resize(std::max(size, pieces.size()), static_cast<std::int32_t>(Type::unused));
  pieces.resize(kinds.size());
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    const bool absent = id >= definition.names.size() || (pieces[id].empty() && !definition.in_model[id]);
    if (!absent) continue;
    pieces[id] = fmt::format("[PAD{}]", id);
    kinds[id] = static_cast<std::int32_t>(Type::unused);
  }
  std::vector<std::string> merges;
  for (const auto& merge : std::get<BpeDefinition>(definition.model).merges)
    merges.push_back(definition.names[static_cast<std::size_t>(merge.left)] + " " +
                     definition.names[static_cast<std::size_t>(merge.right)]);

  const PostProcessor around(definition.post_processor, definition.names.size(), definition.file);
  const auto& special = definition.special;
  GgufMetadata metadata{{"tokenizer.ggml.model", std::string("gpt2")},
                        {"tokenizer.ggml.pre", std::string(model_name_of(definition))},
                        {"tokenizer.ggml.tokens", GgufArray{std::move(pieces)}},
                        {"tokenizer.ggml.token_type", GgufArray{std::move(kinds)}},
                        {"tokenizer.ggml.merges", GgufArray{std::move(merges)}},
                        {"tokenizer.ggml.add_bos_token", adds(around.before(), special.bos, definition)},
                        {"tokenizer.ggml.add_eos_token", adds(around.after(), special.eos, definition)}};
  const auto add_id = [&](const char* name, const std::optional<TokenId>& id) {
    if (id) metadata.emplace_back(fmt::format("tokenizer.ggml.{}_token_id", name), static_cast<std::uint32_t>(*id));
  };
  add_id("bos", special.bos);
  add_id("eos", special.eos);
  add_id("unknown", special.unk);
  add_id("padding", special.pad);
  if (definition.config.is_object() && definition.config.contains("chat_template") && definition.config["chat_template"].is_string())
    metadata.emplace_back("tokenizer.chat_template", definition.config["chat_template"].get<std::string>());
  return metadata;
}

}  // namespace isotrope
