#include "isotrope/kernels/attention.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/kernels/attention_blocks.h"
#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/few_queries.h"
#include "isotrope/kernels/invariant_attention.h"

namespace isotrope {

namespace {

/// [T, S] booleans: what each token of sequences that share beginnings may look at.
at::Tensor seen_in(const SequenceTree& tree, const at::Tensor& q) {
  auto seen = at::zeros({tree.tokens(), tree.tokens()}, at::kBool);
  for (const auto& part : tree.parts) {
    auto rows = seen.narrow(0, part.begin, part.end - part.begin);
    rows.narrow(1, part.begin, part.end - part.begin).fill_(true).tril_();
    for (auto parent = part.parent; parent >= 0; parent = tree.parts[static_cast<std::size_t>(parent)].parent) {
      const auto& above = tree.parts[static_cast<std::size_t>(parent)];
      rows.narrow(1, above.begin, above.end - above.begin).fill_(true);
    }
  }
  return seen.to(q.device());
}

/// [T, S]: key − query, in positions of keys.
at::Tensor distances(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& attention) {
  const auto options = q.options().dtype(at::kLong);
  if (attention.sequences) {
    const auto positions = at::tensor(attention.sequences->positions(), at::kLong).to(q.device());
    return positions.unsqueeze(0) - positions.unsqueeze(1);
  }
  return at::arange(k.size(2), options).unsqueeze(0) - at::arange(k.size(2) - q.size(2), k.size(2), options).unsqueeze(1);
}

/// [T, S] or [B, 1, T, S] booleans, true where a query may look; undefined when it may look everywhere.
at::Tensor allowed(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options) {
  const auto queries = q.size(2), keys = k.size(2);
  at::Tensor mask;
  if (options.sequences) mask = seen_in(*options.sequences, q);
  else if (options.causal && queries > 1) mask = at::ones({queries, keys}, q.options().dtype(at::kBool)).tril_(keys - queries);
  if (options.window && *options.window < keys) {
    const auto near = distances(q, k, options).abs() <= *options.window;
    mask = mask.defined() ? mask.logical_and(near) : near;
  }
  if (options.documents.defined()) {
    const auto same = (options.documents.unsqueeze(2) == options.documents.unsqueeze(1)).unsqueeze(1);
    mask = mask.defined() ? same.logical_and(mask) : same;
  }
  return mask;
}

}  // namespace

namespace reference {

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  const auto wide = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto groups = q.size(1) / k.size(1);
  const auto keys = k.to(wide).repeat_interleave(groups, 1), values = v.to(wide).repeat_interleave(groups, 1);
  const double scale = options.scale > 0 ? options.scale : 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  auto scores = at::matmul(q.to(wide), keys.transpose(2, 3)) * scale;
  if (options.slopes.defined()) scores = scores + options.slopes.to(wide).view({-1, 1, 1}) * distances(q, k, options).to(wide);
  if (const auto mask = allowed(q, k, options); mask.defined())
    scores = scores.masked_fill(mask.logical_not(), -std::numeric_limits<double>::infinity());
  auto probabilities = at::softmax(scores, -1);
  if (options.on_probabilities) probabilities = options.on_probabilities(probabilities);
  return at::matmul(probabilities, values).to(q.scalar_type());
}

}  // namespace reference

