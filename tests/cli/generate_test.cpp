// `isotrope generate` as a script and as a reader meets it: what stands on stdout, where it ends, what it refuses.
#include "isotrope/text/unicode/utf8.h"
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

class Generate : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    place = std::make_unique<Workplace>();
    place->model();
  }
  static void TearDownTestSuite() { place.reset(); }
  static ProgramResult run(const std::string& more) {
    return run_program("generate " + (*place)("model") + " --threads 1 --ignore-eos " + more);
  }
  static std::string text(const std::string& more) {
    const auto result = run(more);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result.out;
  }
  static inline std::unique_ptr<Workplace> place;
};

class GenerateSlow : public Generate {};

TEST_F(Generate, PrintsTheTextAloneAndTheSameEachTimeAtTemperatureZero) {
  const auto once = text("--prompt 'the num' --max-tokens 12 --temperature 0");
  EXPECT_EQ(once.back(), '\n');
  EXPECT_FALSE(check_utf8(once).has_value());
  EXPECT_EQ(text("--prompt 'the num' --max-tokens 12 --temperature 0 --seed 7"), once);
  EXPECT_EQ(text("--prompt 'the num' --max-tokens 12 --temperature 0 --echo"), "the num" + once);
  put(*place / "prompt.txt", "the num");
  EXPECT_EQ(text("--prompt-file " + (*place)("prompt.txt") + " --max-tokens 12 --temperature 0"), once);
}

TEST_F(GenerateSlow, GivesTheSameTextForTheSameSeedAndAnotherForAnother) {
  const std::string common = "--prompt the --max-tokens 40 --temperature 1 --json --seed ";
  const auto ids = [&](const std::string& seed) { return last_json(run(common + seed))["ids"]; };
  const auto one = ids("1");
  EXPECT_EQ(one.size(), 40u);
  EXPECT_EQ(ids("1"), one);
  EXPECT_NE(ids("2"), one);
}

TEST_F(Generate, PrintsOneLineOfJsonWithItsKeys) {
  const auto result = run("--prompt 'the num' --max-tokens 5 --temperature 0 --json");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(lines_of(result.out).size(), 1u);
  const auto json = last_json(result);
  EXPECT_TRUE(json["text"].is_string());
  EXPECT_EQ(json["ids"].size(), 5u);
  EXPECT_EQ(json["prompt_tokens"], 7);
  EXPECT_EQ(json["tokens"], 5);
  EXPECT_TRUE(json["seconds"].is_number());
  EXPECT_EQ(json["finish"], "length");
}

TEST_F(GenerateSlow, EndsBeforeAStopTextWhereverItLies) {
  const auto whole = last_json(run("--prompt the --max-tokens 40 --temperature 1 --top-k 60 --seed 3 --json"))["text"].get<std::string>();
  // A stop text inside the answer: three characters that a shell can carry.
  std::size_t at = 8;
  const auto plain = [&](std::size_t i) { return std::isalnum(static_cast<unsigned char>(whole[i])) || whole[i] == ' '; };
  while (at + 3 < whole.size() && !(plain(at) && plain(at + 1) && plain(at + 2))) ++at;
  ASSERT_LT(at + 3, whole.size()) << whole;
  const auto stop = whole.substr(at, 3);
  const auto expected = whole.substr(0, whole.find(stop));
  const std::string common = "--prompt the --max-tokens 40 --temperature 1 --top-k 60 --seed 3 --stop '" + stop + "' --stop 'never this' ";
  EXPECT_EQ(text(common), expected + "\n");
  const auto json = last_json(run(common + "--json"));
  EXPECT_EQ(json["text"], expected);
  EXPECT_EQ(json["finish"], "stop");
  expect_error(run("--prompt the --stop ''"), 2, {"--stop is empty"});
}

TEST_F(Generate, BeginsWithTheEndOfTextTokenWhenThereIsNoPrompt) {
  const auto json = last_json(run("--max-tokens 3 --temperature 0 --json"));
  EXPECT_EQ(json["prompt_tokens"], 1);
  EXPECT_EQ(last_json(run("--prompt '' --max-tokens 3 --temperature 0 --json"))["ids"], json["ids"]);
}

