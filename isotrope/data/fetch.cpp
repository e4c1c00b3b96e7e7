#include "isotrope/data/fetch.h"

#include <httplib.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"

namespace isotrope {

namespace {

constexpr std::string_view in_fetch = "fetch";

// Checksums: tinyshakespeare by our own copy, wikitext-2 as Hugging Face's dataset_infos and many users give it.
// The site of enwik8 and text8 publishes none of the archives.
constexpr Corpus corpora[] = {
    {"enwik8", "the first 10^8 bytes of the English Wikipedia's XML of 2006, zip archive", "http://mattmahoney.net/dc/enwik8.zip",
     "CC BY-SA 3.0 and GFDL (Wikipedia)", 36445475, ""},
    {"text8", "the first 10^8 characters of that Wikipedia, letters and spaces alone, zip archive", "http://mattmahoney.net/dc/text8.zip",
     "CC BY-SA 3.0 and GFDL (Wikipedia)", 31344016, ""},
    {"tinyshakespeare", "40,000 lines of Shakespeare's plays, plain text",
     "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt", "public domain (the text)", 1115394,
     "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
    {"wikitext-2", "verified good articles of the English Wikipedia, raw text in three splits, zip archive",
     "https://huggingface.co/datasets/ggml-org/ci/resolve/main/wikitext-2-raw-v1.zip", "CC BY-SA 3.0", 4721645,
     "ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11"},
};

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  std::string hex() {
    std::array<unsigned char, 32> digest{};
    EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr);
    std::string text;
    for (const auto byte : digest) text += fmt::format("{:02x}", byte);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

/// `http://host[:port]` and `/path`.
std::pair<std::string, std::string> split_url(const std::string& url) {
  const bool known = url.starts_with("http://") || url.starts_with("https://");
  const auto host = url.find("://") + 3;
  if (!known || host >= url.size() || url[host] == '/')
    throw UsageError(in_fetch, "{}: expected http://HOST/PATH or https://HOST/PATH", url);
  const auto path = url.find('/', host);
  return {url.substr(0, path), path == url.npos ? "/" : url.substr(path)};
}

std::string lower_checksum(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  if (!text.empty() && (text.size() != 64 || text.find_first_not_of("0123456789abcdef") != text.npos))
    throw UsageError(in_fetch, "\"{}\" is no SHA-256: expected 64 hexadecimal digits", text);
  return text;
}

}  // namespace

std::span<const Corpus> known_corpora() { return corpora; }

const Corpus& find_corpus(std::string_view name) {
  const auto found = std::ranges::find(corpora, name, &Corpus::name);
  if (found != std::end(corpora)) return *found;
  std::vector<std::string> names;
  for (const auto& corpus : corpora) names.emplace_back(corpus.name);
  const auto meant = nearest(name, names);
  throw with_hint(
      UsageError(in_fetch, "no corpus is called {}", name),
      meant.empty() ? fmt::format("there are {}; or --url for one's own", fmt::join(names, ", ")) : "did you mean " + meant + "?");
}

FetchResult fetch(const FetchRequest& request) {
  const auto [server, path] = split_url(request.url);
  const auto expected = lower_checksum(request.sha256);
  AtomicFile file(request.output, in_fetch);
  Sha256 hash;
  int status = 0;
  std::uint64_t total = 0;
  std::exception_ptr failure;  // httplib is not made to be thrown through

  httplib::Client client(server);
  client.set_follow_location(true);
  client.set_connection_timeout(20);
  client.set_read_timeout(60);
  client.set_decompress(false);
  const auto result = client.Get(
      path, {{"Accept-Encoding", "identity"}, {"User-Agent", "isotrope"}},
      [&](const httplib::Response& response) {
        status = response.status;
        total = response.get_header_value<std::uint64_t>("Content-Length");
        return status == 200;
      },
      [&](const char* data, std::size_t size) {
        try {
          file.write(std::string_view(data, size));
          hash.add({data, size});
          if (request.progress && !request.progress(file.size(), total)) throw Interrupted(in_fetch, "{}: nothing was kept", request.url);
        } catch (...) {
          failure = std::current_exception();
          return false;
        }
        return true;
      });

  if (failure) std::rethrow_exception(failure);
  if (status != 0 && status != 200) throw WorkError(in_fetch, "{}: the server answers {}", request.url, status);
  if (!result) throw WorkError(in_fetch, "{}: {} after {} bytes", request.url, httplib::to_string(result.error()), file.size());
  const auto got = hash.hex();
  if (!expected.empty() && got != expected)
    throw with_hint(InputError(in_fetch, "{}: SHA-256 of {} bytes: expected {}, got {}", request.url, file.size(), expected, got),
                    "the download was not kept");
  file.commit();
  return {file.size(), got};
}

}  // namespace isotrope
