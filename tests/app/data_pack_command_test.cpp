// `isotrope data pack` that is killed or stopped, as its user sees it: the same command goes on, to the bytes of an undisturbed pack.
#include <random>

#include "isotrope/data/token_file.h"
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

class PackCommandSlow : public ::testing::Test {
 protected:
  /// A text with a line a document and records beside it.
  void SetUp() override {
    const auto sentences = sample_text(5000);
    std::string lines, records;
    for (std::size_t at = 0; at + 200 < sentences.size(); at += 150) {
      lines += sentences.substr(at, 149) + "\n";
      records += R"({"text": ")" + sentences.substr(at, 99) + "\"}\n";
    }
    std::string text;
    for (int i = 0; i < 30; ++i) text += lines;
    put(place / "a.txt", text);
    put(place / "b.jsonl", records + records + records + records);
    put(place / "c.txt", text);
  }

  std::string arguments(const std::string& output, const std::string& more = "") const {
    return "data pack " + place("a.txt") + " " + place("b.jsonl") + " " + place("c.txt") + " --tokenizer bytes -o " + place(output) +
           " --split-documents line --validation 0.1 " + more;
  }

  std::string bytes_in(const std::string& output) const {
    return slurp(place / (output + "/train.tokens")) + "|" + slurp(place / (output + "/validation.tokens"));
  }

  void expect_whole(const std::string& output) const {
    ASSERT_EQ(run_program(arguments("whole")).code, 0);
    EXPECT_TRUE(bytes_in(output) == bytes_in("whole"));
    EXPECT_EQ(names_in(place / output), names_in(place / "whole"));
    EXPECT_EQ(run_program("data inspect --verify " + place(output + "/train.tokens")).code, 0);
  }

  const Workplace place;
};

TEST_F(PackCommandSlow, KilledAgainAndAgainGoesOnToTheSameBytes) {
  std::mt19937 random(1);
  int killed = 0, gone_on = 0;
  for (int round = 1;; ++round) {
    ASSERT_LT(round, 200) << "it does not get on";
    Process process(place, arguments("out", "--journal-every 0 --threads " + std::to_string(1 + random() % 3)));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % (10'000 * static_cast<unsigned>(3 + round))));
    process.signal(SIGKILL);
    const auto result = process.wait();
    gone_on += result.err.find("goes on with the pack that was cut off here") != std::string::npos;
    EXPECT_EQ(result.err.find("begins anew"), std::string::npos) << result.err;
    if (result.code == 0) break;
    ASSERT_EQ(result.code, -1) << result.err;
    ++killed;
    for (const auto* name : {"out/train.tokens", "out/validation.tokens"})
      if (fs::exists(place / name)) {
        EXPECT_NO_THROW(TokenFile(place / name).verify()) << name;
      }
  }
  std::printf("killed %d times, gone on %d times\n", killed, gone_on);
  EXPECT_GE(killed, 3) << "the pack ended before it could be killed: nothing was tested";
  EXPECT_GE(gone_on, 2) << "it never went on: nothing was tested";
  expect_whole("out");
}

TEST_F(PackCommandSlow, StoppedByCtrlCSaysHowToGoOn) {
  Process process(place, arguments("out", "--journal-every 0"));
  ASSERT_TRUE(process.wait_until([&] { return fs::exists(place / "out/pack.journal"); }));
  process.signal(SIGINT);
  const auto stopped = process.wait();
  ASSERT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_EQ(count_lines(stopped.err, "stopped: [data] at "), 1u) << stopped.err;
  EXPECT_NE(stopped.err.find("the same command goes on from there, --restart begins anew"), std::string::npos) << stopped.err;
  EXPECT_FALSE(fs::exists(place / "out/train.tokens"));

  const auto other = run_program(arguments("out", "--restart"));
  EXPECT_EQ(other.code, 0);
  EXPECT_NE(other.err.find("an earlier pack was cut off here; this one begins anew: --restart"), std::string::npos) << other.err;
  expect_whole("out");
}

TEST_F(PackCommandSlow, SaysWhyItBeginsAnew) {
  const auto stop = [&] {
    Process process(place, arguments("out", "--journal-every 0"));
    ASSERT_TRUE(process.wait_until([&] { return fs::exists(place / "out/pack.journal"); }));
    process.signal(SIGTERM);
    ASSERT_EQ(process.wait().code, 130);
  };
  stop();
  const auto options = run_program(arguments("out", "--seed 4"));
  EXPECT_EQ(options.code, 0);
  EXPECT_NE(options.err.find("this one begins anew: its options, tokenizer or program were others"), std::string::npos) << options.err;
  stop();
  put(place / "c.txt", slurp(place / "c.txt") + "more\n");
  const auto inputs = run_program(arguments("out"));
  EXPECT_EQ(inputs.code, 0);
  EXPECT_NE(inputs.err.find("this one begins anew: its inputs were others, or have changed since"), std::string::npos) << inputs.err;
  expect_whole("out");
  expect_error(run_program(arguments("out", "--journal-every=-1")), 2, {"--journal-every -1"});
}

}  // namespace
}  // namespace isotrope
