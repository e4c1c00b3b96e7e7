#include "isotrope/train/train.h"

#include <ATen/ATen.h>
#include <chrono>
#include <cmath>
#include <limits>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/base/memory_use.h"
#include "isotrope/base/progress.h"
#include "isotrope/base/stop.h"
#include "isotrope/eval/perplexity.h"
#include "isotrope/infer/generate.h"
#include "isotrope/kernels/adamw.h"
#include "isotrope/optim/schedule.h"
#include "isotrope/train/batch.h"
#include "isotrope/train/checkpoint_writer.h"
#include "isotrope/train/session.h"
#include "isotrope/train/step.h"
#include "isotrope/train/weight_norms.h"

namespace isotrope {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// The step's sequences from `position` on, in batches that are computed one after another.
std::vector<Batch> step_batches(const Session& s, std::uint64_t position) {
  const auto& t = s.config.train;
  const auto micro = t.micro_batch_size > 0 ? t.micro_batch_size : t.batch_size;
  std::vector<Batch> batches;
  for (std::int64_t row = 0; row < t.batch_size; row += micro)
    batches.push_back(
        collate(*s.sampler, *s.data, position + static_cast<std::uint64_t>(row), std::min(micro, t.batch_size - row), s.collation));
  return batches;
}

/// What is not finite: the loss, or the first parameter whose gradient is not; empty when all is well.
std::string non_finite(Session& s, const StepOutcome& outcome) {
  if (std::isfinite(outcome.loss) && std::isfinite(outcome.grad_norm)) return "";
  for (const auto& segment : s.parameters->segments())
    if (!std::isfinite(squared_norm(s.parameters->gradients().narrow(0, segment.offset, segment.count)))) return segment.name;
  return "loss";
}

/// Into a record of the log: the accuracy, and where there is more than one part, the loss of each (docs/formats/run_log.md).
void add_predictions(nlohmann::json& record, const Predictions& p) {
  if (p.tokens.count > 0) record["accuracy"] = p.tokens.accuracy();
  if (p.backward.count == 0 && p.pairs.count == 0) return;
  if (p.tokens.count > 0) record["token_loss"] = p.tokens.loss();
  if (p.backward.count > 0) record["backward_loss"] = p.backward.loss(), record["backward_accuracy"] = p.backward.accuracy();
  if (p.pairs.count > 0) record["pair_loss"] = p.pairs.loss(), record["pair_accuracy"] = p.pairs.accuracy();
}

ScheduleOptions schedule_options(const RunConfig& config) {
  const auto& s = config.schedule;
  const auto shape = s.name == "constant"      ? ScheduleShape::constant
                     : s.name == "cosine"      ? ScheduleShape::cosine
                     : s.name == "exponential" ? ScheduleShape::exponential
                     : s.decay_shape == "sqrt" ? ScheduleShape::wsd_sqrt
                                               : ScheduleShape::wsd_linear;
  return {shape, config.train.steps, s.warmup_steps, s.decay_steps, s.min_lr_factor};
}

class Training {
 public:
  Training(Session session, std::vector<Observer*> observers)
      : s_(std::move(session)),
        observers_(std::move(observers)),
        schedule_(schedule_options(s_.config)),
        checkpoints_(s_),
        progress_("train", s_.config.train.steps, "steps") {
    if (s_.state.step > 0) checkpoints_.resume_from(s_.state.step);
  }

