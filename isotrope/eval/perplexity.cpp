#include "isotrope/eval/perplexity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "isotrope/base/error.h"
#include "isotrope/data/sampler.h"
#include "isotrope/loss/next_token.h"

namespace isotrope {

double TextScore::perplexity() const { return std::exp(nll()); }
double TextScore::bits_per_byte() const { return nll_sum / (std::numbers::ln2 * static_cast<double>(bytes)); }

std::vector<std::int32_t> token_byte_counts(const Tokenizer& tokenizer) {
  std::vector<std::int32_t> counts(tokenizer.vocab_size());
  for (std::size_t id = 0; id < counts.size(); ++id) {
    const auto token = static_cast<TokenId>(id);
    counts[id] = tokenizer.is_special(token) ? 0 : static_cast<std::int32_t>(tokenizer.token_bytes(token).size());
  }
  return counts;
}

TokenText token_text(const TokenFile& file, bool document_mask) {
  TokenText sequence{file.size(), [&file](std::uint64_t begin, std::uint64_t count, std::int64_t* out) { file.copy(begin, count, out); },
                     file.path().string()};
  if (document_mask) sequence.documents = [&file](std::uint64_t begin, std::uint64_t count) { return file.document_ids(begin, count); };
  return sequence;
}

namespace {

struct Piece {
  std::uint64_t begin, count;
  std::uint64_t predicted_from;  ///< first token of the text that this window predicts
};

std::vector<Piece> cut(const TokenText& text, std::uint64_t context, std::uint64_t stride, std::int64_t max_windows) {
  const auto window = std::min(context, std::max<std::uint64_t>(2, text.size));
  const SequentialWindows windows(text.size, window, std::min(stride, window), text.name);
  std::vector<Piece> pieces;
  std::uint64_t covered = 0;  // tokens before this one have been predicted, or were context
  for (std::uint64_t i = 0; i < windows.size(); ++i) {
    const auto [begin, count] = windows[i];
    pieces.push_back({begin, count, std::max(begin + 1, covered)});
    covered = begin + count;
  }
  if (max_windows <= 0 || static_cast<std::uint64_t>(max_windows) >= pieces.size()) return pieces;
  std::vector<Piece> chosen;
  for (std::int64_t i = 0; i < max_windows; ++i)
    chosen.push_back(pieces[static_cast<std::size_t>(i) * pieces.size() / static_cast<std::size_t>(max_windows)]);
  return chosen;
}

/// Scores pieces of one length together.
void score_batch(Model& model, const TokenText& text, const std::vector<std::int32_t>& byte_counts, std::span<const Piece> pieces,
                 TextScore& score) {
  const auto rows = static_cast<std::int64_t>(pieces.size()), length = static_cast<std::int64_t>(pieces.front().count), inputs = length - 1;
  auto tokens = at::empty({rows, length}, at::kLong);
  auto* data = tokens.mutable_data_ptr<std::int64_t>();
  for (std::int64_t row = 0; row < rows; ++row) text.copy(pieces[row].begin, pieces[row].count, data + row * length);
  const auto vocab = std::min<std::int64_t>(model.shape().vocab_size, static_cast<std::int64_t>(byte_counts.size()));
  auto targets = tokens.narrow(1, 1, inputs).clone(at::MemoryFormat::Contiguous);  // its own memory even for a single row
  auto documents = text.documents ? at::empty({rows, inputs}, at::kLong) : at::Tensor();
  auto* target = targets.mutable_data_ptr<std::int64_t>();
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto& piece = pieces[row];
    const auto numbers = text.documents ? text.documents(piece.begin, piece.count) : std::vector<std::int32_t>(piece.count, 0);
    for (std::int64_t i = 0; i < length; ++i) {
      const auto id = data[row * length + i];
      if (id < 0 || id >= vocab) throw InputError("eval", "{}: token id {} is out of range for a vocabulary of {}", text.name, id, vocab);
      if (documents.defined() && i < inputs) documents.mutable_data_ptr<std::int64_t>()[row * inputs + i] = numbers[i];
      if (i == 0) continue;
      if (piece.begin + i < piece.predicted_from || numbers[i] != numbers[i - 1]) target[row * inputs + i - 1] = ignored_target;
      else ++score.tokens, score.bytes += byte_counts[id];
    }
  }
  const auto device = model.parameters().options().device();
  ForwardContext context;
  if (documents.defined()) context.documents = documents.to(device);
  const auto hidden = model.forward_ids(tokens.narrow(1, 0, inputs).contiguous().to(device), context);
  const auto found = next_token_loss(model.head_input(hidden), model.head(), targets.to(device), {});
  score.nll_sum += found.nll.sum(at::kDouble).item<double>();
  score.correct += found.correct.sum(at::kDouble).item<double>();
}

}  // namespace

TextScore score_text(Model& model, const TokenText& text, const std::vector<std::int32_t>& byte_counts, const ScoreOptions& options) {
  const at::NoGradGuard no_grad;
  if (!model.shape().causal)
    throw InputError(
        "eval", "this model reads its texts from both sides, and predicts no next token from those before alone: it has no perplexity");
  if (!model.has_head()) throw InputError("eval", "this model has no language-modelling head: it has no perplexity");
  const auto positions = model.shape().max_positions;
  const auto context = options.context > 0 ? options.context : positions == unlimited_positions ? unlimited_context : positions;
  const auto stride = options.stride > 0 ? options.stride : context;
  if (context - 1 > model.shape().max_positions)  // a window's last token is only predicted, not read
    throw InputError("eval", "a context of {} tokens exceeds the model's {} positions", context, model.shape().max_positions);
  if (context < 2) throw UsageError("eval", "a context of {} predicts nothing; the least is 2", context);
  if (stride > context) throw UsageError("eval", "a stride of {} would leave out tokens between windows of {}", stride, context);
  const auto pieces = cut(text, static_cast<std::uint64_t>(context), static_cast<std::uint64_t>(stride), options.max_windows);
  TextScore score;
  for (std::size_t at = 0; at < pieces.size();) {
    if (options.stop_requested && options.stop_requested()) throw Interrupted("eval", "after {} of {} windows", at, pieces.size());
    std::size_t end = at + 1;
    while (end < pieces.size() && end - at < static_cast<std::size_t>(options.batch_size) && pieces[end].count == pieces[at].count) ++end;
    score_batch(model, text, byte_counts, std::span(pieces).subspan(at, end - at), score);
    at = end;
    if (options.progress) options.progress(static_cast<std::int64_t>(at), static_cast<std::int64_t>(pieces.size()));
  }
  return score;
}

}  // namespace isotrope
