// Vocabularies that are lists of byte strings or merges: tiktoken's, CLIP's and RWKV's.
#include "isotrope/text/files/ranked_vocabulary.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <unordered_set>

#include "isotrope/base/error.h"
#include "isotrope/text/files/tokenizer_json.h"
#include "isotrope/text/models/bpe_model.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/steps/pre_tokenizer.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using nlohmann::json;

namespace {

/// Lines without their ends, numbered from 1; the last may lack one.
template <class Visit>
void for_each_line(std::string_view text, Visit&& visit) {
  std::size_t number = 0;
  for (std::size_t start = 0; start < text.size();) {
    const auto end = std::min(text.find('\n', start), text.size());
    auto line = text.substr(start, end - start);
    if (line.ends_with('\r')) line.remove_suffix(1);
    visit(line, ++number);
    start = end + 1;
  }
}

/// Errors of one line.
struct Line {
  std::string_view file;
  std::size_t number;
  [[noreturn]] void fail(std::string_view what) const { throw InputError("tokenizer", "{}: line {}: {}", file, number, what); }
  TokenId id(std::string_view text) const {
    TokenId value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 0 || value >= most_ids)
      fail(fmt::format("expected a number below {}, got \"{}\"", most_ids, text.substr(0, 40)));
    return value;
  }
  static constexpr TokenId most_ids = 1 << 21;
};

/// The tokens of a file by id, in bytes; empty where there is none.
class ByteTokens {
 public:
  explicit ByteTokens(std::string_view file) : file_(file) {}

  void add(TokenId id, std::string bytes, const Line& line) {
    if (bytes.empty()) line.fail("the token is empty");
    if (!taken_.insert(id).second) line.fail(fmt::format("id {} stands on an earlier line, too", id));
    if (!ids_.emplace(std::move(bytes), id).second) line.fail("the token stands on an earlier line, too");
    largest_ = std::max(largest_, id);
  }
  /// Must be called when all are there. Ids without a token are few enough that the list is no burden.
  void finish() {
    const auto limit = 2 * ids_.size() + 262'144;
    if (static_cast<std::size_t>(largest_) >= limit)
      throw InputError("tokenizer", "{}: a token has id {}, but {} tokens must have ids from 0 to {}", file_, largest_, ids_.size(),
                       limit - 1);
    tokens_.resize(static_cast<std::size_t>(largest_) + 1);
    for (const auto& [bytes, id] : ids_) tokens_[static_cast<std::size_t>(id)] = bytes;
    for (int byte = 0; byte < 256; ++byte)
      if (find(std::string(1, static_cast<char>(byte))) == no_token)
        throw InputError("tokenizer", "{}: there is no token for byte {:#04x}", file_, byte);
  }
  const std::vector<std::string>& all() const { return tokens_; }
  TokenId find(const std::string& bytes) const {
    const auto found = ids_.find(bytes);
    return found == ids_.end() ? no_token : found->second;
  }
  void fill(TokenizerDefinition& definition) const {
    for (const auto& token : tokens_) {
      definition.names.push_back(spell_bytes(token));
      definition.in_model.push_back(!token.empty());
    }
  }

 private:
  std::string_view file_;
  TokenId largest_ = 0;
  std::unordered_set<TokenId> taken_;
  std::unordered_map<std::string, TokenId> ids_;
  std::vector<std::string> tokens_;
};

/// Adds a special token of the given id, in the model's vocabulary where tokenizer.json could not give it that id otherwise.
void add_special(TokenizerDefinition& definition, std::string_view name, TokenId id, bool in_model) {
  const auto index = static_cast<std::size_t>(id);
  if (index >= definition.names.size()) {
    definition.names.resize(index + 1);
    definition.in_model.resize(index + 1);
  }
  definition.names[index] = name;
  definition.in_model[index] = in_model;
  definition.added_tokens.push_back({.id = id, .content = std::string(name), .special = true});
}

// ---- tiktoken -----------------------------------------------------------------------------------------------------

struct KnownEncoding {
  std::string_view name;
  Pattern pattern;
  std::vector<std::pair<std::string_view, TokenId>> special;
};

