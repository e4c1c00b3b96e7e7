// Products with matrices that stay in their file's blocks, against those of the expanded numbers; in the suite that runs once for every instruction set.
#include "isotrope/kernels/packed_weights.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/io/dtype.h"
#include "isotrope/kernels/head_loss.h"
#include "isotrope/kernels/linear.h"
#include "tests/kernels/against_reference.h"

namespace isotrope {
namespace {

using namespace test;

/// Random blocks: of packed numbers where we write the packing; of random bytes between small scales for the K-types.
at::Tensor random_blocks(Packing packing, std::int64_t N, std::int64_t K) {
  const auto row = static_cast<std::int64_t>(packed_bytes(packing, static_cast<std::size_t>(K)));
  if (packing == Packing::q4_k || packing == Packing::q6_k) {
    auto bytes = (normal({N, row}, 5).abs() * 1e4).to(at::kLong).remainder(256).to(at::kByte);
    const auto block = static_cast<std::int64_t>(block_bytes(packing)), half = std::int64_t{to_f16(0.01F)};
    for (std::int64_t at = 0; at < row; at += block)
      for (const auto scale : packing == Packing::q4_k ? std::vector<std::int64_t>{0, 2} : std::vector<std::int64_t>{208}) {
        bytes.narrow(1, at + scale, 1).fill_(half & 255);
        bytes.narrow(1, at + scale + 1, 1).fill_(half >> 8);
      }
    return bytes;
  }
  const auto numbers = normal({N, K}, 4).to(at::kFloat).contiguous();
  auto bytes = at::empty({N, row}, at::kByte);
  pack(packing, {numbers.const_data_ptr<float>(), static_cast<std::size_t>(N * K)},
       {reinterpret_cast<std::byte*>(bytes.mutable_data_ptr<std::uint8_t>()), static_cast<std::size_t>(N * row)});
  return bytes;
}

PackedMatrix packed(Packing packing, std::int64_t N, std::int64_t K) { return packed_matrix(packing, random_blocks(packing, N, K), K); }

Linear packed_layer(Packing packing, std::int64_t N, std::int64_t K, const at::Tensor& bias = {}, at::ScalarType type = at::kFloat) {
  const Linear layer(at::empty({N, K}, type).set_requires_grad(true), bias);
  keep_packed(*layer.slot, packed(packing, N, K));
  return layer;
}

at::Tensor packed_product_of(const at::Tensor& x, const PackedMatrix& matrix, const at::Tensor& bias) {
  const PackedAffine map{&matrix, bias};
  return packed_products(x, {&map, 1}).front();
}

constexpr Packing packings[] = {Packing::q8_0, Packing::q4_0, Packing::q4_1, Packing::q4_k, Packing::q6_k};

TEST(Kernels, PackedProductsEqualThoseOfTheExpandedNumbers) {
  const at::NoGradGuard no_grad;
  for (const auto packing : packings)
    for (const auto type : {at::kFloat, at::kBFloat16})
      for (const auto& [N, K] : {std::pair{1, 256}, {37, 256}, {300, 768}, {2100, 512}}) {
        const auto blocks = random_blocks(packing, N, K);
        const auto weight = packed_matrix(packing, blocks, K);
        const auto numbers = at::empty({N, K}, at::kFloat);  // as io/packed.h expands them
        expand(packing,
               {reinterpret_cast<const std::byte*>(blocks.const_data_ptr<std::uint8_t>()), static_cast<std::size_t>(blocks.numel())},
               {numbers.mutable_data_ptr<float>(), static_cast<std::size_t>(N * K)});
        const auto exact = numbers.to(at::kDouble);
        EXPECT_TRUE(at::equal(expanded(weight, type), numbers.to(type))) << packing_name(packing);
        for (const std::int64_t rows : {1, 2, 3, 4, 5, 40})
          for (const auto& bias : {at::Tensor(), normal({N}, 3).to(type)}) {
            const auto x = normal({2, rows, K}, 1).to(type).narrow(0, 1, 1);
            const auto y = packed_product_of(x, weight, bias);
            EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{1, rows, N}));
            EXPECT_EQ(y.scalar_type(), type);
            // Many rows are multiplied with the numbers rounded to their dtype.
            auto expected = at::linear(x.to(at::kDouble), rows <= few_rows ? exact : expanded(weight, type).to(at::kDouble));
            if (bias.defined()) expected = expected + bias.to(at::kDouble);
            EXPECT_LT(relative(y, expected), type == at::kFloat ? fp32_bound : bf16_bound)
                << packing_name(packing) << ' ' << c10::toString(type) << ' ' << rows << " rows, " << N << " x " << K;
            const Linear layer(at::empty({N, K}, type), bias);
            keep_packed(*layer.slot, weight);
            EXPECT_TRUE(at::equal(layer(x), y)) << "a layer takes it";
          }
      }
}

