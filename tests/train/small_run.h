#pragma once

#include <gtest/gtest.h>

#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/data/token_file.h"
#include "isotrope/io/model_path.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/train/observer.h"
#include "isotrope/train/train.h"
#include "tests/engine_support.h"

namespace isotrope::test {

/// An observer that looks at every step.
struct Watcher : Observer {
  std::string_view name() const override { return "watcher"; }
  bool wants(std::int64_t) const override { return true; }
};

/// A text with structure to learn: byte tokens of sentences, in documents of uneven length.
inline void write_tokens(const fs::path& path, int documents) {
  const auto tokenizer = byte_tokenizer();
  TokenFileWriter writer(
      path,
      {.vocab_size = tokenizer->vocab_size(), .eos = tokenizer->eos(), .fingerprint = tokenizer->fingerprint(), .tokenizer_name = "bytes"});
  for (int i = 0; i < documents; ++i) {
    for (int j = 0; j <= i % 5; ++j)
      writer.add(tokenizer->encode("the number " + std::to_string(i * 7 % 13) + " follows the number " + std::to_string(j) + ". "));
    writer.add(std::vector<TokenId>{*tokenizer->eos()});
    writer.end_document();
  }
  writer.finish();
  writer.commit();
}

/// Runs of a small Llama on that text.
class SmallRun : public testing::Test {
 protected:
  SmallRun() {
    set_verbosity(Verbosity::quiet);
    write_tokens(folder_ / "train.tokens", 200);
    write_tokens(folder_ / "validation.tokens", 20);
    write_file(
        folder_ / "model.json",
        R"({"architectures": ["LlamaForCausalLM"], "vocab_size": 257, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                   "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "tie_word_embeddings": true})",
        "test");
  }
  RunConfig config(const std::string& run, std::int64_t steps = 12) const {
    RunConfig c;
    c.run.folder = (folder_ / run).string();
    c.model.config = (folder_ / "model.json").string();
    c.data.train = (folder_ / "train.tokens").string();
    c.data.validation = (folder_ / "validation.tokens").string();
    c.data.tokenizer = "bytes";
    c.train.steps = steps, c.train.batch_size = 6, c.train.context = 32, c.train.threads = 2;
    c.optimizer.lr = 1e-2;
    c.schedule.warmup_steps = 3;
    c.observe.evaluation = 6, c.checkpoint.every = 5;
    return c;
  }
  static std::string bytes_of(const fs::path& run, const std::string& file = "model.safetensors") {
    return read_file(newest_checkpoint(run).value() / file, "test");
  }
  static std::vector<nlohmann::json> records(const fs::path& run, const std::string& type) {
    std::vector<nlohmann::json> out;
    for (const auto& record : read_run_log(run).records)
      if (record["type"] == type) out.push_back(record);
    return out;
  }
  TestFolder folder_;
};

}  // namespace isotrope::test
