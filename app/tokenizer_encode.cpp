// isotrope tokenizer encode: texts to ids, offsets and all else that an encoding holds.
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <nlohmann/json.hpp>

#include "CLI/CLI.hpp"
#include "app/common.h"
#include "app/output.h"
#include "app/tokenizer_commands.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/io/npy.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::app {

namespace {

using nlohmann::json;

struct EncodeCommand {
  CommonOptions common;
  std::string tokenizer, file, text, pair, output, format = "text", batch, truncation, truncation_side = "right", pad_to,
                                                   pad_side = "right", pad_token, color = "auto";
  std::size_t max_length = 0, stride = 0, pad_multiple = 0;
  bool has_text = false, has_pair = false, no_special = false, strict = false, show = false, offsets = false, own_limits = false,
       overflow = false;

  bool pads() const { return !pad_to.empty() || pad_multiple > 0; }
};

/// What is to be encoded, and what it lies in.
struct Texts {
  MappedFile file;
  std::deque<std::string> owned;  ///< of JSON Lines
  std::vector<TextPair> pairs;
  std::size_t bytes = 0;
};

/// A line of --batch jsonl: "a text", or {"text": …, "pair": …}.
TextPair text_of(std::string_view line, std::size_t number, const std::string& file, std::deque<std::string>& owned) {
  const auto value = json::parse(line, nullptr, /*allow_exceptions=*/false);
  const auto is_text = [&](const char* key) { return value.is_object() && value.contains(key) && value[key].is_string(); };
  const auto keep = [&](const json& text) -> std::string_view { return owned.emplace_back(text.get<std::string>()); };
  if (value.is_string()) return {keep(value)};
  if (!is_text("text") || (value.contains("pair") && !is_text("pair")))
    throw InputError("tokenizer", R"({}: line {}: expected a JSON text or an object with "text" and perhaps "pair", got {})", file, number,
                     printable(line.substr(0, 60)));
  const auto first = keep(value["text"]);
  return {first, is_text("pair") ? std::optional(keep(value["pair"])) : std::nullopt};
}

Texts read_texts(const EncodeCommand& options) {
  Texts texts;
  if (!options.has_text) texts.file = MappedFile(options.file, "tokenizer");
  const auto all = options.has_text ? std::string_view(options.text) : texts.file.text();
  if (options.batch.empty()) {
    texts.pairs.push_back({all, options.has_pair ? std::optional<std::string_view>(options.pair) : std::nullopt});
  } else {
    std::size_t number = 0;
    for (auto rest = all; !rest.empty();) {
      const auto line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
      ++number;
      if (options.batch == "lines") texts.pairs.push_back({line});
      else if (line.find_first_not_of(" \t\r") != std::string_view::npos)
        texts.pairs.push_back(text_of(line, number, options.file, texts.owned));
    }
  }
  const auto check = [&](std::string_view text, std::size_t number, const std::string& name) {
    texts.bytes += text.size();
    const auto broken = options.strict ? check_utf8(text) : std::nullopt;
    if (!broken) return;
    const auto place = options.batch.empty() ? std::string() : fmt::format("text {}: ", number + 1);
    throw InputError("tokenizer", "{}: {}byte {} is not UTF-8", name, place, *broken);
  };
  for (std::size_t i = 0; i < texts.pairs.size(); ++i) {
    check(texts.pairs[i].first, i, options.has_text ? "--text" : options.file);
    if (texts.pairs[i].second) check(*texts.pairs[i].second, i, options.has_pair ? "--pair" : options.file);
  }
  return texts;
}

std::optional<Truncation> truncation_of(const EncodeCommand& options, const Tokenizer& tokenizer) {
  auto truncation = options.own_limits ? tokenizer.own_truncation() : std::nullopt;
  const bool asked = !options.truncation.empty() || options.stride > 0 || options.truncation_side == "left";
  if (options.max_length == 0) {
    if (asked) throw UsageError("tokenizer", "--truncation, --truncation-side and --stride need --max-length");
    return truncation;
  }
  using Strategy = Truncation::Strategy;
  return Truncation{.strategy = options.truncation == "only_first"    ? Strategy::only_first
                                : options.truncation == "only_second" ? Strategy::only_second
                                                                      : Strategy::longest_first,
                    .side = options.truncation_side == "left" ? Truncation::Side::left : Truncation::Side::right,
                    .max_length = options.max_length,
                    .stride = options.stride};
}

std::optional<Padding> padding_of(const EncodeCommand& options, const Tokenizer& tokenizer) {
  if (!options.pads()) return options.own_limits ? tokenizer.own_padding() : std::nullopt;
  const auto id = options.pad_token.empty() ? tokenizer.pad() : tokenizer.find(options.pad_token);
  if (!id && !options.pad_token.empty()) throw InputError("tokenizer", "the vocabulary has no token \"{}\" to pad with", options.pad_token);
  if (!id) throw UsageError("tokenizer", "the tokenizer has no padding token: name one with --pad-token");
  Padding padding{
      .side = options.pad_side == "left" ? Padding::Side::left : Padding::Side::right, .multiple_of = options.pad_multiple, .id = *id};
  padding.token = options.pad_token.empty() ? tokenizer.token_bytes(*id) : options.pad_token;
  if (!options.pad_to.empty() && options.pad_to != "longest") {
    std::size_t length = 0;
    const auto* end = options.pad_to.data() + options.pad_to.size();
    const auto [parsed, error] = std::from_chars(options.pad_to.data(), end, length);
    if (error != std::errc{} || parsed != end || length > INT32_MAX)
      throw UsageError("tokenizer", "--pad-to: expected a length or longest, got {}", options.pad_to);
    padding.length = length;
  }
  return padding;
}

/// Whether ids alone, cut in the plain way, are all that is asked for.
bool is_plain(const EncodeCommand& options) {
  return !options.show && !options.offsets && !options.own_limits && !options.overflow && !options.pads() && options.stride == 0 &&
         options.truncation.empty() && options.truncation_side == "right";
}

/// The fast way, where it is enough: ids and types alone.
std::vector<Encoding> encode_plainly(const Tokenizer& tokenizer, const EncodeCommand& options, const Texts& texts) {
  const EncodeOptions how{
      .add_special_tokens = !options.no_special, .parse_special_tokens = !options.no_special, .max_length = options.max_length};
  const int threads = thread_count(options.common);
  std::vector<Encoding> encodings(texts.pairs.size());
  std::vector<std::string_view> alone;
  for (std::size_t i = 0; i < encodings.size(); ++i) {
    const auto& [first, second] = texts.pairs[i];
    if (!second) {
      alone.push_back(first);
      continue;
    }
    auto sequence = tokenizer.encode_pair(first, *second, how);
    encodings[i].ids = std::move(sequence.ids), encodings[i].types = std::move(sequence.types);
  }
  if (options.batch.empty() && !alone.empty()) {
    encodings.front().ids = tokenizer.encode_parallel(alone.front(), threads, how);
    return encodings;
  }
  auto ids = tokenizer.encode_batch(alone, threads, how);
  for (std::size_t i = 0, next = 0; i < encodings.size(); ++i)
    if (!texts.pairs[i].second) encodings[i].ids = std::move(ids[next++]);
  return encodings;
}

json pairs_of(const std::vector<TextRange>& ranges) {
  auto list = json::array();
  for (const auto& [begin, end] : ranges) list.push_back({begin, end});
  return list;
}

json described(const EncodeCommand& options, const Encoding& encoding, bool with_types) {
  json result{{"ids", encoding.ids}};
  if (with_types || options.offsets) result["types"] = encoding.types;
  if (options.offsets) {
    result["names"] = encoding.tokens;
    result["offsets"] = pairs_of(encoding.offsets), result["byte_offsets"] = pairs_of(encoding.byte_offsets);
    result["words"] = encoding.words, result["sequences"] = encoding.sequences();
    result["special"] = encoding.special;
  }
  if (!encoding.attention.empty()) result["attention"] = encoding.attention;
  if (encoding.overflowing.empty()) return result;
  auto& overflowing = result["overflowing"] = json::array();
  for (const auto& part : encoding.overflowing) overflowing.push_back(described(options, part, with_types));
  return result;
}

/// The encodings with what overflowed behind each.
std::vector<const Encoding*> in_a_row(const std::vector<Encoding>& encodings) {
  std::vector<const Encoding*> all;
  for (const auto& encoding : encodings) {
    all.push_back(&encoding);
    for (const auto& part : encoding.overflowing) all.push_back(&part);
  }
  return all;
}

std::string as_text(const EncodeCommand& options, const Encoding& encoding) {
  if (!options.offsets) return ids_as_text(encoding.ids);
  std::string text;
  for (std::size_t i = 0; i < encoding.size(); ++i)
    text += fmt::format("{} {} {}\n", encoding.ids[i], encoding.offsets[i].begin, encoding.offsets[i].end);
  return text + (options.batch.empty() ? "" : "\n");
}

void write_ids(const EncodeCommand& options, const std::vector<Encoding>& encodings) {
  const auto all = in_a_row(encodings);
  if (options.format != "npy") {
    std::string text;
    for (const auto* encoding : all) text += as_text(options, *encoding);
    return write_file(options.output, text, "tokenizer");
  }
  const auto length = all.empty() ? 0 : all.front()->size();
  std::vector<TokenId> ids;
  for (const auto* encoding : all) {
    if (encoding->size() != length)
      throw UsageError("tokenizer", "--format npy needs texts of one length, got {} and {} ids: pad them with --pad-to", length,
                       encoding->size());
    ids.insert(ids.end(), encoding->ids.begin(), encoding->ids.end());
  }
  std::vector<std::int64_t> shape{static_cast<std::int64_t>(length)};
  if (!options.batch.empty() || all.size() > 1) shape.insert(shape.begin(), static_cast<std::int64_t>(all.size()));
  write_npy(options.output, DType::i32, shape, std::as_bytes(std::span(ids)));
}

bool wants_colour(const std::string& choice) {
  if (choice != "auto") return choice == "always";
  const char* none = std::getenv("NO_COLOR");
  return !(none && *none) && ::isatty(STDOUT_FILENO);
}

void show(const EncodeCommand& options, const Tokenizer& tokenizer, const Texts& texts, const std::vector<Encoding>& encodings) {
  const bool colour = wants_colour(options.color);
  for (std::size_t i = 0; i < encodings.size(); ++i) {
    std::vector<const Encoding*> parts{&encodings[i]};
    for (const auto& part : encodings[i].overflowing) parts.push_back(&part);
    for (const auto* part : parts) {
      if (i > 0 || part != parts.front()) std::fputc('\n', stdout);
      std::fputs(shown_tokens(tokenizer, texts.pairs[i], *part, colour).c_str(), stdout);
    }
  }
}

json summary(const EncodeCommand& options, const Tokenizer& tokenizer, const Texts& texts, const std::vector<Encoding>& encodings,
             std::size_t tokens, double seconds) {
  json result{{"tokens", tokens}, {"bytes", texts.bytes}, {"seconds", seconds}, {"vocab", tokenizer.vocab_size()}};
  if (!options.batch.empty()) result["texts"] = texts.pairs.size();
  if (!options.output.empty()) {
    result["output"] = options.output;
    if (options.has_pair) result["types"] = encodings.front().types;
  } else if (options.batch.empty()) {
    result.update(described(options, encodings.front(), options.has_pair));
  } else {
    auto& list = result["encodings"] = json::array();
    for (std::size_t i = 0; i < encodings.size(); ++i) list.push_back(described(options, encodings[i], texts.pairs[i].second.has_value()));
  }
  return result;
}

void encode(const EncodeCommand& options) {
  if (options.has_text == !options.file.empty()) throw UsageError("tokenizer", "expected either --file or --text");
  if (options.format == "npy" && options.output.empty()) throw UsageError("tokenizer", "--format npy needs --output");
  if (options.format == "npy" && options.offsets)
    throw UsageError("tokenizer", "--format npy holds no offsets: use --json or --format text");
  if (!options.batch.empty() && options.file.empty()) throw UsageError("tokenizer", "--batch reads a --file");
  if (!options.batch.empty() && options.has_pair)
    throw UsageError("tokenizer", "--batch takes second texts from its file, not from --pair");
  if (!options.pad_token.empty() && !options.pads()) throw UsageError("tokenizer", "--pad-token needs --pad-to or --pad-multiple");
  const auto tokenizer = load_tokenizer(options.tokenizer);
  const auto texts = read_texts(options);
  const auto start = std::chrono::steady_clock::now();
  auto encodings = is_plain(options) ? encode_plainly(*tokenizer, options, texts)
                                     : tokenizer->encode_full_batch(texts.pairs, thread_count(options.common),
                                                                    {.add_special_tokens = !options.no_special,
                                                                     .parse_special_tokens = !options.no_special,
                                                                     .truncation = truncation_of(options, *tokenizer),
                                                                     .padding = padding_of(options, *tokenizer)});
  if (!options.overflow && options.stride == 0)
    for (auto& encoding : encodings) encoding.overflowing.clear();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::size_t tokens = 0;
  for (const auto* encoding : in_a_row(encodings)) tokens += encoding->size();
  if (!options.output.empty()) write_ids(options, encodings);
  if (options.show) show(options, *tokenizer, texts, encodings);
  if (options.common.json) return print_json(summary(options, *tokenizer, texts, encodings, tokens, seconds));
  if (!options.output.empty())
    return note(
        fmt::format("{} tokens from {} in {:.2f} s: {}", tokens, bytes_text(static_cast<double>(texts.bytes)), seconds, options.output));
  if (options.show) return;
  for (const auto* encoding : in_a_row(encodings)) std::fputs(as_text(options, *encoding).c_str(), stdout);
}

void add_length_options(CLI::App& command, EncodeCommand& options) {
  command
      .add_option("--max-length", options.max_length,
                  "Ids at most, special ones included; of two texts the longer is cut first (0: no limit)")
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--truncation", options.truncation, "Which text --max-length cuts (default: longest_first)")
      ->check(CLI::IsMember({"longest_first", "only_first", "only_second"}))
      ->type_name("longest_first|only_first|only_second");
  command.add_option("--truncation-side", options.truncation_side, "Where it takes tokens away")
      ->capture_default_str()
      ->check(CLI::IsMember({"right", "left"}))
      ->type_name("right|left");
  command.add_flag("--overflow", options.overflow, "Give what --max-length cuts off, too, in pieces of the same length");
  command.add_option("--stride", options.stride, "The same, each piece sharing N tokens with the one before")->type_name("N");
  command.add_option("--pad-to", options.pad_to, "Pad to N ids, or to the longest text")->type_name("N|longest");
  command.add_option("--pad-multiple", options.pad_multiple, "Pad to a multiple of N ids")->check(CLI::Range(0, 1 << 20))->type_name("N");
  command.add_option("--pad-side", options.pad_side, "Where padding goes")
      ->capture_default_str()
      ->check(CLI::IsMember({"right", "left"}))
      ->type_name("right|left");
  command.add_option("--pad-token", options.pad_token, "The token to pad with (default: the tokenizer's)")->type_name("TOKEN");
  command.add_flag("--own-limits", options.own_limits, "Cut and pad as tokenizer.json says, where the options above do not say otherwise");
}

}  // namespace

