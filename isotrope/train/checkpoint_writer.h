#pragma once

#include <functional>
#include <future>
#include <optional>

#include "isotrope/train/session.h"

namespace isotrope {

/// Writes checkpoints on a thread of its own, one at a time, from a snapshot: training goes on meanwhile. What belongs to a checkpoint that
/// is whole on disk (its record in the log, the removal of old ones) is done on the caller's thread, by poll() or wait().
class CheckpointWriter {
 public:
  /// The session must outlive the writer.
  explicit CheckpointWriter(Session& session) : session_(session) {}
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;

  /// Starts to write the present state, after having waited for a checkpoint that is still under way.
  void start();
  /// Writes the present state here and now, without a copy of it: at the end, when there is nothing else to do.
  void write();
  /// Completes a checkpoint whose files are written; never waits. Throws the WorkError that its writing ended with.
  void poll();
  /// poll() when it is written.
  void wait();
  /// Step of the newest checkpoint that is complete; −1 for none.
  std::int64_t saved_at() const { return saved_at_; }
  /// Step of the newest checkpoint that was asked for.
  std::int64_t started_at() const { return started_at_; }
  /// The checkpoint that a resumed run starts from.
  void resume_from(std::int64_t step) { saved_at_ = started_at_ = step; }

 private:
  void complete();

  Session& session_;
  std::future<void> under_way_;
  std::int64_t saved_at_ = -1, started_at_ = -1;
};

}  // namespace isotrope
