// Finding a tokenizer on disk: tokenizer.json, GPT-2's vocabulary and merges files, models of one file, run folders; and the byte tokenizer.
#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/io/model_path.h"
#include "isotrope/text/byte_alphabet.h"
#include "isotrope/text/byte_level_bpe.h"
#include "isotrope/text/json_field.h"
#include "isotrope/text/piece_vocabulary.h"
#include "isotrope/text/utf8.h"

namespace isotrope {

using nlohmann::json;

namespace {

std::shared_ptr<const Tokenizer> finish(BpeDefinition definition) {
  find_usual_bos_and_eos(definition);
  return std::make_shared<ByteLevelBpe>(std::move(definition));
}

void read_config_beside(BpeDefinition& definition, const fs::path& folder) {
  const auto config = folder / "tokenizer_config.json", map = folder / "special_tokens_map.json", chat = folder / "chat_template.jinja";
  if (fs::exists(config)) read_tokenizer_config(definition, read_file(config, "tokenizer"), config.string());
  if (fs::exists(map)) {
    // Older folders name bos and eos here alone; what tokenizer_config.json says goes first.
    auto merged = json_field::parse(read_file(map, "tokenizer"), map.string());
    if (definition.config.is_object() && merged.is_object()) merged.update(definition.config);
    read_tokenizer_config(definition, merged.dump(), map.string());
  }
  // transformers 5 keeps the template in a file of its own; saved, it lies in tokenizer_config.json, where every version finds it.
  if (fs::exists(chat) && definition.config.is_object())
    definition.config["chat_template"] = replace_invalid_utf8(read_file(chat, "tokenizer"));
}

std::shared_ptr<const Tokenizer> load_json(const fs::path& path) {
  auto definition = read_tokenizer_json(read_file(path, "tokenizer"), path.string());
  read_config_beside(definition, path.parent_path());
  return finish(std::move(definition));
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
  return finish(std::move(definition));
}

/// llama2.c keeps the vocabulary in a file of its own, beside the model: tokenizer.bin, or the only tok….bin.
fs::path llama2c_vocabulary_of(const fs::path& path) {
  const auto is_vocabulary = [](const fs::path& file) { return file.extension() == ".bin" && file.filename().string().starts_with("tok"); };
  if (is_vocabulary(path)) return path;
  const auto folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (fs::exists(folder / "tokenizer.bin")) return folder / "tokenizer.bin";
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_vocabulary(entry.path())) found.push_back(entry.path());
  if (found.size() == 1) return found.front();
  throw InputError("tokenizer", "{}: no vocabulary beside it: expected tokenizer.bin, or one file tok….bin", path.string());
}

/// The vocabulary that comes with a model of one file.
std::shared_ptr<const Tokenizer> load_vocabulary_of(const fs::path& file) {
  if (file.extension() == ".gguf") return make_tokenizer(read_vocabulary(GgufFile(file)));
  return make_tokenizer(read_llama2c_pieces(llama2c_vocabulary_of(file)));
}

}  // namespace

std::shared_ptr<const Tokenizer> parse_tokenizer(std::string_view tokenizer_json, std::string_view tokenizer_config,
                                                 std::string_view file) {
  auto definition = read_tokenizer_json(tokenizer_json, file);
  if (!tokenizer_config.empty()) read_tokenizer_config(definition, tokenizer_config, "tokenizer_config.json");
  return finish(std::move(definition));
}

std::shared_ptr<const Tokenizer> load_tokenizer(const fs::path& path) {
  if (path == "bytes") return byte_tokenizer();
  if (!fs::exists(path)) throw InputError("tokenizer", "{}: there is no such file or folder", path.string());
  if (!fs::is_directory(path)) return single_file_model(path) ? load_vocabulary_of(path) : load_json(path);
  if (fs::exists(path / "tokenizer.json")) return load_json(path / "tokenizer.json");
  for (const auto& [vocabulary, merges] : {std::pair{"vocab.json", "merges.txt"}, std::pair{"encoder.json", "vocab.bpe"}})
    if (fs::exists(path / vocabulary) && fs::exists(path / merges)) return load_vocabulary_and_merges(path / vocabulary, path / merges);
  if (const auto file = single_file_model(path)) return load_vocabulary_of(*file);
  if (const auto checkpoint = newest_checkpoint(path)) return load_json(*checkpoint / "tokenizer.json");
  throw with_hint(
      InputError("tokenizer", "{}: no tokenizer here: expected tokenizer.json, vocab.json and merges.txt, or a .gguf file", path.string()),
      "isotrope tokenizer train makes one from text; the name bytes stands for the byte tokenizer");
}

std::shared_ptr<const Tokenizer> byte_tokenizer() {
  static const auto tokenizer = [] {
    BpeDefinition definition;
    for (int byte = 0; byte < 256; ++byte) definition.names.push_back(spell_bytes(std::string(1, static_cast<char>(byte))));
    definition.names.push_back("<|endoftext|>");
    definition.in_model.assign(257, true);
    definition.added_tokens.push_back({.id = 256, .content = "<|endoftext|>", .special = true});
    definition.pre_tokenizer = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
    definition.file = "bytes";
    definition.bos = definition.eos = 256;
    return std::make_shared<const ByteLevelBpe>(std::move(definition));
  }();
  return tokenizer;
}

}  // namespace isotrope
