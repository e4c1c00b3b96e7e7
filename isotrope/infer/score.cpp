#include "isotrope/infer/score.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "isotrope/base/error.h"
#include "isotrope/kernels/batch_invariant.h"
#include "isotrope/kernels/head_loss.h"

namespace isotrope {

namespace {

using Tokens = std::span<const TokenId>;

std::size_t common_beginning(Tokens a, Tokens b) {
  const auto end = std::min(a.size(), b.size());
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(end), b.begin()).first - a.begin());
}

/// Lays sorted sequences out as a tree, from their beginnings on.
class Packer {
 public:
  explicit Packer(std::span<const Tokens> sequences) : sequences_(sequences) { packed_.rows.resize(sequences.size()); }

  /// The sequences [begin, end), which have their first `done` tokens in common, those of `parent` and its chain.
  void add(std::size_t begin, std::size_t end, std::size_t done, std::int64_t parent) {
    for (auto first = begin; first < end;) {
      if (sequences_[first].size() == done) {  // ends where its parent does
        packed_.rows[first] = path_;
        ++first;
        continue;
      }
      auto last = first + 1;
      auto shared = sequences_[first].size();
      for (; last < end; ++last) {
        const auto common = common_beginning(sequences_[first], sequences_[last]);
        if (common <= done) break;
        shared = std::min(shared, common);
      }
      const auto part = put(sequences_[first], done, shared, parent);
      add(first, last, shared, part);
      path_.resize(done);
      first = last;
    }
  }

  PackedSequences take() { return std::move(packed_); }

 private:
  /// The tokens [from, to) of a sequence as a part.
  std::int64_t put(Tokens sequence, std::size_t from, std::size_t to, std::int64_t parent) {
    const auto begin = static_cast<std::int64_t>(packed_.tokens.size()), count = static_cast<std::int64_t>(to - from);
    for (auto i = from; i < to; ++i) {
      path_.push_back(static_cast<std::int64_t>(packed_.tokens.size()));
      packed_.tokens.push_back(sequence[i]);
    }
    packed_.tree.parts.push_back({begin, begin + count, parent, static_cast<std::int64_t>(from)});
    return static_cast<std::int64_t>(packed_.tree.parts.size()) - 1;
  }

  std::span<const Tokens> sequences_;
  PackedSequences packed_;
  std::vector<std::int64_t> path_;  ///< rows of the tokens that lead to where we are
};

}  // namespace

std::int64_t scoring_context(const Model& model) {
  constexpr std::int64_t none = std::int64_t{1} << 20, usual = 2048;
  const auto positions = model.shape().max_positions;
  return positions >= none ? usual : positions;
}

PackedSequences pack_sequences(std::span<const Tokens> sequences, bool share) {
  Packer packer(sequences);
  if (share) packer.add(0, sequences.size(), 0, -1);
  else
    for (std::size_t i = 0; i < sequences.size(); ++i) packer.add(i, i + 1, 0, -1);
  return packer.take();
}

namespace {

/// A request as the model reads it: the last token is only predicted.
struct Input {
  std::size_t request;
  std::vector<TokenId> tokens;
  std::size_t first;  ///< whose output predicts the continuation's first token
};

void check(const Model& model) {
  if (!model.shape().causal)
    throw InputError("score", "this model reads its texts from both sides, and predicts no next token from those before alone");
  if (!model.has_head()) throw InputError("score", "this model has no language-modelling head: it predicts no token");
  const auto& weight = model.head().weight();
  if (!weight.device().is_cpu())
    throw UsageError("score", "scores that no batch changes are built for the CPU, not for {}", weight.device().str());
  if (weight.scalar_type() != at::kFloat && weight.scalar_type() != at::kBFloat16)
    throw with_hint(UsageError("score", "scores that no batch changes are built for float32 and bfloat16, not for {}",
                               c10::toString(weight.scalar_type())),
                    "--dtype float32 computes with the same weights");
}

std::vector<Input> inputs_of(const Model& model, std::span<const ScoreRequest> requests, std::int64_t asked) {
  const auto context = static_cast<std::size_t>(asked > 0 ? asked : scoring_context(model));
  if (static_cast<std::int64_t>(context) > model.shape().max_positions)
    throw InputError("score", "a context of {} tokens exceeds the model's {} positions", context, model.shape().max_positions);
  std::vector<Input> inputs;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto& [before, after] = requests[i];
    if (before.empty() || after.empty()) throw InputError("score", "request {} has no {}", i, before.empty() ? "context" : "continuation");
    if (after.size() > context)
      throw InputError("score", "request {}: a continuation of {} tokens exceeds a context of {}", i, after.size(), context);
    for (const auto* part : {&before, &after})
      for (const auto id : *part)
        if (id < 0 || id >= model.shape().vocab_size)
          throw InputError("score", "request {}: token id {} is out of range for a vocabulary of {}", i, id, model.shape().vocab_size);
    Input input{i, before, 0};
    input.tokens.insert(input.tokens.end(), after.begin(), after.end() - 1);
    if (input.tokens.size() > context) input.tokens.erase(input.tokens.begin(), input.tokens.end() - static_cast<std::ptrdiff_t>(context));
    input.first = input.tokens.size() - after.size();
    inputs.push_back(std::move(input));
  }
  std::ranges::stable_sort(inputs, {}, &Input::tokens);
  return inputs;
}