  TrainResult run() {
    StopRequest stop;
    const auto& state = s_.state;
    if (state.step == 0) announce();
    const double limit =
        s_.config.train.max_minutes > 0 ? state.seconds + 60 * s_.config.train.max_minutes : std::numeric_limits<double>::infinity();
    while (state.step < s_.config.train.steps && state.seconds < limit && !stop.requested()) {
      step();
      if (state.skipped_in_row > 0) continue;  // weights that gave a non-finite loss are neither judged nor saved
      if (due(s_.config.eval.every)) evaluate(stop);
      if (due(s_.config.sample.every)) write_sample();
      if (due(s_.config.log.weights_every)) write_weight_norms();
      if (due(s_.config.checkpoint.every)) checkpoints_.start();
    }
    if (state.skipped_in_row > 0) give_up(stop.requested() ? ExitCode::interrupted : ExitCode::failed);
    const bool finished = !stop.requested() || state.step >= s_.config.train.steps;
    if (finished && s_.validation && s_.config.eval.every > 0 && evaluated_at_ != state.step) evaluate(stop);
    checkpoints_.wait();
    if (checkpoints_.started_at() != state.step) checkpoints_.write();
    end(!finished ? "interrupted" : state.step < s_.config.train.steps ? "time" : "done");
    if (!finished)
      throw Interrupted("train", "at step {} of {}; saved {}; --resume goes on", state.step, s_.config.train.steps,
                        result_.checkpoint.string());
    return result_;
  }

  /// After an error: the log says how it ended. A log that cannot be written either must not hide the error itself.
  void fail(const std::string& why) noexcept {
    try {
      s_.log->append({{"type", "end"}, {"step", s_.state.step}, {"reason", "failed"}, {"message", why}});
    } catch (...) {}
  }

 private:
  bool due(std::int64_t every) const { return every > 0 && s_.state.step % every == 0; }

  void announce() {
    const auto& p = s_.model->parameters();
    note(fmt::format("{}: {} parameters, {} training tokens, {} tokens a step, {} steps", s_.folder.string(),
                     count_text(static_cast<double>(p.count())), count_text(static_cast<double>(s_.data->size())),
                     s_.config.train.batch_size * s_.config.train.context, s_.config.train.steps));
  }

  void step() {
    checkpoints_.poll();
    auto& state = s_.state;
    const auto begun = Clock::now();
    GradientOptions options{.z_loss = s_.config.train.z_loss};
    if (s_.config.model.dropout) options.dropout = {state.seed, static_cast<std::uint64_t>(state.step)};
    const auto outcome = compute_gradients(*s_.model, *s_.parameters, step_batches(s_, state.position), options);
    state.position += static_cast<std::uint64_t>(s_.config.train.batch_size);
    const double lr = s_.config.optimizer.lr * schedule_.factor(state.step);
    ++state.step;
    if (!outcome.predictions.any()) {
      state.seconds += seconds_since(begun);
      return pass_over();
    }
    if (const auto culprit = non_finite(s_, outcome); !culprit.empty()) {
      state.seconds += seconds_since(begun);
      return skip(culprit, outcome);
    }
    s_.optimizer->step_(lr, clip_factor(s_.config.train.clip, outcome.grad_norm));
    for (auto* observer : observers_)
      observer->after_step({state.step, outcome.loss, lr, outcome.grad_norm, *s_.model, *s_.parameters, *s_.optimizer});
    state.skipped_in_row = 0;
    state.tokens += outcome.tokens;
    const double seconds = seconds_since(begun);
    state.seconds += seconds;
    result_.loss = outcome.loss;
    record_step(outcome, lr, seconds);
  }

  /// A step whose batch asks for nothing (no token was hidden, or every target belongs to another document) changes no weight.
  void pass_over() {
    auto& state = s_.state;
    ++state.skipped;
    s_.log->append({{"type", "skip"}, {"step", state.step}, {"reason", "empty"}});
    warn_once("empty-step", fmt::format("[train] step {}: the batch has nothing to predict; the step is passed over", state.step));
  }

