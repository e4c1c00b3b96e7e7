// The first thing a new user types: help of every command, at once and with an example; the version.
#include <cstdio>
#include <regex>
#include <set>

#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

/// The names under "Subcommands:" in a help text.
std::vector<std::string> subcommands(const std::string& help) {
  std::vector<std::string> names;
  bool inside = false;
  for (const auto& line : lines_of(help)) {
    if (inside && line.starts_with("  ") && line.size() > 2 && line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
    if (inside && line.empty()) break;
    if (line == "Subcommands:") inside = true;
  }
  return names;
}

void collect(const std::string& command, std::vector<std::string>& all) {
  all.push_back(command);
  for (const auto& name : subcommands(run_program(command + " --help").out)) collect(command + " " + name, all);
}

double median_milliseconds(const std::string& arguments) {
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    run_program(arguments);
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
  }
  std::ranges::sort(times);
  return times[2];
}

TEST(Help, OfEveryCommandComesWithin50MillisecondsAndShowsAnExample) {
  std::vector<std::string> commands;
  collect("", commands);
  for (const auto* name : {"plan", "train", "generate", "eval", "fill", "embed", "diff", "parity", "convert", "config", "info",
                           "tokenizer train", "data pack"})
    EXPECT_EQ(std::ranges::count(commands, " " + std::string(name)), 1) << name;
  for (const auto& command : commands) {
    SCOPED_TRACE("isotrope" + command + " --help");
    const auto result = run_program(command + " --help");
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.err, "");
    EXPECT_NE(result.out.find("Usage:"), std::string::npos);
    EXPECT_TRUE(command.empty() || result.out.find("\n  isotrope" + command) != std::string::npos) << "no example";
    const auto time = median_milliseconds(command + " --help");
    std::printf("isotrope%s --help: median of 5 runs %.1f ms\n", command.c_str(), time);
    EXPECT_LE(time, 50.0);
  }
}

TEST(Help, NamesVersionAndCommit) {
  const auto result = run_program("--version");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_TRUE(std::regex_match(result.out, std::regex(R"(isotrope \d+\.\d+\.\d+ \(\S+\)\n)"))) << result.out;
}

TEST(Help, IsPointedToWhenTheCommandLineIsWrong) {
  for (const std::string arguments : {"", "trian x", "train", "train a b", "eval --nonsense", "data", "data pck"}) {
    SCOPED_TRACE(arguments);
    expect_error(run_program(arguments), 2, {"hint: isotrope ", "--help"});
  }
}

}  // namespace
}  // namespace isotrope