/// tiktoken_ext/openai_public.py
const std::vector<KnownEncoding>& known_encodings() {
  static const std::vector<KnownEncoding> known{
      {"gpt2", Pattern::gpt2, {{"<|endoftext|>", 50256}}},
      {"r50k_base", Pattern::gpt2, {{"<|endoftext|>", 50256}}},
      {"p50k_base", Pattern::gpt2, {{"<|endoftext|>", 50256}}},
      {"p50k_edit",
       Pattern::gpt2,
       {{"<|endoftext|>", 50256}, {"<|fim_prefix|>", 50281}, {"<|fim_middle|>", 50282}, {"<|fim_suffix|>", 50283}}},
      {"cl100k_base",
       Pattern::cl100k,
       {{"<|endoftext|>", 100257},
        {"<|fim_prefix|>", 100258},
        {"<|fim_middle|>", 100259},
        {"<|fim_suffix|>", 100260},
        {"<|endofprompt|>", 100276}}},
      {"o200k_base", Pattern::o200k, {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}}};
  return known;
}

const KnownEncoding& encoding_of(std::string_view name, std::string_view file) {
  const auto found = std::ranges::find(known_encodings(), name, &KnownEncoding::name);
  if (found != known_encodings().end()) return *found;
  std::vector<std::string_view> names;
  for (const auto& each : known_encodings()) names.push_back(each.name);
  throw InputError("tokenizer", "{}: the file's name says how text is cut and what is special, and {}.tiktoken is not known (known: {})",
                   file, name, fmt::join(names, ", "));
}

std::string decode_base64(std::string_view text, const Line& line) {
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  const auto size = text.size() - (text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0);
  if (text.size() % 4 != 0) line.fail("the token is not base 64");
  for (const char c : text.substr(0, size)) {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const auto value = alphabet.find(c);
    if (value == std::string_view::npos) line.fail("the token is not base 64");
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count);
  }
  return bytes;
}

/// All cuts of a token into two: leftmost first at equal ranks, which merges by rank do not know. Two cuts can only compete for the same
/// bytes as u·v and v·w, both the token: then it has the period |u|, and u·v goes first.
void append_merges(const ByteTokens& tokens, TokenId result, std::vector<BpeMerge>& merges) {
  const auto& token = tokens.all()[static_cast<std::size_t>(result)];
  std::vector<std::pair<std::size_t, BpeMerge>> cuts;
  for (std::size_t at = 1; at < token.size(); ++at) {
    const auto left = tokens.find(token.substr(0, at)), right = tokens.find(token.substr(at));
    if (left != no_token && right != no_token) cuts.push_back({at, {left, right, result}});
  }
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const auto other = std::ranges::find(cuts.begin() + static_cast<std::ptrdiff_t>(i), cuts.end(), token.size() - cuts[i].first,
                                         &std::pair<std::size_t, BpeMerge>::first);
    if (other != cuts.end() && !has_period(token, cuts[i].first) && has_period(token, other->first)) std::swap(cuts[i], *other);
  }
  for (const auto& [at, merge] : cuts) merges.push_back(merge);
}

}  // namespace

TokenizerDefinition read_tiktoken_vocabulary(std::string_view text, std::string_view name, std::string_view file) {
  const auto& known = encoding_of(name, file);
  ByteTokens tokens(file);
  for_each_line(text, [&](std::string_view content, std::size_t number) {
    const Line line{file, number};
    if (content.empty()) return;
    const auto space = content.find(' ');
    if (space == std::string_view::npos) line.fail("expected a token in base 64 and a rank");
    tokens.add(line.id(content.substr(space + 1)), decode_base64(content.substr(0, space), line), line);
  });
  tokens.finish();

  TokenizerDefinition definition;
  definition.file = file;
  tokens.fill(definition);
  BpeDefinition bpe{.ignore_merges = true};
  for (std::size_t id = 0; id < tokens.all().size(); ++id) append_merges(tokens, static_cast<TokenId>(id), bpe.merges);
  definition.model = std::move(bpe);
  const bool follow = known.special.front().second == static_cast<TokenId>(tokens.all().size()) && known.special.size() == 1;
  for (const auto& [token, id] : known.special) {
    const auto index = static_cast<std::size_t>(id);
    if (index < tokens.all().size() && !tokens.all()[index].empty())
      throw InputError("tokenizer", "{}: id {} is a token's and that of {}", file, id, token);
    add_special(definition, token, id, !follow);
  }
  definition.pre_tokenizer = describe_pre_tokenizer(known.pattern);
  definition.decoder = {{"type", "ByteLevel"}};
  definition.special.bos = definition.special.eos = known.special.front().second;
  return definition;
}

// ---- CLIP ---------------------------------------------------------------------------------------------------------

