#include "isotrope/eval/task_run.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

/// A byte-level decoder with weights from a seed: a vocabulary of 257, as the byte tokenizer has it.
std::unique_ptr<Model> byte_model() {
  auto model = make_model(
      nlohmann::json::parse(R"({"architectures": ["LlamaForCausalLM"], "vocab_size": 257, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.3})"),
      {}, "test");
  initialize_(model->parameters(), 3);
  return model;
}

class TaskRun : public testing::Test {
 protected:
  std::vector<Task> tasks(std::string_view name, std::int64_t shots = 1) {
    return load_tasks(name, {.folder = test::source("data/tasks/named"), .shots = shots});
  }
  TaskRunOptions options_{.batch_tokens = 150, .max_tokens = 12, .eos = {256}};
  std::unique_ptr<Model> model_ = byte_model();
  std::shared_ptr<const Tokenizer> bytes_ = byte_tokenizer();
  test::TestFolder folder_;
  nlohmann::json identity_{{"model", "a"}, {"context", 0}};
};

std::vector<double> everything(const std::vector<ItemOutcome>& outcomes) {
  std::vector<double> all;
  for (const auto& outcome : outcomes) {
    all.insert(all.end(), outcome.log_likelihoods.begin(), outcome.log_likelihoods.end());
    all.insert(all.end(), outcome.unconditional.begin(), outcome.unconditional.end());
    for (const auto c : outcome.generated) all.push_back(c);
  }
  return all;
}

TEST_F(TaskRun, EveryKindOfTaskGivesTheSameInOneGoAndRequestByRequest) {
  for (const char* name : {"things", "pairs", "mmlu", "sums"})
    for (const auto& task : tasks(name)) {
      at::set_num_threads(1);
      TaskJournal none;
      const auto together = run_task(*model_, *bytes_, task, options_, none);
      ASSERT_EQ(together.size(), task.items.size());
      auto single = options_;
      single.batch_size = 1;
      at::set_num_threads(3);
      EXPECT_EQ(everything(run_task(*model_, *bytes_, task, single, none)), everything(together)) << task.name;
      at::set_num_threads(1);
      EXPECT_FALSE(task_metrics(task, together).empty());
    }
}

TEST_F(TaskRun, AnEvaluationThatWasStoppedGoesOnWithTheAnswersItHas) {
  for (const char* name : {"things", "sums"}) {
    const auto task = tasks(name).front();
    TaskJournal none;
    const auto expected = run_task(*model_, *bytes_, task, options_, none);
    const auto path = folder_ / (std::string(name) + ".jsonl");
    auto stopping = options_;
    stopping.batch_size = 2;
    int asked = 0;
    stopping.stop_requested = [&] { return ++asked > (task.kind == TaskKind::generation ? 14 : 2); };
    {
      TaskJournal journal(path, identity_);
      EXPECT_THROW(run_task(*model_, *bytes_, task, stopping, journal), Interrupted);
      EXPECT_GT(journal.size(), 0U);
    }
    std::ofstream(path, std::ios::app) << R"({"task": "things", "item")";  // killed within a line
    TaskJournal journal(path, identity_);
    const auto had = journal.size();
    EXPECT_GT(had, 0U);
    std::size_t fresh = 0;
    auto counting = options_;
    counting.progress = [&](std::size_t done, std::size_t) { fresh = std::max(fresh, done); };
    EXPECT_EQ(everything(run_task(*model_, *bytes_, task, counting, journal)), everything(expected));
    EXPECT_GT(journal.size(), had);
    // And once more: nothing is left to compute.
    TaskJournal whole(path, identity_);
    EXPECT_EQ(whole.size(), journal.size());
    auto never = options_;
    never.stop_requested = [] { return true; };
    EXPECT_EQ(everything(run_task(*model_, *bytes_, task, never, whole)), everything(expected));
  }
}

TEST_F(TaskRun, AnswersOfAnotherEvaluationAreNotGoneOnWith) {
  const auto path = folder_ / "answers.jsonl";
  { TaskJournal journal(path, identity_); }
  auto other = identity_;
  other["model"] = "b";
  try {
    TaskJournal journal(path, other);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(error.message().find("model is \"b\", and was \"a\""), std::string::npos) << error.message();
  }
  write_file(path, "not JSON\n", "test");
  EXPECT_THROW(TaskJournal(path, identity_), InputError);
  write_file(path, identity_.dump() + "\n{\"task\": 3}\n", "test");
  EXPECT_THROW(TaskJournal(path, identity_), InputError);
}

TEST_F(TaskRun, AJournalCutOffAnywhereIsGoneOnWithOrRefused) {
  const auto path = folder_ / "answers.jsonl";
  {
    TaskJournal journal(path, identity_);
    for (int i = 0; i < 3; ++i) journal.add({"t", "f", i, 0}, {{"log_likelihood", -1.5 * i}, {"greedy", false}, {"tokens", 1}});
    journal.flush();
  }
  const auto whole = read_file(path, "test");
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    write_file(path, whole.substr(0, size), "test");
    const TaskJournal journal(path, identity_);
    const auto lines = static_cast<std::size_t>(std::ranges::count(whole.substr(0, size), '\n'));
    EXPECT_EQ(journal.size(), lines > 0 ? lines - 1 : 0) << size;
    if (journal.size() == 3) EXPECT_EQ(journal.find({"t", "f", 2, 0})->at("log_likelihood"), -3.0);
  }
  write_file(path, "my notes", "test");
  EXPECT_THROW(TaskJournal(path, identity_), InputError);
  EXPECT_EQ(read_file(path, "test"), "my notes") << "what is no journal is left as it is";
}

