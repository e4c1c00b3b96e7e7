#include <cstddef>
#include <cstdint>

#include "isotrope/base/error.h"
#include "isotrope/io/gguf.h"
#include "isotrope/text/files/piece_vocabulary.h"
#include "isotrope/text/pipeline.h"

/// Any bytes are either a GGUF file, whose every number can then be read, or an Error; its vocabulary is a tokenizer, or an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const isotrope::GgufFile file(std::as_bytes(std::span(data, size)), "fuzz");
    double sum = 0;
    for (const auto& tensor : file.tensors()) {
      std::vector<float> numbers(static_cast<std::size_t>(tensor.count()));
      isotrope::expand(tensor.packing, tensor.bytes, numbers);
      for (const float value : numbers) sum += value;
    }
    [[maybe_unused]] static volatile double kept;
    kept = sum;
    const auto tokenizer = isotrope::make_tokenizer(isotrope::define_tokenizer(isotrope::read_vocabulary(file)));
    (void)tokenizer->decode(tokenizer->encode("The river <s> it's 12345  na\u00EFve \u5DDD\n\n"));
  } catch (const isotrope::Error&) {}
  return 0;
}
