#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace isotrope {

/// A request of HTTP/1.0 or 1.1 without a body.
struct HttpRequest {
  std::string method;                                       ///< "GET" or "HEAD"
  std::string path;                                         ///< before the `?`, as sent: never decoded, never a file's name
  std::map<std::string, std::string, std::less<>> query;    ///< decoded; the last of equal names counts
  std::map<std::string, std::string, std::less<>> headers;  ///< names in lower case
  bool keep_alive = true;

  std::string_view header(std::string_view name) const;
  std::string_view asked(std::string_view name, std::string_view fallback = "") const;  ///< a value of the query
};

struct HttpResponse {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers = {};
  bool stream = false;  ///< Server-Sent Events: `body` is the first of them, the connection stays open for more
};

/// What the bytes received so far are: a whole request of `length` bytes (status 0), the beginning of one (status 100),
/// or something to refuse with `status` (4xx, 5xx) and hang up.
struct ParsedRequest {
  int status = 100;
  std::size_t length = 0;
  HttpRequest request;
};

/// Strict: CRLF, one blank between words, a Host in HTTP/1.1, GET and HEAD only, no body, no control characters; a request line of at most
/// 4 kB and `limit` bytes in all.
ParsedRequest parse_http_request(std::string_view bytes, std::size_t limit = 16384);

/// The bytes of a response to `request`, with Content-Length, the security headers of the page, and gzip when the client takes it and it
/// pays.
std::string format_http_response(const HttpResponse& response, const HttpRequest& request, bool keep_alive);

/// Whether the two are equal, in a time that does not depend on where they differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace isotrope