  void skip(const std::string& culprit, const StepOutcome& outcome) {
    auto& state = s_.state;
    ++state.skipped, ++state.skipped_in_row;
    const auto* reason = culprit == "loss" ? "loss" : "gradient";
    s_.log->append({{"type", "skip"},
                    {"step", state.step},
                    {"reason", reason},
                    {"tensor", culprit},
                    {"loss", outcome.loss},
                    {"grad_norm", outcome.grad_norm}});
    warn(fmt::format("[train] step {}: {} is not finite; the step is skipped", state.step,
                     culprit == "loss" ? "the loss" : "the gradient of " + culprit));
    if (state.skipped_in_row > s_.config.train.max_skipped) give_up(ExitCode::failed);
  }

  /// Ends a run whose last steps were not finite: nothing of its present state is saved over a good checkpoint.
  [[noreturn]] void give_up(ExitCode code) {
    checkpoints_.wait();
    const auto good = checkpoints_.saved_at() >= 0 ? "the last good checkpoint is " + s_.checkpoint_folder(checkpoints_.saved_at()).string()
                                                   : std::string("no checkpoint was saved before");
    const auto what = fmt::format("the last {} steps up to step {} were not finite; {}", s_.state.skipped_in_row, s_.state.step, good);
    if (code == ExitCode::interrupted) throw Interrupted("train", "{}", what);
    throw WorkError("train", "{}", what);
  }

  void record_step(const StepOutcome& outcome, double lr, double seconds) {
    const auto& state = s_.state;
    const double speed = static_cast<double>(outcome.tokens) / seconds;
    smoothed_speed_ = smoothed_speed_ > 0 ? 0.9 * smoothed_speed_ + 0.1 * speed : speed;
    progress_.update(state.step, fmt::format("loss {:.4f}  {:.0f} tokens/s  {}", outcome.loss, smoothed_speed_,
                                             bytes_text(static_cast<double>(resident_bytes()))));
    if (!due(s_.config.log.every)) return;
    nlohmann::json record{{"type", "step"},
                          {"step", state.step},
                          {"loss", outcome.loss},
                          {"lr", lr},
                          {"grad_norm", outcome.grad_norm},
                          {"tokens", state.tokens},
                          {"tokens_per_second", speed},
                          {"seconds", state.seconds},
                          {"memory_bytes", resident_bytes()}};
    add_predictions(record, outcome.predictions);
    s_.log->append(record);
  }

  /// Given up without a record when the user asks to stop meanwhile.
  void evaluate(const StopRequest& stop) {
    evaluated_at_ = s_.state.step;
    if (!s_.validation) return;
    if (s_.collation.objective == Objective::clm) evaluate_text(stop);
    else evaluate_objective(stop);
  }

  /// What the objective asks, of the validation file: the same rows, masks and pairs at every evaluation.
  void evaluate_objective(const StopRequest& stop) {
    const at::NoGradGuard no_grad;
    const auto& sampler = *s_.validation_sampler;
    auto windows = static_cast<std::int64_t>(sampler.windows_per_epoch());
    if (s_.config.eval.max_windows > 0) windows = std::min(windows, s_.config.eval.max_windows);
    Predictions predictions;
    for (std::int64_t at = 0; at < windows; at += s_.config.eval.batch_size) {
      if (stop.requested()) return;
      const auto batch =
          collate(sampler, *s_.validation, static_cast<std::uint64_t>(at), std::min(s_.config.eval.batch_size, windows - at), s_.collation);
      batch_loss(*s_.model, batch, StepCounts({&batch, 1}), {.documents = batch.documents, .token_types = batch.token_types}, 0,
                 predictions);
    }
    result_.validation_nll = predictions.loss();
    nlohmann::json record{{"type", "eval"}, {"step", s_.state.step}, {"nll", predictions.loss()}, {"tokens", predictions.tokens.count}};
    add_predictions(record, predictions);
    s_.log->append(record);
    note(fmt::format("step {:>6}  train loss {:.4f}  validation loss {:.4f}  accuracy {:.1f}%{}  {}", s_.state.step, result_.loss,
                     predictions.loss(), 100 * predictions.tokens.accuracy(),
                     predictions.pairs.count > 0 ? fmt::format("  pairs {:.1f}%", 100 * predictions.pairs.accuracy()) : "",
                     duration_text(s_.state.seconds)));
  }