TEST_F(Generate, SpeaksInTheFormOfTheModelsTemplate) {
  const auto messages = "--max-tokens 5 --temperature 0 ";
  expect_error(run(std::string(messages) + "--message hello"), 3, {"the tokenizer has no chat template"});
  put(place->model() / "chat_template.jinja",
      "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}");
  const auto said = text(std::string(messages) + "--system S --message hello --message 'it is' --message why");
  EXPECT_EQ(said, text(std::string(messages) + "--prompt '[system] S[user] hello[assistant] it is[user] why>'"));
  put(*place / "dialogue.json", R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hello"}]})");
  EXPECT_EQ(text(std::string(messages) + "--messages " + (*place)("dialogue.json")),
            text(std::string(messages) + "--prompt '[system] S[user] hello>'"));
  EXPECT_EQ(run("--message a --prompt b").code, 2);
  EXPECT_EQ(run("--system a").code, 2);
  fs::remove(place->model() / "chat_template.jinja");
}

TEST_F(GenerateSlow, RefusesWhatExceedsThePositionsUnlessItMaySlide) {
  put(*place / "long.txt", sample_text(10));
  const auto size = std::to_string(fs::file_size(*place / "long.txt"));
  const auto prompt = "--prompt-file " + (*place)("long.txt") + " --temperature 0 --max-tokens ";
  expect_error(run(prompt + "5"), 3, {size + " prompt tokens", "64 positions", "hint: ", "--slide"});
  expect_error(run("--prompt the --max-tokens 62"), 3, {"3 prompt tokens and 62 new ones", "64 positions"});
  EXPECT_EQ(last_json(run(prompt + "5 --slide --json"))["tokens"], 5);
  const auto long_answer = last_json(run("--prompt the --max-tokens 150 --temperature 0 --slide --json"));
  EXPECT_EQ(long_answer["tokens"], 150);
  EXPECT_EQ(last_json(run("--prompt the --max-tokens 61 --temperature 0 --json"))["ids"].size(), 61u);
}

TEST_F(GenerateSlow, RefusesOptionsOutOfRange) {
  for (const std::string options :
       {"--temperature -1", "--top-k -1", "--top-p 0", "--top-p 1.5", "--min-p 2", "--repetition-penalty 0", "--temperature nan"}) {
    SCOPED_TRACE(options);
    const auto name = options.substr(2, options.find(' ') - 2);
    expect_error(run("--prompt the " + options), 2, {name, "out of range"});
  }
  expect_error(run("--prompt the --max-tokens 0"), 2, {"--max-tokens"});
  expect_error(run("--prompt the --temperature warm"), 2, {"--temperature", "warm"});
  expect_error(run("--prompt the --device mps"), 2, {"mps is not available here"});
  expect_error(run("--prompt the --dtype int4"), 2, {"--dtype", "int4"});
  expect_error(run("--prompt-file " + (*place)("absent.txt")), 3, {(*place)("absent.txt"), "cannot open"});
  expect_error(run("--prompt the --prompt-file x"), 2, {"--prompt"});
}

TEST_F(Generate, EndsQuietlyOnCtrlCWithWhatItHas) {
  Process process(*place,
                  "generate " + (*place)("model") + " --threads 1 --ignore-eos --prompt the --max-tokens 10000000 --slide --seed 1");
  const auto printed = (*place)("process.out");
  ASSERT_TRUE(process.wait_until([&] { return slurp(printed).size() > 100; }));
  process.signal(SIGINT);
  const auto result = process.wait();
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_EQ(count_lines(result.err, "stopped: [generate] after "), 1u) << result.err;
  EXPECT_EQ(result.out.back(), '\n');
}

TEST(GenerateWithAPaddedVocabulary, NeverDrawsAnIdThatTheTokenizerLacks) {
  // Untrained and hot, seven of eight draws would fall on the padding.
  const Workplace place(with(llama_json, "\"vocab_size\": 257", "\"vocab_size\": 2048"));
  const auto result =
      run_program("generate " + place.model().string() + " --threads 1 --prompt the --max-tokens 60 --temperature 2 --ignore-eos --json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto ids = last_json(result)["ids"].get<std::vector<int>>();
  EXPECT_EQ(ids.size(), 60u);
  EXPECT_TRUE(std::ranges::none_of(ids, [](int id) { return id > 256; }));
}

TEST(GenerateWithAPaddedVocabulary, DoesNotEndATrainingRunAtItsSample) {
  const Workplace place(with(llama_json, "\"vocab_size\": 257", "\"vocab_size\": 2048"));
  const auto result = place.train({"train.steps=2", "observe.samples=1", "sample.max_tokens=60"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(records(place / "run", "sample").size(), 2u);
}

}  // namespace
}  // namespace isotrope
