#include <cstddef>
#include <cstdint>

#include "isotrope/base/error.h"
#include "isotrope/io/llama2c.h"

/// Any bytes are either a model of llama2.c, whose every weight can then be read, or an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  double sum = 0;
  try {
    const isotrope::Llama2cFile file(bytes, "fuzz");
    for (const auto& tensor : file.tensors()) {
      std::vector<float> numbers(static_cast<std::size_t>(tensor.count()));
      isotrope::expand(tensor.packing, tensor.bytes, numbers);
      for (const float value : numbers) sum += value;
    }
  } catch (const isotrope::Error&) {}
  [[maybe_unused]] static volatile double kept;
  kept = sum;
  return 0;
}
