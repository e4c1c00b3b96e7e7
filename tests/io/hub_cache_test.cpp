#include "isotrope/io/hub_cache.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/io/model_path.h"
#include "tests/io/environment.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::Environment;
using test::message_of;
using test::put;
using test::TemporaryFolder;

const std::string commit(40, 'a'), other_commit(40, 'b');

/// A cache of its own in HF_HUB_CACHE.
struct HubCache : testing::Test {
  TemporaryFolder cache;
  Environment environment{{"HF_HUB_CACHE", cache.path().string()}};

  fs::path folder(const std::string& name = "org--tiny") const { return cache / ("models--" + name); }
  fs::path snapshot(const std::string& of = commit) const { return folder() / "snapshots" / of; }

  /// A file of the snapshot as it lies there: a link into blobs/.
  void add(const std::string& file, const std::string& text = "{}", const std::string& of = commit) const {
    put(folder() / "blobs" / (of + file), text);
    fs::create_directories(snapshot(of));
    fs::create_symlink("../../blobs/" + of + file, snapshot(of) / file);
  }
  void break_link(const std::string& file) const { fs::remove(folder() / "blobs" / (commit + file)); }
  void add_model() const {
    put(folder() / "refs/main", commit);
    add("config.json");
    add("model.safetensors", "x");
  }
};

std::string hint_of(const std::string& name) {
  try {
    resolve_model(name);
  } catch (const Error& error) {
    return error.hint();
  }
  return "";
}

/// The message for a name that does not stand for a whole model, after its "[model] ".
std::string refusal(const std::string& name) {
  const auto message = message_of([&] { resolve_model(name); });
  EXPECT_TRUE(message.starts_with("[model] ")) << message;
  return message.substr(std::min<std::size_t>(8, message.size()));
}

TEST(HubCacheFolder, IsNamedByTheFirstVariableThatIsSet) {
  const Environment all{
      {"HF_HUB_CACHE", "/a"}, {"HUGGINGFACE_HUB_CACHE", "/b"}, {"HF_HOME", "/c"}, {"XDG_CACHE_HOME", "/d"}, {"HOME", "/e"}};
  EXPECT_EQ(hub_cache(), "/a");
  const Environment first{{"HF_HUB_CACHE", {}}};
  EXPECT_EQ(hub_cache(), "/b");
  const Environment second{{"HUGGINGFACE_HUB_CACHE", {}}};
  EXPECT_EQ(hub_cache(), "/c/hub");
  const Environment third{{"HF_HOME", {}}};
  EXPECT_EQ(hub_cache(), "/d/huggingface/hub");
  const Environment fourth{{"XDG_CACHE_HOME", {}}};
  EXPECT_EQ(hub_cache(), "/e/.cache/huggingface/hub");
}

TEST(HubCacheFolder, HasTildesAndVariablesReplacedAsPythonDoes) {
  const Environment none{{"HUGGINGFACE_HUB_CACHE", {}}, {"HF_HOME", {}}, {"XDG_CACHE_HOME", {}}, {"HOME", "/h"},
                         {"PLACE", "in$HOME"},          {"ABSENT_", {}}};
  const auto cache_of = [](const std::string& value) {
    const Environment set{{"HF_HUB_CACHE", value}};
    return hub_cache().string();
  };
  EXPECT_EQ(cache_of("~"), "/h");
  EXPECT_EQ(cache_of("~/x/~"), "/h/x/~");
  EXPECT_EQ(cache_of("/x/$PLACE-${PLACE}y"), "/x/in$HOME-in$HOMEy");  // what is put in is not looked at again
  EXPECT_EQ(cache_of("/$ABSENT_/${ABSENT_}/${}/$/${PLACE"), "/$ABSENT_/${ABSENT_}/${}/$/${PLACE");
  EXPECT_EQ(cache_of("~no_such_user_here/x"), "~no_such_user_here/x");
  const Environment rooted{{"HOME", "/"}};
  EXPECT_EQ(cache_of("~"), "/");
  EXPECT_EQ(cache_of("~/x"), "/x");
}