TokenizerDefinition read_clip_merges(std::string_view text, std::string_view file) {
  constexpr std::size_t merge_count = 49152 - 256 - 2;  // simple_tokenizer.py
  const std::string end = "</w>";
  TokenizerDefinition definition;
  definition.file = file;
  BpeDefinition bpe{.byte_level = false, .suffix = end};
  std::unordered_map<std::string, TokenId> ids;
  const auto add = [&](const std::string& name) {
    const auto id = static_cast<TokenId>(definition.names.size());
    if (!ids.emplace(name, id).second) throw InputError("tokenizer", "{}: the token {} is there twice", file, name);
    definition.names.push_back(name);
    return id;
  };
  // Bytes that stand for themselves come first, as Python's dictionary has them.
  std::vector<std::string> letters;
  for (const bool itself : {true, false})
    for (std::size_t byte = 0; byte < 256; ++byte) {
      if ((byte_alphabet()[byte] == byte) != itself) continue;
      letters.emplace_back();
      append_utf8(letters.back(), byte_alphabet()[byte]);
    }
  for (const auto& letter : letters) add(letter);
  for (const auto& letter : letters) add(letter + end);
  for_each_line(text, [&](std::string_view content, std::size_t number) {
    if (number == 1 || bpe.merges.size() == merge_count) return;
    const Line line{file, number};
    const auto space = content.find(' ');
    if (space == std::string_view::npos || content.find(' ', space + 1) != std::string_view::npos) line.fail("expected two tokens");
    if (check_utf8(content)) line.fail("it is not UTF-8");
    const std::string left(content.substr(0, space)), right(content.substr(space + 1));
    for (const auto& part : {left, right})
      if (!ids.contains(part)) line.fail(fmt::format("the token {} is not there yet", part));
    bpe.merges.push_back({ids[left], ids[right], add(left + right)});
  });
  if (bpe.merges.size() < merge_count)
    throw InputError("tokenizer", "{}: {} merges, where CLIP's vocabulary has {}", file, bpe.merges.size(), merge_count);
  const auto begin_id = add("<|startoftext|>"), end_id = add("<|endoftext|>");
  definition.in_model.assign(definition.names.size(), true);
  for (const auto id : {begin_id, end_id})
    definition.added_tokens.push_back({.id = id, .content = definition.names[static_cast<std::size_t>(id)], .special = true});
  bpe.unknown = end_id;
  definition.model = std::move(bpe);

  const json words{{"Regex", R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)"}};
  definition.normalizer = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "NFC"}}, {{"type", "Replace"}, {"pattern", {{"Regex", R"(\s+)"}}}, {"content", " "}}, {{"type", "Lowercase"}}}}};
  definition.pre_tokenizer = {{"type", "Sequence"},
                              {"pretokenizers",
                               {{{"type", "Split"}, {"pattern", words}, {"behavior", "Removed"}, {"invert", true}},
                                {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}}}};
  definition.post_processor = {{"type", "RobertaProcessing"},
                               {"sep", {"<|endoftext|>", end_id}},
                               {"cls", {"<|startoftext|>", begin_id}},
                               {"trim_offsets", false},
                               {"add_prefix_space", false}};
  // As CLIP's own tokenizer writes it, a space behind each word and none at the end.
  definition.decoder = {{"type", "Sequence"},
                        {"decoders",
                         {{{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}},
                          {{"type", "Replace"}, {"pattern", {{"Regex", R"(</w>\z)"}}}, {"content", ""}},
                          {{"type", "Replace"}, {"pattern", {{"String", end}}}, {"content", " "}}}}};
  definition.special = {.bos = begin_id, .eos = end_id, .pad = end_id, .unk = end_id};
  return definition;
}

// ---- RWKV ---------------------------------------------------------------------------------------------------------

