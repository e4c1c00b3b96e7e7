#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "isotrope/text/models/staged_words.h"
#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

/// A text encoded part by part by several threads: there are many more parts than threads, and a part that is done is appended to the
/// result while others are being encoded, so that nothing is left to do in the end. The order in which threads come decides nothing.
class EncodeParts {
 public:
  static constexpr std::size_t part_size = std::size_t{1} << 17;  ///< bytes; less than that, and a thread costs more than it brings

  struct Part {
    std::string_view text;
    bool begins = true, ends = true;  ///< it is the first, the last
    std::vector<TokenId> ids;
    StagedWords staged;                      ///< of a model that needs all that comes before: what the ids will be made of
    bool settles_later = false;              ///< its words stay staged until those of all parts before it are settled
    std::unique_ptr<const std::string> own;  ///< the text where it had to be changed
    std::size_t end = 0;                     ///< of the part, in the whole text
  };
  /// Appends the ids of a part, without the post-processor's, or stages its words.
  using EncodePart = std::function<void(Part& part)>;
  /// Makes the ids of staged words, part after part.
  using Settle = std::function<void(Part& part, std::vector<TokenId>& ids)>;
  /// The first place at or after the given one where the text may be cut, or its end.
  using Cut = std::function<std::size_t(std::size_t)>;

  EncodeParts(std::string_view text, std::vector<TokenId> before, Cut cut, Settle settle = {})
      : text_(text), cut_(std::move(cut)), settle_(std::move(settle)), ids_(std::move(before)) {}
  /// One thread's work: encodes parts until none is left. Errors wait for take().
  void work(const EncodePart& encode);
  /// An error outside work(); the first one counts.
  void fail(std::exception_ptr error);
  /// All ids, once every thread's work has returned. Throws the first error of a thread.
  std::vector<TokenId> take();

 private:
  static constexpr std::size_t most_open = 256;  ///< parts claimed and not yet appended, so that what waits does not pile up
  bool claim(std::size_t& index, Part& part);
  void append(Part& part);
  void append_finished(std::unique_lock<std::mutex>& lock);

  std::string_view text_;
  Cut cut_;
  Settle settle_;
  std::condition_variable less_open_;  ///< a part was appended, or nothing is any more
  std::mutex mutex_;                   ///< guards all that follows, but ids_ belongs to who set joining_
  std::size_t claimed_ = 0, claimed_end_ = 0, joined_ = 0;
  bool joining_ = false;
  std::map<std::size_t, Part> finished_;  ///< by number, those behind one that is not done
  std::vector<Part> spares_;              ///< memory of parts that were appended, warm in a processor's cache
  std::exception_ptr error_;
  std::vector<TokenId> ids_;  ///< where the first part goes, too
};

}  // namespace isotrope
