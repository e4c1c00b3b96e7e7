#include "isotrope/infer/score.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "isotrope/base/error.h"
#include "isotrope/kernels/batch_invariant.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

std::vector<TokenId> some_ids(std::size_t count, std::int64_t vocab, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < count; ++i) ids.push_back(static_cast<TokenId>(random() % static_cast<unsigned>(vocab)));
  return ids;
}

std::vector<TokenId> joined(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Questions behind common examples, with several answers each; some stand alone, some twice.
std::vector<ScoreRequest> some_requests(std::int64_t vocab, std::size_t longest) {
  std::vector<ScoreRequest> requests;
  const auto examples = some_ids(longest / 3, vocab, 1);
  for (unsigned question = 0; question < 3; ++question) {
    const auto context = joined(examples, some_ids(1 + 3 * question, vocab, 10 + question));
    for (unsigned answer = 0; answer < 3; ++answer)
      requests.push_back({context, some_ids(1 + answer * 2, vocab, 100 + 7 * question + answer)});
  }
  requests.push_back({some_ids(1, vocab, 50), some_ids(longest - 1, vocab, 51)});
  requests.push_back({some_ids(longest + 4, vocab, 52), some_ids(3, vocab, 53)});  // loses its beginning
  requests.push_back(requests[1]);
  requests.push_back({examples, some_ids(2, vocab, 54)});
  return requests;
}

/// The definition: each request alone, in one row, by the ordinary kernels, softmax in double.
double by_hand(Model& model, const ScoreRequest& request, std::int64_t context) {
  const at::NoGradGuard no_grad;
  auto ids = joined(request.context, request.continuation);
  ids.erase(ids.begin(), ids.end() - std::min(std::ssize(ids), context + 1));
  const std::vector<std::int64_t> wide(ids.begin(), ids.end());
  const auto input = at::tensor(wide, at::kLong).unsqueeze(0);
  const auto hidden = model.forward_ids(input.narrow(1, 0, input.size(1) - 1));
  const auto log_p = at::log_softmax(model.logits(hidden).to(at::kDouble), -1)[0];
  double sum = 0;
  for (auto i = wide.size() - request.continuation.size(); i < wide.size(); ++i)
    sum += log_p[static_cast<std::int64_t>(i) - 1][wide[i]].item<double>();
  return sum;
}

std::vector<double> likelihoods(const std::vector<ContinuationScore>& scores) {
  std::vector<double> all;
  for (const auto& score : scores) all.push_back(score.log_likelihood);
  return all;
}

std::vector<fs::path> decoders() {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(test::source("data/models"))) folders.push_back(entry.path());
  std::ranges::sort(folders);
  return folders;
}

constexpr std::int64_t context = 40;

TEST(Score, EqualsTheDefinitionInEveryFamily) {
  int tested = 0;
  for (const auto& folder : decoders()) {
    const auto model = load_model(folder);
    if (!model->has_head()) continue;
    const auto requests = some_requests(model->shape().vocab_size, context);
    const auto scores = score_continuations(*model, requests, {.context = context});
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto expected = by_hand(*model, requests[i], context);
      EXPECT_NEAR(scores[i].log_likelihood, expected, 2e-5 * std::max(1.0, std::abs(expected))) << folder << ' ' << i;
      EXPECT_EQ(scores[i].log_probabilities.size(), requests[i].continuation.size());
    }
    ++tested;
  }
  EXPECT_GE(tested, 40);
}

TEST(Score, HasTheSameBitsForEveryBatchOrderAndNumberOfThreadsInEveryFamily) {
  const auto before = at::get_num_threads();
  for (const auto& folder : decoders())
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      const auto model = load_model(folder, {.dtype = type});
      if (!model->has_head()) continue;
      auto requests = some_requests(model->shape().vocab_size, context);
      at::set_num_threads(1);
      const auto scores = likelihoods(score_continuations(*model, requests, {.context = context}));
      for (const auto threads : {1, 2, 3})
        for (const auto& [tokens, size] : {std::pair{1, 0}, {4096, 1}, {4096, 4}, {60, 0}, {4096, 0}}) {
          at::set_num_threads(threads);
          const ScoringOptions options{.context = context, .batch_tokens = tokens, .batch_size = size};
          EXPECT_EQ(likelihoods(score_continuations(*model, requests, options)), scores)
              << folder << ' ' << type << ' ' << threads << ' ' << tokens << ' ' << size;
        }
      std::ranges::reverse(requests);
      auto reversed = likelihoods(score_continuations(*model, requests, {.context = context}));
      std::ranges::reverse(reversed);
      EXPECT_EQ(reversed, scores) << folder << ' ' << type;
      EXPECT_EQ(score_continuations(*model, std::span(requests).first(1), {.context = context}).front().log_likelihood, scores.back());
    }
  at::set_num_threads(before);
}

