#include "isotrope/base/config.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"

namespace isotrope {
namespace {

struct Settings {
  std::string name = "adamw";
  double lr = 3e-4, beta = 0.9;
  std::int64_t steps = 10;
  bool mask = false;
  std::string folder;
  ConfigSchema schema() {
    ConfigSchema schema;
    schema.add("optimizer.name", &name, {.meaning = "which", .choices = {"adamw", "sgd"}});
    schema.add("optimizer.lr", &lr, {.meaning = "rate", .min = 0});
    schema.add("optimizer.beta", &beta, {.meaning = "momentum", .min = 0, .max = 1, .used_when = {{"optimizer.name", {"adamw"}}}});
    schema.add("train.steps", &steps, {.meaning = "steps", .min = 1});
    schema.add("train.mask", &mask, {.meaning = "mask"});
    schema.add("run.folder", &folder, {.meaning = "where"});
    return schema;
  }
};

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return std::string(error.what()) + (error.hint().empty() ? "" : " / " + error.hint());
  }
  return "no error";
}

TEST(Config, CharactersBeyondAsciiAreTakenInStringsAndCommentsAlone) {  // toml++ 3.3 looks them up in tables that lack some
  Settings settings;
  auto schema = settings.schema();
  for (const std::string text : {"# ä\n[run]\nfolder = 'bär' # 中", "[run]\nfolder = \"b\\u00e4r\"", "[run]\nfolder = \"\"\"\nbär\"\"\"",
                                 "[run]\nfolder = \"\"\"b\\\n  är\"\"\"", "\xef\xbb\xbf[run]\nfolder = '''bär'''"}) {
    settings.folder.clear();
    schema.read_toml(text, "c.toml");
    EXPECT_EQ(settings.folder, "bär") << text;
  }
  schema.set("run.folder=b\xf0\x9f\x98\x80r");
  EXPECT_EQ(settings.folder, "b\xf0\x9f\x98\x80r");
  const auto refusal = [&](const std::string& text) { return message_of([&] { schema.read_toml(text, "c.toml"); }); };
  for (const std::string text :
       {"\n[run]\nfolär = 'x'", "\n\u200b[run]", "\n[run]\nfolder = 'x'\u205f", "\n[run]\nfolder = \"\"\"x\"\"\"\"\u205f",
        "\n[run]\nfolder = \"\"\"a\\ü\"\"\"", "\n[run]\nsteps = 1[[\"\"\"\"\"\"bär"})
    EXPECT_TRUE(refusal(text).starts_with("[config] c.toml:")) << text << refusal(text);
  EXPECT_NE(refusal("[run]\n'folder.ä' = 1").find("folder.ä"), std::string::npos);
  EXPECT_EQ(refusal("\n[run]\nfolder = '\xff'"), "[config] c.toml:3: is not UTF-8");
  EXPECT_EQ(refusal("[run]\nfolder = \"\\U00100041\""), "[config] c.toml:2: a character of private use, U+100000 or above");
  EXPECT_NE(message_of([&] { schema.set("train.steps=\u205f1"); }).find("expects an integer"), std::string::npos);
}

TEST(Config, ReadsEveryTypeAndOverrides) {
  Settings settings;
  auto schema = settings.schema();
  schema.read_toml("[optimizer]\nlr = 1\n[train]\nsteps = 7\nmask = true\n[run]\nfolder = \"a b\"\n", "t.toml");
  schema.set("train.steps=9");
  schema.set("run.folder=runs/x=1");
  schema.set("optimizer.lr=2e-3");
  schema.check();
  EXPECT_EQ(settings.steps, 9);
  EXPECT_EQ(settings.folder, "runs/x=1");
  EXPECT_DOUBLE_EQ(settings.lr, 2e-3);
  EXPECT_TRUE(settings.mask);
}

TEST(Config, ErrorsNameFileKeyAndTheNearestName) {
  Settings settings;
  auto schema = settings.schema();
  EXPECT_EQ(message_of([&] { schema.read_toml("[train]\nstepz = 3", "t.toml"); }),
            "[config] t.toml: unknown key train.stepz / did you mean train.steps?");
  EXPECT_EQ(message_of([&] { schema.read_toml("[train]\nsteps = \"x\"", "t.toml"); }),
            "[config] t.toml: train.steps expects an integer, got string");
  EXPECT_EQ(message_of([&] { schema.read_toml("[train]\nsteps = 1.5", "t.toml"); }),
            "[config] t.toml: train.steps expects an integer, got number");
  EXPECT_EQ(message_of([&] { schema.set("train.steps=0"); }), "[config] --set: train.steps = 0 is out of range (≥ 1)");
  EXPECT_EQ(message_of([&] { schema.set("optimizer.name=adamv"); }),
            "[config] --set: optimizer.name = \"adamv\" is not one of adamw, sgd / did you mean adamw?");
  EXPECT_EQ(message_of([&] { schema.set("optimizer.lr=nan"); }), "[config] --set: optimizer.lr = nan is not a finite number");
  EXPECT_EQ(message_of([&] { schema.set("train.steps"); }), "[config] --set train.steps: expected key=value");
  EXPECT_EQ(message_of([&] { schema.set("train.steps=abc"); }), "[config] --set: train.steps expects an integer, got `abc`");
  EXPECT_NE(message_of([&] { schema.read_toml("[train\n", "t.toml"); }).find("t.toml:1:"), std::string::npos);
  EXPECT_NE(message_of([&] { schema.read_toml("[\ntrain]\n", "t.toml"); }).find("t.toml"), std::string::npos);  // found by the fuzzer
}

TEST(Config, AKeyWithoutEffectIsAnError) {
  Settings settings;
  auto schema = settings.schema();
  schema.set("optimizer.name=sgd");
  EXPECT_NO_THROW(schema.check());
  schema.set("optimizer.beta=0.5");
  EXPECT_EQ(message_of([&] { schema.check(); }),
            "[config] --set: optimizer.beta has no effect with optimizer.name = 'sgd' (it is used with adamw)");
}

TEST(Config, TheResolvedFileReadsBackToTheSameValues) {
  Settings first;
  auto schema = first.schema();
  schema.set("optimizer.lr=0.1");
  schema.set("run.folder=\"with \\\"quotes\\\" and \\\\\"");
  Settings second;
  auto again = second.schema();
  again.read_toml(schema.to_toml(), "resolved");
  EXPECT_EQ(second.folder, first.folder);
  EXPECT_EQ(second.lr, first.lr);
  EXPECT_EQ(again.to_toml(), schema.to_toml());
}

}  // namespace
}  // namespace isotrope
