// What `isotrope eval` and `isotrope generate` say to models and texts that are broken or do not fit.
#include <cstring>
#include <fstream>

#include "isotrope/io/safetensors.h"
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

ProgramResult eval(const fs::path& model, const fs::path& data, const std::string& more = "") {
  return run_program("eval '" + model.string() + "' --data '" + data.string() + "' --threads 1 " + more);
}

ProgramResult generate(const fs::path& model, const std::string& more) {
  return run_program("generate '" + model.string() + "' --threads 1 " + more);
}

/// A model folder whose model.safetensors is the good one's tensors after `change`.
fs::path changed(const Workplace& place, const std::string& name, const std::function<void(std::vector<TensorView>&)>& change) {
  const auto folder = place.copy_of_model(name);
  const SafetensorsFile good(place.model() / "model.safetensors");
  auto tensors = good.tensors();
  change(tensors);
  write_safetensors(folder / "model.safetensors", tensors, good.metadata());
  return folder;
}

TensorView& tensor(std::vector<TensorView>& tensors, const std::string& name) {
  return *std::ranges::find(tensors, name, &TensorView::name);
}

TEST(ModelFolderSlow, ThatIsNoneIsNamed) {
  const Workplace place;
  const auto data = place / "data/validation.tokens";
  expect_error(eval(place / "absent", data), 3, {place("absent"), "no such file or folder"});
  expect_error(generate(place / "absent", "--prompt x"), 3, {place("absent"), "no such file or folder"});
  expect_error(eval(place / "text.txt", data), 3, {place("text.txt"), "is a file"});
  expect_error(eval(place / "data", data), 3, {place("data"), "config.json"});
  fs::create_directories(place / "young/checkpoints");
  expect_error(eval(place / "young", data), 3, {place("young"), "no checkpoint yet"});
  const auto folder = place.copy_of_model("bare");
  fs::remove(folder / "tokenizer.json");
  expect_error(eval(folder, data), 3, {folder.string(), "tokenizer.json"});
  expect_error(generate(folder, "--prompt x"), 3, {folder.string(), "tokenizer.json"});
  fs::copy_file(place.model() / "tokenizer.json", folder / "tokenizer.json");
  fs::remove(folder / "model.safetensors");
  expect_error(eval(folder, data), 3, {folder.string(), "model.safetensors"});
}

TEST(ModelFolderSlow, WithABrokenConfigOrTokenizerIsNamedByFile) {
  const Workplace place;
  const auto data = place / "data/validation.tokens";
  const auto folder = place.copy_of_model("broken");
  const auto config = slurp(folder / "config.json"), tokenizer = slurp(folder / "tokenizer.json");
  put(folder / "config.json", config.substr(0, config.size() / 2));
  expect_error(eval(folder, data), 3, {(folder / "config.json").string(), "line"});
  put(folder / "config.json", with(config, "\"num_hidden_layers\": 1", "\"num_hidden_layers\": \"one\""));
  expect_error(eval(folder, data), 3, {(folder / "config.json").string(), "num_hidden_layers", "expected an integer"});
  put(folder / "config.json", with(config, "LlamaForCausalLM", "CohereForCausalLM"));
  expect_error(eval(folder, data), 3, {(folder / "config.json").string(), "CohereForCausalLM is not supported"});
  put(folder / "config.json", config);
  put(folder / "tokenizer.json", tokenizer.substr(0, tokenizer.size() / 2));
  expect_error(eval(folder, data), 3, {(folder / "tokenizer.json").string()});
  put(folder / "tokenizer.json", tokenizer);
  put(folder / "generation_config.json", R"({"eos_token_id": "end"})");
  expect_error(generate(folder, "--prompt x"), 3, {(folder / "generation_config.json").string(), "eos_token_id"});
}

