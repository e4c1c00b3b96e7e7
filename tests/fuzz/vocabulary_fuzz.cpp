// Any bytes as a SentencePiece model, llama2.c's vocabulary, or one of byte strings or merges (tiktoken, RWKV, CLIP): a tokenizer that encodes and
// decodes, or an error of ours.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/text/files/ranked_vocabulary.h"
#include "isotrope/text/files/scored_vocabulary.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/tokenizer.h"

namespace {

using namespace isotrope;

void use(const std::function<TokenizerDefinition()>& read) {
  try {
    const auto tokenizer = make_tokenizer(read());
    const auto ids = tokenizer->encode("The river <s> it's 12345  na\u00EFve \u5DDD\n\n");
    (void)tokenizer->decode(ids);
    (void)tokenizer->fingerprint();
  } catch (const Error&) {
    // what broken files are answered with
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  use([&] { return define_tokenizer(read_sentencepiece_model(bytes, "fuzz")); });
  use([&] { return define_tokenizer(read_llama2c_vocabulary(bytes, "fuzz")); });
  use([&] { return read_rwkv_vocabulary(bytes, "fuzz"); });
  use([&] { return read_clip_merges(bytes, "fuzz"); });
  for (const auto* name : {"r50k_base", "cl100k_base", "o200k_base"}) use([&] { return read_tiktoken_vocabulary(bytes, name, "fuzz"); });
  return 0;
}
