// Finding a tokenizer on disk: tokenizer.json, GPT-2's vocabulary and merges files, BERT's vocab.txt, scored vocabularies, models of one
// file, run folders, names in the hub cache; and the byte tokenizer.
#include <algorithm>
#include <charconv>
#include <map>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/io/compressed.h"
#include "isotrope/io/hub_cache.h"
#include "isotrope/io/model_path.h"
#include "isotrope/text/files/piece_vocabulary.h"
#include "isotrope/text/files/ranked_vocabulary.h"
#include "isotrope/text/files/scored_vocabulary.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/steps/json_field.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using nlohmann::json;

namespace {

void read_config_beside(TokenizerDefinition& definition, const fs::path& folder) {
  const auto config = folder / "tokenizer_config.json", map = folder / "special_tokens_map.json", chat = folder / "chat_template.jinja";
  if (fs::exists(config)) read_tokenizer_config(definition, read_file(config, "tokenizer"), config.string());
  if (fs::exists(map)) {
    // Older folders name bos and eos here alone; what tokenizer_config.json says goes first.
    auto merged = json_field::parse(read_file(map, "tokenizer"), map.string());
    if (definition.config.is_object() && merged.is_object()) merged.update(definition.config);
    read_tokenizer_config(definition, merged.dump(), map.string());
  }
  // transformers 5 keeps the template in a file of its own; saved, it lies in tokenizer_config.json, where every version finds it.
  const auto more = folder / "additional_chat_templates";
  if (!fs::exists(chat) && !fs::is_directory(more)) return;
  if (definition.config.is_null()) {
    find_usual_special_tokens(definition);
    definition.config = json::parse(write_tokenizer_config(definition));
  }
  std::vector<std::pair<std::string, fs::path>> templates;
  if (fs::exists(chat)) templates.emplace_back("default", chat);
  if (fs::is_directory(more))
    for (const auto& entry : fs::directory_iterator(more))
      if (entry.path().extension() == ".jinja") templates.emplace_back(entry.path().stem().string(), entry.path());
  std::ranges::sort(templates);
  const auto text_of = [](const fs::path& path) { return replace_invalid_utf8(read_file(path, "tokenizer")); };
  if (templates.size() == 1 && templates.front().first == "default") definition.config["chat_template"] = text_of(chat);
  else if (!templates.empty()) {
    auto all = json::array();
    for (const auto& [name, path] : templates) all.push_back({{"name", name}, {"template", text_of(path)}});
    definition.config["chat_template"] = std::move(all);
  }
}

std::shared_ptr<const Tokenizer> load_json(const fs::path& path) {
  auto definition = read_tokenizer_json(read_file(path, "tokenizer"), path.string());
  read_config_beside(definition, path.parent_path());
  return make_tokenizer(std::move(definition));
}

/// The lines of merges.txt: "left right", after a first line "#version…".
json merges_of(const fs::path& path) {
  const auto text = read_file(path, "tokenizer");
  if (const auto broken = check_utf8(text)) throw InputError("tokenizer", "{}: byte {} is not UTF-8", path.string(), *broken);
  auto merges = json::array();
  for (std::size_t start = 0; start < text.size();) {
    const auto end = std::min(text.find('\n', start), text.size());
    auto line = std::string_view(text).substr(start, end - start);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !(start == 0 && line.starts_with("#version"))) merges.push_back(line);
    start = end + 1;
  }
  return merges;
}

