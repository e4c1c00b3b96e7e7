// An encoder from a text to masks filled and features written, as a user meets it.
#include "isotrope/io/npy.h"
#include "isotrope/io/safetensors.h"
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

const char* const bert_json =
    R"({"architectures": ["BertForPreTraining"], "vocab_size": 80, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
 "num_attention_heads": 2, "max_position_embeddings": 40, "hidden_dropout_prob": 0.1})";

/// A BERT of a few steps, with a WordPiece vocabulary of letters.
class EncoderCommands : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    place = std::make_unique<Workplace>(bert_json);
    std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nnumber\nfollows\n.\n";
    for (char c = '0'; c <= '9'; ++c) vocabulary += std::string(1, c) + "\n##" + c + "\n";
    for (char c = 'a'; c < 'p'; ++c) vocabulary += std::string(1, c) + "\n##" + c + "\n";
    fs::create_directories(*place / "vocabulary");
    put(*place / "vocabulary/vocab.txt", vocabulary);
    std::string records;
    for (int i = 0; i < 12; ++i) records += nlohmann::json{{"text", sample_text(20 + i)}}.dump() + "\n";
    put(*place / "text.jsonl", records);
    const auto packed = run_program("data pack " + (*place)("text.jsonl") + " --tokenizer " + (*place)("vocabulary") + " -o " +
                                    (*place)("data") + " --validation 0.3 --quiet");
    if (packed.code != 0) throw std::runtime_error(packed.err);
    trained =
        place->train({"observe.evaluation=6", "data.validation=" + (*place)("data/validation.tokens"), "model.dropout=true"}, "--json");
  }
  static void TearDownTestSuite() { place.reset(); }
  static std::string fill(const std::string& more) { return "fill " + (*place)("run") + " --threads 1 " + more; }
  static std::string embed(const std::string& more) { return "embed " + (*place)("run") + " --threads 1 --quiet --text " + more; }

  static inline std::unique_ptr<Workplace> place;
  static inline ProgramResult trained;
};

TEST_F(EncoderCommands, TrainOnMasksAndPairsAndSaveWhatTransformersReads) {
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_EQ(trained.err.find("warning"), std::string::npos) << trained.err;
  const auto folder = newest_checkpoint(*place / "run").value();
  for (const auto* file : {"config.json", "model.safetensors", "tokenizer.json"}) EXPECT_TRUE(fs::exists(folder / file)) << file;
}

TEST_F(EncoderCommands, FillNamesCandidatesForEachMask) {
  const auto result = run_program(fill("--text 'the [MASK] 7 follows the number [MASK].' --top-k 2 --json"));
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  ASSERT_EQ(json["masks"].size(), 2U);
  EXPECT_EQ(json["masks"][0].size(), 2U);
  EXPECT_GE(json["masks"][0][0]["probability"], json["masks"][0][1]["probability"]);
  EXPECT_EQ(json["text"].get<std::string>().find("[MASK]"), std::string::npos);
  const auto plain = run_program(fill("--text 'the [MASK] 7' --pair 'follows'"));
  EXPECT_EQ(plain.code, 0);
  EXPECT_NE(plain.out.find("mask 1\n"), std::string::npos) << plain.out;
}

