#include "isotrope/text/encode_parts.h"

#include <utility>

#include "isotrope/text/models/id_room.h"

namespace isotrope {

bool EncodeParts::claim(std::size_t& index, Part& part) {
  std::unique_lock lock(mutex_);
  less_open_.wait(lock, [&] { return error_ || claimed_ - joined_ < most_open; });
  if (error_ || claimed_end_ == text_.size()) return false;
  index = claimed_++;
  if (!spares_.empty()) {
    part = std::move(spares_.back());
    spares_.pop_back();
  }
  const auto begin = claimed_end_;
  part.begins = begin == 0;
  part.ends = text_.size() - begin <= part_size + part_size / 2;
  claimed_end_ = part.ends ? text_.size() : cut_(begin + part_size);
  part.ends = claimed_end_ == text_.size();
  part.text = text_.substr(begin, claimed_end_ - begin);
  part.end = claimed_end_;
  part.settles_later = settle_ && !(part.begins && part.ends);
  if (index == 0 && !part.settles_later) part.ids = std::move(ids_);
  return true;
}

void EncodeParts::work(const EncodePart& encode) {
  std::size_t index = 0;
  for (Part part; claim(index, part); part = {}) {
    try {
      encode(part);
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
  less_open_.notify_all();
}

/// Where part 0 holds the ids from the beginning, they are taken over.
void EncodeParts::append(Part& part) {
  if (part.settles_later) {
    reserve_like_before(ids_, 0, part.staged.numbers().size(), part.end, text_.size());
    settle_(part, ids_);
  } else if (joined_ == 0) {
    ids_ = std::exchange(part.ids, {});
  } else {
    reserve_like_before(ids_, 0, part.ids.size(), part.end, text_.size());
    ids_.insert(ids_.end(), part.ids.begin(), part.ids.end());
    part.ids.clear();
  }
}

/// Appends what can be appended, unless another thread is at it: that one looks again before it ends. After an error nobody does any more.
void EncodeParts::append_finished(std::unique_lock<std::mutex>& lock) {
  if (joining_) return;
  joining_ = true;
  while (!finished_.empty() && finished_.begin()->first == joined_) {
    auto part = std::move(finished_.extract(finished_.begin()).mapped());
    lock.unlock();
    append(part);
    lock.lock();
    ++joined_;
    less_open_.notify_all();
    spares_.push_back(std::move(part));
  }
  joining_ = false;
}

std::vector<TokenId> EncodeParts::take() {
  if (error_) std::rethrow_exception(error_);
  return std::move(ids_);
}

}  // namespace isotrope
