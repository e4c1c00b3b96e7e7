#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "isotrope/io/model_path.h"
#include "isotrope/runlog/reader.h"
#include "tests/app/program.h"
#include "tests/io/temporary_folder.h"

namespace isotrope::test {

/// Sentences with structure to learn; 100 of them are about 8 kB.
inline std::string sample_text(int sentences, const std::string& noun = "number") {
  std::string text;
  for (int i = 0; i < sentences; ++i)
    for (int j = 0; j <= i % 5; ++j)
      text += "the " + noun + " " + std::to_string(i * 7 % 13) + " follows the " + noun + " " + std::to_string(j) + ". ";
  return text;
}

inline std::string with(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  if (at == text.npos) throw std::logic_error("the text has no " + from);
  return text.replace(at, from.size(), to);
}

inline const char* const llama_json =
    R"({"architectures": ["LlamaForCausalLM"], "vocab_size": 257, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
 "num_attention_heads": 2, "max_position_embeddings": 64, "tie_word_embeddings": true})";
inline const char* const gpt2_json =
    R"({"architectures": ["GPT2LMHeadModel"], "vocab_size": 257, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64})";

/// What a new user has after the first five minutes: a text, token files, a model's config and a run's configuration.
class Workplace : public TemporaryFolder {
 public:
  explicit Workplace(const std::string& model = llama_json) {
    put(*this / "text.txt", sample_text(60));
    put(*this / "model.json", model);
    put(*this / "run.toml", configuration());
    pack("text.txt", "bytes", "data");
  }
  std::string operator()(const std::string& name) const { return (path() / name).string(); }
  std::string configuration() const {
    return "[run]\nfolder = '" + (*this)("run") + "'\n[model]\nconfig = '" + (*this)("model.json") + "'\n[data]\ntrain = '" +
           (*this)("data/train.tokens") + "'\n[train]\nsteps = 12\nbatch_size = 4\ncontext = 32\nthreads = 1\n[optimizer]\nlr = 1e-2\n" +
           "[schedule]\nname = 'constant'\nwarmup_steps = 2\n[observe]\nevaluation = 0\n[checkpoint]\nevery = 5\n";
  }
  void pack(const std::string& text, const std::string& tokenizer, const std::string& output) const {
    const auto result = run_program("data pack " + (*this)(text) + " --tokenizer " + tokenizer + " -o " + (*this)(output) +
                                    " --validation-tail 0.2 --quiet");
    if (result.code != 0) throw std::runtime_error(result.err);
  }
  /// The arguments of `train` with overrides such as "train.steps=3", then flags.
  std::string train_arguments(const std::vector<std::string>& set = {}, const std::string& flags = "") const {
    std::string arguments = "train " + (*this)("run.toml");
    for (const auto& assignment : set) arguments += " --set '" + assignment + "'";
    return arguments + " " + flags;
  }
  ProgramResult train(const std::vector<std::string>& set = {}, const std::string& flags = "") const {
    return run_program(train_arguments(set, flags));
  }
  /// A trained model with its tokenizer: the checkpoint of a short run, made once.
  fs::path model() const {
    const auto folder = path() / "model";
    if (fs::exists(folder)) return folder;
    const auto result = train({"run.folder=" + (*this)("made"), "checkpoint.every=0"});
    if (result.code != 0) throw std::runtime_error(result.err);
    fs::copy(newest_checkpoint(*this / "made").value(), folder, fs::copy_options::recursive);
    return folder;
  }
  /// A copy of the model to be broken.
  fs::path copy_of_model(const std::string& name) const {
    fs::copy(model(), path() / name, fs::copy_options::recursive);
    return path() / name;
  }
};

/// The weights and the optimizer's state of a run's newest checkpoint, byte for byte.
inline std::string state_of(const fs::path& run) {
  const auto checkpoint = newest_checkpoint(run).value();
  const auto masters = checkpoint / "masters.safetensors";  // where matrices have additions
  return slurp(checkpoint / "model.safetensors") + slurp(checkpoint / "optimizer.safetensors") +
         (fs::exists(masters) ? slurp(masters) : "");
}

