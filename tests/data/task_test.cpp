#include "isotrope/data/task.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/data/task_records.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::put, test::TemporaryFolder;

fs::path tasks_folder() { return fs::path(ISOTROPE_TEST_SOURCE) / "data/tasks"; }

std::vector<Task> named(std::string_view name, TaskOptions options = {}) {
  options.folder = tasks_folder() / "named";
  return load_tasks(name, options);
}

void expect_error(const auto& function, const std::string& part) {
  try {
    function();
    FAIL() << "no error: " << part;
  } catch (const Error& error) {
    EXPECT_NE(error.message().find(part), std::string::npos) << error.message();
  }
}

TEST(Tasks, RequestRowsBecomeItemsWithTheirChoices) {
  const auto tasks = named("things");
  ASSERT_EQ(tasks.size(), 1U);
  const auto& task = tasks.front();
  EXPECT_EQ(task.name, "things");
  EXPECT_EQ(task.headline, "acc_norm") << "config.json's acc_per_char";
  ASSERT_EQ(task.items.size(), 2U);
  EXPECT_EQ(task.items[0].gold, 0U);
  ASSERT_EQ(task.items[1].choices.size(), 3U);
  EXPECT_EQ(task.items[1].choices[1].context, "Question: What burns?\nAnswer:");
  EXPECT_EQ(task.items[1].choices[1].continuation, " dry wood");
  EXPECT_EQ(task.items[1].choices[1].text, "dry wood");
  EXPECT_EQ(task.items[1].choices[1].unconditional, "Answer:") << "the row of doc_id + 1000000";
}

TEST(Tasks, OwnRecordsAreToldApartByTheirKeys) {
  const auto choices = load_tasks((tasks_folder() / "choices.jsonl").string(), {}).front();
  EXPECT_EQ(choices.name, "choices");
  ASSERT_EQ(choices.items.size(), 2U);
  EXPECT_EQ(choices.items[1].choices[2].continuation, " old");
  EXPECT_EQ(choices.items[1].gold, 1U);
  EXPECT_EQ(choices.items[1].choices[0].unconditional, "It is");
  const auto texts = load_tasks((tasks_folder() / "texts.jsonl").string(), {}).front();
  EXPECT_EQ(texts.kind, TaskKind::perplexity);
  EXPECT_EQ(texts.items.size(), 2U) << "an empty line is no record";
  EXPECT_TRUE(texts.items[1].place.ends_with("texts.jsonl:3")) << texts.items[1].place;
}

TEST(Tasks, PairsComeFromAnArchiveOrAFolderAndAreAGroup) {
  for (const char* name : {"pairs", "loose_pairs"}) {
    const auto tasks = named(name);
    ASSERT_EQ(tasks.size(), 2U) << name;
    EXPECT_EQ(tasks[0].name, std::string(name) + "_agreement");
    EXPECT_EQ(tasks[0].group, name);
    EXPECT_EQ(tasks[0].items[1].choices[0].continuation, " A dog runs.") << "the harness puts a space before it";
    EXPECT_EQ(tasks[0].items[1].choices[0].context, "");
    EXPECT_EQ(tasks[0].items[1].gold, 0U);
  }
  const auto one = named("pairs_order");
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0].items.size(), 1U);
  EXPECT_EQ(one[0].group, "") << "one of them is not the group";
}

TEST(Tasks, MmluQuestionsStandBehindTheirSubjectsExamples) {
  const auto tasks = named("mmlu", {.shots = 2});
  ASSERT_EQ(tasks.size(), 1U);
  EXPECT_EQ(tasks[0].name, "mmlu_small_numbers");
  ASSERT_EQ(tasks[0].items.size(), 2U);
  EXPECT_EQ(tasks[0].items[0].choices[3].context,
            "The following are multiple choice questions (with answers) about small numbers.\n\n"
            "What is 1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: B\n\n"
            "Which of these, if any, is \"odd\"?\nA. 2\nB. 4\nC. 5\nD. 8\nAnswer: C\n\n"
            "What is 2 + 2?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:");
  EXPECT_EQ(tasks[0].items[0].choices[3].continuation, " D");
  EXPECT_EQ(tasks[0].items[0].gold, 3U);
  EXPECT_NE(tasks[0].items[1].choices[0].context.find("Two lines:\nwhich is 3?\nA. 3\nB. 4, or so\n"), std::string::npos);
  EXPECT_EQ(named("mmlu", {.shots = 0})[0].items[0].choices[0].context.find("1 + 1"), std::string::npos);
  expect_error([] { named("mmlu"); }, "5 examples are asked for, and there are 2");
}

TEST(Tasks, QuestionsWithAnswersTakeTheirFirstOnesAsExamples) {
  const auto task = named("sums", {.shots = 2}).front();
  EXPECT_EQ(task.kind, TaskKind::generation);
  EXPECT_EQ(task.headline, "exact_match,strict-match");
  EXPECT_TRUE(task.takes_shots);
  ASSERT_EQ(task.items.size(), 4U);
  EXPECT_EQ(task.items[0].prompt,
            "Question: What is 1 and 2?\nAnswer: 1 and 2 make <<1+2=3>>3.\n#### 3\n\n"
            "Question: What is 3 and 4?\nAnswer: 3 and 4 make <<3+4=7>>7.\n#### 7\n\n"
            "Question: What is 5 and 6?\nAnswer:");
  EXPECT_EQ(task.items[2].answer, "100 and 1000 make <<100+1000=1100>>1100.\n#### 1,100");
  EXPECT_EQ(named("sums").front().items.size(), 1U) << "five examples by default";
  expect_error([] { named("sums", {.shots = 6}); }, "6 examples are asked for of 6 questions");
}

