// isotrope eval --tasks as a user runs it.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "tests/cli/workplace.h"

namespace isotrope::test {
namespace {

const std::string folder = std::string(ISOTROPE_TEST_SOURCE) + "/data/tasks/";

class EvalTasks : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new Workplace(with(llama_json, "\"max_position_embeddings\": 64", "\"max_position_embeddings\": 512"));
    ASSERT_EQ(run_program("train " + (*place_)("run.toml") + " --quiet").code, 0);
  }
  static void TearDownTestSuite() { delete place_; }
  static ProgramResult eval(const std::string& arguments) { return run_program("eval " + (*place_)("run") + " " + arguments); }
  static Workplace* place_;
};
Workplace* EvalTasks::place_ = nullptr;

TEST_F(EvalTasks, PrintsATableAndTheSameAsJson) {
  const auto table = eval("--tasks things,pairs --task-folder " + folder + "named");
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_NE(table.out.find("task"), std::string::npos);
  EXPECT_NE(table.out.find("pairs_agreement"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find(" *"), std::string::npos) << "the task's own metric is marked: " << table.out;
  const auto result = eval("--tasks things,pairs --json --task-folder " + folder + "named");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["tasks"]["things"]["items"], 2);
  EXPECT_EQ(json["tasks"]["things"]["headline"], "acc_norm");
  EXPECT_TRUE(json["tasks"]["things"].contains("acc_mutual_info"));
  EXPECT_EQ(json["tasks"]["pairs"]["items"], 3) << "the group's own row";
  for (const auto& [name, task] : json["tasks"].items()) {
    EXPECT_TRUE(task.contains(task["headline"].get<std::string>())) << name;
    EXPECT_NE(table.out.find(fmt::format("{:.4f}", task["acc"].get<double>())), std::string::npos) << name;
  }
  EXPECT_EQ(json["settings"]["context"], 512);
}

TEST_F(EvalTasks, KeepsItsAnswersAndGoesOnWithThem) {
  const auto out = (*place_)("results");
  ASSERT_EQ(eval("--tasks " + folder + "choices.jsonl -o " + out).code, 0);
  const auto answers = slurp(out + "/answers.jsonl"), results = slurp(out + "/results.json");
  EXPECT_EQ(std::ranges::count(answers, '\n'), 1 + 10);
  put(out + "/answers.jsonl", answers.substr(0, answers.size() - 100));  // cut off somewhere
  const auto again = eval("--tasks " + folder + "choices.jsonl -o " + out);
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_NE(again.err.find("answers are there already"), std::string::npos) << again.err;
  EXPECT_EQ(nlohmann::json::parse(slurp(out + "/results.json"))["tasks"], nlohmann::json::parse(results)["tasks"]);
  EXPECT_EQ(std::ranges::count(slurp(out + "/answers.jsonl"), '\n'), 1 + 10);
  const auto other = eval("--tasks " + folder + "choices.jsonl --dtype bfloat16 -o " + out);
  EXPECT_EQ(other.code, 3);
  EXPECT_NE(other.err.find("another evaluation"), std::string::npos) << other.err;
}

TEST_F(EvalTasks, GivesTheSameBitsForEveryBatchAndNumberOfThreads) {
  const auto scores = [&](const std::string& name, const std::string& more) {
    const auto result = eval("--tasks things,pairs,sums," + folder + "texts.jsonl --task-folder " + folder +
                             "named --shots 1 --max-tokens 8 -o " + (*place_)(name) + more);
    EXPECT_EQ(result.code, 0) << result.err;
    std::vector<std::string> lines;
    std::istringstream text(slurp((*place_)(name) + "/answers.jsonl"));
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    lines.erase(lines.begin());
    std::ranges::sort(lines);
    return lines;
  };
  const auto expected = scores("all", " --threads 1");
  EXPECT_GT(expected.size(), 20U);
  EXPECT_EQ(scores("two", " --threads 2"), expected);
  EXPECT_EQ(scores("one", " --batch-size 1"), expected);
  EXPECT_EQ(scores("some", " --batch-tokens 50 --batch-size 3 --threads 3"), expected);
}

TEST_F(EvalTasks, StoppedOrKilledItGoesOnToTheSameResult) {
  std::string records;
  for (int i = 0; i < 3000; ++i)
    records +=
        fmt::format(R"({{"context": "number {} is", "choices": ["small", "large and {}"], "gold": {}}})", i * 7919 % 3001, i, i % 2) + "\n";
  put((*place_)("many.jsonl"), records);
  const auto command = "eval " + (*place_)("run") + " --tasks " + (*place_)("many.jsonl") + " --batch-size 20 -o ";
  ASSERT_EQ(run_program(command + (*place_)("undisturbed")).code, 0);
  const auto expected = nlohmann::json::parse(slurp((*place_)("undisturbed") + "/results.json"))["tasks"];
  const auto answers = (*place_)("disturbed") + "/answers.jsonl";
  for (const int signal : {SIGINT, SIGKILL}) {
    const auto before = count_lines(slurp(answers), "{");
    Process process(*place_, command + (*place_)("disturbed"));
    ASSERT_TRUE(process.wait_until([&] { return count_lines(slurp(answers), "{") > before + 200; }));
    process.signal(signal);
    const auto result = process.wait();
    if (signal != SIGINT) continue;
    EXPECT_EQ(result.code, 130);
    EXPECT_NE(result.err.find("the same command goes on with them"), std::string::npos) << result.err;
  }
  const auto result = run_program(command + (*place_)("disturbed"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(slurp((*place_)("disturbed") + "/results.json"))["tasks"], expected);
  EXPECT_EQ(count_lines(slurp(answers), "{"), 1 + 6000U);
}

TEST_F(EvalTasks, SaysInOneLineWhatIsWrong) {
  const auto expect = [&](const std::string& arguments, int code, const std::string& part) {
    const auto result = eval(arguments);
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  };
  expect("", 2, "expected --data or --tasks");
  expect("--tasks " + folder + "texts.jsonl --stride 4", 2, "--stride requires --data");
  expect("--tasks " + folder + "texts.jsonl --shots 4", 2, "--shots has no effect");
  expect("--tasks " + folder + "texts.jsonl --max-tokens 4", 2, "--max-tokens has no effect");
  expect("--tasks arc --task-folder " + folder + "named", 3, "no task of that name");
  expect("--tasks " + folder + "texts.jsonl," + folder + "texts.jsonl", 2, "is asked for twice");
  put((*place_)("broken.jsonl"), "{\"context\": \"a\"}\n");
  expect("--tasks " + (*place_)("broken.jsonl"), 3, "broken.jsonl:1: a record of no known form");
  put((*place_)("long.jsonl"), "{\"context\": \"a\", \"choices\": [\"" + std::string(600, 'x') + "\", \"b\"], \"gold\": 0}\n");
  expect("--tasks " + (*place_)("long.jsonl"), 3, "long.jsonl:1: a continuation of 601 tokens exceeds a context of 512");
}

}  // namespace
}  // namespace isotrope::test
