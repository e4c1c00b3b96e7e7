#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"

using namespace isotrope;

// What is JSON stays the same value when Python's bare floats are allowed; what only they make readable can be written and read back.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto read = [](std::string_view from, bool python) -> std::optional<nlohmann::json> {
    try {
      return parse_json(from, "fuzz", "input", {.python_floats = python});
    } catch (const InputError&) {
      return std::nullopt;
    }
  };
  const auto strict = read(text, false), tolerant = read(text, true);
  if (strict && tolerant != strict) __builtin_trap();
  if (tolerant && read(tolerant->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), false) != tolerant) __builtin_trap();
  if (tolerant) json_number(*tolerant);
  return 0;
}
