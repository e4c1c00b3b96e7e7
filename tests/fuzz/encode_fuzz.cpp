// Any bytes as text: the vectorized scanner and the cached merges give what one character and one merge after another give; words cut
// before "▁" give what the whole text gives; normalization forms agree with each other; WordPiece encodes whatever comes; the way that gives
// offsets gives the same ids.
#include <cstddef>
#include <cstdint>
#include <string>

#include "isotrope/text/files/scored_vocabulary.h"
#include "isotrope/text/models/character_bpe.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/steps/encoding.h"
#include "isotrope/text/train/bpe_train.h"
#include "isotrope/text/unicode/normalization.h"
#include "isotrope/text/unicode/unicode.h"
#include "isotrope/text/unicode/utf8.h"

namespace {

using namespace isotrope;

std::unique_ptr<const BpeModel> make_model() {
  BpeTrainer trainer({.vocab_size = 400, .min_frequency = 1});
  trainer.add(
      "The river opens the window. It's 12345 and 678; don't the others' rivers open?\n\u0440\u0435\u043A\u0430 \u0440\u0435\u043A\u0438 "
      "\u6CB3\u6D41 \u6CB3\u6D41 \u0928\u0926\u0940 \u0928\u0926\u0940\n");
  const auto tokenizer = trainer.train();
  return std::make_unique<const BpeModel>(bpe_parts(dynamic_cast<const PipelineTokenizer&>(*tokenizer).definition()));
}

ScoredVocabulary make_vocabulary() {
  ScoredVocabulary vocabulary{.add_dummy_prefix = false};
  vocabulary.pieces.push_back({"<unk>", 0, ScoredVocabulary::Type::unknown});
  for (const char* text : {"\u2581", "a", "b", "\u2581a", "ab", "\u2581\u2581", "aba", "b\u2581a", "\u00E9", "a\u00E9", "\u5DDD"})
    vocabulary.pieces.push_back({text, -static_cast<float>(vocabulary.pieces.size())});
  return vocabulary;
}

std::unique_ptr<const CharacterBpe> make_character_model() {
  return std::make_unique<const CharacterBpe>(define_tokenizer(make_vocabulary()));
}

std::shared_ptr<const Tokenizer> make_word_pieces() {
  return parse_tokenizer(R"({"added_tokens": [{"id": 0, "content": "[UNK]", "special": true}],
    "normalizer": {"type": "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"},
    "decoder": {"type": "WordPiece", "prefix": "##"},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1, "##b": 2, "##a": 3, "ab": 4, ".": 5, "川": 6, "##ae": 7}}})");
}

void check_forms(const std::string& text) {
  std::string decomposed, composed, again, recomposed;
  append_nfd(text, decomposed);
  append_nfd(decomposed, again);
  if (again != decomposed) __builtin_trap();
  append_nfc(text, composed);
  append_nfc(decomposed, recomposed);
  if (recomposed != composed || check_utf8(composed) || check_utf8(decomposed)) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto made = make_model();
  const auto& model = *made;
  const auto text = replace_invalid_utf8({reinterpret_cast<const char*>(data), size});
  if (check_utf8(text)) __builtin_trap();
  for (const auto pattern : {Pattern::gpt2, Pattern::llama3, Pattern::qwen2, Pattern::cl100k, Pattern::o200k}) {
    std::vector<TokenId> ids, expected;
    BpeModel::Worker(model).encode(pattern, text, ids);
    for (std::size_t position = 0; position < text.size();) {
      const auto length = next_piece(pattern, UnicodeTable::instance(), text, position);
      model.merge_by_heap(std::string_view(text).substr(position, length), expected);
      position += length;
    }
    if (ids != expected) __builtin_trap();
  }
  check_forms(text);
  static const auto characters = make_character_model();
  std::vector<TokenId> ids, expected;
  CharacterBpe::Worker(*characters).encode_word(text, ids);
  CharacterBpe::Worker(*characters).compute_word(text, expected);
  if (ids != expected) __builtin_trap();
  static const auto pieces = make_word_pieces();
  const auto word_pieces = pieces->encode(text);
  StreamDecoder stream(*pieces);
  std::string streamed;
  for (const auto id : word_pieces) streamed += stream.push(id);
  if (streamed + stream.finish() != pieces->decode(word_pieces)) __builtin_trap();
  static const auto spelled = make_tokenizer(define_tokenizer(make_vocabulary()));
  for (const auto* tokenizer : {pieces.get(), spelled.get()}) {
    const auto encoding = tokenizer->encode_full({text}, {});
    if (encoding.ids != tokenizer->encode(text)) __builtin_trap();
    for (const auto& [begin, end] : encoding.byte_offsets)
      if (begin > end || end > text.size()) __builtin_trap();
  }
  return 0;
}
