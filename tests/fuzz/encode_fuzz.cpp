// Any bytes as text: the vectorized scanner and the cached merges give what one character and one merge after another give.
#include <cstddef>
#include <cstdint>
#include <string>

#include "isotrope/text/bpe_train.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/unicode.h"
#include "isotrope/text/utf8.h"

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto made = make_model();
  const auto& model = *made;
  const auto text = replace_invalid_utf8({reinterpret_cast<const char*>(data), size});
  if (check_utf8(text)) __builtin_trap();
  for (const auto pattern : {Pattern::gpt2, Pattern::llama3, Pattern::qwen2}) {
    std::vector<TokenId> ids, expected;
    BpeModel::Worker(model).encode(pattern, text, ids);
    for (std::size_t position = 0; position < text.size();) {
      const auto length = next_piece(pattern, UnicodeTable::instance(), text, position);
      model.merge_by_heap(std::string_view(text).substr(position, length), expected);
      position += length;
    }
    if (ids != expected) __builtin_trap();
  }
  return 0;
}