/// The tokenizer.json that says the same as a vocabulary and a merges file; <|endoftext|> is special when the vocabulary has it.
std::shared_ptr<const Tokenizer> load_vocabulary_and_merges(const fs::path& vocabulary_path, const fs::path& merges_path) {
  const auto name = vocabulary_path.string();
  auto vocabulary = json_field::parse(read_file(vocabulary_path, "tokenizer"), name);
  json added = json::array();
  if (const auto& id = json_field::find(json_field::object(vocabulary, "the file", name), "<|endoftext|>"); !id.is_null())
    added.push_back({{"id", id}, {"content", "<|endoftext|>"}, {"special", true}});
  const json root{{"added_tokens", added},
                  {"pre_tokenizer", describe_pre_tokenizer(Pattern::gpt2)},
                  {"decoder", {{"type", "ByteLevel"}}},
                  {"model", {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", merges_of(merges_path)}}}};
  auto definition = read_definition(root, name);
  read_config_beside(definition, vocabulary_path.parent_path());
  return make_tokenizer(std::move(definition));
}

/// The lines of vocab.txt as a vocabulary: each is a token, and its number from 0 the id.
json vocabulary_of_lines(const fs::path& path) {
  const auto text = read_file(path, "tokenizer");
  if (const auto broken = check_utf8(text)) throw InputError("tokenizer", "{}: byte {} is not UTF-8", path.string(), *broken);
  auto vocabulary = json::object();
  for (std::size_t start = 0, line = 0; start < text.size(); ++line) {
    const auto end = std::min(text.find('\n', start), text.size());
    auto token = std::string_view(text).substr(start, end - start);
    if (token.ends_with('\r')) token.remove_suffix(1);
    if (!vocabulary.emplace(token, line).second)
      throw InputError("tokenizer", "{}: line {}: the token \"{}\" stands on an earlier line too", path.string(), line + 1, token);
    start = end + 1;
  }
  return vocabulary;
}

/// The name of a special token in tokenizer_config.json: a string, or an object with "content".
std::string name_in(const json& config, const char* key, const char* usual, const std::string& file) {
  const auto& named = json_field::find(config, key);
  const auto& value = named.is_object() ? json_field::at(named, "content", file) : named;
  return value.is_null() ? std::string(usual) : json_field::text(value, key, file);
}

/// The tokens that BERT's configuration names, and its added_tokens_decoder, as tokenizer.json lists them.
json bert_added_tokens(const json& config, const json& vocabulary, const std::string& file) {
  std::map<std::int64_t, json> by_id;
  const auto& described = json_field::find(config, "added_tokens_decoder");
  if (!described.is_null()) {
    for (const auto& [id, entry] : json_field::object(described, "added_tokens_decoder", file).items()) {
      auto token = json_field::object(entry, "added_tokens_decoder", file);
      std::int64_t number = 0;
      if (const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
          error != std::errc{} || end != id.data() + id.size())
        throw InputError("tokenizer", "{}: added_tokens_decoder: expected an id, got \"{}\"", file, id);
      token["id"] = number;
      by_id[number] = std::move(token);
    }
  }
  for (const auto& [key, usual] : {std::pair{"pad_token", "[PAD]"},
                                   {"unk_token", "[UNK]"},
                                   {"cls_token", "[CLS]"},
                                   {"sep_token", "[SEP]"},
                                   {"mask_token", "[MASK]"}}) {
    const auto name = name_in(config, key, usual, file);
    if (const auto found = vocabulary.find(name); found != vocabulary.end())
      by_id.try_emplace(found->get<std::int64_t>(), json{{"id", *found}, {"content", name}, {"special", true}});
  }
  auto tokens = json::array();
  for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
  return tokens;
}

/// BERT's vocab.txt with its tokenizer_config.json (do_lower_case, strip_accents, tokenize_chinese_chars, the names of the special tokens).
std::shared_ptr<const Tokenizer> load_vocabulary_lines(const fs::path& path) {
  const auto config_path = path.parent_path() / "tokenizer_config.json";
  const auto config_name = config_path.string();
  const auto config = fs::exists(config_path) ? json_field::parse(read_file(config_path, "tokenizer"), config_name) : json::object();
  json_field::object(config, "the file", config_name);
  auto vocabulary = vocabulary_of_lines(path);
  const auto added = bert_added_tokens(config, vocabulary, config_name);
  const auto name_of = [&](const char* key, const char* usual) { return name_in(config, key, usual, config_name); };
  auto definition = define_bert_tokenizer(std::move(vocabulary), added,
                                          {.lowercase = json_field::flag(config, "do_lower_case", true, config_name),
                                           .handle_chinese_chars = json_field::flag(config, "tokenize_chinese_chars", true, config_name),
                                           .strip_accents = json_field::find(config, "strip_accents"),
                                           .cls = name_of("cls_token", "[CLS]"),
                                           .sep = name_of("sep_token", "[SEP]"),
                                           .unknown = name_of("unk_token", "[UNK]")},
                                          path.string());
  read_config_beside(definition, path.parent_path());
  return make_tokenizer(std::move(definition));
}

/// The file's text, decompressed when its name ends in .gz and the like.
std::string read_text(const fs::path& path) {
  constexpr std::size_t limit = 1 << 26;
  const auto source = open_source(path, "tokenizer");
  std::string text(limit + 1, '\0');
  text.resize(source->read(text));
  if (text.size() > limit) throw InputError("tokenizer", "{}: more than {} bytes", path.string(), limit);
  return text;
}

/// Vocabularies that are lists of byte strings or merges.
std::shared_ptr<const Tokenizer> load_ranked(const fs::path& path) {
  const auto text = read_text(path);
  const auto file = path.string();
  auto definition = path.extension() == ".tiktoken"    ? read_tiktoken_vocabulary(text, path.stem().string(), file)
                    : looks_like_rwkv_vocabulary(text) ? read_rwkv_vocabulary(text, file)
                                                       : read_clip_merges(text, file);
  read_config_beside(definition, path.parent_path());
  return make_tokenizer(std::move(definition));
}

bool is_clip_merges(const fs::path& path) { return without_compression(path).filename() == "bpe_simple_vocab_16e6.txt"; }

bool is_rwkv_vocabulary(const fs::path& path) {
  if (path.extension() != ".txt" || !fs::is_regular_file(path)) return false;
  const MappedFile map(path, "tokenizer");
  return looks_like_rwkv_vocabulary(map.text());
}

/// The only file of the folder that is a vocabulary of one of these kinds, or nothing.
std::optional<fs::path> ranked_vocabulary_in(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".tiktoken" || is_clip_merges(entry.path()) ||
        (entry.path().filename().string().starts_with("rwkv_vocab") && is_rwkv_vocabulary(entry.path())))
      found.push_back(entry.path());
  return found.size() == 1 ? std::optional(found.front()) : std::nullopt;
}

std::shared_ptr<const Tokenizer> load_scored(const fs::path& path) {
  const auto bytes = read_file(path, "tokenizer");
  auto vocabulary =
      path.extension() == ".bin" ? read_llama2c_vocabulary(bytes, path.string()) : read_sentencepiece_model(bytes, path.string());
  if (const auto config_path = path.parent_path() / "tokenizer_config.json"; fs::exists(config_path)) {
    const auto config = json_field::parse(read_file(config_path, "tokenizer"), config_path.string());
    vocabulary.add_bos =
        json_field::flag(json_field::object(config, "the file", config_path.string()), "add_bos_token", true, config_path.string());
    if (json_field::flag(config, "add_eos_token", false, config_path.string()))
      throw InputError("tokenizer", "{}: add_eos_token beside {} is not supported", config_path.string(), path.filename().string());
  }
  auto definition = define_tokenizer(vocabulary);
  read_config_beside(definition, path.parent_path());
  return make_tokenizer(std::move(definition));
}

/// llama2.c keeps the vocabulary in a file of its own: tokenizer.bin beside the model, or the only tok….bin. `path` itself where it is
/// called so, or begins as one does: the longest length, a score, 5, <unk>.
fs::path llama2c_vocabulary_of(const fs::path& path) {
  const auto is_named_so = [](const fs::path& file) { return file.extension() == ".bin" && file.filename().string().starts_with("tok"); };
  const MappedFile map(path, "tokenizer");
  if (is_named_so(path) || (map.text().size() > 12 && map.text().substr(12).starts_with("<unk>"))) return path;
  const auto folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (fs::exists(folder / "tokenizer.bin")) return folder / "tokenizer.bin";
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_named_so(entry.path())) found.push_back(entry.path());
  if (found.size() == 1) return found.front();
  throw InputError("tokenizer", "{}: no vocabulary beside it: expected tokenizer.bin, or one file tok….bin", path.string());
}

std::shared_ptr<const Tokenizer> load_file(const fs::path& path) {
  if (path.extension() == ".tiktoken" || is_clip_merges(path) || is_rwkv_vocabulary(path)) return load_ranked(path);
  if (path.extension() == ".txt") return load_vocabulary_lines(path);
  if (path.extension() == ".gguf") return make_tokenizer(define_tokenizer(read_vocabulary(GgufFile(path))));
  if (path.extension() == ".model") return load_scored(path);
  if (path.extension() == ".bin") return load_scored(llama2c_vocabulary_of(path));
  return load_json(path);
}

}  // namespace

