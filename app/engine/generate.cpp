#include "isotrope/infer/generate.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/stop.h"
#include "isotrope/chat/chat_template.h"

namespace isotrope::app {

namespace {

std::vector<TokenId> prompt_ids(const LoadedModel& loaded, const GenerateCommand& options) {
  const bool chats = !options.message.empty() || !options.messages.empty();
  if (chats && !options.prompt_file.empty()) throw UsageError("generate", "--prompt-file and --message exclude each other");
  const auto text = [&] {
    if (!chats) return options.prompt_file.empty() ? options.prompt : read_file(options.prompt_file, "generate");
    const auto messages = options.messages.empty() ? messages_of(options.system, options.message) : read_messages(options.messages);
    return ChatTemplate(*loaded.tokenizer).render(messages, {.add_generation_prompt = true});
  }();
  auto ids = loaded.tokenizer->encode(text, {.add_special_tokens = !chats});  // a template writes its own
  // An encoder is told by generate() that it writes no text.
  if (const auto mask = loaded.tokenizer->mask(); mask && loaded.model->shape().causal && std::ranges::count(ids, *mask) > 0)
    throw InputError("generate", "the prompt has a mask, {}: a decoder does not fill masks", loaded.tokenizer->token_bytes(*mask));
  if (!ids.empty()) return ids;
  if (loaded.tokenizer->bos()) return {*loaded.tokenizer->bos()};
  if (!loaded.eos.empty()) return {loaded.eos.front()};
  return ids;
}

/// Prints text as it becomes certain and ends at the first stop string, which is not printed: what might be its beginning is held back.
class StopAwarePrinter {
 public:
  StopAwarePrinter(std::vector<std::string> stops, bool print) : stops_(std::move(stops)), print_(print) {}

  /// False once a stop string has appeared.
  bool push(const std::string& piece) {
    text_ += piece;
    for (const auto& stop : stops_)
      if (const auto at = text_.find(stop, printed_); at != std::string::npos) {
        text_.resize(at);
        emit(text_.size());
        return false;
      }
    std::size_t held = 0;
    for (const auto& stop : stops_)
      for (std::size_t n = std::min(stop.size() - 1, text_.size() - printed_); n > held; --n)
        if (text_.ends_with(std::string_view(stop).substr(0, n))) held = n;
    emit(text_.size() - held);
    return true;
  }
  void finish() { emit(text_.size()); }
  const std::string& text() const { return text_; }

 private:
  void emit(std::size_t end) {
    if (print_ && end > printed_) {
      std::fwrite(text_.data() + printed_, 1, end - printed_, stdout);
      std::fflush(stdout);
    }
    printed_ = std::max(printed_, end);
  }

  std::vector<std::string> stops_;
  bool print_;
  std::string text_;
  std::size_t printed_ = 0;
};

}  // namespace

void run_generate(const GenerateCommand& options) {
  for (const auto& stop : options.stop)
    if (stop.empty()) throw UsageError("generate", "--stop is empty");
  const auto loaded = load(options.model, options.compute, options.common);
  const auto prompt = prompt_ids(loaded, options);
  GenerationOptions generation{.max_tokens = options.max_tokens,
                               .sampling = {options.temperature, options.top_k, options.top_p, options.min_p, options.repetition_penalty},
                               .seed = options.compute.seed,
                               .vocab_size = static_cast<std::int64_t>(loaded.tokenizer->vocab_size()),
                               .slide = options.slide};
  if (!options.ignore_eos) generation.stop_ids = loaded.eos;
  const bool print = !options.common.json;
  const DecodeOptions decoding{.skip_special_tokens = true};
  StreamDecoder decoder(*loaded.tokenizer, decoding);
  StopAwarePrinter printer(options.stop, print);
  bool stopped = false, echoed = false;
  // Printed only once generation has begun well, so that an error leaves stdout empty.
  const auto echo = [&] {
    if (std::exchange(echoed, true) || !options.echo || !print) return;
    const auto text = loaded.tokenizer->decode(prompt, decoding);
    std::fwrite(text.data(), 1, text.size(), stdout);
  };
  StopRequest stop;
  const auto begun = std::chrono::steady_clock::now();
  const auto answer = generate(*loaded.model, prompt, generation, [&](TokenId id) {
    echo();
    stopped = !printer.push(decoder.push(id));
    return !stopped && !stop.requested() && !std::ferror(stdout);
  });
  echo();
  if (!stopped) printer.push(decoder.finish()), printer.finish();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  const bool ended = !stopped && !stop.requested() && static_cast<std::int64_t>(answer.size()) < options.max_tokens;
  if (print) {
    std::putchar('\n');
  } else {
    const auto text = (options.echo ? loaded.tokenizer->decode(prompt, decoding) : std::string()) + printer.text();
    print_json({{"text", text},
                {"ids", answer},
                {"prompt_tokens", prompt.size()},
                {"tokens", answer.size()},
                {"seconds", seconds},
                {"finish", stopped            ? "stop"
                           : ended            ? "eos"
                           : stop.requested() ? "interrupted"
                                              : "length"}});
  }
  if (stop.requested()) throw Interrupted("generate", "after {} tokens", answer.size());
}

}  // namespace isotrope::app
