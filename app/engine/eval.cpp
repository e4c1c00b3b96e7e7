#include <chrono>
#include <cstdio>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/progress.h"
#include "isotrope/base/stop.h"
#include "isotrope/data/token_file.h"
#include "isotrope/eval/perplexity.h"
#include "isotrope/kernels/batch_invariant.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope::app {

namespace {

TextScore score_data(const LoadedModel& loaded, const EvalCommand& options, const ScoreOptions& score_options) {
  const auto byte_counts = token_byte_counts(*loaded.tokenizer);
  if (is_token_file(options.data)) {
    const TokenFile file(options.data);
    file.expect_tokenizer(*loaded.tokenizer);
    return score_text(*loaded.model, token_text(file), byte_counts, score_options);
  }
  const auto content = read_file(options.data, "eval", std::size_t{1} << 36);
  if (content.empty()) throw InputError("eval", "{}: the file is empty", options.data);
  if (const auto bad = options.strict ? check_utf8(content) : std::nullopt)
    throw InputError("eval", "{}: byte {} is not UTF-8", options.data, *bad);
  const auto ids = loaded.tokenizer->encode(content);
  const TokenText text{ids.size(),
                       [&](std::uint64_t begin, std::uint64_t count, std::int64_t* out) { std::copy_n(ids.data() + begin, count, out); },
                       options.data};
  return score_text(*loaded.model, text, byte_counts, score_options);
}

}  // namespace

void run_eval(const EvalCommand& options) {
  if (!options.tasks.empty()) return run_eval_tasks(options);
  const auto loaded = load(options.model, options.compute, options.common);
  StopRequest stop;
  const auto begun = std::chrono::steady_clock::now();
  TextScore score;
  {
    const BatchInvariantScope scope;
    Progress progress("eval", 0, "windows");
    score = score_data(loaded, options,
                       {.context = options.context,
                        .stride = options.stride,
                        .batch_size = options.batch_size > 0 ? options.batch_size : 8,
                        .max_windows = options.max_windows,
                        .progress = [&](std::int64_t done, std::int64_t all) { progress.update(done, fmt::format("of {}", all)); },
                        .stop_requested = [&] { return stop.requested(); }});
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  if (options.common.json)
    return print_json({{"nll", score.nll()},
                       {"perplexity", score.perplexity()},
                       {"bits_per_byte", score.bits_per_byte()},
                       {"tokens", score.tokens},
                       {"bytes", score.bytes},
                       {"seconds", seconds}});
  std::puts(fmt::format("loss            {:.6f} nats a token\nperplexity      {:.4f}\nbits per byte   {:.6f}\ntokens          {}\nbytes    "
                        "       {}\ntime            {} ({:.0f} tokens/s)",
                        score.nll(), score.perplexity(), score.bits_per_byte(), score.tokens, score.bytes, duration_text(seconds),
                        static_cast<double>(score.tokens) / seconds)
                .c_str());
}

}  // namespace isotrope::app
