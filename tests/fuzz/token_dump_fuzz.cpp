// Any bytes are either a dump, whose every record lies in its text, or an InputError.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/text/files/token_dump.h"
#include "isotrope/text/tokenizer_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace isotrope;
  const std::string_view content(reinterpret_cast<const char*>(data), size), text = "The river\nopens.\n";
  try {
    TokenDump dump(content, "fuzz");
    while (const auto record = dump.next())
      if (record->begin > record->end || (record->offsets && record->offsets->size() != record->ids.size())) __builtin_trap();
  } catch (const InputError&) {}
  try {
    TokenDump dump(content, "fuzz");
    check_against(*byte_tokenizer(), text, "text", dump, 1);
  } catch (const InputError&) {}
  return 0;
}
