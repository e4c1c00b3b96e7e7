// Many texts at once: threads take one after another, and each result has its own place.
#include <atomic>
#include <exception>
#include <thread>

#include "isotrope/text/steps/encoding.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

namespace {

/// Calls work(i) for all i below `count`, on at most `threads` threads. Of several exceptions that of the least i is thrown.
template <class Work>
void for_all(std::size_t count, int threads, Work&& work) {
  std::vector<std::exception_ptr> errors(count);
  std::atomic<std::size_t> next = 0;
  const auto run = [&] {
    for (auto i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    for (std::size_t i = 1; i < std::min(count, static_cast<std::size_t>(std::max(threads, 1))); ++i) workers.emplace_back(run);
    run();
  }
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace

std::vector<Encoding> Tokenizer::encode_full_batch(std::span<const TextPair> texts, int threads, const EncodingOptions& options) const {
  auto alone = options;
  alone.padding.reset();
  std::vector<Encoding> encodings(texts.size());
  for_all(texts.size(), threads, [&](std::size_t i) { encodings[i] = encode_full(texts[i], alone); });
  if (options.padding) isotrope::pad(encodings, *options.padding);
  return encodings;
}

std::vector<std::vector<TokenId>> Tokenizer::encode_batch(std::span<const std::string_view> texts, int threads,
                                                          const EncodeOptions& options) const {
  std::vector<std::vector<TokenId>> ids(texts.size());
  for_all(texts.size(), threads, [&](std::size_t i) { ids[i] = encode(texts[i], options); });
  return ids;
}

}  // namespace isotrope