TEST(Tasks, ALimitKeepsTheFirstItemsAndAnUnknownNameListsWhatThereIs) {
  EXPECT_EQ(named("things", {.limit = 1}).front().items.size(), 1U);
  expect_error([] { named("arc"); }, "(there are: loose_pairs, mmlu, pairs, sums, things)");
  expect_error([] { load_tasks("arc", {}); }, "no such file or folder");
  expect_error([] { load_tasks("arc", {.folder = "/nowhere"}); }, "no such folder of tasks");
}

TEST(Tasks, BrokenRecordsAreNamedByFileAndLine) {
  const auto read = [](const std::string& text) { return [text] { read_task_records(text, "f.jsonl"); }; };
  const std::string good = std::string(R"({"context": "a", "choices": ["b", "c"], "gold": 0})") + "\n";
  expect_error(read(""), "f.jsonl: no records");
  expect_error(read(good + "{"), "f.jsonl: line 2");
  expect_error(read(good + R"({"text": "a"})"), "f.jsonl:2: a record of another form");
  expect_error(read(R"({"words": 1})"), "f.jsonl:1: a record of no known form");
  expect_error(read(R"([1])"), "f.jsonl:1");
  expect_error(read(R"({"context": "a", "choices": ["b", "c"], "gold": 2})"), "\"gold\" is 2, but there are 2 choices");
  expect_error(read(R"({"context": "a", "choices": ["b", "c"]})"), "expected the right choice");
  expect_error(read(R"({"context": "a", "choices": ["b"], "gold": 0})"), "expected two choices or more");
  expect_error(read(R"({"context": "a", "choices": ["b", 3], "gold": 0})"), "expected strings, got a");
  expect_error(read(R"({"context": 1, "choices": ["b", "c"], "gold": 0})"), "\"context\"");
  expect_error(read("{\"text\": \"\xff\"}"), "is not UTF-8");
  expect_error(read(R"({"text": ""})"), "\"text\" is empty");
  expect_error(read(R"({"sentence_good": "a"})"), "sentence_bad");
  expect_error(read(R"({"question": "a", "answer": ""})"), "an empty prompt or answer");
  const auto row = [](int document, int index, int label, const char* type = "loglikelihood") {
    return fmt::format(
               R"({{"request_type": "{}", "request": {{"context": "a", "continuation": " b"}}, "doc_id": {}, "idx": {}, "label": {}}})",
               type, document, index, label) +
           "\n";
  };
  expect_error(read(row(0, 0, 0) + row(0, 0, 0)), "f.jsonl:2: doc_id 0, idx 0 stands in f.jsonl:1 too");
  expect_error(read(row(0, 1, 0)), "f.jsonl:1: doc_id 0 has no request before idx 1");
  expect_error(read(row(0, 0, 1)), "label 1, but there are 1 choices");
  expect_error(read(row(0, 0, -1)), "label -1 is no choice");
  expect_error(read(row(0, 0, 0) + row(0, 1, 1)), "f.jsonl:2: label 1, and 0 in another row");
  expect_error(read(row(0, 0, 0) + row(1000001, 0, 0)), "f.jsonl:2: no request of doc_id 1, idx 0");
  expect_error(read(R"({"request_type": "loglikelihood", "request": {"context": "a", "continuation": " b"}, "doc_id": 0, "idx": 0})"),
               "label");
  expect_error(read(row(1000000, 0, 0)), "no request of doc_id 0");
  expect_error(read(row(0, 0, 0, "generate_until")), "request_type generate_until is not supported");
}

TEST(Tasks, CsvFieldsMayBeQuoted) {
  const auto rows = read_csv("a,\"b, \"\"c\"\"\",d\r\n\n\"x\ny\",,\n", "f.csv");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].fields, (std::vector<std::string>{"a", "b, \"c\"", "d"}));
  EXPECT_EQ(rows[1].fields, (std::vector<std::string>{"x\ny", "", ""}));
  EXPECT_EQ(rows[1].line, 3U);
  expect_error([] { read_csv("a\n\"b\n", "f.csv"); }, "f.csv:2: a quoted field that never ends");
  expect_error([] { read_mmlu("a,b,c\n", "f.csv", "x", "", 0); }, "f.csv:1: expected question, four choices and the answer, got 3 fields");
  expect_error([] { read_mmlu("a,b,c,d,e,F\n", "f.csv", "x", "", 0); }, "expected A, B, C or D");
}

TEST(Tasks, FilesOfOtherKindsAndBrokenArchivesAreRefused) {
  const TemporaryFolder folder;
  put(folder / "a.zip", "PK no archive");
  put(folder / "a.csv", "a,b\n");
  put(folder / "a.txt", "");
  fs::create_directories(folder / "empty");
  expect_error([&] { load_tasks((folder / "a.zip").string(), {}); }, "no zip archive");
  expect_error([&] { load_tasks((folder / "a.csv").string(), {}); }, "expected a .jsonl or .txt file");
  expect_error([&] { load_tasks((folder / "a.txt").string(), {}); }, "the file is empty");
  expect_error([&] { load_tasks((folder / "empty").string(), {}); }, "empty");
}

}  // namespace
}  // namespace isotrope
