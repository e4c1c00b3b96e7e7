// The configuration of a run: any text is read or refused with one of our own errors.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/runlog/run_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  isotrope::RunConfig config;
  auto schema = config.schema();
  try {
    schema.read_toml({reinterpret_cast<const char*>(data), size}, "fuzz.toml");
    schema.check();
    isotrope::RunConfig again;
    again.schema().read_toml(schema.to_toml(), "resolved.toml");
  } catch (const isotrope::Error&) {}
  return 0;
}
