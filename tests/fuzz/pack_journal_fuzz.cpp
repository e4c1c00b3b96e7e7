#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/base/sha256.h"
#include "isotrope/data/pack_journal.h"

namespace {

const isotrope::PackIdentity identity{"settings", "inputs"};

/// The journal with a true checksum, where it is an object at all: else nothing behind the checksum would ever be reached.
std::string sealed(std::string_view text) {
  auto journal = nlohmann::json::parse(text, nullptr, false);
  if (!journal.is_object()) return std::string(text);
  using Handler = nlohmann::json::error_handler_t;
  journal.erase("checksum");
  journal["checksum"] = isotrope::sha256_hex(journal.dump(-1, ' ', false, Handler::replace));
  return journal.dump(-1, ' ', false, Handler::replace);
}

}  // namespace

/// Any bytes are either a journal, which written and read again says the same, or an InputError.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& journal : {std::string(text), sealed(text)}) try {
      const auto written = isotrope::pack_journal_text(identity, isotrope::parse_pack_journal(journal, "fuzz", identity));
      if (isotrope::pack_journal_text(identity, isotrope::parse_pack_journal(written, "fuzz", identity)) != written) __builtin_trap();
    } catch (const isotrope::InputError&) {}
  return 0;
}