TEST(HubCacheFolder, IsTheCurrentOneForAVariableThatIsSetToNothing) {
  const Environment all{{"HF_HUB_CACHE", ""}, {"HUGGINGFACE_HUB_CACHE", "/b"}, {"HF_HOME", ""}, {"XDG_CACHE_HOME", ""}};
  EXPECT_EQ(hub_cache(), ".");
  const Environment first{{"HF_HUB_CACHE", {}}, {"HUGGINGFACE_HUB_CACHE", {}}};
  EXPECT_EQ(hub_cache(), "hub");
  const Environment second{{"HF_HOME", {}}};
  EXPECT_EQ(hub_cache(), "huggingface/hub");
}

TEST(HubNames, AreThoseThatTheHubAllows) {
  const std::string longest(96, 'x');
  for (const auto& name : {"gpt2", "answerdotai/ModernBERT-large", "a/b", "_a/1.b_", "a.git/b", "Qwen/Qwen3-0.6B"})
    EXPECT_TRUE(HubName::parse(name)) << name;
  EXPECT_TRUE(HubName::parse(longest + "/" + longest));
  for (const auto& name : {"",         "/",    "a/",   "/a",    "a/b/c", "-a",   "a-", ".a",   "a.",  "a..b", "a--b",
                           "org/a--b", "-o/a", "o./a", "a.git", "a b",   "a\nb", "é",  "../a", "~/a", "a\\b", "a:b"})
    EXPECT_FALSE(HubName::parse(name)) << name;
  EXPECT_FALSE(HubName::parse(longest + "x"));
  EXPECT_FALSE(HubName::parse("x/" + longest + "x"));
}

TEST(HubNames, MayNameARevisionBehindAnAt) {
  const auto parsed = HubName::parse("org/tiny@refs/pr/1");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->name, "org/tiny");
  EXPECT_EQ(parsed->revision, "refs/pr/1");
  EXPECT_EQ(parsed->download_command(), "hf download org/tiny --revision refs/pr/1");
  EXPECT_EQ(HubName::parse("gpt2")->revision, "main");
  EXPECT_EQ(HubName::parse("gpt2")->download_command(), "hf download gpt2");
  for (const auto& name : {"a@", "a@..", "a@../../b", "a@b/../c", "a@/b", "a@b/", "a@b//c", "a@.b", "a@b c", "a@b\n", "a@b\\c", "@b"})
    EXPECT_FALSE(HubName::parse(name)) << name;
  EXPECT_FALSE(HubName::parse("a@" + std::string(256, 'b')));
}

TEST_F(HubCache, ANameMeansTheSnapshotOfTheCommitInItsRef) {
  add_model();
  for (const auto* file : {"config.json", "model.safetensors"}) add(file, "{}", other_commit);
  put(folder() / "refs/refs/pr/1", other_commit);
  put(folder() / "refs/v1.0", other_commit);
  EXPECT_EQ(resolve_model("org/tiny"), snapshot());
  EXPECT_EQ(resolve_model("org/tiny@main"), snapshot());
  for (const auto& revision : {std::string("refs/pr/1"), std::string("v1.0"), other_commit})
    EXPECT_EQ(resolve_model("org/tiny@" + revision), snapshot(other_commit));
  put(folder("tiny") / "refs/main", commit);
  put(folder("tiny") / "snapshots" / commit / "q4.gguf", "x");  // without links, as where the file system has none
  EXPECT_EQ(resolve_model("tiny"), folder("tiny") / "snapshots" / commit / "q4.gguf");
}

TEST_F(HubCache, WhatExistsGoesBeforeAName) {
  add_model();
  const TemporaryFolder here;
  put(here / "org/tiny/config.json", "{}");
  const auto before = fs::current_path();
  fs::current_path(here.path());
  const auto found = resolve_model("org/tiny");
  fs::current_path(before);
  EXPECT_EQ(found, "org/tiny");
}

