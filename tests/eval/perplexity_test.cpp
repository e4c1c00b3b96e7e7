#include "isotrope/eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

std::vector<std::int64_t> some_tokens(std::int64_t count, std::int64_t vocab) {
  std::vector<std::int64_t> out(count);
  for (std::int64_t i = 0; i < count; ++i) out[i] = (i * i * 7 + i * 3) % vocab;
  return out;
}

TokenText sequence(const std::vector<std::int64_t>& tokens) {
  return {tokens.size(),
          [&tokens](std::uint64_t begin, std::uint64_t count, std::int64_t* out) { std::copy_n(tokens.data() + begin, count, out); },
          "test"};
}

class Perplexity : public testing::Test {
 protected:
  std::unique_ptr<Model> model_ = load_model(test::source("data/models/llama_mha_tied"));
  std::vector<std::int32_t> bytes_ = std::vector<std::int32_t>(model_->shape().vocab_size, 2);

  /// The definition, spelled out: each window alone, one log-softmax a token.
  std::pair<double, std::int64_t> by_hand(const std::vector<std::int64_t>& tokens, std::int64_t context, std::int64_t stride) {
    const at::NoGradGuard no_grad;
    double sum = 0;
    std::int64_t counted = 0, done = 1;
    const auto size = static_cast<std::int64_t>(tokens.size());
    for (std::int64_t begin = 0;; begin += stride) {
      const auto end = std::min(begin + context, size);
      if (end - begin < 2) break;
      const auto ids = at::tensor(at::ArrayRef<std::int64_t>(tokens.data() + begin, end - begin), at::kLong).unsqueeze(0);
      const auto log_p = at::log_softmax(model_->logits(model_->forward_ids(ids)).to(at::kDouble), -1)[0];
      for (auto i = std::max(begin + 1, stride == context ? begin + 1 : done); i < end; ++i)
        sum -= log_p[i - 1 - begin][tokens[i]].item<double>(), ++counted;
      done = end;
      if (end == size) break;
    }
    return {sum, counted};
  }
};

TEST_F(Perplexity, EqualsTheDefinitionForEveryContextStrideAndBatch) {
  const auto tokens = some_tokens(103, model_->shape().vocab_size);
  struct Case {
    std::int64_t context, stride, batch;
  };
  for (const auto& c : {Case{16, 16, 1}, {16, 16, 4}, {16, 5, 3}, {32, 1, 8}, {2, 2, 7}, {64, 64, 2}}) {
    const auto [sum, counted] = by_hand(tokens, c.context, c.stride);
    const auto score = score_text(*model_, sequence(tokens), bytes_, {.context = c.context, .stride = c.stride, .batch_size = c.batch});
    EXPECT_EQ(score.tokens, counted) << c.context << ' ' << c.stride;
    EXPECT_NEAR(score.nll_sum / sum, 1.0, 1e-6) << c.context << ' ' << c.stride;
    EXPECT_EQ(score.bytes, 2 * counted);
    EXPECT_NEAR(score.bits_per_byte(), score.nll_sum / std::log(2.0) / static_cast<double>(score.bytes), 1e-12);
    EXPECT_NEAR(score.perplexity(), std::exp(score.nll()), 1e-9);
  }
}

TEST_F(Perplexity, AShortTextIsOneWindow) {
  const auto tokens = some_tokens(9, model_->shape().vocab_size);
  EXPECT_EQ(score_text(*model_, sequence(tokens), bytes_).tokens, 8);
}

TEST_F(Perplexity, RefusesWhatCannotBeScored) {
  const auto one = some_tokens(1, 5);
  EXPECT_THROW(score_text(*model_, sequence(one), bytes_), InputError);
  EXPECT_THROW(score_text(*model_, sequence({}), bytes_), InputError);
  const std::vector<std::int64_t> outside{1, 2, model_->shape().vocab_size};
  EXPECT_THROW(score_text(*model_, sequence(outside), bytes_), InputError);
  const auto tokens = some_tokens(50, 5);
  EXPECT_THROW(score_text(*model_, sequence(tokens), bytes_, {.context = 100000}), InputError);
  EXPECT_THROW(score_text(*model_, sequence(tokens), bytes_, {.context = 8, .stride = 9}), UsageError);
}

}  // namespace
}  // namespace isotrope