TEST_F(TaskRun, AModelWhoseNumbersAreNotFiniteHasNoScore) {
  {
    const at::NoGradGuard no_grad;
    model_->parameters().all()[3].value.fill_(std::numeric_limits<float>::quiet_NaN());
  }
  TaskJournal journal(folder_ / "answers.jsonl", identity_);
  try {
    run_task(*model_, *bytes_, tasks("things").front(), options_, journal);
    FAIL();
  } catch (const WorkError& error) {
    EXPECT_NE(error.message().find("requests.jsonl:"), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("not finite"), std::string::npos) << error.message();
  }
  EXPECT_EQ(journal.size(), 0U);
}

TEST_F(TaskRun, PerplexityIsThatOfTheTokensOneByOne) {
  const at::NoGradGuard no_grad;
  Task task{.name = "texts", .kind = TaskKind::perplexity};
  task.items.push_back({.place = "here", .choices = {}, .gold = 0, .prompt = {}, .answer = {}, .text = "Some words to predict."});
  TaskJournal none;
  const auto outcome = run_task(*model_, *bytes_, task, options_, none).front();
  std::vector<std::int64_t> ids{256};
  for (const char c : task.items[0].text) ids.push_back(static_cast<unsigned char>(c));
  const auto input = at::tensor(ids, at::kLong).unsqueeze(0);
  const auto log_p = at::log_softmax(model_->logits(model_->forward_ids(input)).to(at::kDouble), -1)[0];
  double sum = 0;
  for (std::size_t i = 1; i < ids.size(); ++i) sum += log_p[static_cast<std::int64_t>(i) - 1][ids[i]].item<double>();
  EXPECT_NEAR(outcome.log_likelihoods.front(), sum, 1e-4);
  EXPECT_EQ(outcome.tokens, 22);
  EXPECT_EQ(outcome.words, 4);
}

TEST_F(TaskRun, ItemsThatCannotBeAskedAreNamed) {
  Task task{.name = "t"};
  task.items.push_back(
      {.place = "file:7", .choices = {{"a", "", "", {}}, {"a", "b", "b", {}}}, .gold = 0, .prompt = {}, .answer = {}, .text = {}});
  TaskJournal none;
  try {
    run_task(*model_, *bytes_, task, options_, none);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(error.message().find("file:7: no token is left of the continuation"), std::string::npos) << error.message();
  }
}

TEST_F(TaskRun, AnswersEndAtStopStringsThatAreSpecialTokensToo) {
  // The last norm gives ones for every text, and the head adds them up for one token alone: the model writes end-of-text for ever.
  const auto model =
      make_model(nlohmann::json::parse(R"({"architectures": ["GPT2LMHeadModel"], "vocab_size": 257, "n_embd": 16, "n_layer": 1, "n_head": 2,
    "n_positions": 512, "tie_word_embeddings": false})"),
                 {}, "test");
  initialize_(model->parameters(), 3);
  {
    const at::NoGradGuard no_grad;
    for (auto& parameter : model->parameters().all()) {
      if (parameter.name == "transformer.ln_f.weight" || parameter.name == "lm_head.weight") parameter.value.zero_();
      if (parameter.name == "transformer.ln_f.bias") parameter.value.fill_(1);
      if (parameter.name == "lm_head.weight") parameter.value[256].fill_(1);
    }
  }
  auto task = tasks("sums").front();
  task.items.resize(1);
  const auto tokens_written = [&] {
    auto options = options_;
    options.eos.clear();
    int tokens = 0;
    options.stop_requested = [&] { return ++tokens, false; };
    TaskJournal none;
    EXPECT_EQ(run_task(*model, *bytes_, task, options, none).front().generated, "") << "what is special is not shown";
    return tokens;
  };
  EXPECT_GE(tokens_written(), options_.max_tokens);
  task.stop = {"<|endoftext|>"};
  EXPECT_LE(tokens_written(), 2);
}

TEST_F(TaskRun, AModelsFingerprintChangesWithAnyWeight) {
  const auto before = model_fingerprint(*model_);
  EXPECT_EQ(model_fingerprint(*byte_model()), before);
  const auto turned = make_model(
      [&] {
        auto config = model_->config();
        config["rope_theta"] = 5;
        return config;
      }(),
      {}, "test");
  initialize_(turned->parameters(), 3);
  EXPECT_NE(model_fingerprint(*turned), before) << "the same weights read otherwise";
  const at::NoGradGuard no_grad;
  model_->parameters().all().back().value.flatten()[0].add_(1e-3);
  EXPECT_NE(model_fingerprint(*model_), before);
}

}  // namespace
}  // namespace isotrope