TEST(Kernels, PackedWidthsOfOneBlockAreWhole) {
  const at::NoGradGuard no_grad;
  for (const auto packing : {Packing::q8_0, Packing::q4_0, Packing::q4_1}) {
    const auto weight = packed(packing, 5, 32);
    const auto x = normal({1, 32}, 1).to(at::kFloat);
    EXPECT_LT(relative(packed_product_of(x, weight, {}), at::linear(x.to(at::kDouble), expanded(weight, at::kDouble))), fp32_bound);
  }
}

TEST(Kernels, PackedProductsHaveTheSameBitsForAnyNumberOfThreads) {
  const at::NoGradGuard no_grad;
  const auto threads = at::get_num_threads();
  for (const auto packing : packings) {
    const auto weight = packed(packing, 1000, 512);
    const auto x = normal({3, 512}, 1).to(at::kFloat);
    at::set_num_threads(1);
    const auto one = packed_product_of(x, weight, {});
    for (const int count : {2, 3}) {
      at::set_num_threads(count);
      EXPECT_TRUE(at::equal(packed_product_of(x, weight, {}), one)) << packing_name(packing);
    }
    at::set_num_threads(threads);
  }
}

TEST(Kernels, PackedMatricesOfOneInputAreMultipliedInOnePass) {
  const at::NoGradGuard no_grad;
  const auto x = normal({2, 512}, 1).to(at::kFloat);
  const auto bias = normal({700}, 2).to(at::kFloat);
  const auto a = packed_layer(Packing::q4_1, 333, 512), b = packed_layer(Packing::q6_k, 700, 512, bias),
             c = packed_layer(Packing::q8_0, 1, 512);
  const auto all = linears(x, {&a, &b, &c});
  ASSERT_EQ(all.size(), 3U);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(at::equal(all[i], (i == 0 ? a : i == 1 ? b : c)(x)));
  const Linear plain(at::ones({5, 512}));
  const auto both = linears(x, {&a, &plain});
  EXPECT_TRUE(at::equal(both[0], all[0]));
  EXPECT_LT(relative(both[1], x.to(at::kDouble).sum(1, true).expand({2, 5})), 1e-5);
  EXPECT_THROW(a(x.narrow(1, 0, 256)), WorkError);
}

TEST(Kernels, PackedTablesAreLookedUpAndHeadsLoseAsTheirNumbersDo) {
  const auto layer = packed_layer(Packing::q4_1, 90, 64);
  const auto numbers = expanded(*layer.slot->packed, at::kFloat);
  const auto ids = at::tensor({3, 89, 0, 3}, at::kLong).view({2, 2});
  EXPECT_TRUE(at::equal(embedding_lookup(layer.slot, ids), at::embedding(numbers, ids)));
  EXPECT_THROW(expanded_rows(*layer.slot->packed, at::tensor({90}, at::kLong), at::kFloat), WorkError);
  const auto hidden = normal({7, 64}, 2).to(at::kFloat), targets = at::arange(7, at::kLong);
  EXPECT_TRUE(at::equal(head_loss(hidden, layer, targets, {}).loss, head_loss(hidden, numbers, targets, {}).loss));
}

TEST(Kernels, PackedWeightsLetGradientsThroughToTheirInput) {
  const auto layer = packed_layer(Packing::q8_0, 20, 64);
  const auto x = normal({2, 64}, 1).to(at::kFloat).set_requires_grad(true);
  layer(x).sum().backward();
  EXPECT_LT(relative(x.grad(), expanded(*layer.slot->packed, at::kFloat).sum(0).expand({2, 64})), fp32_bound);
}

TEST(Kernels, PackedWeightsGiveNanToWhateverDoesNotKnowThem) {
  const auto layer = packed_layer(Packing::q8_0, 20, 64);
  const auto& weight = layer.weight();
  EXPECT_FALSE(layer.slot->trains());
  EXPECT_EQ(weight.sizes(), (std::vector<std::int64_t>{20, 64}));
  EXPECT_TRUE(at::isnan(weight).all().item<bool>());
  EXPECT_EQ(weight.storage().nbytes(), sizeof(float));
  EXPECT_FALSE(can_stay_packed(Packing::f16, 64));
  EXPECT_FALSE(can_stay_packed(Packing::q4_k, 64));
  EXPECT_THROW(packed_matrix(Packing::q8_0, at::zeros({4, 67}, at::kByte), 64), WorkError);
  EXPECT_THROW(keep_packed(*Linear(at::empty({5, 64})).slot, packed(Packing::q8_0, 4, 64)), WorkError);
}

}  // namespace
}  // namespace isotrope
