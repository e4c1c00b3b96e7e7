// Any bytes as tokenizer.json: a tokenizer that encodes and decodes, or an error of ours.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = isotrope::parse_tokenizer(bytes);
    const auto ids = tokenizer->encode("The river <|endoftext|> it's 12345  naïve 川\n\n");
    (void)tokenizer->decode(ids);
    (void)tokenizer->fingerprint();
    (void)tokenizer->encode_pair("The river", "[CLS] ▁it's na\u0131\u0308ve 川 \u0301", {.max_length = 12});
  } catch (const isotrope::Error&) {
    // what broken files are answered with
  }
  return 0;
}
