#include "isotrope/text/encode_parts.h"

#include <utility>

#include "isotrope/text/id_room.h"

namespace isotrope {

bool EncodeParts::claim(std::size_t& index, Part& part) {
  const std::lock_guard lock(mutex_);
  if (error_ || claimed_end_ == text_.size()) return false;
  index = claimed_++;
  part.begin = claimed_end_;
  const bool is_last = text_.size() - part.begin <= part_size + part_size / 2;
  part.end = claimed_end_ = is_last ? text_.size() : cut_(part.begin + part_size);
  if (index == 0) {
    part.ids = std::move(ids_);
  } else if (!spares_.empty()) {
    part.ids = std::move(spares_.back());
    spares_.pop_back();
  }
  return true;
}

void EncodeParts::work(const EncodePart& encode) {
  std::size_t index = 0;
  for (Part part; claim(index, part); part = {}) {
    try {
      encode(text_.substr(part.begin, part.end - part.begin), part.ids);
      std::unique_lock lock(mutex_);
      finished_.emplace(index, std::move(part));
      append_finished(lock);
    } catch (...) {
      fail(std::current_exception());
    }
  }
}

void EncodeParts::fail(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
}

/// Appends what can be appended, unless another thread is at it: that one looks again before it ends.
void EncodeParts::append_finished(std::unique_lock<std::mutex>& lock) {
  if (joining_) return;
  joining_ = true;
  while (!finished_.empty() && finished_.begin()->first == joined_) {
    auto part = std::move(finished_.extract(finished_.begin()).mapped());
    lock.unlock();
    if (joined_ == 0) {
      ids_ = std::exchange(part.ids, {});
    } else {
      reserve_like_before(ids_, 0, part.ids.size(), part.end, text_.size());
      ids_.insert(ids_.end(), part.ids.begin(), part.ids.end());
      part.ids.clear();
    }
    lock.lock();
    ++joined_;
    spares_.push_back(std::move(part.ids));
  }
  joining_ = false;
}

std::vector<TokenId> EncodeParts::take() {
  if (error_) std::rethrow_exception(error_);
  return std::move(ids_);
}

}  // namespace isotrope
