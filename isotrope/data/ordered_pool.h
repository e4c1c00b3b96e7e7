#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <queue>
#include <thread>
#include <vector>

namespace isotrope {

/// Jobs in, results out in the order of the jobs, computed by several threads. At most 4 jobs a thread are in flight: push() waits.
/// `consume` is never called twice at once. The first exception in job order, of work or consume, comes out of push() or finish();
/// no result after it is consumed.
template <class Job, class Result>
class OrderedPool {
 public:
  OrderedPool(int threads, std::function<Result(Job)> work, std::function<void(Result)> consume)
      : work_(std::move(work)), consume_(std::move(consume)), limit_(static_cast<std::uint64_t>(threads) * 4) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { serve(); });
  }
  OrderedPool(const OrderedPool&) = delete;
  ~OrderedPool() { stop(); }

  void push(Job job) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failure_ || pushed_ - consumed_ < limit_; });
    if (failure_) std::rethrow_exception(failure_);
    jobs_.emplace(pushed_++, std::move(job));
    changed_.notify_all();
  }

  /// Waits for everything pushed.
  void finish() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failure_ || consumed_ == pushed_; });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct Outcome {
    std::unique_ptr<Result> result;
    std::exception_ptr error;
  };

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      auto [number, job] = std::move(jobs_.front());
      jobs_.pop();
      lock.unlock();
      Outcome outcome;
      try {
        outcome.result = std::make_unique<Result>(work_(std::move(job)));
      } catch (...) {
        outcome.error = std::current_exception();
      }
      lock.lock();
      done_.emplace(number, std::move(outcome));
      drain(lock);
    }
  }

  /// Consumes what is next in order. One thread drains at a time; the others leave their results to it.
  void drain(std::unique_lock<std::mutex>& lock) {
    if (draining_) return;
    draining_ = true;
    while (!failure_ && !done_.empty() && done_.begin()->first == consumed_) {
      auto outcome = std::move(done_.begin()->second);
      done_.erase(done_.begin());
      lock.unlock();
      if (!outcome.error) try {
          consume_(std::move(*outcome.result));
        } catch (...) {
          outcome.error = std::current_exception();
        }
      lock.lock();
      if (outcome.error) failure_ = outcome.error;
      else ++consumed_;
      changed_.notify_all();
    }
    draining_ = false;
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    for (auto& thread : threads_) thread.join();
  }

  std::function<Result(Job)> work_;
  std::function<void(Result)> consume_;
  const std::uint64_t limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::queue<std::pair<std::uint64_t, Job>> jobs_;
  std::map<std::uint64_t, Outcome> done_;
  std::uint64_t pushed_ = 0, consumed_ = 0;
  bool draining_ = false, stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace isotrope