namespace {

AttentionRows rows_of(const at::Tensor& x) { return {static_cast<c10::BFloat16*>(x.data_ptr()), x.stride(0), x.stride(1), x.stride(2)}; }

/// Rows of head_dim have to be contiguous; everything else may be strided.
at::Tensor with_whole_rows(const at::Tensor& x) { return x.stride(3) == 1 ? x : x.contiguous(); }

AttentionShape shape_of(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options) {
  const double scale = options.scale > 0 ? options.scale : 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  AttentionShape shape{.batch = q.size(0),
                       .heads = q.size(1),
                       .kv_heads = k.size(1),
                       .queries = q.size(2),
                       .keys = k.size(2),
                       .head_dim = q.size(3),
                       .scale = static_cast<float>(scale),
                       .causal = options.causal,
                       .documents = options.documents.defined() ? options.documents.const_data_ptr<std::int64_t>() : nullptr,
                       .slopes = options.slopes.defined() ? options.slopes.const_data_ptr<float>() : nullptr};
  if (options.window) shape.window = std::min(shape.window, *options.window);
  return shape;
}

/// [B, H, T, hd] as a view of [B, T, H, hd]: what the projections around attention read and write.
at::Tensor token_major(const at::Tensor& like) {
  return at::empty({like.size(0), like.size(2), like.size(1), like.size(3)}, like.options()).transpose(1, 2);
}

struct BlockAttention : torch::autograd::Function<BlockAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& q_in, const at::Tensor& k_in,
                            const at::Tensor& v_in, AttentionOptions options, bool gradient) {
    const auto q = with_whole_rows(q_in), k = with_whole_rows(k_in), v = with_whole_rows(v_in);
    auto out = token_major(q);
    const auto shape = shape_of(q, k, options);
    at::Tensor statistics;
    if (gradient) statistics = at::empty({shape.batch, shape.heads, 2, shape.queries}, q.options().dtype(at::kFloat));
    attention_forward(shape, rows_of(q), rows_of(k), rows_of(v), rows_of(out), gradient ? statistics.mutable_data_ptr<float>() : nullptr);
    if (gradient) {
      context->save_for_backward({q, k, v, out, statistics, options.documents, options.slopes});
      context->saved_data["scale"] = options.scale;
      context->saved_data["causal"] = options.causal;
      context->saved_data["window"] = options.window;
    }
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    refuse_second_derivative("attention");
    const auto saved = context->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3];
    const AttentionOptions options{.scale = context->saved_data["scale"].toDouble(),
                                   .causal = context->saved_data["causal"].toBool(),
                                   .documents = saved[5],
                                   .window = context->saved_data["window"].toOptional<std::int64_t>(),
                                   .slopes = saved[6]};
    const auto d_out = with_whole_rows(grads[0]);
    auto dq = token_major(q), dk = token_major(k), dv = token_major(v);
    attention_backward(shape_of(q, k, options), rows_of(q), rows_of(k), rows_of(v), rows_of(out), saved[4].const_data_ptr<float>(),
                       rows_of(d_out), rows_of(dq), rows_of(dk), rows_of(dv));
    return {dq, dk, dv, at::Tensor(), at::Tensor()};
  }
};

/// Blocks pay where there are rows enough to fill one.
bool takes_blocks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return has_cpu_kernel(q) && q.scalar_type() == at::kBFloat16 && k.scalar_type() == at::kBFloat16 && v.scalar_type() == at::kBFloat16 &&
         q.size(3) % 2 == 0 && q.size(2) >= 16 && k.size(2) >= q.size(2) && v.size(3) == q.size(3);
}

void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  if (q.dim() != 4 || k.dim() != 4 || v.dim() != 4 || k.size(0) != q.size(0) || v.size(0) != q.size(0) || k.size(3) != q.size(3) ||
      v.size(1) != k.size(1) || v.size(2) != k.size(2) || k.size(1) < 1 || q.size(1) % k.size(1) != 0)
    throw WorkError("attention", "q {}, k {}, v {} do not belong together", shape_text(q.sizes()), shape_text(k.sizes()),
                    shape_text(v.sizes()));
  const auto& documents = options.documents;
  if (documents.defined() && q.size(2) != k.size(2))
    throw WorkError("attention", "a document mask needs as many queries as keys, got {} and {}", q.size(2), k.size(2));
  if (documents.defined() && (documents.scalar_type() != at::kLong || documents.sizes() != at::IntArrayRef({q.size(0), q.size(2)})))
    throw WorkError("attention", "documents {} are not int64 [{}, {}]", shape_text(documents.sizes()), q.size(0), q.size(2));
  if (options.sequences && (!options.causal || q.size(0) != 1 || q.size(2) != k.size(2) || options.sequences->tokens() != q.size(2)))
    throw WorkError("attention", "sequences of {} tokens in q {}, k {}", options.sequences->tokens(), shape_text(q.sizes()),
                    shape_text(k.sizes()));
  if (options.slopes.defined() && options.slopes.numel() != q.size(1))
    throw WorkError("attention", "{} slopes for {} heads", options.slopes.numel(), q.size(1));
  if (options.window && *options.window < 0) throw WorkError("attention", "a window of {} hides a token from itself", *options.window);
}

/// What is added to the scores, as libtorch takes it: booleans, or numbers where there is a bias; undefined for nothing.
at::Tensor score_mask(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options) {
  const auto mask = allowed(q, k, options);
  if (!options.slopes.defined()) return mask;
  auto bias = options.slopes.to(at::kFloat).view({1, -1, 1, 1}) * distances(q, k, options).to(at::kFloat);
  if (mask.defined()) bias = bias.masked_fill(mask.logical_not(), -std::numeric_limits<double>::infinity());
  return bias.to(q.scalar_type());  // fp32 or float64
}

