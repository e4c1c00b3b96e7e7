// Reading the vocabularies of llama2.c and SentencePiece.
#include <bit>
#include <cstring>

#include "isotrope/base/error.h"
#include "isotrope/text/files/scored_vocabulary.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using Type = ScoredVocabulary::Type;

namespace {

static_assert(std::endian::native == std::endian::little);

/// Little-endian numbers and bytes out of a file, never past its end.
class Bytes {
 public:
  Bytes(std::string_view bytes, std::string_view file, std::string_view format) : bytes_(bytes), file_(file), format_(format) {}

  bool at_end() const { return position_ == bytes_.size(); }
  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - position_)
      throw InputError("tokenizer", "{}: {}: {} bytes are missing at byte {}", file_, format_, size - (bytes_.size() - position_),
                       position_);
    const auto taken = bytes_.substr(position_, size);
    position_ += size;
    return taken;
  }
  template <class Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  /// A base-128 number of protobuf, at most ten bytes.
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      const auto byte = number<std::uint8_t>();
      value |= shift < 64 ? std::uint64_t{byte & 0x7Fu} << shift : 0;
      if (byte < 0x80) return value;
    }
    fail("a number of more than ten bytes");
  }
  [[noreturn]] void fail(std::string_view what) const {
    throw InputError("tokenizer", "{}: {}: {} at byte {}", file_, format_, what, position_);
  }

 private:
  std::string_view bytes_, file_, format_;
  std::size_t position_ = 0;
};

/// One field of a protobuf message, with its value by wire type: a number, four bytes, or bytes.
struct Field {
  std::uint64_t key = 0, number = 0;
  std::string_view bytes;
  float real() const { return std::bit_cast<float>(static_cast<std::uint32_t>(number)); }
};

template <class Visit>
void for_each_field(std::string_view message, std::string_view file, Visit&& visit) {
  Bytes bytes(message, file, "not a SentencePiece model");
  while (!bytes.at_end()) {
    const auto tag = bytes.varint();
    Field field{.key = tag >> 3};
    switch (tag & 7) {
      case 0: field.number = bytes.varint(); break;
      case 1: field.number = bytes.number<std::uint64_t>(); break;
      case 2: field.bytes = bytes.take(bytes.varint()); break;
      case 5: field.number = bytes.number<std::uint32_t>(); break;
      default: bytes.fail("an unknown kind of field");
    }
    visit(field);
  }
}

ScoredVocabulary::Piece read_piece(std::string_view message, std::string_view file) {
  ScoredVocabulary::Piece piece;
  for_each_field(message, file, [&](const Field& field) {
    if (field.key == 1) piece.text = field.bytes;
    if (field.key == 2) piece.score = field.real();
    if (field.key == 3) piece.type = static_cast<Type>(std::min<std::uint64_t>(field.number, 255));
  });
  return piece;
}

/// The fields of TrainerSpec and NormalizerSpec that decide ids, with the values that the format gives to those that are absent.
struct Settings {
  std::uint64_t model_type = 1, bos = 1, eos = 2, pad = ~std::uint64_t{0};
  bool whitespace_as_suffix = false, add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  bool byte_fallback = false;
  std::string charsmap, unknown_surface = " \u2047 ";
  std::size_t denormalizer_bytes = 0;

  void read_trainer(std::string_view message, std::string_view file) {
    for_each_field(message, file, [&](const Field& field) {
      if (field.key == 3) model_type = field.number;
      if (field.key == 24) whitespace_as_suffix = field.number != 0;
      if (field.key == 35) byte_fallback = field.number != 0;
      if (field.key == 44) unknown_surface = field.bytes;
      if (field.key == 41) bos = field.number;
      if (field.key == 42) eos = field.number;
      if (field.key == 43) pad = field.number;
    });
  }
  void read_normalizer(std::string_view message, std::string_view file) {
    for_each_field(message, file, [&](const Field& field) {
      if (field.key == 2) charsmap = field.bytes;
      if (field.key == 3) add_dummy_prefix = field.number != 0;
      if (field.key == 4) remove_extra_whitespaces = field.number != 0;
      if (field.key == 5) escape_whitespaces = field.number != 0;
    });
  }
  void read_denormalizer(std::string_view message, std::string_view file) {
    for_each_field(message, file, [&](const Field& field) {
      if (field.key == 2) denormalizer_bytes = field.bytes.size();
    });
  }
  void check(std::string_view file) const {
    constexpr std::string_view types[] = {"Unigram", "BPE", "WORD", "CHAR"};
    const auto refuse = [&](std::string_view what) {
      throw InputError("tokenizer", "{}: a SentencePiece model {} is not supported", file, what);
    };
    if (model_type != 1 && model_type != 2)
      refuse(std::string("of type ") + std::string(model_type >= 1 && model_type <= 4 ? types[model_type - 1] : "unknown"));
    if (denormalizer_bytes > 0) refuse("that changes decoded text (denormalizer_spec)");
    if (check_utf8(unknown_surface)) refuse("whose unk_surface is not UTF-8");
  }
};

}  // namespace

