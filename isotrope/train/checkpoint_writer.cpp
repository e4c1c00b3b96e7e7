#include "isotrope/train/checkpoint_writer.h"

#include <chrono>

#include "isotrope/runlog/run_log.h"

namespace isotrope {

CheckpointWriter::~CheckpointWriter() {
  if (under_way_.valid()) under_way_.wait();  // an error of it is lost here: another one is already on its way up
}

void CheckpointWriter::start() {
  wait();
  started_at_ = session_.state.step;
  auto content = snapshot(*session_.optimizer, session_.state);
  under_way_ =
      std::async(std::launch::async, [&s = session_, folder = session_.checkpoint_folder(started_at_), content = std::move(content)] {
        save_checkpoint(folder, *s.model, s.optimizer->parameters(), content, *s.tokenizer);
      });
}

void CheckpointWriter::write() {
  wait();
  started_at_ = session_.state.step;
  save_checkpoint(session_.checkpoint_folder(started_at_), *session_.model, session_.optimizer->parameters(),
                  checkpoint_content(*session_.optimizer, session_.state), *session_.tokenizer);
  complete();
}

void CheckpointWriter::poll() {
  if (under_way_.valid() && under_way_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) wait();
}

void CheckpointWriter::wait() {
  if (!under_way_.valid()) return;
  under_way_.get();
  complete();
}

void CheckpointWriter::complete() {
  saved_at_ = started_at_;
  const auto path = fs::relative(session_.checkpoint_folder(saved_at_), session_.folder).string();
  session_.log->append({{"type", "checkpoint"}, {"step", saved_at_}, {"path", path}});
  session_.log->sync();
  rotate_checkpoints(session_.folder, session_.config.checkpoint.keep);
}

}  // namespace isotrope
