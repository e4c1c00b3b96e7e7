#include "isotrope/train/training.h"

#include <ATen/ATen.h>
#include <chrono>
#include <cmath>
#include <limits>

#include "isotrope/base/log.h"
#include "isotrope/base/memory_use.h"

namespace isotrope {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

ScheduleOptions schedule_options(const RunConfig& config) {
  const auto& s = config.schedule;
  const auto shape = s.name == "constant"      ? ScheduleShape::constant
                     : s.name == "cosine"      ? ScheduleShape::cosine
                     : s.name == "exponential" ? ScheduleShape::exponential
                     : s.decay_shape == "sqrt" ? ScheduleShape::wsd_sqrt
                                               : ScheduleShape::wsd_linear;
  return {shape, config.train.steps, s.warmup_steps, s.decay_steps, s.min_lr_factor};
}

}  // namespace

Training::Training(Session session, std::vector<Observer*> observers)
    : s_(std::move(session)),
      observers_(s_, std::move(observers)),
      schedule_(schedule_options(s_.config)),
      checkpoints_(s_),
      progress_("train", s_.config.train.steps, "steps") {
  if (s_.state.step > 0) checkpoints_.resume_from(s_.state.step);
}

TrainResult Training::run() {
  const auto& state = s_.state;
  observers_.restore(state.observers);
  if (state.step == 0) announce();
  log_rules();
  const double limit =
      s_.config.train.max_minutes > 0 ? state.seconds + 60 * s_.config.train.max_minutes : std::numeric_limits<double>::infinity();
  while (state.step < s_.config.train.steps && state.seconds < limit && !stop_.requested()) {
    step();
    if (state.skipped_in_row > 0) continue;  // weights that gave a non-finite loss are not saved
    if (due(s_.config.checkpoint.every)) keep_observers(), checkpoints_.start();
  }
  if (state.skipped_in_row > 0) give_up(stop_.requested() ? ExitCode::interrupted : ExitCode::failed);
  const bool finished = !stop_.requested() || state.step >= s_.config.train.steps;
  if (finished) observers_.finish(last_view());
  checkpoints_.wait();
  if (checkpoints_.started_at() != state.step) keep_observers(), checkpoints_.write();
  end(!finished ? "interrupted" : state.step < s_.config.train.steps ? "time" : "done");
  if (!finished)
    throw Interrupted("train", "at step {} of {}; saved {}; --resume goes on", state.step, s_.config.train.steps,
                      result_.checkpoint.string());
  return result_;
}

void Training::fail(const std::string& why) noexcept {
  try {
    s_.log->append({{"type", "end"}, {"step", s_.state.step}, {"reason", "failed"}, {"message", why}});
  } catch (...) {}
}

void Training::announce() {
  const auto& p = s_.model->parameters();
  note(fmt::format("{}: {} parameters, {} training tokens, {} tokens a step, {} steps", s_.folder.string(),
                   count_text(static_cast<double>(p.count())), count_text(static_cast<double>(s_.objective->data_size().tokens)),
                   s_.config.train.batch_size * s_.config.train.context, s_.config.train.steps));
}

void Training::log_rules() {
  const auto shares = s_.optimizer->shares();
  for (const auto& share : shares) note("  " + text_of(share));
  const auto state = s_.optimizer->state_bytes(), of_matrices = s_.optimizer->matrix_state_bytes();
  note(fmt::format("  optimizer state: {} of matrices, {} of the whole model", bytes_text(static_cast<double>(of_matrices)),
                   bytes_text(static_cast<double>(state))));
  s_.log->append({{"type", "rules"},
                  {"step", s_.state.step},
                  {"rules", to_json(shares)},
                  {"state_bytes", state},
                  {"matrix_state_bytes", of_matrices}});
}

StepView Training::view(double loss, double lr, double grad_norm, double gradient_scale, bool empty) {
  return {s_.state.step, loss,          lr,      grad_norm, gradient_scale, empty, *s_.model, s_.optimizer->parameters(), *s_.gradients,
          *s_.optimizer, *s_.objective, *s_.log, stop_};
}