std::shared_ptr<const Tokenizer> parse_tokenizer(std::string_view tokenizer_json, std::string_view tokenizer_config,
                                                 std::string_view file) {
  auto definition = read_tokenizer_json(tokenizer_json, file);
  if (!tokenizer_config.empty()) read_tokenizer_config(definition, tokenizer_config, "tokenizer_config.json");
  return make_tokenizer(std::move(definition));
}

std::shared_ptr<const Tokenizer> load_tokenizer(const fs::path& asked) {
  if (asked == "bytes") return byte_tokenizer();
  const auto path = path_or_snapshot(asked, "tokenizer");
  if (!fs::is_directory(path)) return load_file(path);
  if (fs::exists(path / "tokenizer.json")) return load_json(path / "tokenizer.json");
  for (const auto& [vocabulary, merges] : {std::pair{"vocab.json", "merges.txt"}, std::pair{"encoder.json", "vocab.bpe"}})
    if (fs::exists(path / vocabulary) && fs::exists(path / merges)) return load_vocabulary_and_merges(path / vocabulary, path / merges);
  for (const char* name : {"vocab.txt", "tokenizer.model", "tokenizer.bin"})
    if (fs::exists(path / name)) return load_file(path / name);
  if (const auto file = ranked_vocabulary_in(path)) return load_file(*file);
  if (const auto file = single_file_model(path)) return load_file(*file);
  if (const auto checkpoint = newest_checkpoint(path)) return load_json(*checkpoint / "tokenizer.json");
  throw with_hint(InputError("tokenizer",
                             "{}: no tokenizer here: expected tokenizer.json, vocab.json and merges.txt, vocab.txt, tokenizer.model, a "
                             ".tiktoken or a .gguf file",
                             path.string()),
                  path == asked ? "isotrope tokenizer train makes one from text; the name bytes stands for the byte tokenizer"
                                : HubName::parse(asked.string()).value().download_command());
}

std::shared_ptr<const Tokenizer> byte_tokenizer() {
  static const auto tokenizer = [] {
    TokenizerDefinition definition;
    for (int byte = 0; byte < 256; ++byte) definition.names.push_back(spell_bytes(std::string(1, static_cast<char>(byte))));
    definition.names.push_back("<|endoftext|>");
    definition.in_model.assign(257, true);
    definition.added_tokens.push_back({.id = 256, .content = "<|endoftext|>", .special = true});
    definition.pre_tokenizer = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
    definition.decoder = {{"type", "ByteLevel"}};
    definition.file = "bytes";
    definition.special.bos = definition.special.eos = 256;
    return std::make_shared<const PipelineTokenizer>(std::move(definition));
  }();
  return tokenizer;
}

}  // namespace isotrope