std::string ids_as_text(std::span<const TokenId> ids) {
  std::string text;
  text.reserve(ids.size() * 6);
  for (const auto id : ids) {
    char digits[12];
    const auto end = std::to_chars(digits, digits + sizeof digits, id).ptr;
    if (!text.empty()) text += ' ';
    text.append(digits, end);
  }
  return text + "\n";
}

void add_tokenizer_encode(CLI::App& tokenizer) {
  auto* command = tokenizer.add_subcommand("encode", "Turn text into ids");
  auto options = std::make_shared<EncodeCommand>();
  command->add_option("TOKENIZER_OR_MODEL", options->tokenizer, tokenizer_help)->required();
  command->add_option("--file", options->file, "The file whose bytes are the text")->type_name("FILE");
  auto* text = command->add_option("--text", options->text, "The text itself")->type_name("TEXT");
  auto* pair =
      command->add_option("--pair", options->pair, "A second text, joined to the first as the tokenizer joins two")->type_name("TEXT");
  command
      ->add_option("--batch", options->batch,
                   "The file holds many texts: one a line, or JSON Lines of \"text\" or {\"text\": …, \"pair\": …}")
      ->check(CLI::IsMember({"lines", "jsonl"}))
      ->type_name("lines|jsonl");
  add_length_options(*command, *options);
  command->add_option("--output", options->output, "Write the ids here instead of printing them")->type_name("FILE");
  command->add_option("--format", options->format, "text: ids separated by spaces; npy: an int32 array")
      ->capture_default_str()
      ->check(CLI::IsMember({"text", "npy"}))
      ->type_name("text|npy");
  command->add_flag("--no-special", options->no_special, "Add no special tokens, and read their names in the text as plain text");
  command->add_flag("--strict", options->strict, "Refuse bytes that are not UTF-8 instead of reading them as U+FFFD");
  command->add_flag("--show", options->show, "Print a line for each token: its id, its place in the text in code points, and its text");
  command->add_flag(
      "--offsets", options->offsets,
      "Print a line for each token: its id, and the code points that it begins and ends at; with --json all that an encoding holds");
  command->add_option("--color", options->color, "Whether --show paints the pieces (auto: on a terminal, unless NO_COLOR is set)")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->type_name("auto|always|never");
  add_common_options(*command, options->common);
  set_examples(*command,
               {"isotrope tokenizer encode my-tokenizer --text 'The quick brown fox'",
                "isotrope tokenizer encode my-tokenizer --file books.txt --output books.npy --format npy",
                "isotrope tokenizer encode bert-folder --text 'A question?' --pair 'Its answer.' --max-length 128 --json",
                "isotrope tokenizer encode bert-folder --file lines.txt --batch lines --pad-to longest --output ids.npy --format npy",
                "isotrope tokenizer encode bytes --text 'naïve' --show"});
  command->callback([options, text, pair] {
    options->has_text = text->count() > 0;
    options->has_pair = pair->count() > 0;
    encode(*options);
  });
}

}  // namespace isotrope::app
