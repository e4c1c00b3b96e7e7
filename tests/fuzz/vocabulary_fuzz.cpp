// Any bytes as a SentencePiece model, llama2.c's vocabulary: a tokenizer that encodes and decodes, or an error of ours.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/text/scored_vocabulary.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const auto read : {isotrope::read_sentencepiece_model, isotrope::read_llama2c_vocabulary}) {
    try {
      const auto tokenizer = isotrope::make_tokenizer(isotrope::define_tokenizer(read(bytes, "fuzz")));
      const auto ids = tokenizer->encode("The river <s> it's 12345  na\u00EFve \u5DDD\n\n");
      (void)tokenizer->decode(ids);
      (void)tokenizer->fingerprint();
    } catch (const isotrope::Error&) {
      // what broken files are answered with
    }
  }
  return 0;
}
