// tests/golden/training.safetensors: twenty training steps of PyTorch and transformers (tools/oracles/training_goldens.py), against train()
// and what it leaves in the run's folder.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>

#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/data/sampler.h"
#include "isotrope/io/model_path.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/train/train.h"
#include "tests/engine_support.h"

namespace isotrope {
namespace {

const test::Goldens& goldens() {
  static const test::Goldens file(test::source("golden/training.safetensors"));
  return file;
}

std::vector<TokenId> golden_ids(const std::string& name) {
  const auto ids = goldens()(name);
  const auto* begin = ids.const_data_ptr<std::int32_t>();
  return {begin, begin + ids.numel()};
}

double distance(const at::Tensor& a, const at::Tensor& b) { return (a.to(at::kDouble) - b.to(at::kDouble)).norm().item<double>(); }

/// How far a run may be from the oracle's: the largest difference of a step's loss, the largest relative one of its gradient's norm, the
/// weights' ‖Δ‖/‖w‖ and ‖Δ‖/‖how far the oracle's moved‖ of the worst tensor, and the latter of all weights as one vector.
struct Distances {
  double loss, grad_norm, weights, moves, all_moves;
};

class GoldenRun : public testing::Test {
 protected:
  static constexpr int vocabulary = 40, end_of_document = 39;

  GoldenRun() {
    set_verbosity(Verbosity::quiet);
    nlohmann::json words;
    for (int id = 0; id < vocabulary; ++id) words[std::to_string(id)] = id;
    const nlohmann::json tokenizer{{"version", "1.0"}, {"model", {{"type", "WordLevel"}, {"vocab", words}, {"unk_token", "0"}}}};
    write_file(folder_ / "tokenizer.json", tokenizer.dump(), "test");
    TokenFileWriter writer(
        folder_ / "train.tokens",
        {.vocab_size = vocabulary, .fingerprint = load_tokenizer(folder_ / "tokenizer.json")->fingerprint(), .tokenizer_name = "numbers"});
    for (const auto id : golden_ids("tokens")) {
      writer.add(std::span(&id, 1));
      if (id == end_of_document) writer.end_document();
    }
    writer.finish();
    writer.commit();
  }

  static fs::path start(const std::string& model) {
    return test::source("data/models") / std::string(goldens().file().metadata().at("model." + model));
  }

  RunConfig config(const std::string& model, const std::string& precision) const {
    std::vector<std::string> settings{"run.folder=" + (folder_ / (model + '-' + precision)).string(),
                                      "model.init_from=" + start(model).string(),
                                      "data.train=" + (folder_ / "train.tokens").string(),
                                      "data.tokenizer=" + (folder_ / "tokenizer.json").string(),
                                      "train.precision=" + precision,
                                      "train.threads=1",
                                      "observe.evaluation=0",
                                      "checkpoint.every=0"};
    std::istringstream lines(goldens().file().metadata().at("settings." + model));
    for (std::string line; std::getline(lines, line);) settings.push_back(line);
    return read_run_config({}, settings);
  }

  /// Trains, fails where a step's rate is another than the oracle's, and says how far the rest is away.
  Distances compare(const std::string& model, const std::string& precision) const {
    const auto golden = [&](const std::string& name) { return goldens()(model + '.' + precision + '.' + name); };
    const auto result = train(config(model, precision));
    Distances found{};
    const auto loss = golden("loss"), lr = golden("lr"), norm = golden("grad_norm");
    std::int64_t step = 0;
    for (const auto& record : read_run_log(result.folder).records) {
      if (record["type"] != "step") continue;
      EXPECT_NEAR(record["lr"].get<double>() / lr[step].item<double>(), 1, 1e-12) << "step " << step;
      found.loss = std::max(found.loss, std::abs(record["loss"].get<double>() - loss[step].item<double>()));
      found.grad_norm = std::max(found.grad_norm, std::abs(record["grad_norm"].get<double>() / norm[step].item<double>() - 1));
      ++step;
    }
    EXPECT_EQ(step, lr.numel());
    const SafetensorsFile before(start(model) / "model.safetensors"), after(result.checkpoint / "model.safetensors");
    EXPECT_EQ(before.tensors().size(), after.tensors().size());
    double away = 0, moved = 0;
    for (const auto& view : after.tensors())
      for (const auto& [from, to] : compared(view.name, view.shape)) {
        const auto part = [&, from = from, to = to](const at::Tensor& whole) { return whole.slice(0, from, to); };
        const auto expected = part(golden("weights." + view.name));
        const auto off = distance(part(tensor_of(view)), expected), way = distance(expected, part(tensor_of(*before.find(view.name))));
        found.weights = std::max(found.weights, off / expected.norm().item<double>());
        found.moves = std::max(found.moves, off / way);
        away += off * off, moved += way * way;
      }
    found.all_moves = std::sqrt(away / moved);
    return found;
  }

  /// The rows of a weight that are compared. The bias of GPT-2's keys is left out: softmax does not see what it adds to every score of a
  /// query, so that its gradient is rounding, which Adam turns into steps of full length in directions that mean nothing.
  static std::vector<std::pair<std::int64_t, std::int64_t>> compared(const std::string& name, const std::vector<std::int64_t>& shape) {
    if (!name.ends_with("attn.c_attn.bias")) return {{0, shape[0]}};
    return {{0, shape[0] / 3}, {2 * shape[0] / 3, shape[0]}};
  }

