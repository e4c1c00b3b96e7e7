#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <string_view>
#include <vector>

#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// A text encoded part by part by several threads: there are many more parts than threads, and a part that is done is appended to the
/// result while others are being encoded, so that nothing is left to do in the end. The order in which threads come decides nothing.
class EncodeParts {
 public:
  static constexpr std::size_t part_size = std::size_t{1} << 17;  ///< bytes; less than that, and a thread costs more than it brings

  /// The ids of a part, without the post-processor's, appended.
  using EncodePart = std::function<void(std::string_view part, std::vector<TokenId>& ids)>;
  /// The first place at or after the given one where the text may be cut, or its end.
  using Cut = std::function<std::size_t(std::size_t)>;

  EncodeParts(std::string_view text, std::vector<TokenId> before, Cut cut) : text_(text), cut_(std::move(cut)), ids_(std::move(before)) {}
  /// One thread's work: encodes parts until none is left. Errors wait for take().
  void work(const EncodePart& encode);
  /// An error outside work(); the first one counts.
  void fail(std::exception_ptr error);
  /// All ids, once every thread's work has returned. Throws the first error of a thread.
  std::vector<TokenId> take();

 private:
  struct Part {
    std::size_t begin = 0, end = 0;
    std::vector<TokenId> ids;
  };
  bool claim(std::size_t& index, Part& part);
  void append_finished(std::unique_lock<std::mutex>& lock);

  std::string_view text_;
  Cut cut_;
  std::mutex mutex_;  ///< guards all that follows, but ids_ belongs to who set joining_
  std::size_t claimed_ = 0, claimed_end_ = 0, joined_ = 0;
  bool joining_ = false;
  std::map<std::size_t, Part> finished_;      ///< by number, those behind one that is not done
  std::vector<std::vector<TokenId>> spares_;  ///< memory of parts that were appended, warm in a processor's cache
  std::exception_ptr error_;
  std::vector<TokenId> ids_;  ///< where the first part goes, too
};

}  // namespace isotrope