inline std::vector<nlohmann::json> records(const fs::path& run, const std::string& type) {
  std::vector<nlohmann::json> found;
  for (const auto& record : read_run_log(run).records)
    if (record["type"] == type) found.push_back(record);
  return found;
}

inline bool has_steps(const fs::path& run, std::size_t count) {
  const auto log = fs::exists(run / "run.jsonl") ? slurp(run / "run.jsonl") : std::string();
  std::size_t found = 0;
  for (auto at = log.find(R"("type":"step")"); at != log.npos; at = log.find(R"("type":"step")", at + 1)) ++found;
  return found >= count;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

inline std::size_t count_lines(const std::string& text, const std::string& prefix) {
  const auto lines = lines_of(text);
  return static_cast<std::size_t>(std::ranges::count_if(lines, [&](const auto& line) { return line.starts_with(prefix); }));
}

/// How the program must fail: this exit code, one line `error: [where] …` that holds every one of `needles`, at most one hint, no
/// back-trace.
inline void expect_error(const ProgramResult& result, int code, const std::vector<std::string>& needles) {
  SCOPED_TRACE(result.err);
  EXPECT_EQ(result.code, code);
  EXPECT_EQ(count_lines(result.err, "error: ["), 1u);
  EXPECT_EQ(count_lines(result.err, "error"), 1u);
  EXPECT_LE(count_lines(result.err, "hint: "), 1u);
  for (const auto* trace : {"Exception raised from", "frame #", "terminate called", "what():", "error: [internal]"})
    EXPECT_EQ(result.err.find(trace), std::string::npos) << trace;
  for (const auto& needle : needles) EXPECT_NE(result.err.find(needle), std::string::npos) << "not said: " << needle;
}

inline nlohmann::json last_json(const ProgramResult& result) {
  const auto lines = lines_of(result.out);
  return lines.empty() ? nlohmann::json() : nlohmann::json::parse(lines.back());
}

/// The program at work beside the test, to be watched and sent signals. Killed by the destructor if need be.
class Process {
 public:
  /// `file_limit`: no file may grow beyond so many bytes; 0: any size.
  Process(const Workplace& place, const std::string& arguments, rlim_t file_limit = 0)
      : out_(place("process.out")), err_(place("process.err")) {
    const auto command = "exec '" ISOTROPE_TEST_PROGRAM "' " + arguments + " >'" + out_ + "' 2>'" + err_ + "'";
    fs::remove(out_), fs::remove(err_);
    pid_ = ::fork();
    if (pid_ != 0) return;
    const rlimit bound{file_limit, file_limit};
    if (file_limit > 0) ::setrlimit(RLIMIT_FSIZE, &bound);
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  Process(const Process&) = delete;
  ~Process() {
    if (pid_ > 0) signal(SIGKILL), wait();
  }
  void signal(int number) const { ::kill(pid_, number); }
  /// True as soon as `condition` holds; false when the process has ended, or after a minute, without it.
  bool wait_until(const std::function<bool()>& condition) {
    for (const auto begun = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() - begun < std::chrono::minutes(1);) {
      if (condition()) return true;
      if (ended()) return condition();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }
  bool err_holds(const std::string& text) const { return slurp(err_).find(text) != std::string::npos; }
  /// Waits for the end; the code is −1 after a death by signal.
  ProgramResult wait() {
    if (pid_ > 0) ::waitpid(std::exchange(pid_, 0), &status_, 0);
    return {WIFEXITED(status_) ? WEXITSTATUS(status_) : -1, slurp(out_), slurp(err_)};
  }

 private:
  bool ended() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = 0;
    return pid_ == 0;
  }
  std::string out_, err_;
  pid_t pid_ = 0;
  int status_ = 0;
};

}  // namespace isotrope::test
