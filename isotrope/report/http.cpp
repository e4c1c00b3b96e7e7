#include "isotrope/report/http.h"

#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

constexpr std::size_t longest_request_line = 4096, smallest_to_compress = 1024;
constexpr std::string_view token_characters = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

ParsedRequest refuse(int status) { return {.status = status, .length = 0, .request = {}}; }

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      result += ' ';
    } else if (text[i] != '%') {
      result += text[i];
    } else {
      if (i + 2 >= text.size() || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0) return std::nullopt;
      result += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    }
  }
  return result;
}

bool parse_query(std::string_view text, HttpRequest& request) {
  while (!text.empty()) {
    const auto pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    const auto equals = std::min(pair.find('='), pair.size());
    const auto name = percent_decoded(pair.substr(0, equals));
    const auto value = percent_decoded(pair.substr(std::min(pair.size(), equals + 1)));
    if (!name || !value) return false;
    request.query[*name] = *value;
  }
  return true;
}

/// 0, or the status to refuse with.
int parse_request_line(std::string_view line, HttpRequest& request) {
  const auto first = line.find(' '), last = line.rfind(' ');
  if (first == line.npos || first == last || line.find(' ', first + 1) != last) return 400;
  request.method = line.substr(0, first);
  const auto target = line.substr(first + 1, last - first - 1), version = line.substr(last + 1);
  if (request.method.empty() || request.method.find_first_not_of(token_characters) != std::string::npos) return 400;
  if (!version.starts_with("HTTP/") || version.size() != 8) return 400;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return 505;
  request.keep_alive = version == "HTTP/1.1";
  if (request.method != "GET" && request.method != "HEAD") return 405;
  if (!target.starts_with('/')) return 400;
  if (std::ranges::any_of(target, [](char c) { return c <= ' ' || c >= 0x7f || c == '#'; })) return 400;
  const auto question = std::min(target.find('?'), target.size());
  request.path = target.substr(0, question);
  return parse_query(target.substr(std::min(target.size(), question + 1)), request) ? 0 : 400;
}

int parse_header(std::string_view line, HttpRequest& request) {
  const auto colon = line.find(':');
  if (colon == line.npos || colon == 0) return 400;
  std::string name(line.substr(0, colon));
  if (name.find_first_not_of(token_characters) != std::string::npos) return 400;
  std::ranges::transform(name, name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  auto value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  if (std::ranges::any_of(value, [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f; })) return 400;
  const bool fresh = request.headers.emplace(name, value).second;
  if (!fresh && (name == "host" || name == "content-length")) return 400;
  return 0;
}

std::string gzipped(std::string_view text) {
  z_stream stream{};
  if (::deflateInit2(&stream, 5, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return "";
  std::string result(::deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  const bool whole = ::deflate(&stream, Z_FINISH) == Z_STREAM_END;
  result.resize(whole ? stream.total_out : 0);
  ::deflateEnd(&stream);
  return result;
}

bool takes_gzip(const HttpRequest& request) {
  const auto accepted = request.header("accept-encoding");
  const auto at = accepted.find("gzip");
  return at != accepted.npos && !accepted.substr(at).starts_with("gzip;q=0");
}

std::string_view phrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 303: return "See Other";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 421: return "Misdirected Request";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
  }
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

std::string_view HttpRequest::asked(std::string_view name, std::string_view fallback) const {
  const auto found = query.find(name);
  return found == query.end() ? fallback : found->second;
}

ParsedRequest parse_http_request(std::string_view bytes, std::size_t limit) {
  ParsedRequest parsed;
  auto& request = parsed.request;
  std::size_t at = 0;
  for (bool first = true;; first = false) {
    const auto end = bytes.find('\n', at);
    if (end == bytes.npos) {
      if (first && bytes.size() > longest_request_line) return refuse(414);
      return bytes.size() > limit ? refuse(431) : ParsedRequest{};
    }
    if (end == at || bytes[end - 1] != '\r') return refuse(400);
    const auto line = bytes.substr(at, end - 1 - at);
    at = end + 1;
    if (at > limit) return refuse(first ? 414 : 431);
    if (first && line.size() > longest_request_line) return refuse(414);
    if (!first && line.empty()) break;
    if (const int status = first ? parse_request_line(line, request) : parse_header(line, request); status != 0) return refuse(status);
  }
  if (request.keep_alive && !request.headers.contains("host")) return refuse(400);
  if (request.headers.contains("transfer-encoding")) return refuse(413);
  if (const auto length = request.header("content-length"); !length.empty() && length != "0") return refuse(413);
  std::string connection(request.header("connection"));
  std::ranges::transform(connection, connection.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (connection.find("close") != std::string::npos) request.keep_alive = false;
  parsed.status = 0;
  parsed.length = at;
  return parsed;
}

std::string format_http_response(const HttpResponse& response, const HttpRequest& request, bool keep_alive) {
  std::string body = response.body,
              head = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n", response.status, phrase(response.status), response.type);
  if (!response.stream && body.size() >= smallest_to_compress) {
    head += "Vary: Accept-Encoding\r\n";
    if (takes_gzip(request))
      if (auto small = gzipped(body); !small.empty() && small.size() < body.size()) {
        body = std::move(small);
        head += "Content-Encoding: gzip\r\n";
      }
  }
  if (!response.stream) head += fmt::format("Content-Length: {}\r\n", body.size());
  for (const auto& [name, value] : response.headers) head += name + ": " + value + "\r\n";
  // Nothing but this server's own files may run, be shown or be asked; nobody may frame the page or guess at types.
  head +=
      "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
      "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n"
      "Cross-Origin-Opener-Policy: same-origin\r\nCache-Control: no-store\r\n";
  head += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return request.method == "HEAD" ? head : head + body;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ (b.empty() ? 0 : b[i % b.size()]));
  return difference == 0;
}

}  // namespace isotrope
