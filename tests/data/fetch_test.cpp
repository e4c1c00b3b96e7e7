#include "isotrope/data/fetch.h"

#include <gtest/gtest.h>
#include <httplib.h>
#include <signal.h>
#include <sys/resource.h>

#include <set>
#include <string>
#include <thread>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::TemporaryFolder;

// sha256sum of "hello fetch\n"
const std::string greeting = "hello fetch\n";
const std::string greeting_sha256 = "4c735370fbf3a79b08ebb5ef3fc7d3a91e0206181d6ae94ee4fe5a88882a4f1d";

/// A server on 127.0.0.1 for one test.
class FetchTest : public testing::Test {
 protected:
  FetchTest() {
    server.Get("/good.txt", [](const httplib::Request&, httplib::Response& response) { response.set_content(greeting, "text/plain"); });
    server.Get("/moved", [](const httplib::Request&, httplib::Response& response) { response.set_redirect("/good.txt"); });
    server.Get("/large",
               [](const httplib::Request&, httplib::Response& response) { response.set_content(std::string(3000000, 'x'), "a/b"); });
    server.Get("/truncated", [](const httplib::Request&, httplib::Response& response) {
      response.set_content_provider(100000, "text/plain", [](std::size_t offset, std::size_t, httplib::DataSink& sink) {
        return offset < 5000 && sink.write(std::string(5000, 'x').data(), 5000);
      });
    });
    port = server.bind_to_any_port("127.0.0.1");
    thread = std::thread([this] { server.listen_after_bind(); });
    while (!server.is_running()) std::this_thread::yield();
  }
  ~FetchTest() override {
    server.stop();
    thread.join();
  }

  std::string url(const std::string& path) const { return "http://127.0.0.1:" + std::to_string(port) + path; }
  FetchRequest request(const std::string& path) const { return {.url = url(path), .sha256 = "", .output = output, .progress = {}}; }
  /// The message of the error of type E that fetching throws; nothing may be left of the download.
  template <class E>
  std::string refusal(const FetchRequest& request) const {
    std::string message = "no error";
    try {
      fetch(request);
    } catch (const E& error) {
      message = error.message();
    }
    EXPECT_TRUE(fs::is_empty(folder.path()));
    return message;
  }

  httplib::Server server;
  int port = 0;
  std::thread thread;
  const TemporaryFolder folder;
  const fs::path output = folder.path() / "out";
};

TEST_F(FetchTest, AGoodFileArrivesWithItsChecksum) {
  auto asked = request("/good.txt");
  asked.sha256 = greeting_sha256;
  std::uint64_t done = 0, total = 0;
  asked.progress = [&](std::uint64_t d, std::uint64_t t) { return done = d, total = t, true; };
  const auto result = fetch(asked);
  EXPECT_EQ(result.sha256, greeting_sha256);
  EXPECT_EQ(result.bytes, greeting.size());
  EXPECT_EQ(read_file(output, "test"), greeting);
  EXPECT_EQ(done, greeting.size());
  EXPECT_EQ(total, greeting.size());
}

TEST_F(FetchTest, RedirectionsAreFollowedAndUpperCaseChecksumsAccepted) {
  auto asked = request("/moved");
  for (const char c : greeting_sha256) asked.sha256 += static_cast<char>(std::toupper(c));
  EXPECT_EQ(fetch(asked).bytes, greeting.size());
}

TEST_F(FetchTest, AWrongChecksumKeepsNothing) {
  auto asked = request("/good.txt");
  asked.sha256 = std::string(64, '0');
  EXPECT_NE(refusal<InputError>(asked).find("expected " + asked.sha256 + ", got " + greeting_sha256), std::string::npos);
}

TEST_F(FetchTest, AnAnswerOtherThan200KeepsNothing) {
  EXPECT_NE(refusal<WorkError>(request("/absent")).find("/absent: the server answers 404"), std::string::npos);
}

TEST_F(FetchTest, ABodyThatBreaksOffKeepsNothing) {
  EXPECT_NE(refusal<WorkError>(request("/truncated")).find("after 5000 bytes"), std::string::npos);
}

TEST_F(FetchTest, AFailedDownloadLeavesTheEarlierFile) {
  write_file(output, "earlier", "test");
  EXPECT_THROW(fetch(request("/truncated")), WorkError);
  EXPECT_EQ(read_file(output, "test"), "earlier");
}

TEST_F(FetchTest, StoppingKeepsNothing) {
  auto asked = request("/large");
  asked.progress = [](std::uint64_t done, std::uint64_t) { return done < 1000000; };
  EXPECT_NE(refusal<Interrupted>(asked).find("nothing was kept"), std::string::npos);
}

TEST_F(FetchTest, ADiskThatFillsIsAnErrorThatNamesTheFile) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{100000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  const auto message = refusal<WorkError>(request("/large"));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find(output.string() + ": cannot write"), std::string::npos) << message;
}

TEST_F(FetchTest, AServerThatIsNotThereIsOneLine) {
  auto asked = request("/good.txt");
  asked.url = "http://127.0.0.1:1/x";
  EXPECT_NE(refusal<WorkError>(asked).find("http://127.0.0.1:1/x"), std::string::npos);
}

TEST_F(FetchTest, UrlsAndChecksumsAreCheckedFirst) {
  auto asked = request("/good.txt");
  for (const auto* url : {"", "good.txt", "ftp://host/x", "http://", "https:///x"}) {
    asked.url = url;
    EXPECT_NE(refusal<UsageError>(asked), "no error") << url;
  }
  asked = request("/good.txt");
  asked.sha256 = "abc";
  EXPECT_NE(refusal<UsageError>(asked).find("64 hexadecimal digits"), std::string::npos);
}

TEST(Corpora, EachSaysWhereItComesFromAndUnderWhichLicence) {
  std::set<std::string_view> names;
  for (const auto& corpus : known_corpora()) {
    EXPECT_TRUE(names.insert(corpus.name).second);
    EXPECT_TRUE(corpus.url.starts_with("http") && !corpus.licence.empty() && corpus.bytes > 0) << corpus.name;
    EXPECT_TRUE(corpus.sha256.empty() || corpus.sha256.size() == 64) << corpus.name;
    EXPECT_EQ(&find_corpus(corpus.name), &corpus);
  }
}

TEST(Corpora, AnUnknownNameGetsTheNearest) {
  try {
    find_corpus("enwiki8");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.hint(), "did you mean enwik8?");
  }
}

}  // namespace
}  // namespace isotrope
