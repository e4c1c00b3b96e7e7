// tests/golden/head_loss.safetensors: float64 formulas (tools/oracles/loss_goldens.py).
#include <gtest/gtest.h>

#include "isotrope/kernels/head_loss.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

TEST(HeadLossGoldens, LossesAndGradientsEqualTheFormulas) {
  const test::Goldens golden(test::source("golden/head_loss.safetensors"));
  for (const std::string name : {"small", "odd", "one_row", "wide_vocabulary", "large_logits", "empty"}) {
    const auto hidden = golden(name + ".hidden").requires_grad_(true), head = golden(name + ".head").requires_grad_(true);
    const auto count = golden(name + ".count").item<std::int64_t>();
    const double coefficient = golden(name + ".z_coefficient").item<double>();
    const auto out = head_loss(hidden, head, golden(name + ".targets"),
                               {.scale = 1.0 / std::max<double>(1, count), .z_loss = coefficient, .chunk_bytes = 1});
    const double expected = golden(name + ".cross_entropy").item<double>() + golden(name + ".z_loss").item<double>();
    // fp32 against float64: log-sum-exp of logits up to some hundreds keeps an absolute error of 1e-5 there.
    EXPECT_NEAR(out.loss.item<double>(), expected, 2e-6 * std::max(1.0, std::abs(expected))) << name;
    out.loss.backward();
    EXPECT_LT(test::relative(out.nll, golden(name + ".losses")), 1e-5) << name;
    EXPECT_LT(test::relative(hidden.grad(), golden(name + ".grad_hidden")), 1e-5) << name;
    EXPECT_LT(test::relative(head.grad(), golden(name + ".grad_head")), 1e-5) << name;
  }
}

}  // namespace
}  // namespace isotrope