TEST_F(EncoderCommands, FillSaysWhatIsMissing) {
  expect_error(run_program(fill("--text 'the number'")), 3, {"[fill]", "no mask", "[MASK]"});
  std::string longer = "[MASK]";
  for (int i = 0; i < 50; ++i) longer += " the";
  expect_error(run_program(fill("--text '" + longer + "'")), 3, {"[fill]", "53 tokens", "40 positions"});
  const Workplace decoders;
  expect_error(run_program("fill " + decoders.model().string() + " --text 'a [MASK]'"), 3, {"decoder", "isotrope generate"});
  const auto masked = decoders.copy_of_model("masked");
  for (const auto& entry : fs::directory_iterator(newest_checkpoint(*place / "run").value()))
    if (const auto name = entry.path().filename().string(); name.starts_with("tokenizer") || name.starts_with("special_tokens"))
      fs::copy(entry.path(), masked / name, fs::copy_options::overwrite_existing);
  expect_error(run_program("generate " + masked.string() + " --prompt 'the [MASK] 7'"), 3,
               {"[generate]", "[MASK]", "a decoder does not fill masks"});
  EXPECT_EQ(run_program("generate " + masked.string() + " --prompt 'the 7' --max-tokens 2").code, 0);
  expect_error(run_program("generate " + (*place)("run") + " --prompt 'the [MASK]'"), 3, {"both sides", "isotrope fill"});
  expect_error(run_program("generate " + (*place)("run") + " --prompt the"), 3, {"both sides", "isotrope fill"});
  expect_error(run_program("eval " + (*place)("run") + " --data " + (*place)("data/validation.tokens")), 3,
               {"both sides", "no perplexity"});
}

TEST_F(EncoderCommands, EmbedWritesOneRowATextAndTheSameForTheSameText) {
  put(*place / "texts.txt", "the number 7\nfollows\r\nthe number 7\n");
  const auto output = (*place)("features.npy");
  const auto result = run_program(embed((*place)("texts.txt") + " -o " + output + " --normalize --json"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out)["shape"], nlohmann::json({3, 16}));
  const NpyFile file(output);
  EXPECT_EQ(file.shape(), (std::vector<std::int64_t>{3, 16}));
  const auto* values = reinterpret_cast<const float*>(file.bytes().data());
  double length = 0, difference = 0;
  for (int i = 0; i < 16; ++i) length += values[i] * values[i], difference += std::abs(values[i] - values[32 + i]);
  EXPECT_NEAR(length, 1, 1e-5);
  EXPECT_LT(difference, 1e-5);
}

TEST_F(EncoderCommands, EmbedWritesAllTokensOfChosenLayers) {
  put(*place / "two.txt", "the number\nfollows");
  const auto output = (*place)("tokens.safetensors");
  const auto result = run_program(embed((*place)("two.txt") + " -o " + output + " --layers 0,-1 --concatenate --pooling none"));
  ASSERT_EQ(result.code, 0) << result.err;
  const SafetensorsFile file(output);
  EXPECT_EQ(file.find("features")->shape, (std::vector<std::int64_t>{7, 32}));  // with [CLS] and [SEP]
  const auto* offsets = reinterpret_cast<const std::int64_t*>(file.find("offsets")->bytes.data());
  EXPECT_EQ(std::vector(offsets, offsets + 3), (std::vector<std::int64_t>{0, 4, 7}));
}

TEST_F(EncoderCommands, EmbedSaysWhatIsWrong) {
  put(*place / "one.txt", "the");
  put(*place / "empty.txt", "");
  std::string longer = "the\n";
  for (int i = 0; i < 50; ++i) longer += "the ";
  put(*place / "long.txt", longer);
  const auto one = (*place)("one.txt"), out = (*place)("out.npy");
  expect_error(run_program(embed(one + " -o " + (*place)("out.txt"))), 2, {"out.txt", ".npy"});
  expect_error(run_program(embed(one + " --pooling none -o " + out)), 2, {"safetensors"});
  expect_error(run_program(embed(one + " --layers 2 -o " + out)), 2, {"layer 2"});
  expect_error(run_program(embed(one + " --concatenate -o " + out)), 2, {"--concatenate"});
  expect_error(run_program(embed((*place)("empty.txt") + " -o " + out)), 3, {"empty.txt", "empty"});
  expect_error(run_program(embed((*place)("long.txt") + " -o " + out)), 3,
               {"long.txt: line 2", "52 tokens", "40 positions", "--max-length 40"});
  EXPECT_FALSE(fs::exists(out));
  EXPECT_EQ(run_program(embed((*place)("long.txt") + " --max-length 40 -o " + out)).code, 0);
}

}  // namespace
}  // namespace isotrope