TEST(ModelWeightsSlow, ThatDoNotFitAreNamedByFileAndTensor) {
  const Workplace place;
  const auto data = place / "data/validation.tokens";
  const std::string up = "model.layers.0.mlp.up_proj.weight", gain = "model.norm.weight";
  const auto expect = [&](const fs::path& folder, const std::vector<std::string>& needles) {
    auto all = needles;
    all.push_back(folder.string());
    expect_error(eval(folder, data), 3, all);
  };
  expect(changed(place, "missing", [&](auto& tensors) { std::erase_if(tensors, [&](const auto& t) { return t.name == gain; }); }),
         {gain, "[16] is missing"});
  expect(
      changed(place, "surplus", [&](auto& tensors) { tensors.push_back(tensor(tensors, gain)), tensors.back().name = "model.norm.bias"; }),
      {"model.norm.bias", "belongs to no parameter"});
  expect(changed(place, "shape", [&](auto& tensors) { std::ranges::swap(tensor(tensors, up).shape[0], tensor(tensors, up).shape[1]); }),
         {up, "expected shape [24, 16], got [16, 24]"});
  expect(changed(place, "integer", [&](auto& tensors) { tensor(tensors, up).dtype = DType::i32; }), {up, "I32"});
  const std::vector<std::byte> head(257 * 16 * 4);
  expect(changed(place, "head", [&](auto& tensors) { tensors.push_back({"lm_head.weight", DType::f32, {257, 16}, head}); }),
         {"lm_head.weight differs"});
}

TEST(ModelWeightsSlow, InABrokenFileAreRefusedWithItsName) {
  const Workplace place;
  const auto data = place / "data/validation.tokens", folder = place.copy_of_model("broken"), file = folder / "model.safetensors";
  const auto good = slurp(file);
  const auto expect = [&](const std::string& bytes, const std::vector<std::string>& needles) {
    put(file, bytes);
    auto all = needles;
    all.push_back(file.string());
    expect_error(eval(folder, data), 3, all);
  };
  expect("", {});
  expect(good.substr(0, 5), {});
  expect(good.substr(0, 60), {});
  expect(good.substr(0, good.size() - 4), {"ends at byte"});
  expect(good + "more", {});
  std::string huge = good;
  huge[7] = '\x7f';  // a header of 2^62 bytes and more
  expect(huge, {});
  const auto by_hand = [](const std::string& header, std::size_t bytes) {
    const std::uint64_t size = header.size();
    std::string text(8, '\0');
    std::memcpy(text.data(), &size, 8);
    return text + header + std::string(bytes, '\0');
  };
  expect(by_hand(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12),
         {"b"});
  expect(by_hand(R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8), {"F31"});
  expect(by_hand(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 8), {});
  expect(by_hand(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), {"a"});
}

TEST(ModelWeightsSlow, OfATokenizerThatIsTooLargeAreRefused) {
  const Workplace place;
  ASSERT_EQ(run_program("tokenizer train --quiet --file " + place("text.txt") + " --vocab-size 300 -o " + place("bpe")).code, 0);
  const auto folder = place.copy_of_model("other");
  fs::copy_file(place / "bpe/tokenizer.json", folder / "tokenizer.json", fs::copy_options::overwrite_existing);
  expect_error(eval(folder, place / "text.txt"), 3, {folder.string(), "the model's vocab_size is 257"});
  expect_error(generate(folder, "--prompt x"), 3, {folder.string(), "the model's vocab_size is 257"});
}

TEST(EvalDataSlow, ThatIsWrongIsNamed) {
  const Workplace place;
  const auto model = place.model();
  EXPECT_EQ(run_program("eval " + model.string()).code, 2);
  expect_error(eval(model, place / "absent.txt"), 3, {place("absent.txt"), "cannot open"});
  expect_error(eval(model, place / "data"), 3, {place("data"), "is a folder"});
  put(place / "empty.txt", "");
  expect_error(eval(model, place / "empty.txt"), 3, {place("empty.txt"), "empty"});
  put(place / "one.txt", "x");
  expect_error(eval(model, place / "one.txt"), 3, {place("one.txt"), "1 token"});
  const auto tokens = slurp(place / "data/validation.tokens");
  put(place / "cut.tokens", tokens.substr(0, tokens.size() / 2));
  expect_error(eval(model, place / "cut.tokens"), 3, {place("cut.tokens"), "truncated"});
  ASSERT_EQ(run_program("tokenizer train --quiet --file " + place("text.txt") + " --vocab-size 300 -o " + place("bpe")).code, 0);
  place.pack("text.txt", place("bpe"), "other");
  expect_error(eval(model, place / "other/train.tokens"), 3, {place("other/train.tokens"), "tokenizer"});
}