TEST(Score, GreedyMeansThatEachTokenIsTheLikeliest) {
  const at::NoGradGuard no_grad;
  const auto model = load_model(test::source("data/models/llama_mha_tied"));
  auto text = some_ids(4, model->shape().vocab_size, 3);
  const auto prompt = text;
  for (int i = 0; i < 5; ++i) {
    const auto hidden = model->forward_ids(at::tensor(std::vector<std::int64_t>(text.begin(), text.end()), at::kLong).unsqueeze(0));
    text.push_back(static_cast<TokenId>(model->logits(hidden)[0][-1].argmax().item<std::int64_t>()));
  }
  const std::vector<TokenId> answer(text.begin() + 4, text.end());
  auto other = answer;
  other[3] = (other[3] + 1) % static_cast<TokenId>(model->shape().vocab_size);
  const auto scores = score_continuations(*model, std::vector<ScoreRequest>{{prompt, answer}, {prompt, other}});
  EXPECT_TRUE(scores[0].greedy);
  EXPECT_FALSE(scores[1].greedy);
}

TEST(Score, SharedBeginningsAreComputedOnce) {
  const std::vector<std::vector<TokenId>> texts{{1, 2}, {1, 2, 3, 4}, {1, 2, 3, 4}, {1, 2, 3, 9, 9}, {1, 2, 7}, {5}};
  std::vector<std::span<const TokenId>> sequences(texts.begin(), texts.end());
  const auto packed = pack_sequences(sequences);
  EXPECT_EQ(packed.tokens, (std::vector<TokenId>{1, 2, 3, 4, 9, 9, 7, 5}));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    ASSERT_EQ(packed.rows[i].size(), texts[i].size());
    for (std::size_t j = 0; j < texts[i].size(); ++j) EXPECT_EQ(packed.tokens[static_cast<std::size_t>(packed.rows[i][j])], texts[i][j]);
  }
  const auto positions = packed.tree.positions();
  EXPECT_EQ(positions, (std::vector<std::int64_t>{0, 1, 2, 3, 3, 4, 2, 0}));
  const auto alone = pack_sequences(sequences, /*share=*/false);
  EXPECT_EQ(alone.tokens.size(), 19U);
  EXPECT_EQ(alone.tree.parts.size(), 6U);
}

TEST(Score, TellsOfRequestsAsTheyAreDoneAndStopsWhenAsked) {
  const auto model = load_model(test::source("data/models/llama_mha_tied"));
  const auto requests = some_requests(model->shape().vocab_size, context);
  std::vector<bool> told(requests.size());
  int batches = 0;
  const auto scores = score_continuations(*model, requests,
                                          {.context = context,
                                           .batch_size = 3,
                                           .done = [&](std::size_t i, const ContinuationScore&) { told[i] = true; },
                                           .batch_done = [&] { ++batches; }});
  EXPECT_EQ(std::ranges::count(told, true), std::ssize(requests));
  EXPECT_EQ(batches, 5);
  int asked = 0;
  EXPECT_THROW(score_continuations(*model, requests, {.context = context, .batch_size = 3, .stop_requested = [&] { return ++asked > 2; }}),
               Interrupted);
}

TEST(Score, AModelWithoutALimitOfPositionsReads2048Tokens) {
  EXPECT_EQ(scoring_context(*load_model(test::source("data/models/bloom_4_heads"))), 2048);
  EXPECT_EQ(scoring_context(*load_model(test::source("data/models/mamba2_groups"))), 2048);
  const auto llama = load_model(test::source("data/models/llama_mha_tied"));
  EXPECT_EQ(scoring_context(*llama), llama->shape().max_positions);
}

TEST(Score, NamesWhatItCannotScore) {
  const auto expect = [](Model& model, const ScoreRequest& request, const ScoringOptions& options, const std::string& part) {
    try {
      score_continuations(model, {&request, 1}, options);
      FAIL() << "no error: " << part;
    } catch (const Error& error) {
      EXPECT_NE(error.message().find(part), std::string::npos) << error.message();
    }
  };
  const auto model = load_model(test::source("data/models/llama_mha_tied"));
  const auto vocab = static_cast<TokenId>(model->shape().vocab_size);
  expect(*model, {{}, {1}}, {}, "request 0 has no context");
  expect(*model, {{1}, {}}, {}, "request 0 has no continuation");
  expect(*model, {{1}, {2, vocab}}, {}, "out of range");
  expect(*model, {{1}, {2, 3, 4}}, {.context = 2}, "a continuation of 3 tokens exceeds a context of 2");
  expect(*model, {{1}, {2}}, {.context = 1 << 20}, "positions");
  expect(*load_model(test::source("data/models/llama_mha_tied"), {.dtype = at::kHalf}), {{1}, {2}}, {}, "float32 and bfloat16");
  expect(*load_model(test::source("data/encoders/bert_masked_lm")), {{1}, {2}}, {}, "reads its texts from both sides");
}

}  // namespace
}  // namespace isotrope
