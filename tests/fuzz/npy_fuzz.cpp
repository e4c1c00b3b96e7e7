#include <cstddef>
#include <cstdint>

#include "isotrope/base/error.h"
#include "isotrope/io/npy.h"

/// Any bytes are either a .npy file, whose every element can then be read, or an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const isotrope::NpyFile file(std::as_bytes(std::span(data, size)), "fuzz");
    double sum = 0;
    for (const float value : isotrope::to_floats(file.dtype(), file.bytes())) sum += value;
    [[maybe_unused]] static volatile double kept;
    kept = sum;
  } catch (const isotrope::Error&) {}
  return 0;
}