/// How many of the inputs from the first on are computed together: so many tokens at most, those in common with the one before left out.
std::size_t batch_length(std::span<const Input> inputs, bool share, const ScoringOptions& options) {
  std::size_t count = 0, tokens = 0;
  for (; count < inputs.size(); ++count) {
    if (options.batch_size > 0 && count == static_cast<std::size_t>(options.batch_size)) break;
    const auto fresh =
        inputs[count].tokens.size() - (share && count > 0 ? common_beginning(inputs[count - 1].tokens, inputs[count].tokens) : 0);
    const auto cost = std::max(fresh, inputs[count].tokens.size() - inputs[count].first);
    if (count > 0 && tokens + cost > static_cast<std::size_t>(options.batch_tokens)) break;
    tokens += cost;
  }
  return count;
}

/// Of the rows of the batch, those whose outputs are asked for, and what they should predict.
struct Asked {
  std::vector<std::int64_t> rows, targets;
};

ContinuationScore score_of(const float* nll, const float* correct, std::size_t count) {
  ContinuationScore score;
  for (std::size_t i = 0; i < count; ++i) {
    score.log_likelihood -= static_cast<double>(nll[i]);
    score.greedy = score.greedy && correct[i] != 0;
    score.log_probabilities.push_back(-nll[i]);
  }
  return score;
}

void score_batch(Model& model, std::span<const Input> inputs, std::span<const ScoreRequest> requests, bool share,
                 const std::function<void(std::size_t, ContinuationScore)>& done) {
  std::vector<Tokens> sequences;
  for (const auto& input : inputs) sequences.emplace_back(input.tokens);
  const auto packed = pack_sequences(sequences, share);
  Asked asked;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto& target = requests[inputs[i].request].continuation;
    for (std::size_t j = 0; j < target.size(); ++j) {
      asked.rows.push_back(packed.rows[i][inputs[i].first + j]);
      asked.targets.push_back(target[j]);
    }
  }
  const auto device = model.parameters().options().device();
  const auto row = [&](const std::vector<std::int64_t>& values) { return at::tensor(values, at::kLong).to(device); };
  ForwardContext context;
  context.positions = row(packed.tree.positions()).unsqueeze(0);
  context.sequences = &packed.tree;
  if (!share) {
    std::vector<std::int64_t> documents;
    for (std::size_t part = 0; part < packed.tree.parts.size(); ++part)
      documents.resize(static_cast<std::size_t>(packed.tree.parts[part].end), static_cast<std::int64_t>(part));
    context.documents = row(documents).unsqueeze(0);
  }
  const auto ids = row({packed.tokens.begin(), packed.tokens.end()}).unsqueeze(0);
  const auto hidden = model.forward_ids(ids, context).squeeze(0).index_select(0, row(asked.rows));
  const auto found = head_loss(model.head_input(hidden), model.head(), row(asked.targets));
  const auto nll = found.nll.to(at::kCPU, at::kFloat).contiguous(), correct = found.correct.to(at::kCPU, at::kFloat).contiguous();
  std::size_t place = 0;
  for (const auto& input : inputs) {
    const auto count = requests[input.request].continuation.size();
    done(input.request, score_of(nll.const_data_ptr<float>() + place, correct.const_data_ptr<float>() + place, count));
    place += count;
  }
}

}  // namespace

std::vector<ContinuationScore> score_continuations(Model& model, std::span<const ScoreRequest> requests, const ScoringOptions& options) {
  const at::NoGradGuard no_grad;
  const BatchInvariantScope scope;
  check(model);
  const bool share = model.shape().recurrence_flops == 0;
  const auto inputs = inputs_of(model, requests, options.context);
  std::vector<ContinuationScore> scores(requests.size());
  for (std::size_t at = 0; at < inputs.size();) {
    if (options.stop_requested && options.stop_requested()) throw Interrupted("score", "after {} of {} requests", at, requests.size());
    const auto rest = std::span(inputs).subspan(at);
    const auto count = batch_length(rest, share, options);
    score_batch(model, rest.first(count), requests, share, [&](std::size_t request, ContinuationScore score) {
      scores[request] = std::move(score);
      if (options.done) options.done(request, scores[request]);
    });
    at += count;
    if (options.batch_done) options.batch_done();
  }
  return scores;
}

}  // namespace isotrope
