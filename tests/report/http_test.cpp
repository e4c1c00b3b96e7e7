#include "isotrope/report/http.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace isotrope {
namespace {

ParsedRequest parse(const std::string& text) { return parse_http_request(text); }
int status(const std::string& text) { return parse(text).status; }

TEST(HttpRequest, IsReadWithItsQueryAndHeaders) {
  const std::string text =
      "GET /api/series?run=1&keys=loss%2Cpath%20x&from= HTTP/1.1\r\nHost: localhost:80\r\nAccept-Encoding:  gzip \r\n\r\nrest";
  const auto parsed = parse(text);
  EXPECT_EQ(parsed.status, 0);
  EXPECT_EQ(parsed.length, text.size() - 4);
  EXPECT_EQ(parsed.request.method, "GET");
  EXPECT_EQ(parsed.request.path, "/api/series");
  EXPECT_EQ(parsed.request.asked("run"), "1");
  EXPECT_EQ(parsed.request.asked("keys"), "loss,path x");
  EXPECT_EQ(parsed.request.asked("from"), "");
  EXPECT_EQ(parsed.request.asked("none", "other"), "other");
  EXPECT_EQ(parsed.request.header("host"), "localhost:80");
  EXPECT_EQ(parsed.request.header("accept-encoding"), "gzip");
  EXPECT_TRUE(parsed.request.keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n").request.keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n").request.keep_alive);
}

TEST(HttpRequest, APathIsNeverDecoded) { EXPECT_EQ(parse("GET /%2e%2e/x HTTP/1.0\r\n\r\n").request.path, "/%2e%2e/x"); }

TEST(HttpRequest, EveryBeginningOfOneWaitsForTheRest) {
  const std::string text = "HEAD /index.html HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
  for (std::size_t length = 0; length < text.size(); ++length) EXPECT_EQ(status(text.substr(0, length)), 100) << length;
  EXPECT_EQ(status(text), 0);
}

TEST(HttpRequest, WhatIsNotAskedForIsRefused) {
  const std::string host = "Host: a\r\n";
  EXPECT_EQ(status("POST / HTTP/1.1\r\n" + host + "\r\n"), 405);
  EXPECT_EQ(status("DELETE / HTTP/1.1\r\n" + host + "\r\n"), 405);
  EXPECT_EQ(status("GET / HTTP/2.0\r\n" + host + "\r\n"), 505);
  EXPECT_EQ(status("GET / HTTP/1.1\r\n\r\n"), 400);                                 // no Host
  EXPECT_EQ(status("GET / HTTP/1.1\r\n" + host + host + "\r\n"), 400);              // two of them
  EXPECT_EQ(status("GET / HTTP/1.1\n" + host + "\r\n"), 400);                       // bare line feed
  EXPECT_EQ(status("GET  / HTTP/1.1\r\n" + host + "\r\n"), 400);                    // two blanks
  EXPECT_EQ(status("GET http://a/ HTTP/1.1\r\n" + host + "\r\n"), 400);             // a proxy's form
  EXPECT_EQ(status("GET / HTTP/1.1\r\n" + host + " folded: x\r\n\r\n"), 400);       // a folded line
  EXPECT_EQ(status("GET / HTTP/1.1\r\n" + host + "a b: c\r\n\r\n"), 400);           // a blank in a name
  EXPECT_EQ(status(std::string("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 29)), 400);  // a zero byte
  EXPECT_EQ(status("GET /?a=%zz HTTP/1.1\r\n" + host + "\r\n"), 400);
  EXPECT_EQ(status("GET / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\n"), 413);  // bodies
  EXPECT_EQ(status("GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n"), 413);
  EXPECT_EQ(status("GET /" + std::string(5000, 'a')), 414);
  EXPECT_EQ(status("GET / HTTP/1.1\r\n" + host + "a: " + std::string(20000, 'b')), 431);
}

RC_GTEST_PROP(HttpRequest, AnyBytesAreWholeUnfinishedOrRefused, ()) {
  const auto pieces = *rc::gen::container<std::vector<std::string>>(
      rc::gen::element<std::string>("GET ", "HEAD ", "/", " HTTP/1.1", "\r\n", "\n", "Host: a", ":", " ", "?a=%41&b", "%",
                                    std::string(1, '\0'), "\xff", "Content-Length: 0"));
  std::string text;
  for (const auto& piece : pieces) text += piece;
  const auto parsed = parse(text);
  RC_ASSERT(parsed.length <= text.size());
  RC_ASSERT(parsed.status == 0 || parsed.status == 100 || (parsed.status >= 400 && parsed.status < 600));
  RC_ASSERT((parsed.status == 0) == (parsed.length > 0));
}

TEST(HttpResponse, AHeadHasTheLengthOfTheBodyThatItLacks) {
  const HttpRequest head{.method = "HEAD", .path = "/", .query = {}, .headers = {}};
  const auto text = format_http_response({.body = "12345"}, head, true);
  EXPECT_NE(text.find("Content-Length: 5\r\n"), text.npos);
  EXPECT_TRUE(text.ends_with("\r\n\r\n"));
}

TEST(HttpResponse, IsCompressedForWhomeverTakesItAndSaysWhatBrowsersMayDo) {
  HttpRequest request{.method = "GET", .path = "/", .query = {}, .headers = {{"accept-encoding", "gzip, br"}}};
  const std::string body(5000, 'x');
  const auto packed = format_http_response({.body = body}, request, true);
  EXPECT_NE(packed.find("Content-Encoding: gzip\r\n"), packed.npos);
  EXPECT_LT(packed.size(), 2000u);
  for (const auto* header : {"Content-Security-Policy: default-src 'none'", "X-Content-Type-Options: nosniff", "frame-ancestors 'none'"})
    EXPECT_NE(packed.find(header), packed.npos) << header;
  request.headers["accept-encoding"] = "gzip;q=0";
  EXPECT_TRUE(format_http_response({.body = body}, request, true).ends_with(body));
}

TEST(Token, ComparesEqualOnlyWhenEqual) {
  EXPECT_TRUE(equal_in_constant_time("secret-1", "secret-1"));
  for (const auto* other : {"", "secret-2", "secret-", "secret-11", "Secret-1"})
    EXPECT_FALSE(equal_in_constant_time(other, "secret-1")) << other;
  EXPECT_FALSE(equal_in_constant_time("a", ""));
}

}  // namespace
}  // namespace isotrope
