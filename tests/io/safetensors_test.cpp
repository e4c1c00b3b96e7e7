#include "isotrope/io/safetensors.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;
using test::put;
using test::TemporaryFolder;

const fs::path safetensors_goldens = fs::path(ISOTROPE_TEST_SOURCE) / "data" / "io";

std::string file_bytes(std::string_view header, std::size_t data_bytes) {
  const std::uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes + std::string(header) + std::string(data_bytes, '\1');
}

std::string safetensors_refusal(const std::string& bytes) {
  return message_of([&] { SafetensorsFile(std::as_bytes(std::span(bytes)), "m.safetensors"); });
}

template <class T>
TensorView view(std::string name, DType dtype, std::vector<std::int64_t> shape, const std::vector<T>& values) {
  return {std::move(name), dtype, std::move(shape), std::as_bytes(std::span(values))};
}

TEST(Safetensors, ReadsEveryDtypeThatPythonWrote) {  // tools/oracles/io_files.py
  const SafetensorsFile file(safetensors_goldens / "all_dtypes.safetensors");
  EXPECT_EQ(file.tensors().size(), 15u);
  EXPECT_EQ(file.metadata().at("note"), "every dtype once");
  for (const auto* name : {"f64", "f32", "f16", "bf16", "e4m3", "e5m2"}) {
    const auto* tensor = file.find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->shape, (std::vector<std::int64_t>{2, 5}));
    const auto values = to_floats(tensor->dtype, tensor->bytes);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(values[i], (i - 3) / 2.0f) << name << " " << i;
  }
  for (const auto* name : {"i64", "i32", "i16", "i8"}) {
    std::vector<double> values(7);
    to_doubles(file.find(name)->dtype, file.find(name)->bytes, values);
    for (int i = 0; i < 7; ++i) EXPECT_EQ(values[i], i - 3) << name;
  }
  EXPECT_EQ(to_floats(DType::u8, file.find("u8")->bytes), (std::vector<float>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(to_floats(DType::boolean, file.find("bool")->bytes), (std::vector<float>{1, 0, 0, 1, 0, 0, 1}));
  EXPECT_TRUE(file.find("scalar")->shape.empty());
  EXPECT_EQ(to_floats(DType::f32, file.find("scalar")->bytes), std::vector<float>{1.5});
  EXPECT_EQ(file.find("empty")->count(), 0);
  EXPECT_NE(file.find("quoted \"n\u00e4me\""), nullptr);
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST(Safetensors, WideningEqualsPyTorchOnEveryEightBitValue) {  // and on every 16th binary16
  const SafetensorsFile file(safetensors_goldens / "widening.safetensors");
  for (const std::string name : {"e4m3", "e5m2", "f16"}) {
    const auto ours = to_floats(file.find(name)->dtype, file.find(name)->bytes);
    const auto theirs = to_floats(DType::f32, file.find(name + ".float")->bytes);
    ASSERT_EQ(ours.size(), theirs.size());
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_TRUE(std::isnan(theirs[i]) ? std::isnan(ours[i])
                                        : std::bit_cast<std::uint32_t>(ours[i]) == std::bit_cast<std::uint32_t>(theirs[i]))
          << name << " " << i << ": " << ours[i] << " " << theirs[i];
  }
}

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  const TemporaryFolder folder;
  const std::vector<float> weights{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint8_t> flags{1, 0, 1};
  const std::vector<TensorView> tensors{view("flags", DType::boolean, {3}, flags), view("weights", DType::f32, {2, 3}, weights),
                                        view<float>("nothing", DType::f32, {0}, {})};
  write_safetensors(folder / "m.safetensors", tensors, {{"format", "pt"}});
  SafetensorsFile first(folder / "m.safetensors");
  const SafetensorsFile file = std::move(first);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.find("weights")->shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(to_floats(DType::f32, file.find("weights")->bytes), weights);
  EXPECT_EQ(to_floats(DType::boolean, file.find("flags")->bytes), (std::vector<float>{1, 0, 1}));
  std::uint64_t header;
  std::memcpy(&header, test::slurp(folder / "m.safetensors").data(), 8);
  EXPECT_EQ(header % 8, 0u);
}

TEST(Safetensors, AViewThatContradictsItselfIsNotWritten) {
  const TemporaryFolder folder;
  const std::vector<float> two{1, 2};
  const std::vector<TensorView> wrong{view("a", DType::f32, {3}, two)},
      twice{view("a", DType::f32, {2}, two), view("a", DType::f32, {2}, two)};
  EXPECT_THROW(write_safetensors(folder / "m.safetensors", wrong), WorkError);
  EXPECT_THROW(write_safetensors(folder / "m.safetensors", twice), WorkError);
  EXPECT_TRUE(test::names_in(folder.path()).empty());
}

TEST(Safetensors, RefusesBrokenHeaders) {
  EXPECT_EQ(safetensors_refusal("short"), "[safetensors] m.safetensors: 5 bytes are too few for a safetensors file");
  auto bytes = file_bytes("{}", 0);
  EXPECT_EQ(safetensors_refusal(bytes), "");
  bytes[0] = 100;
  EXPECT_EQ(safetensors_refusal(bytes),
            "[safetensors] m.safetensors: the header claims 100 bytes, the file has 2 after its first 8: truncated?");
  bytes[4] = 1;
  EXPECT_NE(safetensors_refusal(bytes).find("the limit is 100000000"), std::string::npos);
  EXPECT_NE(safetensors_refusal(file_bytes("{\"a\"", 0)).find("line 1, column 5: not valid JSON"), std::string::npos);
  EXPECT_NE(safetensors_refusal(file_bytes("[]", 0)).find("expected a JSON object, got an array"), std::string::npos);
  EXPECT_NE(safetensors_refusal(file_bytes(R"({"__metadata__": {"a": 1}})", 0)).find("expected a string, got an integer"),
            std::string::npos);
}

struct HeaderCase {
  std::string_view header;
  std::size_t data_bytes;
  std::string_view message;
};

TEST(Safetensors, RefusesHostileTensors) {
  const std::vector<HeaderCase> cases{
      {R"({"a": 1})", 0, "tensor a: expected an object, got an integer"},
      {R"({"a": {"dtype": "F32", "shape": [1]}})", 4, "tensor a has no \"data_offsets\""},
      {R"({"a": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}})", 4, "tensor a: unknown dtype \"F31\""},
      {R"({"a": {"dtype": 5, "shape": [1], "data_offsets": [0, 4]}})", 4, "\"dtype\": expected a string, got an integer"},
      {R"({"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}})", 4, "\"shape\": expected an array, got an integer"},
      {R"({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})", 4,
       "tensor a: shape: expected a whole number from 0 to 2^63 - 1, got -1"},
      {R"({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}})", 4, "got 1.0"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}})", 4, "expected 2 data_offsets, got 1"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}})", 4, "tensor a ends at byte 0, before its begin at 4"},
      {R"({"lm_head.weight": {"dtype": "F32", "shape": [203], "data_offsets": [0, 812]}})", 640,
       "tensor lm_head.weight ends at byte 812, the file has 640"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 18446744073709551615]}})", 4, "got 18446744073709551615"},
      {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}})", 4, "shape [2] of F32 takes 8 bytes, its offsets give 4"},
      {R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}})", 0, "is too large"},
      {R"({"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}, "b": {"dtype": "U8", "shape": [3], "data_offsets": [2, 5]}})", 5,
       "tensor b begins at byte 2, inside tensor a"},
      {R"({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}, "b": {"dtype": "U8", "shape": [2], "data_offsets": [3, 5]}})", 5,
       "tensor b begins at byte 3: the 1 bytes before it belong to no tensor"},
      {R"({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}})", 5, "the tensors end at byte 2, the file has 5"},
      {R"({"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}})", 0,
       "the key \"a\" stands twice"},
      {R"({"two\nlines": {"dtype": "F31", "shape": [], "data_offsets": [0, 4]}})", 4, "tensor \"two\\nlines\": unknown dtype"},
  };
  for (const auto& [header, data_bytes, message] : cases)
    EXPECT_NE(safetensors_refusal(file_bytes(header, data_bytes)).find(message), std::string::npos)
        << header << "\n→ " << safetensors_refusal(file_bytes(header, data_bytes));
}

