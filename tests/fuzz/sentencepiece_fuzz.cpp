// Any bytes as a SentencePiece model with its charsmap: a tokenizer that encodes, aligns, decodes and is saved, or an error of ours. What follows a
// byte 0xFF in the input is text.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/text/files/scored_vocabulary.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/steps/charsmap.h"
#include "isotrope/text/steps/encoding.h"

namespace {

using namespace isotrope;

void use(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  if (ids != tokenizer.encode(text) || ids.size() != tokenizer.encode_full({text}, {}).ids.size()) __builtin_trap();
  (void)tokenizer.decode(ids);
  (void)tokenizer.decode(ids, {.skip_special_tokens = true});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto end = bytes.rfind('\xFF');
  const auto model = bytes.substr(0, end);
  const auto text = end == std::string_view::npos ? std::string_view() : bytes.substr(end + 1);
  try {
    const Charsmap map(model, "fuzz");
    std::string made;
    map.for_each_part("e\u0301\r\n\u1100\u1161\u0301 ab", [&](std::string_view, std::string_view becomes, bool) { made += becomes; });
  } catch (const Error&) {
    // most models are no charsmap
  }
  try {
    const auto definition = define_tokenizer(read_sentencepiece_model(model, "fuzz"));
    const auto tokenizer = make_tokenizer(definition);
    const auto saved = parse_tokenizer(write_tokenizer_json(definition));
    if (saved->fingerprint() != tokenizer->fingerprint()) __builtin_trap();
    for (const auto each : {std::string_view("The  river <s> it's 12345  na\u00EFve \u5DDD e\u0301 \u2581\n\n "), text})
      use(*tokenizer, each);
  } catch (const Error&) {
    // what broken files are answered with
  }
  return 0;
}
