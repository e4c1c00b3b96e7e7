// Any bytes as a request to the live page: whole, unfinished or refused, alike however they arrive; and what is whole can be answered.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "isotrope/report/http.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto parsed = isotrope::parse_http_request(bytes);
  if (parsed.length > size || (parsed.status == 0) != (parsed.length > 0)) __builtin_trap();
  if (parsed.status != 0) return 0;
  // No beginning of a whole request may be refused or taken for another one.
  if (isotrope::parse_http_request(bytes.substr(0, parsed.length - 1)).status != 100) __builtin_trap();
  if (isotrope::format_http_response({.body = std::string(parsed.request.path)}, parsed.request, parsed.request.keep_alive).empty())
    __builtin_trap();
  return 0;
}
