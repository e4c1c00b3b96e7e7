#include "isotrope/io/llama2c.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;
using test::put;
using test::TemporaryFolder;

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// Width 4, hidden width 3, 2 layers, 2 heads, 1 key-value head, 5 tokens, 3 positions; weight i is the number i.
std::string model(bool tied) {
  const std::size_t embedding = 5 * 4, layers = 2 * (4 + 16 + 8 + 8 + 16 + 4 + 12 + 12 + 12), angles = 3 * 2;
  std::vector<float> weights(embedding + layers + 4 + angles + (tied ? 0 : embedding));
  std::iota(weights.begin(), weights.end(), 0.0f);
  return raw(std::vector<std::int32_t>{4, 3, 2, 2, 1, tied ? 5 : -5, 3}) + raw(weights);
}

std::string llama2c_refusal(const std::string& bytes) {
  return message_of([&] { Llama2cFile(std::as_bytes(std::span(bytes)), "m.bin"); });
}

float first(const PackedTensor& tensor) {
  float value;
  std::memcpy(&value, tensor.bytes.data(), sizeof value);
  return value;
}

TEST(Llama2c, WeightsLieInTheOrderOfTheFormat) {
  const TemporaryFolder folder;
  put(folder / "m.bin", model(false));
  const Llama2cFile file(folder / "m.bin");
  EXPECT_EQ(file.header().layers, 2);
  EXPECT_EQ(file.header().vocab_size, 5);
  EXPECT_FALSE(file.header().tied);
  struct Expected {
    const char* name;
    std::vector<std::int64_t> shape;
    float first;
  };
  // Each kind for both layers before the next kind; the six numbers of angles before the head are passed over.
  const std::vector<Expected> expected{
      {"token_embd.weight", {5, 4}, 0},         {"blk.0.attn_norm.weight", {4}, 20},       {"blk.1.attn_norm.weight", {4}, 24},
      {"blk.0.attn_q.weight", {4, 4}, 28},      {"blk.1.attn_q.weight", {4, 4}, 44},       {"blk.0.attn_k.weight", {2, 4}, 60},
      {"blk.1.attn_k.weight", {2, 4}, 68},      {"blk.0.attn_v.weight", {2, 4}, 76},       {"blk.1.attn_v.weight", {2, 4}, 84},
      {"blk.0.attn_output.weight", {4, 4}, 92}, {"blk.1.attn_output.weight", {4, 4}, 108}, {"blk.0.ffn_norm.weight", {4}, 124},
      {"blk.1.ffn_norm.weight", {4}, 128},      {"blk.0.ffn_gate.weight", {3, 4}, 132},    {"blk.1.ffn_gate.weight", {3, 4}, 144},
      {"blk.0.ffn_down.weight", {4, 3}, 156},   {"blk.1.ffn_down.weight", {4, 3}, 168},    {"blk.0.ffn_up.weight", {3, 4}, 180},
      {"blk.1.ffn_up.weight", {3, 4}, 192},     {"output_norm.weight", {4}, 204},          {"output.weight", {5, 4}, 214}};
  ASSERT_EQ(file.tensors().size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(file.tensors()[i].name, expected[i].name);
    EXPECT_EQ(file.tensors()[i].shape, expected[i].shape) << expected[i].name;
    EXPECT_EQ(first(file.tensors()[i]), expected[i].first) << expected[i].name;
  }
}

TEST(Llama2c, APositiveVocabularySizeTiesTheHead) {
  const auto bytes = model(true);
  const Llama2cFile file(std::as_bytes(std::span(bytes)), "m.bin");
  EXPECT_TRUE(file.header().tied);
  EXPECT_EQ(file.tensors().back().name, "output_norm.weight");
}

TEST(Llama2c, RefusesAnotherLengthAndNumbersThatMakeNoModel) {
  const auto whole = model(false);
  EXPECT_EQ(llama2c_refusal(whole), "");
  EXPECT_EQ(llama2c_refusal("x"), "[llama2c] m.bin: 1 bytes are too few for a llama2.c model");
  EXPECT_EQ(llama2c_refusal(whole + "1234"), "[llama2c] m.bin: 4 bytes follow the last weight");
  EXPECT_EQ(llama2c_refusal(whole.substr(0, whole.size() - 4)),
            "[llama2c] m.bin: output.weight [5, 4] takes 80 bytes, the file has 76 left: truncated?");
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_NE(llama2c_refusal(whole.substr(0, size)), "") << size;
  const auto header = [](std::vector<std::int32_t> numbers) { return llama2c_refusal(raw(numbers) + std::string(100, '\0')); };
  EXPECT_EQ(header({4, 3, 2, 3, 1, 5, 3}),
            "[llama2c] m.bin: width 4, 3 heads, 1 key-value heads, 2 layers, 5 tokens make no model: not a llama2.c file?");
  EXPECT_NE(header({4, 3, 2, 2, 1, 0, 3}).find("make no model"), std::string::npos);
  EXPECT_NE(header({4, 3, -2, 2, 1, 5, 3}).find("make no model"), std::string::npos);
  EXPECT_NE(header({2, 3, 2, 2, 1, 5, 3}).find("make no model"), std::string::npos);  // heads of one number cannot turn
  EXPECT_NE(header({1 << 30, 3, 2, 1, 1, INT32_MIN, 3}).find("token_embd.weight [2147483648, 1073741824] takes"), std::string::npos);
}

}  // namespace
}  // namespace isotrope
