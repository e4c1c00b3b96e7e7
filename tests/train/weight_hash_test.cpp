// tests/golden/weight_hashes.json: SHA-256 of the weights after fifty steps, for a processor, an instruction set and the libraries.
#include <ATen/Version.h>
#include <gtest/gtest.h>
#include <torch/version.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/sha256.h"
#include "isotrope/io/json.h"
#include "isotrope/io/model_path.h"
#include "isotrope/kernels/isa.h"
#include "isotrope/train/run_config.h"
#include "isotrope/train/train.h"
#include "tests/train/small_run.h"

namespace isotrope {
namespace {

const std::map<std::string, std::string> architectures{
    {"llama", R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                  "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "vocab_size": 257})"},
    {"gpt2", R"({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64,
                 "attn_pdrop": 0, "embd_pdrop": 0, "resid_pdrop": 0, "vocab_size": 257})"},
    {"mamba2", R"({"model_type": "mamba2", "architectures": ["Mamba2ForCausalLM"], "hidden_size": 32, "num_hidden_layers": 2,
                   "num_heads": 4, "head_dim": 16, "n_groups": 2, "state_size": 16, "residual_in_fp32": false, "vocab_size": 257})"}};

/// A line of /proc/cpuinfo, or "unknown".
std::string cpu_line(const std::string& key) {
  std::ifstream lines("/proc/cpuinfo");
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key + '\t')) return line.substr(line.find(':') + 2);
  return "unknown";
}

/// All that chooses between different bits besides the kernels' instruction set: the processor (libtorch's products), libtorch, the
/// compiler and whether it optimizes (which sums it contracts). The name alone may be as vague as "AMD EPYC".
std::string place() {
#ifdef __OPTIMIZE__
  constexpr auto* build = "optimized";
#else
  constexpr auto* build = "not optimized";
#endif
  return fmt::format("{} (family {}, model {}, {}), torch {}, compiler {}, {}", cpu_line("model name"), cpu_line("cpu family"),
                     cpu_line("model"), at::get_cpu_capability(), TORCH_VERSION, __VERSION__, build);
}

class WeightHash : public testing::Test {
 protected:
  WeightHash() {
    set_verbosity(Verbosity::quiet);
    test::write_tokens(folder_ / "train.tokens", 200);
    for (const auto& [name, config] : architectures) write_file(folder_ / (name + ".json"), config, "test");
  }

  /// Of the names, shapes and bytes of all weights after fifty steps, by name.
  std::string trained(const std::string& architecture, const std::string& precision) {
    const std::vector<std::string> settings{"run.folder=" + (folder_ / std::to_string(runs_++)).string(),
                                            "model.config=" + (folder_ / (architecture + ".json")).string(),
                                            "data.train=" + (folder_ / "train.tokens").string(),
                                            "data.tokenizer=bytes",
                                            "data.document_mask=true",
                                            "train.precision=" + precision,
                                            "train.threads=2",
                                            "train.steps=50",
                                            "train.batch_size=6",
                                            "train.micro_batch_size=4",
                                            "train.context=32",
                                            "optimizer.lr=1e-2",
                                            "schedule.warmup_steps=5",
                                            "observe.evaluation=0",
                                            "checkpoint.every=0",
                                            "observe.weights=0"};
    const SafetensorsFile weights(train(read_run_config({}, settings)).checkpoint / "model.safetensors");
    std::map<std::string, const TensorView*> sorted;
    for (const auto& view : weights.tensors()) sorted[view.name] = &view;
    Sha256 hash;
    for (const auto& [name, view] : sorted) {
      hash.add(name + nlohmann::json(view->shape).dump());
      hash.add({reinterpret_cast<const char*>(view->bytes.data()), view->bytes.size()});
    }
    return hash.hex();
  }

  test::TestFolder folder_;
  int runs_ = 0;
};

TEST_F(WeightHash, TheSameRunGivesTheSameWeightsAndThoseThatAreRecorded) {
  const std::string isa(isa_name(instruction_set()));
  if (const auto* wish = std::getenv("ISOTROPE_ISA"); wish && *wish && wish != isa)
    GTEST_SKIP() << "this processor has no " << wish << ", only " << isa;
  nlohmann::json hashes;
  for (const auto& [architecture, config] : architectures)
    for (const std::string precision : {"fp32", "bf16"}) {
      const auto first = trained(architecture, precision);
      EXPECT_EQ(trained(architecture, precision), first) << architecture << ' ' << precision << " does not repeat its bits";
      hashes[architecture + '.' + precision] = first;
    }
  const auto file = test::source("golden/weight_hashes.json");
  auto recorded = fs::exists(file) ? read_json(file, "test") : nlohmann::json::object();
  if (const auto* record = std::getenv("ISOTROPE_RECORD_HASHES"); record && *record) {
    if (HasFailure()) return;
    recorded[place()][isa] = hashes;
    write_file(file, recorded.dump(2) + '\n', "test");
    std::printf("recorded the weights' hashes of %s on %s\n", isa.c_str(), place().c_str());
    return;
  }
  const auto known = recorded.value(place(), nlohmann::json::object()).value(isa, nlohmann::json());
  if (known.is_null()) {
    std::printf(
        "no hashes are recorded for %s on %s: only that two runs give the same bits was checked; "
        "ISOTROPE_RECORD_HASHES=1 records them\n",
        isa.c_str(), place().c_str());
    return;
  }
  for (const auto& [name, hash] : hashes.items())
    EXPECT_EQ(hash, known.value(name, "")) << name << ": other weights than recorded (HACKING.md, The safety net)";
  EXPECT_EQ(hashes.size(), known.size());
}

}  // namespace
}  // namespace isotrope