ScoredVocabulary read_llama2c_vocabulary(std::string_view text, std::string_view file) {
  Bytes bytes(text, file, "not a vocabulary of llama2.c");
  const auto longest = bytes.number<std::int32_t>();
  ScoredVocabulary vocabulary{.special = {.bos = 1, .eos = 2}, .file = std::string(file)};
  while (!bytes.at_end()) {
    ScoredVocabulary::Piece piece{.text = {}, .score = bytes.number<float>()};
    const auto length = bytes.number<std::int32_t>();
    // The three special tokens are longer than the longest in the file of stories260K.
    if (length < 0 || (vocabulary.pieces.size() > 2 && length > longest)) bytes.fail("a token longer than the longest");
    for (const char c : bytes.take(static_cast<std::uint64_t>(length))) c == ' ' ? piece.text.append("\u2581") : piece.text.append(1, c);
    if (fallback_byte(piece.text)) piece.type = Type::byte;
    vocabulary.pieces.push_back(std::move(piece));
  }
  constexpr std::string_view names[] = {"<unk>", "\n<s>\n", "\n</s>\n"};
  for (std::size_t id = 0; id < 3; ++id) {
    if (vocabulary.pieces.size() <= id || vocabulary.pieces[id].text != names[id])
      throw InputError("tokenizer", "{}: not a vocabulary of llama2.c: the first three tokens are not <unk>, <s> and </s>", file);
    vocabulary.pieces[id].type = id == 0 ? Type::unknown : Type::control;
  }
  vocabulary.pieces[1].text = "<s>";
  vocabulary.pieces[2].text = "</s>";
  return vocabulary;
}

ScoredVocabulary read_sentencepiece_model(std::string_view bytes, std::string_view file) {
  ScoredVocabulary vocabulary{.file = std::string(file)};
  Settings settings;
  for_each_field(bytes, file, [&](const Field& field) {
    if (field.key == 1) vocabulary.pieces.push_back(read_piece(field.bytes, file));
    if (field.key == 2) settings.read_trainer(field.bytes, file);
    if (field.key == 3) settings.read_normalizer(field.bytes, file);
    if (field.key == 5) settings.read_denormalizer(field.bytes, file);
  });
  if (vocabulary.pieces.empty()) throw InputError("tokenizer", "{}: not a SentencePiece model: it has no pieces", file);
  settings.check(file);
  const auto token = [&](std::uint64_t id) {  // −1: there is none
    return id < vocabulary.pieces.size() ? std::optional(static_cast<TokenId>(id)) : std::nullopt;
  };
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id)
    if (vocabulary.pieces[id].type == Type::byte && !settings.byte_fallback)
      throw InputError("tokenizer", "{}: piece {} is a byte, but the model has no byte_fallback", file, id);
  vocabulary.model = static_cast<ScoredVocabulary::Model>(settings.model_type);
  vocabulary.is_sentencepiece = true;
  vocabulary.add_bos = vocabulary.model == ScoredVocabulary::Model::bpe;  // as Llama 2's does; a unigram model alone says nothing of it
  vocabulary.add_dummy_prefix = settings.add_dummy_prefix;
  vocabulary.remove_extra_whitespaces = settings.remove_extra_whitespaces;
  vocabulary.escape_whitespaces = settings.escape_whitespaces;
  vocabulary.treat_whitespace_as_suffix = settings.whitespace_as_suffix;
  vocabulary.charsmap = std::move(settings.charsmap);
  vocabulary.unknown_surface = std::move(settings.unknown_surface);
  vocabulary.special.bos = token(settings.bos);
  vocabulary.special.eos = token(settings.eos);
  vocabulary.special.pad = token(settings.pad);
  return vocabulary;
}

}  // namespace isotrope
