// Any bytes as a run's configuration: settings that are written and read back to themselves, or a UsageError. The first line, when it
// begins with `--set `, is an override.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/train/run_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  isotrope::RunConfig config;
  auto schema = config.schema();
  try {
    if (constexpr std::string_view option = "--set "; text.starts_with(option)) {
      const auto line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      schema.set(line.substr(option.size()));
    }
    schema.read_toml(text, "config.toml");
    schema.check();
    const auto written = schema.to_toml();
    isotrope::RunConfig again;
    auto reading = again.schema();
    reading.read_toml(written, "written");
    if (reading.to_toml() != written) __builtin_trap();
  } catch (const isotrope::UsageError&) {
    // what wrong configurations are answered with
  }
  return 0;
}
