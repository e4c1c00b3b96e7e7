#include "isotrope/eval/task_scores.h"

#include <gtest/gtest.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/eval/task_requests.h"

namespace isotrope {
namespace {

TaskItem item_of(const std::vector<std::string>& texts, std::size_t gold) {
  TaskItem item;
  for (const auto& text : texts) item.choices.push_back({"", " " + text, text, {}});
  item.gold = gold;
  return item;
}

ItemOutcome outcome_of(std::vector<double> likelihoods, std::vector<double> unconditional = {}) {
  ItemOutcome outcome;
  outcome.log_likelihoods = std::move(likelihoods);
  outcome.unconditional = std::move(unconditional);
  return outcome;
}

double value(const std::vector<Metric>& metrics, const std::string& name) {
  for (const auto& metric : metrics)
    if (metric.name == name) return metric.value;
  ADD_FAILURE() << "no metric " << name;
  return NAN;
}

TEST(TaskScores, EachMeasureTakesItsOwnChoice) {
  // Two characters and four bytes, ten of each, three of each.
  const auto item = item_of({"чу", "abcdefghij", "abc"}, 0);
  const auto choices = choose(item, outcome_of({-4, -15, -3.9}, {-4, -20, -3}));
  EXPECT_EQ(choices.raw, 2U);
  EXPECT_EQ(choices.per_character, 2U) << "-2, -1.5, -1.3";
  EXPECT_EQ(choices.per_byte, 0U) << "-1, -1.5, -1.3";
  EXPECT_EQ(choices.mutual_information, 1U) << "0, 5, -0.9";
  EXPECT_EQ(choose(item, outcome_of({-4, -4, -4})).raw, 0U) << "of equals the first";
  EXPECT_FALSE(choose(item, outcome_of({-4, -4, -4})).mutual_information);
}

TEST(TaskScores, AccuraciesAndTheirErrorsAreTheHarnesss) {
  Task task{.name = "t"};
  std::vector<ItemOutcome> outcomes;
  for (int i = 0; i < 8; ++i) {
    task.items.push_back(item_of({"a", "b"}, i < 5 ? 0 : 1));
    outcomes.push_back(outcome_of({-1, -2}));
  }
  const auto metrics = task_metrics(task, outcomes);
  EXPECT_DOUBLE_EQ(value(metrics, "acc"), 5.0 / 8);
  // numpy.std([1]*5 + [0]*3, ddof=1) / sqrt(8)
  EXPECT_NEAR(*metrics[0].standard_error, 0.1829813, 1e-6);
  EXPECT_EQ(metrics.size(), 3U) << "no mutual information without unconditional scores";
  task.items.resize(1), outcomes.resize(1);
  EXPECT_FALSE(task_metrics(task, outcomes)[0].standard_error);
}

TEST(TaskScores, PerplexitiesAreOverAllTextsTogether) {
  Task task{.name = "t", .kind = TaskKind::perplexity};
  std::vector<ItemOutcome> outcomes;
  for (const auto& [nll, tokens, words, bytes] : {std::tuple{10.0, 5, 4, 20}, {30.0, 10, 6, 40}}) {
    task.items.emplace_back();
    auto one = outcome_of({-nll});
    one.tokens = tokens, one.words = words, one.bytes = bytes;
    outcomes.push_back(one);
  }
  const auto metrics = task_metrics(task, outcomes);
  EXPECT_NEAR(value(metrics, "word_perplexity"), std::exp(4.0), 1e-9);
  EXPECT_NEAR(value(metrics, "byte_perplexity"), std::exp(40.0 / 60), 1e-12);
  EXPECT_NEAR(value(metrics, "bits_per_byte"), 40.0 / 60 / std::log(2.0), 1e-12);
  EXPECT_NEAR(value(metrics, "token_perplexity"), std::exp(40.0 / 15), 1e-12);
  // Residuals of 10 and 30 against 2/3 of 20 and 40: -10/3 and 10/3.
  EXPECT_NEAR(*metrics[2].standard_error, std::sqrt(2 * (100.0 / 9) * 2) / 60 / std::log(2.0), 1e-12);
}

TEST(TaskScores, FinalNumbersAreFoundAsTheHarnessFindsThem) {
  const std::string answer = "Half of it is 1,100.\n#### 1,100";
  const auto right = [&](const std::string& text) {
    const auto found = judge(text, answer);
    return std::pair{found.strict, found.flexible};
  };
  EXPECT_EQ(right(" So it is 1100.\n#### 1,100"), (std::pair{true, true}));
  EXPECT_EQ(right("#### $1100"), (std::pair{false, true}));
  EXPECT_EQ(right("The answer is $1,100."), (std::pair{false, true}));
  EXPECT_EQ(right("#### 1100 or 7"), (std::pair{true, false}));
  EXPECT_EQ(right("#### 1,100.00"), (std::pair{false, false}));
  EXPECT_EQ(right("eleven hundred"), (std::pair{false, false}));
  EXPECT_EQ(right("#### x #### 1100"), (std::pair{true, true}));
  EXPECT_TRUE(judge("it is -5", "#### -5").flexible);
  EXPECT_TRUE(judge("x - 5", "#### 5").flexible);
  EXPECT_FALSE(judge("", "#### 5").flexible);
  EXPECT_TRUE(judge("  Paris \n", "Paris").strict) << "an answer without a number is compared as it is";
  EXPECT_FALSE(judge("paris", "Paris").strict);
}

TEST(TaskScores, AGroupWeighsItsTasksByTheirItems) {
  const auto together = group_metrics({{{"acc", 0.5, 0.1}, {"acc_norm", 0.2, 0.1}}, {{"acc", 1.0, 0.2}}}, {30, 10});
  ASSERT_EQ(together.size(), 1U) << "what all have";
  EXPECT_DOUBLE_EQ(together[0].value, 0.625);
  EXPECT_NEAR(*together[0].standard_error, std::sqrt((29 * 30 * 0.01 + 9 * 10 * 0.04) / 38 / 40), 1e-12);
}

TEST(TaskRequests, ContinuationsAreWhatTheWholeTextHasBehindTheContext) {
  const auto bytes = byte_tokenizer();
  const auto coding = request_coding(*bytes, {});
  EXPECT_EQ(coding.prefix, 256);
  auto request = continuation_request(coding, "ab", " c");
  EXPECT_EQ(request.context, (std::vector<TokenId>{'a', 'b'}));
  EXPECT_EQ(request.continuation, (std::vector<TokenId>{' ', 'c'}));
  request = continuation_request(coding, "ab \u00a0\n", "c");
  EXPECT_EQ(request.context.size(), 2U) << "white space belongs to the continuation";
  EXPECT_EQ(request.continuation.size(), 5U);
  request = continuation_request(coding, "", "c");
  EXPECT_EQ(request.context, (std::vector<TokenId>{256}));
  request = continuation_request(coding, "", "<|endoftext|>c");
  EXPECT_EQ(request.context, (std::vector<TokenId>{256}));
  EXPECT_EQ(request.continuation, (std::vector<TokenId>{'c'})) << "the prefix is not there twice";
  EXPECT_THROW(continuation_request(coding, "a", ""), Error);
}

TEST(TaskRequests, RollingWindowsPredictEveryTokenOnce) {
  const auto bytes = byte_tokenizer();
  const auto coding = request_coding(*bytes, {});
  const std::string text = "abcdefghij";
  const auto requests = rolling_requests(coding, text, 4);
  ASSERT_EQ(requests.size(), 3U);
  std::string predicted;
  for (const auto& request : requests) {
    EXPECT_LE(request.context.size() + request.continuation.size(), 5U);
    for (const auto id : request.continuation) predicted += static_cast<char>(id);
  }
  EXPECT_EQ(predicted, text);
  EXPECT_EQ(requests[0].context, (std::vector<TokenId>{256}));
  EXPECT_EQ(requests[1].context, (std::vector<TokenId>{'d'}));
  EXPECT_EQ(requests[2].context, (std::vector<TokenId>{'f', 'g', 'h'})) << "the last one reaches back";
  EXPECT_TRUE(rolling_requests(coding, "", 4).empty());
}

TEST(TaskRequests, WordsAreCountedAsPythonSplitsThem) {
  EXPECT_EQ(count_words("one two\u00a0 three"), 3);
  EXPECT_EQ(count_words(" one "), 3) << "re.split leaves an empty text at either end";
  EXPECT_EQ(count_words(""), 1);
  EXPECT_EQ(count_words("a\x1f"
                        "b"),
            2);
  EXPECT_EQ(count_characters("чу\u0301x"), 4);
}

}  // namespace
}  // namespace isotrope
