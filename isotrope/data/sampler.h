#pragma once

#include <cstdint>

#include "isotrope/data/token_file.h"

namespace isotrope {

struct Window {
  std::uint64_t epoch;
  std::uint64_t begin;  ///< first token in the file
};

/// Shuffled training windows of context + 1 tokens (inputs and, one later, targets) out of a token file that must outlive it.
///
/// An epoch lays windows end to end, inputs without overlap, from a random offset, and visits each once in random order.
/// at(position) is a function of (seed, position) alone: `position`, the number of windows consumed, is all that a checkpoint keeps.
/// windows = max(1, (tokens − 1) / context − 1) an epoch, one fewer than fit, and the offset is uniform over all at which they fit:
/// what one epoch leaves out at the two ends, others reach.
class WindowSampler {
 public:
  /// Throws InputError when the file is shorter than one window.
  WindowSampler(const TokenFile& file, std::uint64_t context, std::uint64_t seed);

  std::uint64_t windows_per_epoch() const { return windows_; }
  std::uint64_t context() const { return context_; }
  std::uint64_t seed() const { return seed_; }
  Window at(std::uint64_t position) const;
  /// The context + 1 tokens of window `position`.
  void copy(std::uint64_t position, std::int64_t* out) const { file_->copy(at(position).begin, context_ + 1, out); }
  void copy(std::uint64_t position, std::int32_t* out) const { file_->copy(at(position).begin, context_ + 1, out); }

 private:
  const TokenFile* file_;
  std::uint64_t context_, seed_, windows_, offsets_;
};

/// Windows for evaluation, in order: window i holds tokens [i · stride, i · stride + window), the last one what is left.
/// With window = context + 1 and stride = context every token but the first is predicted once.
/// The last window is the first that reaches the end; one of a single token, which predicts nothing, is left out.
class SequentialWindows {
 public:
  /// Throws InputError for fewer than two tokens; `what` names the text in the message. window ≥ 2, 1 ≤ stride ≤ window.
  SequentialWindows(std::uint64_t tokens, std::uint64_t window, std::uint64_t stride, std::string_view what);

  std::uint64_t size() const { return windows_; }
  TokenRange operator[](std::uint64_t index) const;

 private:
  std::uint64_t tokens_, window_, stride_, windows_;
};

}  // namespace isotrope