  static void expect_within(const Distances& found, const Distances& bound) {
    const auto check = [](const char* what, double value, double most) {
      EXPECT_LT(value, most) << what;
      if (std::getenv("ISOTROPE_SHOW_DISTANCES")) std::printf("  %s %.1e of %.1e\n", what, value, most);
    };
    check("loss", found.loss, bound.loss);
    check("grad_norm", found.grad_norm, bound.grad_norm);
    check("weights", found.weights, bound.weights);
    check("moves", found.moves, bound.moves);
    check("all moves", found.all_moves, bound.all_moves);
  }

  test::TestFolder folder_;
};

TEST_F(GoldenRun, StepsTakeTheRowsThatTheOracleTook) {
  const TokenFile file(folder_ / "train.tokens");
  const auto c = config("llama", "fp32");
  const WindowSampler sampler(file, static_cast<std::uint64_t>(c.train.context), static_cast<std::uint64_t>(c.train.seed));
  const auto rows = golden_ids("windows");
  const auto length = static_cast<std::size_t>(c.train.context + 1);
  ASSERT_EQ(rows.size(), static_cast<std::size_t>(c.train.steps * c.train.batch_size) * length);
  ASSERT_LT(sampler.windows_per_epoch(), rows.size() / length);  // into a second epoch
  std::vector<std::int32_t> row(length);
  for (std::size_t i = 0; i < rows.size() / length; ++i) {
    sampler.copy(i, row.data());
    EXPECT_TRUE(std::equal(row.begin(), row.end(), rows.begin() + static_cast<std::ptrdiff_t>(i * length)))
        << "the order of the data: row " << i;
  }
}

// The bounds are three times the largest distance that the four instruction sets showed. PyTorch itself, with the same rows split 3 + 3, is
// 6e-7 (all moves) away from the oracle; Llama is ten times as far for its rotary angles, which transformers rounds to fp32. Errors of a
// trainer, put into the oracle, give (the smaller of both models; training_goldens.py --mutations prints the whole table):
//                                loss     grad_norm  weights  moves    all moves
//   bias correction from step 2  5.1e-02  7.3e-02    4.0e-02  1.6e-01  1.1e-01
//   no decay                     6.9e-03  2.0e-02    3.8e-02  1.6e-01  1.2e-01
//   vectors decayed              1.1e-02  3.5e-02    3.5e-02  9.7e-01  8.4e-02
//   beta2 0.999 for 0.8          2.9e-02  3.7e-02    3.4e-02  1.7e-01  9.9e-02
//   beta2 0.95 for 0.8           2.1e-02  2.6e-02    2.6e-02  1.3e-01  7.8e-02
//   clip ignored                 2.7e-02  3.1e-02    1.9e-02  9.2e-02  5.6e-02
//   schedule a step late         7.9e-02  1.2e-01    8.8e-02  3.6e-01  2.3e-01
//   micro-batches averaged       1.0e-01  1.6e-01    8.9e-02  3.9e-01  2.6e-01
//   last micro-batch lost        2.4e-01  4.3e-01    1.7e-01  7.9e-01  5.2e-01
//   eps 1e-6 for 1e-8            1.2e-04  2.7e-04    9.0e-04  3.3e-03  1.4e-03
//   lr 1% higher                 4.6e-03  7.8e-03    3.7e-03  1.4e-02  1.1e-02
TEST_F(GoldenRun, Fp32EqualsPyTorch) {
  const std::map<std::string, Distances> bounds{
      {"llama", {.loss = 3.5e-6, .grad_norm = 7e-6, .weights = 1e-5, .moves = 4.5e-5, .all_moves = 1.8e-5}},
      {"gpt2", {.loss = 1.2e-6, .grad_norm = 8e-7, .weights = 1.2e-6, .moves = 5e-6, .all_moves = 2.4e-6}}};
  for (const auto& [model, bound] : bounds) {
    SCOPED_TRACE(model);
    expect_within(compare(model, "fp32"), bound);
  }
}

// Three times the largest distance again, but for all moves, which differ by a tenth between instruction sets: twice. Measured 2.2e-2, as
// far as PyTorch's bf16 is from its own fp32 (2.1e-2). The errors of the table give the same numbers here: all are found but two, which only
// fp32 shows (eps) or the recorded rate (lr).
TEST_F(GoldenRun, Bf16EqualsPyTorch) {
  const std::map<std::string, Distances> bounds{
      {"llama", {.loss = 2.2e-2, .grad_norm = 3e-2, .weights = 2.6e-2, .moves = 9e-2, .all_moves = 4.5e-2}},
      {"gpt2", {.loss = 6.5e-3, .grad_norm = 3e-2, .weights = 4e-2, .moves = 1.35e-1, .all_moves = 4.5e-2}}};
  for (const auto& [model, bound] : bounds) {
    SCOPED_TRACE(model);
    expect_within(compare(model, "bf16"), bound);
  }
}

}  // namespace
}  // namespace isotrope