namespace {

/// The bytes of a Python literal: '…' and "…" of characters, b'…' and b"…" of bytes.
std::string read_literal(std::string_view literal, const Line& line) {
  const bool is_bytes = literal.starts_with('b');
  if (is_bytes) literal.remove_prefix(1);
  if (literal.size() < 2 || (literal.front() != '\'' && literal.front() != '"') || literal.back() != literal.front())
    line.fail("expected a token in quotation marks");
  literal = literal.substr(1, literal.size() - 2);
  std::string bytes;
  for (std::size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\') {
      bytes += literal[i];
      continue;
    }
    if (++i == literal.size()) line.fail("a \\ at the token's end");
    constexpr std::string_view letters = "\\'\"nrtabfv", meant = "\\'\"\n\r\t\a\b\f\v";
    if (const auto place = letters.find(literal[i]); place != std::string_view::npos) {
      bytes += meant[place];
      continue;
    }
    const std::size_t digits = literal[i] == 'x' ? 2 : literal[i] == 'u' && !is_bytes ? 4 : literal[i] == 'U' && !is_bytes ? 8 : 0;
    const auto number = literal.substr(i + 1, digits);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value, 16);
    if (digits == 0 || number.size() != digits || error != std::errc{} || end != number.data() + digits || value >= 0x110000 ||
        (value >= 0xD800 && value < 0xE000))
      line.fail(fmt::format("\\{} is not understood", literal[i]));
    if (is_bytes) bytes += static_cast<char>(value);
    else append_utf8(bytes, value);
    i += digits;
  }
  return bytes;
}

}  // namespace

bool looks_like_rwkv_vocabulary(std::string_view text) {
  auto line = text.substr(0, text.find('\n'));
  const auto digits = line.find_first_not_of("0123456789");
  if (digits == 0 || digits == std::string_view::npos) return false;
  line.remove_prefix(digits);
  return line.starts_with(" '") || line.starts_with(" \"") || line.starts_with(" b'") || line.starts_with(" b\"");
}

TokenizerDefinition read_rwkv_vocabulary(std::string_view text, std::string_view file) {
  ByteTokens tokens(file);
  for_each_line(text, [&](std::string_view content, std::size_t number) {
    const Line line{file, number};
    const auto first = content.find(' '), last = content.rfind(' ');
    if (first == std::string_view::npos || first == last) line.fail("expected an id, a token and its length");
    auto bytes = read_literal(content.substr(first + 1, last - first - 1), line);
    if (line.id(content.substr(last + 1)) != static_cast<TokenId>(bytes.size()))
      line.fail(fmt::format("the token has {} bytes, the line says {}", bytes.size(), content.substr(last + 1)));
    const auto id = line.id(content.substr(0, first));
    if (id == 0) line.fail("id 0 ends a text and is no token's");
    tokens.add(id, std::move(bytes), line);
  });
  tokens.finish();

  TokenizerDefinition definition;
  definition.file = file;
  tokens.fill(definition);
  // Its name has spaces, which no word has: they are spelled. So it never comes out of the model.
  add_special(definition, "<|end of text|>", 0, true);
  definition.model = WordPieceDefinition{.byte_level = true, .unknown = 0, .prefix = "", .longest_word = UINT32_MAX};
  definition.pre_tokenizer = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  definition.decoder = {{"type", "ByteLevel"}};
  definition.special.bos = definition.special.eos = 0;
  return definition;
}

// ---- BERT ---------------------------------------------------------------------------------------------------------

TokenizerDefinition define_bert_tokenizer(json vocabulary, const json& added, const BertSettings& settings, std::string_view file) {
  const auto token = [](const std::string& name, int type) { return json{{"SpecialToken", {{"id", name}, {"type_id", type}}}}; };
  const auto text = [](const char* name, int type) { return json{{"Sequence", {{"id", name}, {"type_id", type}}}}; };
  auto special = json::object();
  for (const auto& one : added) {
    const auto& name = one["content"];
    special[name.get<std::string>()] = {{"id", name}, {"ids", {one["id"]}}, {"tokens", {name}}};
  }
  const auto &cls = settings.cls, &sep = settings.sep;
  return read_definition(json{{"added_tokens", added},
                              {"normalizer",
                               {{"type", "BertNormalizer"},
                                {"clean_text", true},
                                {"handle_chinese_chars", settings.handle_chinese_chars},
                                {"strip_accents", settings.strip_accents},
                                {"lowercase", settings.lowercase}}},
                              {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                              {"post_processor",
                               {{"type", "TemplateProcessing"},
                                {"single", {token(cls, 0), text("A", 0), token(sep, 0)}},
                                {"pair", {token(cls, 0), text("A", 0), token(sep, 0), text("B", 1), token(sep, 1)}},
                                {"special_tokens", std::move(special)}}},
                              {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
                              {"model",
                               {{"type", "WordPiece"},
                                {"unk_token", settings.unknown},
                                {"continuing_subword_prefix", "##"},
                                {"max_input_chars_per_word", 100},
                                {"vocab", std::move(vocabulary)}}}},
                         file);
}

}  // namespace isotrope