TEST(TensorFolder, ShardsAreWrittenAndReadAsTransformersNamesThem) {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2, 3, 4};
  const std::vector<TensorView> tensors{view("c", DType::f32, {4}, values), view("a", DType::f32, {2, 2}, values),
                                        view("b", DType::f32, {4}, values)};
  const auto written = write_tensor_folder(folder.path(), tensors, 32);
  EXPECT_EQ(test::names_in(folder.path()), (std::vector<std::string>{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                                                     "model.safetensors.index.json"}));
  EXPECT_EQ(written.size(), 3u);
  const auto index = read_json(written.back(), "test");
  EXPECT_EQ(index.at("metadata").at("total_size"), 48);
  EXPECT_EQ(index.at("weight_map").at("b"), "model-00002-of-00002.safetensors");
  const TensorFolder read(folder.path());
  EXPECT_EQ(read.tensors().size(), 3u);
  EXPECT_EQ(read.total_bytes(), 48u);
  EXPECT_EQ(read.metadata().at("format"), "pt");
  EXPECT_EQ(to_floats(DType::f32, read.find("a")->bytes), values);
  EXPECT_EQ(read.find("d"), nullptr);
}

TEST(TensorFolder, SmallModelsAreOneFile) {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2};
  const std::vector<TensorView> tensors{view("a", DType::f32, {2}, values)};
  EXPECT_EQ(write_tensor_folder(folder.path(), tensors), std::vector<fs::path>{folder / "model.safetensors"});
  EXPECT_EQ(TensorFolder(folder.path()).tensors().size(), 1u);
  EXPECT_EQ(TensorFolder(folder / "model.safetensors").tensors().size(), 1u);
}

