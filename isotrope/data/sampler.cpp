#include "isotrope/data/sampler.h"

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/base/random.h"

namespace isotrope {

WindowSampler::WindowSampler(const TokenFile& file, std::uint64_t context, std::uint64_t seed)
    : file_(&file), context_(context), seed_(seed) {
  if (context == 0) throw UsageError("sampler", "the context must be at least one token");
  if (file.size() < context + 1)
    throw InputError("sampler", "{}: {} tokens, one window of context {} needs {}", file.path().string(), file.size(), context,
                     context + 1);
  windows_ = std::max<std::uint64_t>(1, (file.size() - 1) / context - 1);
  offsets_ = file.size() - windows_ * context;
}

Window WindowSampler::at(std::uint64_t position) const {
  const auto epoch = position / windows_;
  const auto offset = RandomStream(seed_, "order/offset", epoch).below(offsets_);
  const RandomPermutation order(windows_, seed_, "order", epoch);
  return {epoch, offset + context_ * order(position % windows_)};
}

SequentialWindows::SequentialWindows(std::uint64_t tokens, std::uint64_t window, std::uint64_t stride, std::string_view what)
    : tokens_(tokens), window_(window), stride_(stride) {
  if (window < 2 || stride < 1 || stride > window)
    throw UsageError("sampler", "windows of {} tokens with a stride of {}: expected 1 <= stride <= window, window >= 2", window, stride);
  if (tokens < 2) throw InputError("sampler", "{}: {} tokens, at least 2 are needed to predict one", what, tokens);
  windows_ = tokens <= window ? 1 : 1 + (tokens - window + stride - 1) / stride;
  if (tokens - (windows_ - 1) * stride < 2) --windows_;
}

TokenRange SequentialWindows::operator[](std::uint64_t index) const {
  const auto begin = index * stride_;
  return {begin, std::min(window_, tokens_ - begin)};
}

}  // namespace isotrope