  void evaluate_text(const StopRequest& stop) {
    const auto context = s_.config.train.context;
    TextScore score;
    try {
      score = score_text(*s_.model, token_text(*s_.validation, s_.config.data.document_mask), s_.byte_counts,
                         {.context = context + 1,
                          .stride = context,
                          .batch_size = s_.config.eval.batch_size,
                          .max_windows = s_.config.eval.max_windows,
                          .stop_requested = [&] { return stop.requested(); }});
    } catch (const Interrupted&) {
      return;
    }
    result_.validation_nll = score.nll(), result_.validation_bits_per_byte = score.bits_per_byte();
    s_.log->append({{"type", "eval"},
                    {"step", s_.state.step},
                    {"nll", score.nll()},
                    {"accuracy", score.accuracy()},
                    {"bits_per_byte", score.bits_per_byte()},
                    {"perplexity", score.perplexity()},
                    {"tokens", score.tokens},
                    {"bytes", score.bytes}});
    note(fmt::format("step {:>6}  train loss {:.4f}  validation loss {:.4f}  {:.4f} bits per byte  {}", s_.state.step, result_.loss,
                     score.nll(), score.bits_per_byte(), duration_text(s_.state.seconds)));
  }

  void write_sample() {
    auto prompt = s_.tokenizer->encode(s_.config.sample.prompt);
    if (prompt.empty() && s_.tokenizer->eos()) prompt.push_back(*s_.tokenizer->eos());
    if (prompt.empty()) return warn_once("sample", "[train] no sample: sample.prompt is empty and the tokenizer has no end-of-text token");
    GenerationOptions options{
        .max_tokens = s_.config.sample.max_tokens, .sampling = {.temperature = 0.8, .top_k = 50}, .seed = s_.state.seed, .slide = true};
    options.vocab_size = static_cast<std::int64_t>(s_.tokenizer->vocab_size());
    if (s_.tokenizer->eos()) options.stop_ids.push_back(*s_.tokenizer->eos());
    const auto answer = generate(*s_.model, prompt, options);
    s_.log->append(
        {{"type", "sample"}, {"step", s_.state.step}, {"prompt", s_.config.sample.prompt}, {"text", s_.tokenizer->decode(answer)}});
  }

  void write_weight_norms() {
    auto record = weight_norms(*s_.parameters);
    record["type"] = "weights", record["step"] = s_.state.step;
    s_.log->append(record);
  }

  void end(const char* reason) {
    const auto& state = s_.state;
    s_.log->append({{"type", "end"},
                    {"step", state.step},
                    {"reason", reason},
                    {"seconds", state.seconds},
                    {"tokens", state.tokens},
                    {"peak_memory_bytes", peak_resident_bytes()}});
    s_.log->sync();
    result_.checkpoint = s_.checkpoint_folder(checkpoints_.saved_at());
    result_.folder = s_.folder, result_.steps = state.step, result_.tokens = state.tokens, result_.skipped = state.skipped,
    result_.seconds = state.seconds;
  }

  Session s_;
  std::vector<Observer*> observers_;
  Schedule schedule_;
  CheckpointWriter checkpoints_;
  Progress progress_;
  double smoothed_speed_ = 0;
  std::int64_t evaluated_at_ = -1;
  TrainResult result_{.validation_nll = std::numeric_limits<double>::quiet_NaN(),
                      .validation_bits_per_byte = std::numeric_limits<double>::quiet_NaN()};
};

}  // namespace

TrainResult train(const RunConfig& config, const TrainOptions& options) {
  auto resolved = config;
  resolved.resolve();
  Training training(open_session(resolved, options.resume), options.observers);
  try {
    return training.run();
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& error) {
    training.fail(error.what());
    throw;
  }
}

}  // namespace isotrope
