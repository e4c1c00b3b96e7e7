#include "isotrope/io/activation_dump.h"

#include <gtest/gtest.h>

#include <array>

#include "isotrope/base/error.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::TemporaryFolder;

/// A dump of one row of three tokens, the last of them padding, to be broken in one place.
struct Parts {
  std::map<std::string, std::string> about{{"format", "activation_dump"}, {"version", "1"}, {"model_type", "llama"}, {"dtype", "float32"}};
  std::array<std::int64_t, 3> ids{4, 5, 0}, mask{1, 1, 0}, positions{0, 1, 2};
  std::array<float, 6> numbers{1, 2, 3, 4, 5, 6};
  std::vector<TensorView> tensors{{"ids", DType::i64, {1, 3}, std::as_bytes(std::span(ids))},
                                  {"mask", DType::i64, {1, 3}, std::as_bytes(std::span(mask))},
                                  {"positions", DType::i64, {1, 3}, std::as_bytes(std::span(positions))},
                                  {"embed", DType::f32, {1, 3, 2}, std::as_bytes(std::span(numbers))},
                                  {"resid_post.0", DType::f32, {1, 3, 2}, std::as_bytes(std::span(numbers))}};
  Parts() = default;
  Parts(const Parts&) = delete;

  TensorView& tensor(const std::string& name) { return *std::ranges::find(tensors, name, &TensorView::name); }
  void drop(const std::string& name) {
    std::erase_if(tensors, [&](const auto& tensor) { return tensor.name == name; });
  }
};

/// What the reader says to a dump after `change`; empty when it takes it.
template <class Change>
std::string said(Change&& change) {
  const TemporaryFolder folder;
  Parts parts;
  change(parts);
  write_safetensors(folder / "dump.safetensors", parts.tensors, parts.about);
  try {
    const ActivationDump dump(folder / "dump.safetensors");
  } catch (const InputError& error) {
    EXPECT_NE(error.message().find("dump.safetensors: "), std::string::npos) << error.message();
    return error.message();
  }
  return {};
}

TEST(ActivationDump, ReadsItsInputAndItsTaps) {
  const TemporaryFolder folder;
  const Parts parts;
  write_safetensors(folder / "dump.safetensors", parts.tensors, parts.about);
  const ActivationDump dump(folder / "dump.safetensors");
  EXPECT_EQ(dump.model_type(), "llama");
  EXPECT_EQ(dump.dtype(), "float32");
  EXPECT_EQ(dump.rows(), 1);
  EXPECT_EQ(dump.length(), 3);
  EXPECT_EQ(dump.ids(), (std::vector<std::int64_t>{4, 5, 0}));
  EXPECT_EQ(dump.mask(), (std::vector<std::int64_t>{1, 1, 0}));
  EXPECT_EQ(dump.positions(), (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_TRUE(dump.token_types().empty());
  EXPECT_TRUE(dump.targets().empty());
  EXPECT_EQ(dump.taps().size(), 2u);
  EXPECT_EQ(dump.layers(), 1);
  EXPECT_NE(dump.find("embed"), nullptr);
  EXPECT_EQ(dump.find("ids"), nullptr);
}

TEST(ActivationDump, TargetsAreIdsAtPlacesThatCount) {
  const auto with = [](std::array<std::int64_t, 3> targets) {
    return said([&](Parts& parts) { parts.tensors.push_back({"targets", DType::i64, {1, 3}, std::as_bytes(std::span(targets))}); });
  };
  EXPECT_EQ(with({5, -100, -100}), "");
  EXPECT_NE(with({5, -1, -100}).find("tensor targets: expected ids, or -100 for none"), std::string::npos);
  EXPECT_NE(with({-100, -100, 5}).find("tensor targets: padding has a target"), std::string::npos);
}

TEST(ActivationDump, OfAnotherKindOrVersionIsRefused) {
  const auto expect = [](const auto& change, const std::string& needle) {
    const auto message = said(change);
    EXPECT_NE(message.find(needle), std::string::npos) << message << " lacks " << needle;
  };
  EXPECT_EQ(said([](Parts&) {}), "");
  expect([](Parts& p) { p.about = {{"format", "pt"}}; }, "is not an activation dump");
  expect([](Parts& p) { p.about["version"] = "2"; }, "version '2', this program reads 1");
  expect([](Parts& p) { p.about.erase("version"); }, "version ''");
  expect([](Parts& p) { p.about["dtype"] = "int8"; }, "dtype is 'int8'");
}

TEST(ActivationDump, WithABrokenInputOrTapIsRefusedByItsName) {
  const auto expect = [](const auto& change, const std::string& needle) {
    const auto message = said(change);
    EXPECT_NE(message.find(needle), std::string::npos) << message << " lacks " << needle;
  };
  for (const std::string name : {"ids", "mask", "positions"}) expect([&](Parts& p) { p.drop(name); }, "tensor " + name + " is missing");
  expect([](Parts& p) { p.tensor("ids").dtype = DType::f64; }, "tensor ids: expected I64 [rows, tokens], got F64 [1, 3]");
  expect([](Parts& p) { p.tensor("ids").shape = {3}; }, "got I64 [3]");
  expect([](Parts& p) { p.tensor("mask").shape = {3, 1}; }, "tensor mask: expected shape [1, 3], got [3, 1]");
  expect([](Parts& p) { p.ids[1] = -1; }, "tensor ids has a negative number");
  expect([](Parts& p) { p.positions[2] = -1; }, "tensor positions has a negative number");
  expect([](Parts& p) { p.mask[0] = 2; }, "expected 0 and 1 alone");
  expect([](Parts& p) { p.mask = {0, 0, 0}; }, "row 0 does not count tokens in one stretch");
  expect([](Parts& p) { p.mask = {1, 0, 1}; }, "row 0 does not count tokens in one stretch");
  expect([](Parts& p) { p.tensor("embed").shape = {1, 2, 3}; }, "tap embed: expected shape [1, 3, 3], got [1, 2, 3]");
  expect([](Parts& p) { p.tensor("embed").shape = {3, 2}; }, "tap embed: expected shape [rows, tokens, channels], got [3, 2]");
  expect([](Parts& p) { p.tensor("embed").dtype = DType::i32; }, "tap embed has dtype I32");
  expect([](Parts& p) { p.tensor("embed").name = "pair_logits"; }, "tap pair_logits: expected shape [rows, 2]");
  expect([](Parts& p) { p.drop("embed"), p.drop("resid_post.0"); }, "holds no tap");
  expect(
      [](Parts& p) {
        for (const auto* name : {"ids", "mask", "positions", "embed", "resid_post.0"})
          p.tensor(name).shape[0] = 0, p.tensor(name).bytes = {};
      },
      "hold no token");
}

TEST(ActivationDump, CutOffAnywhereIsRefused) {
  const TemporaryFolder folder;
  const Parts parts;
  write_safetensors(folder / "whole", parts.tensors, parts.about);
  const auto whole = read_file(folder / "whole", "test");
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    const auto part = whole.substr(0, size);
    EXPECT_THROW(ActivationDump(std::as_bytes(std::span(part)), "dump"), InputError) << size;
  }
}

}  // namespace
}  // namespace isotrope