void Training::step() {
  checkpoints_.poll();
  auto& state = s_.state;
  auto begun = Clock::now();
  std::optional<DropoutSeed> dropout;
  if (s_.config.model.dropout) dropout = {state.seed, static_cast<std::uint64_t>(state.step)};
  const auto batches = step_batches(*s_.objective, s_.config, state.position);
  const auto outcome = compute_gradients(*s_.model, *s_.gradients, *s_.objective, batches, dropout);
  const auto squares = s_.gradients->squared_norms();
  const double grad_norm = s_.optimizer->gradient_norm(squares);
  state.position += static_cast<std::uint64_t>(s_.config.train.batch_size);
  const double lr = s_.config.optimizer.lr * schedule_.factor(state.step);
  ++state.step;
  if (!outcome.measures.any()) {
    state.seconds += seconds_since(begun);
    skip_empty();
    return observers_.after_update(last_view());
  }
  if (const auto tensor = non_finite_tensor(outcome.loss, squares); !tensor.empty()) {
    state.seconds += seconds_since(begun);
    return skip_non_finite(tensor, outcome.loss, grad_norm);
  }
  const auto seen = view(outcome.loss, lr, grad_norm, clip_factor(s_.config.train.clip, grad_norm));
  double seconds = seconds_since(begun);
  observers_.before_update(seen);
  begun = Clock::now();
  s_.optimizer->step_(*s_.gradients, lr, seen.gradient_scale);
  const double optimizer_seconds = seconds_since(begun);
  seconds += optimizer_seconds;
  state.skipped_in_row = 0;
  state.tokens += outcome.tokens;
  state.seconds += seconds;
  result_.loss = outcome.loss;
  record_step(outcome, seen, seconds, optimizer_seconds);
  observers_.after_update(seen);
}

std::string Training::non_finite_tensor(double loss, const std::vector<double>& squares) const {
  for (std::size_t i = 0; i < squares.size(); ++i)
    if (!std::isfinite(squares[i])) return s_.optimizer->parameters().segments()[i].name;
  return std::isfinite(loss) ? "" : "loss";
}

void Training::skip_empty() {
  auto& state = s_.state;
  ++state.skipped;
  s_.log->append({{"type", "skip"}, {"step", state.step}, {"reason", "empty"}});
  warn_once("empty-step", fmt::format("[train] step {}: the batch has nothing to predict; the step is skipped", state.step));
}

void Training::skip_non_finite(const std::string& tensor, double loss, double grad_norm) {
  auto& state = s_.state;
  ++state.skipped, ++state.skipped_in_row;
  const auto* reason = tensor == "loss" ? "loss" : "gradient";
  s_.log->append(
      {{"type", "skip"}, {"step", state.step}, {"reason", reason}, {"tensor", tensor}, {"loss", loss}, {"grad_norm", grad_norm}});
  warn(fmt::format("[train] step {}: {} is not finite; the step is skipped", state.step,
                   tensor == "loss" ? "the loss" : "the gradient of " + tensor));
  if (state.skipped_in_row > s_.config.train.max_skipped) give_up(ExitCode::failed);
}

void Training::give_up(ExitCode code) {
  checkpoints_.wait();
  const auto good = checkpoints_.saved_at() >= 0 ? "the last good checkpoint is " + s_.checkpoint_folder(checkpoints_.saved_at()).string()
                                                 : std::string("no checkpoint was saved before");
  const auto what = fmt::format("the last {} steps up to step {} were not finite; {}", s_.state.skipped_in_row, s_.state.step, good);
  if (code == ExitCode::interrupted) throw Interrupted("train", "{}", what);
  throw WorkError("train", "{}", what);
}

void Training::record_step(const StepOutcome& outcome, const StepView& seen, double seconds, double optimizer_seconds) {
  const auto& state = s_.state;
  const double speed = static_cast<double>(outcome.tokens) / seconds;
  smoothed_speed_ = smoothed_speed_ > 0 ? 0.9 * smoothed_speed_ + 0.1 * speed : speed;
  progress_.update(state.step, fmt::format("loss {:.4f}  {:.0f} tokens/s  {}", outcome.loss, smoothed_speed_,
                                           bytes_text(static_cast<double>(resident_bytes()))));
  if (!due(s_.config.log.every)) return;
  nlohmann::json record{{"type", "step"},
                        {"step", state.step},
                        {"loss", outcome.loss},
                        {"lr", seen.lr},
                        {"grad_norm", seen.grad_norm},
                        {"tokens", state.tokens},
                        {"tokens_per_second", speed},
                        {"seconds", state.seconds},
                        {"optimizer_seconds", optimizer_seconds},
                        {"memory_bytes", resident_bytes()}};
  outcome.measures.write(record);
  s_.log->append(record);
}

void Training::end(const char* reason) {
  const auto& state = s_.state;
  s_.log->append({{"type", "end"},
                  {"step", state.step},
                  {"reason", reason},
                  {"seconds", state.seconds},
                  {"tokens", state.tokens},
                  {"observers", observers_.costs()},
                  {"peak_memory_bytes", peak_resident_bytes()}});
  s_.log->sync();
  if (const auto cost = observers_.cost_text(); !cost.empty()) note("observers: " + cost);
  result_.checkpoint = s_.checkpoint_folder(checkpoints_.saved_at());
  result_.folder = s_.folder, result_.steps = state.step, result_.tokens = state.tokens, result_.skipped = state.skipped,
  result_.seconds = state.seconds;
  result_.measures = observers_.results();
}

}  // namespace isotrope
