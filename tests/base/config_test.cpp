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

TEST(Config, ListsAreArraysOrWordsBetweenCommas) {
  std::vector<std::string> patterns{"*.bias"};
  ConfigSchema schema;
  schema.add("optimizer.skip", &patterns, {.meaning = "which"});
  EXPECT_EQ(schema.to_toml(), "[optimizer]\nskip = ['*.bias']\n");
  schema.set("optimizer.skip=a.*,b");
  EXPECT_EQ(patterns, (std::vector<std::string>{"a.*", "b"}));
  schema.read_toml("[optimizer]\nskip = [\"x, y\", 'ä']", "t.toml");
  EXPECT_EQ(patterns, (std::vector<std::string>{"x, y", "ä"}));
  std::vector<std::string> read;
  ConfigSchema again;
  again.add("optimizer.skip", &read, {.meaning = "which"});
  again.read_toml(schema.to_toml(), "resolved");
  EXPECT_EQ(read, patterns);
  schema.set("optimizer.skip=[\"one\"]");
  EXPECT_EQ(patterns, std::vector<std::string>{"one"});
  schema.set("optimizer.skip=");
  EXPECT_TRUE(patterns.empty());
  EXPECT_EQ(message_of([&] { schema.read_toml("[optimizer]\nskip = 'x'", "t.toml"); }),
            "[config] t.toml: optimizer.skip expects a list of strings, got string");
  EXPECT_EQ(message_of([&] { schema.read_toml("[optimizer]\nskip = ['x', 3]", "t.toml"); }),
            "[config] t.toml: optimizer.skip expects strings in its list, got integer");
}

TEST(Config, AKeyMayNeedSeveralOthers) {
  std::string rule = "muon", scale = "plain";
  double factor = 1;
  ConfigSchema schema;
  schema.add("optimizer.name", &rule, {.meaning = "which", .choices = {"adamw", "muon", "spectra"}});
  schema.add("optimizer.scale", &scale, {.meaning = "how", .choices = {"plain", "own"}});
  schema.add("optimizer.factor", &factor,
             {.meaning = "much", .used_when = {{"optimizer.name", {"muon", "spectra"}}, {"optimizer.scale", {"own"}}}});
  schema.set("optimizer.factor=2");
  EXPECT_EQ(message_of([&] { schema.check(); }),
            "[config] --set: optimizer.factor has no effect with optimizer.scale = 'plain' (it is used with own)");
  schema.set("optimizer.scale=own");
  EXPECT_NO_THROW(schema.check());
  schema.set("optimizer.name=adamw");
  EXPECT_EQ(message_of([&] { schema.check(); }),
            "[config] --set: optimizer.factor has no effect with optimizer.name = 'adamw' (it is used with muon, spectra)");
  EXPECT_NE(schema.to_markdown().find("much (used with `optimizer.name` = muon, spectra and `optimizer.scale` = own)"), std::string::npos);
}

TEST(Config, SectionsMayLieWithinSections) {
  double lr = 1, momentum = 0.9;
  ConfigSchema schema;
  schema.add("optimizer.lr", &lr, {.meaning = "rate"});
  schema.add("optimizer.muon.momentum", &momentum, {.meaning = "mean"});
  schema.read_toml("[optimizer]\nlr = 2\n[optimizer.muon]\nmomentum = 0.5", "t.toml");
  EXPECT_EQ(schema.to_toml(), "[optimizer]\nlr = 2.0\n\n[optimizer.muon]\nmomentum = 0.5\n");
  EXPECT_NE(schema.to_markdown().find("## optimizer.muon\n"), std::string::npos);
}

TEST(Config, AKeysFormerNameIsStillTaken) {
  std::int64_t period = 5;
  ConfigSchema schema;
  schema.add("observe.weights", &period, {.meaning = "how often", .min = 0, .formerly = "log.weights_every"});
  schema.read_toml("[log]\nweights_every = 7", "old.toml");
  EXPECT_EQ(period, 7);
  schema.set("log.weights_every=9");
  EXPECT_EQ(schema.to_toml(), "[observe]\nweights = 9\n");
  EXPECT_EQ(message_of([&] { schema.read_toml("[log]\nweights_every = 7\n[observe]\nweights = 8", "both.toml"); }),
            "[config] both.toml: observe.weights is set twice, once as log.weights_every");
  EXPECT_EQ(message_of([&] { schema.set("log.weights_every=-1"); }), "[config] --set: observe.weights = -1 is out of range (≥ 0)");
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
