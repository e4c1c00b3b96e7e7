#include <cstddef>
#include <cstdint>

#include "isotrope/base/error.h"
#include "isotrope/io/activation_dump.h"

/// Any bytes are either an activation dump, whose every input has one number a place and whose every tap can be read, or an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const isotrope::ActivationDump dump(std::as_bytes(std::span(data, size)), "fuzz");
    const auto places = static_cast<std::size_t>(dump.rows() * dump.length());
    if (dump.ids().size() != places || dump.mask().size() != places || dump.positions().size() != places) __builtin_trap();
    double sum = static_cast<double>(dump.layers());
    for (const auto& tap : dump.taps())
      for (const float value : isotrope::to_floats(tap.dtype, tap.bytes)) sum += value;
    [[maybe_unused]] static volatile double kept;
    kept = sum;
  } catch (const isotrope::Error&) {}
  return 0;
}