at::Tensor whole_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  // libtorch takes a bias in the type of the queries only, and distances of hundreds are no numbers for 8 bits of mantissa.
  if (options.slopes.defined() && q.scalar_type() != at::kFloat && q.scalar_type() != at::kDouble)
    return reference::attention(q, k, v, options);
  const bool plain_causal = options.causal && !options.documents.defined() && !options.window && !options.slopes.defined() &&
                            q.size(2) == k.size(2) && q.size(2) > 1;
  const auto mask = plain_causal ? at::Tensor() : score_mask(q, k, options);
  return at::scaled_dot_product_attention(q, k, v, mask.defined() ? std::optional(mask) : std::nullopt, /*dropout_p=*/0.0, plain_causal,
                                          options.scale > 0 ? std::optional(options.scale) : std::nullopt,
                                          /*enable_gqa=*/q.size(1) != k.size(1));
}

/// The lengths of the stretches of equal numbers in a row; empty when a number comes back after another one (or the row has no tokens).
std::vector<std::int64_t> stretches(const std::int64_t* ids, std::int64_t count) {
  std::vector<std::int64_t> lengths;
  std::set<std::int64_t> seen;
  for (std::int64_t i = 0; i < count; ++i) {
    if (i > 0 && ids[i] == ids[i - 1]) ++lengths.back();
    else if (!seen.insert(ids[i]).second) return {};
    else lengths.push_back(1);
  }
  return lengths;
}

/// How many stretches of equal length lie side by side, and how many tokens such a group has in all.
std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>> neighbours_of_one_length(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> groups, sizes;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (i > 0 && lengths[i] == lengths[i - 1]) ++groups.back(), sizes.back() += lengths[i];
    else groups.push_back(1), sizes.push_back(lengths[i]);
  }
  return {groups, sizes};
}

/// Many documents in one row, each by itself: no arithmetic on pairs of tokens that do not see each other. Undefined where documents do not
/// lie in one piece each. Parts come from splits, whose gradients are joined in one pass, however many there are.
at::Tensor attention_by_document(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  const auto documents = options.documents.contiguous();
  std::vector<std::vector<std::int64_t>> lengths;
  for (std::int64_t row = 0; row < q.size(0); ++row) {
    lengths.push_back(stretches(documents.const_data_ptr<std::int64_t>() + row * q.size(2), q.size(2)));
    if (lengths.back().empty()) return {};
  }
  auto inner = options;
  inner.documents = at::Tensor();
  const auto queries = q.split(1, 0), keys = k.split(1, 0), values = v.split(1, 0);
  std::vector<at::Tensor> rows;
  for (std::size_t row = 0; row < lengths.size(); ++row) {
    const auto [groups, sizes] = neighbours_of_one_length(lengths[row]);
    const auto parts = [&](const at::Tensor& x) { return x.split_with_sizes(sizes, 2); };
    const auto qs = parts(queries[row]), ks = parts(keys[row]), vs = parts(values[row]);
    std::vector<at::Tensor> done;
    for (std::size_t i = 0; i < qs.size(); ++i) {
      const auto length = sizes[i] / groups[i];
      // [1, H, documents · length, hd] ⇄ [documents, H, length, hd]
      const auto apart = [&](const at::Tensor& x) { return x[0].unflatten(1, {groups[i], length}).transpose(0, 1); };
      const auto mixed = groups[i] == 1
                             ? whole_attention(qs[i], ks[i], vs[i], inner)
                             : whole_attention(apart(qs[i]), apart(ks[i]), apart(vs[i]), inner).transpose(0, 1).flatten(1, 2).unsqueeze(0);
      done.push_back(mixed);
    }
    rows.push_back(at::cat(done, 2));
  }
  return at::cat(rows, 0);
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  check(q, k, v, options);
  if (options.on_probabilities || is_composed()) return reference::attention(q, k, v, options);
  if (takes_invariant(q, k, v, options)) return invariant_attention(q, k, v, options);
  if (options.sequences) return reference::attention(q, k, v, options);
  if (takes_few_queries(q, k, v, options)) return attention_of_few_queries(q, k, v, options);
  if (takes_blocks(q, k, v)) {
    auto own = options;
    if (own.documents.defined()) own.documents = own.documents.contiguous();
    if (own.slopes.defined()) own.slopes = own.slopes.to(at::kFloat).contiguous();
    const bool gradient = at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
    return BlockAttention::apply(q, k, v, own, gradient);
  }
  if (options.documents.defined() && q.device().is_cpu())
    if (const auto out = attention_by_document(q, k, v, options); out.defined()) return out;
  return whole_attention(q, k, v, options);
}

}  // namespace isotrope
