#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "isotrope/base/file.h"
#include "isotrope/io/npy.h"
#include "isotrope/io/safetensors.h"
#include "tests/app/program.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using nlohmann::json;
using test::run_program;
using test::TemporaryFolder;

json last_line(const std::string& text) {
  const auto end = text.find_last_not_of('\n');
  const auto begin = text.rfind('\n', end);
  return json::parse(text.substr(begin == text.npos ? 0 : begin + 1));
}

json info_json(const std::string& arguments) {
  const auto result = run_program("info --json " + arguments);
  EXPECT_EQ(result.code, 0) << result.err;
  return last_line(result.out);
}

const std::vector<std::byte> zeros(4096);

TensorView tensor(std::string name, DType dtype, std::vector<std::int64_t> shape) {
  std::size_t size = dtype_size(dtype);
  for (const auto extent : shape) size *= static_cast<std::size_t>(extent);
  return {std::move(name), dtype, std::move(shape), std::span(zeros).first(size)};
}

TEST(Info, CountsTheParametersOfAModelByClass) {
  const TemporaryFolder folder;
  write_file(
      folder.path() / "config.json",
      R"({"architectures":["GPT2LMHeadModel"],"model_type":"gpt2","n_layer":1,"n_embd":4,"n_head":2,"vocab_size":10,"n_positions":8})",
      "test");
  write_tensor_folder(
      folder.path(),
      std::vector<TensorView>{tensor("transformer.wte.weight", DType::f32, {10, 4}), tensor("transformer.wpe.weight", DType::f32, {8, 4}),
                              tensor("transformer.h.0.attn.bias", DType::u8, {1, 1, 8, 8}),
                              tensor("transformer.h.0.attn.c_attn.weight", DType::bf16, {4, 12}),
                              tensor("transformer.h.0.attn.c_attn.bias", DType::bf16, {12}),
                              tensor("transformer.ln_f.weight", DType::f32, {4}), tensor("lm_head.weight", DType::f32, {10, 4})});
  const auto info = info_json(folder.path().string());
  EXPECT_EQ(info["kind"], "model");
  EXPECT_EQ(info["architecture"], "GPT2LMHeadModel");
  EXPECT_EQ(info["parameters"], (json{{"total", 176}, {"embedding", 72}, {"head", 40}, {"matrix", 48}, {"vector", 16}}));
  EXPECT_EQ(info["bytes"], (json{{"F32", 464}, {"BF16", 120}, {"U8", 64}}));
  EXPECT_EQ(info["config"], (json{{"layers", 1}, {"hidden_size", 4}, {"heads", 2}, {"vocab_size", 10}, {"context", 8}}));
  EXPECT_EQ(info["tensors"], 7);
  EXPECT_EQ(info["shards"], 1);
  EXPECT_EQ(info["tokenizer"], false);
  const auto text = run_program("info " + folder.path().string());
  EXPECT_EQ(text.code, 0);
  EXPECT_NE(text.out.find("GPT2LMHeadModel (gpt2)"), std::string::npos) << text.out;
}

TEST(Info, CountsShardsAndFindsARunsNewestCheckpoint) {
  const TemporaryFolder run;
  for (const auto* step : {"step-9", "step-10"}) {
    const auto folder = run.path() / "checkpoints" / step;
    fs::create_directories(folder);
    write_file(folder / "config.json", R"({"model_type":"llama"})", "test");
    write_file(folder / "tokenizer.json", "{}", "test");
    write_tensor_folder(folder,
                        std::vector<TensorView>{tensor("model.embed_tokens.weight", DType::f32, {10, 4}), tensor("a", DType::f32, {10, 4}),
                                                tensor("model.norm.weight", DType::f32, {4})},
                        200);
  }
  const auto info = info_json(run.path().string());
  EXPECT_EQ(info["path"], (run.path() / "checkpoints" / "step-10").string());
  EXPECT_EQ(info["shards"], 2);
  EXPECT_EQ(info["tokenizer"], true);
  EXPECT_EQ(info["parameters"]["embedding"], 40);
}

TEST(Info, DescribesTensorFiles) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "x.safetensors", std::vector<TensorView>{tensor("a", DType::f16, {2, 3}), tensor("b", DType::i64, {5})},
                    {{"k", "v"}});
  const auto file = info_json((folder.path() / "x.safetensors").string());
  EXPECT_EQ(file["tensors"], 2);
  EXPECT_EQ(file["total_bytes"], 52);
  EXPECT_EQ(file["metadata"], (json{{"k", "v"}}));
  EXPECT_EQ(file["list"][0], (json{{"name", "a"}, {"dtype", "F16"}, {"shape", {2, 3}}}));
  const std::vector<std::int64_t> shape{2, 5};
  write_npy(folder.path() / "x.npy", DType::f32, shape, std::span(zeros).first(40));
  EXPECT_EQ(info_json((folder.path() / "x.npy").string())["shape"], (json{2, 5}));
}

TEST(Info, BuildNamesVersionAndEveryLicence) {
  const auto build = info_json("--build");
  EXPECT_EQ(build["licence"], "Apache-2.0");
  EXPECT_TRUE(build["version"].is_string() && build["commit"].is_string() && build["compiler"].is_string());
  std::set<std::string> names;
  for (const auto& row : build["dependencies"]) {
    names.insert(row["name"].get<std::string>());
    EXPECT_FALSE(row["licence"].get<std::string>().empty() || row["use"].get<std::string>().empty()) << row.dump();
  }
  for (const auto* name :
       {"libtorch", "fmt", "CLI11", "nlohmann-json", "toml++", "PCRE2", "cpp-httplib", "zlib", "liblzma", "libzstd", "OpenSSL"})
    EXPECT_TRUE(names.contains(name)) << name;
  EXPECT_NE(run_program("info --build").out.find("| libtorch "), std::string::npos);
}

TEST(Info, RefusesWhatItDoesNotKnowInOneLine) {
  const TemporaryFolder folder;
  write_file(folder.path() / "x.txt", "text", "test");
  EXPECT_EQ(run_program("info").code, 2);
  EXPECT_EQ(run_program("info --build x").code, 2);
  for (const auto& path : {folder.path().string(), folder.path().string() + "/x.txt", folder.path().string() + "/absent"}) {
    const auto result = run_program("info " + path);
    EXPECT_EQ(result.code, 3) << path;
    EXPECT_EQ(result.err.rfind("error: [", 0), 0u) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "");
  }
}

}  // namespace
}  // namespace isotrope