TEST_F(HubCache, ANameThatIsNotThereIsRefusedWithTheCommandThatFetchesIt) {
  EXPECT_EQ(refusal("gpt2"), "gpt2: no such file or folder, and no model of this name in the hub cache " + cache.path().string());
  EXPECT_EQ(hint_of("gpt2"), "hf download gpt2");
  EXPECT_EQ(hint_of("gpt2@v1.0"), "hf download gpt2 --revision v1.0");
  add_model();
  EXPECT_EQ(refusal("org/tiny@v2"),
            "org/tiny: no such file or folder, and the hub cache holds no revision v2 of this model (" + folder().string() + ")");
  EXPECT_EQ(refusal("org/tiny@" + other_commit), snapshot(other_commit).string() + ": this snapshot of org/tiny is not in the hub cache");
  EXPECT_EQ(hint_of("org/tiny@v2"), "hf download org/tiny --revision v2");
}

TEST_F(HubCache, AMistypedPathIsNotSentToTheHub) {
  for (const auto& path : {"absent.gguf", "absent/x/y", "./absent", "models/absent.safetensors"}) {
    EXPECT_EQ(refusal(path), std::string(path) + ": no such file or folder");
    EXPECT_EQ(hint_of(path), "");
  }
  const TemporaryFolder here;
  put(here / "runs/demo/config.json", "{}");
  const auto before = fs::current_path();
  fs::current_path(here.path());
  const auto message = refusal("runs/dmeo");
  fs::current_path(before);
  EXPECT_EQ(message, "runs/dmeo: no such file or folder");
  const std::string long_name(300, 'x');  // longer than a file's name may be
  EXPECT_EQ(refusal(long_name), long_name + ": no such file or folder");
}

TEST_F(HubCache, WhatASnapshotLacksIsNamed) {
  const auto lacks = [&](const std::string& what) { return snapshot().string() + ": this snapshot of org/tiny is not complete: " + what; };
  put(folder() / "refs/main", commit);
  EXPECT_EQ(refusal("org/tiny"), snapshot().string() + ": this snapshot of org/tiny is not in the hub cache");
  add("README.md");
  EXPECT_EQ(refusal("org/tiny"), lacks("config.json is missing"));
  EXPECT_EQ(hint_of("org/tiny"), "hf download org/tiny");
  add("config.json");
  EXPECT_EQ(refusal("org/tiny"), lacks("model.safetensors is missing"));
  add("model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  add("one.safetensors");
  EXPECT_EQ(refusal("org/tiny"), lacks("two.safetensors is missing"));
  add("two.safetensors");
  EXPECT_EQ(resolve_model("org/tiny"), snapshot());
  break_link("two.safetensors");
  EXPECT_EQ(refusal("org/tiny"), lacks("two.safetensors is a link to nothing"));
  add("model.safetensors");
  EXPECT_EQ(resolve_model("org/tiny"), snapshot());
  break_link("README.md");
  EXPECT_EQ(resolve_model("org/tiny"), snapshot());
  add("tokenizer_config.json");  // passed over, it would give another tokenizer
  break_link("tokenizer_config.json");
  EXPECT_EQ(refusal("org/tiny"), lacks("tokenizer_config.json is a link to nothing"));
  break_link("config.json");
  EXPECT_EQ(refusal("org/tiny"), lacks("config.json is a link to nothing"));
}

TEST_F(HubCache, OlderWeightsAreLeftToWhoeverReadsTensors) {
  put(folder() / "refs/main", commit);
  add("config.json");
  add("pytorch_model.bin");
  EXPECT_EQ(resolve_model("org/tiny"), snapshot());
}

TEST_F(HubCache, ARefThatIsNoCommitIsRefusedAndNotFollowed) {
  add_model();
  put(cache / "outside/config.json", "{}");
  put(cache / "outside/model.safetensors", "x");
  const auto ref = folder() / "refs/main";
  for (const auto& text :
       {std::string(), std::string("../../../outside"), (cache / "outside").string(), commit + "\n", commit + "/..", commit + "a",
        commit.substr(1), std::string(40, 'A'), std::string(40, '.'), std::string(1 << 20, 'a'), std::string(40, '\0')}) {
    put(ref, text);
    EXPECT_EQ(refusal("org/tiny"), ref.string() + ": is no commit, expected 40 hexadecimal digits and nothing else");
  }
  EXPECT_EQ(hint_of("org/tiny"), "hf download org/tiny");
  fs::remove(ref);
  fs::create_directories(ref);
  EXPECT_NE(refusal("org/tiny").find("holds no revision main"), std::string::npos);
}

}  // namespace
}  // namespace isotrope
