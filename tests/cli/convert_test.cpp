// `isotrope convert`: models and tokenizers through GGUF and back, and what it says to what it cannot do.
#include "isotrope/io/gguf.h"
#include "isotrope/io/safetensors.h"
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

ProgramResult convert(const std::string& arguments) { return run_program("convert " + arguments + " --threads 1"); }

/// A trained model with a tokenizer that GGUF has a name for.
struct Converted : Workplace {
  Converted() : Workplace(with(llama_json, "257", "300")) {
    const auto trained =
        run_program("tokenizer train --file " + (*this)("text.txt") + " --vocab-size 300 -o " + (*this)("tokenizer") + " --quiet");
    if (trained.code != 0) throw std::runtime_error(trained.err);
    fs::copy_file(*this / "tokenizer/tokenizer.json", model() / "tokenizer.json", fs::copy_options::overwrite_existing);
    fs::copy_file(*this / "tokenizer/tokenizer_config.json", model() / "tokenizer_config.json", fs::copy_options::overwrite_existing);
  }
};

TEST(ConvertSlow, AFolderComesBackFromGgufAsItWas) {
  const Converted place;
  const auto to = convert(place.model().string() + " " + place("m.gguf"));
  EXPECT_EQ(to.code, 0) << to.err;
  EXPECT_NE(to.out.find("as f32"), std::string::npos) << to.out;
  EXPECT_EQ(convert(place("m.gguf") + " " + place("back") + " --json").code, 0);
  EXPECT_TRUE(slurp(place / "back/model.safetensors") == slurp(place.model() / "model.safetensors"));
  const auto info = run_program("info " + place("m.gguf") + " --json");
  EXPECT_EQ(nlohmann::json::parse(info.out)["architecture"], "llama") << info.err;
  // Every command that takes a model takes the file: the same text, the same score.
  const auto said = [&](const std::string& model) {
    return run_program("generate " + model + " --prompt 'the number' --max-tokens 12 --seed 3 --threads 1 --ignore-eos").out;
  };
  EXPECT_EQ(said(place("m.gguf")), said(place("back")));
  const auto scored = run_program("eval " + place("m.gguf") + " --data " + place("text.txt") + " --json --threads 1");
  EXPECT_EQ(scored.code, 0) << scored.err;
  fs::create_directories(place / "alone");
  fs::copy_file(place / "m.gguf", place / "alone/m.gguf");
  EXPECT_EQ(said(place("alone")), said(place("back")));
  const auto encoded = run_program("tokenizer encode " + place("m.gguf") + " --text 'the number 7'");
  EXPECT_EQ(encoded.out, run_program("tokenizer encode " + place.model().string() + " --text 'the number 7'").out);
}

TEST(ConvertSlow, TrainingStartsFromAGgufFile) {
  const Converted place;
  ASSERT_EQ(convert(place.model().string() + " " + place("m.gguf") + " --type q8_0").code, 0);
  place.pack("text.txt", place("tokenizer"), "words");
  const auto run = place.train({"model.config=", "model.init_from=" + place("m.gguf"), "run.folder=" + place("on"), "train.steps=2",
                                "data.tokenizer=" + place("tokenizer"), "data.train=" + place("words/train.tokens")});
  EXPECT_EQ(run.code, 0) << run.err;
}

TEST(ConvertSlow, EveryTypeIsWritten) {
  const Converted place;
  for (const auto& [type, name] : {std::pair{"f16", "F16"}, std::pair{"bf16", "BF16"}, std::pair{"f32", "F32"}}) {
    const auto out = place(std::string(type) + ".gguf");
    ASSERT_EQ(convert(place.model().string() + " " + out + " --type " + type).code, 0);
    EXPECT_EQ(packing_name(GgufFile(out).find("token_embd.weight")->packing), name);
    ASSERT_EQ(convert(place.model().string() + " " + place(type) + " --type " + type + " --no-tokenizer").code, 0);
    EXPECT_EQ(dtype_name(SafetensorsFile(place / type / "model.safetensors").tensors().front().dtype), name);
    EXPECT_FALSE(fs::exists(place / type / "tokenizer.json"));
  }
}

TEST(ConvertSlow, WhatCannotBeDoneIsOneLine) {
  const Converted place;
  const auto model = place.model().string();
  expect_error(convert(place("absent") + " " + place("x.gguf")), 3, {place("absent"), "no such file or folder"});
  expect_error(convert(model + " " + place("text.txt")), 2, {place("text.txt"), "exists already"});
  expect_error(convert(model + " " + place("folder") + " --type q8_0"), 2, {"q8_0 needs an OUT that ends in .gguf"});
  expect_error(convert(model + " " + place("x.gguf") + " --type q3_k"), 2, {"--type"});
  put(place / "broken.gguf", "GGUF\3");
  expect_error(convert(place("broken.gguf") + " " + place("x")), 3, {"broken.gguf", "truncated?"});
  put(place / "broken.bin", std::string(28, '\0'));
  expect_error(convert(place("broken.bin") + " " + place("x")), 3, {"broken.bin", "make no model"});
  fs::remove(place.model() / "tokenizer.json");
  const auto bare = convert(model + " " + place("x.gguf"));
  expect_error(bare, 3, {"no tokenizer here"});
  EXPECT_NE(bare.err.find("hint: --no-tokenizer converts the model alone"), std::string::npos);
  EXPECT_EQ(convert(model + " " + place("x.gguf") + " --no-tokenizer").code, 0);
  expect_error(run_program("generate " + place("x.gguf") + " --prompt x --threads 1"), 3, {"x.gguf", "holds no vocabulary"});
  for (const auto* name : {"x", "folder"}) EXPECT_FALSE(fs::exists(place / name));
}

}  // namespace
}  // namespace isotrope