TEST(EvalDataSlow, ThatIsNotUtf8IsReplacedWithOneWarningOrRefusedWhenStrict) {
  const Workplace place;
  put(place / "latin.txt", "gar\xe7on, d\xe9j\xe0 vu; the number 3 follows");
  const auto fine = eval(place.model(), place / "latin.txt", "--json");
  EXPECT_EQ(fine.code, 0) << fine.err;
  EXPECT_EQ(count_lines(fine.err, "warning: "), 1u) << fine.err;
  EXPECT_NE(fine.err.find("UTF-8"), std::string::npos) << fine.err;
  expect_error(eval(place.model(), place / "latin.txt", "--strict"), 3, {place("latin.txt"), "byte 3 is not UTF-8"});
}

TEST(EvalOptions, ThatContradictTheModelAreRefused) {
  const Workplace place;
  const auto model = place.model();
  const auto data = place / "data/validation.tokens";
  EXPECT_EQ(eval(model, data, "--context 65").code, 0);  // the last token is only predicted
  expect_error(eval(model, data, "--context 66"), 3, {"66", "64 positions"});
  expect_error(eval(model, data, "--context 16 --stride 17"), 2, {"17", "16"});
  expect_error(eval(model, data, "--device mps"), 2, {"mps is not available here"});
  expect_error(eval(model, data, "--device gpu"), 2, {"gpu is not a device"});
  if (!fs::exists("/dev/nvidia0") && !fs::exists("/dev/nvidiactl"))
    expect_error(eval(model, data, "--device cuda"), 2, {"cuda is not available here"});
  expect_error(eval(model, data, "--dtype float12"), 2, {"--dtype", "float12"});
  expect_error(eval(model, data, "--context 1"), 2, {"--context"});
  expect_error(eval(model, data, "--treads 2"), 2, {"--treads"});
}

TEST(Eval, PrintsItsKeysAndTheSameFiguresForTextAndTokens) {
  const Workplace place;
  put(place / "short.txt", sample_text(10));
  const auto json = last_json(eval(place.model(), place / "short.txt", "--json --quiet"));
  for (const auto* key : {"nll", "perplexity", "bits_per_byte", "tokens", "bytes", "seconds"}) EXPECT_TRUE(json[key].is_number()) << key;
  const auto size = fs::file_size(place / "short.txt");
  const auto windows = (size + 63) / 64;
  EXPECT_EQ(json["tokens"].get<std::size_t>(), size - windows);  // each window's first token is context
  EXPECT_EQ(json["bytes"], json["tokens"]);
  EXPECT_NEAR(json["perplexity"].get<double>(), std::exp(json["nll"].get<double>()), 1e-9 * json["perplexity"].get<double>());
  EXPECT_NEAR(json["bits_per_byte"].get<double>(), json["nll"].get<double>() / std::log(2.0), 1e-9);
  const auto bf16 = last_json(eval(place.model(), place / "short.txt", "--json --quiet --dtype bfloat16"));
  EXPECT_NEAR(bf16["nll"].get<double>(), json["nll"].get<double>(), 0.02);
}

TEST(Eval, OfAScreenThatIsFullIsAnError) {
  const Workplace place;
  for (const std::string flags : {"", "--json"}) {
    const auto data = place("data/validation.tokens");
    std::ofstream(place / "run.sh") << "'" ISOTROPE_TEST_PROGRAM "' eval " << place.model().string() << " --data " << data
                                    << " --threads 1 " << flags << " 2>&1 >/dev/full";
    const auto pipe = ::popen(("sh " + place("run.sh")).c_str(), "r");
    std::string err;
    char buffer[512];
    while (std::fgets(buffer, sizeof buffer, pipe)) err += buffer;
    const auto status = ::pclose(pipe);
    expect_error({WEXITSTATUS(status), "", err}, 1, {"stdout", "No space left on device"});
  }
}

}  // namespace
}  // namespace isotrope