TEST(TensorFolder, HostileIndicesAreRefused) {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2};
  write_safetensors(folder / "one.safetensors", std::vector<TensorView>{view("a", DType::f32, {2}, values)});
  const auto index = [&](std::string_view text) {
    put(folder / "model.safetensors.index.json", text);
    return message_of([&] { TensorFolder(folder.path()); });
  };
  EXPECT_EQ(index(R"({"weight_map": {"a": "one.safetensors"}})"), "");
  EXPECT_NE(index(R"({"weight_map": {"b": "one.safetensors"}})").find("tensor b is not in shard one.safetensors"), std::string::npos);
  for (const auto* name : {"../one.safetensors", "/etc/passwd", "", "..", "a\\\\b", "one.safetensors\\u0000"})
    EXPECT_NE(index(fmt::format(R"({{"weight_map": {{"a": "{}"}}}})", name)).find("is not the name of a file in this folder"),
              std::string::npos)
        << name;
  EXPECT_NE(index(R"({"weight_map": {"a": "two.safetensors"}})").find("two.safetensors: cannot open"), std::string::npos);
  EXPECT_NE(index(R"({"weight_map": {"a": 1}})").find("\"weight_map.a\": expected a string"), std::string::npos);
  EXPECT_NE(index(R"({"weight_map": {}})").find("names no tensor"), std::string::npos);
  EXPECT_NE(index(R"({})").find("\"weight_map\" is missing"), std::string::npos);
}

TEST(TensorFolder, AFolderWithoutTensorsSaysWhatWasLookedFor) {
  const TemporaryFolder folder;
  EXPECT_NE(message_of([&] { TensorFolder(folder.path()); }).find("neither model.safetensors nor model.safetensors.index.json"),
            std::string::npos);
  EXPECT_NE(message_of([&] { TensorFolder(folder / "absent"); }).find("no such file or folder"), std::string::npos);
  for (const auto* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    put(folder / name, "x");
    try {
      TensorFolder(folder.path());
      ADD_FAILURE() << name << " was read";
    } catch (const InputError& error) {
      EXPECT_NE(error.message().find("pickle"), std::string::npos) << error.message();
      EXPECT_NE(error.hint().find("tools/bin_to_safetensors.py " + folder.path().string()), std::string::npos) << error.hint();
    }
    fs::remove(folder / name);
  }
}

}  // namespace
}  // namespace isotrope
