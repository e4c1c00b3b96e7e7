#include "isotrope/kernels/attention_blocks.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "isotrope/kernels/block_gemm.h"

namespace isotrope {

namespace {

/// Largest score and sum of exponentials of a query so far.
struct SoftmaxRow {
  float top = -std::numeric_limits<float>::infinity(), sum = 0;
};

/// Which keys of a chunk a query sees, and what is added to their scores.
struct ScoreRow {
  std::int64_t first, valid;  // [first, valid)
  const std::int64_t* documents;
  std::int64_t document;
  float slope;            // ALiBi's, in units of q·k
  std::int64_t distance;  // key − query at the chunk's first key
};

/// One or two neighbouring keys against a chunk of queries: where their rows lie.
struct KeyRows {
  int count;
  const float *scores[2], *dp[2];                                        // s and dP
  std::int64_t first_valid[2], last_valid[2], document[2], distance[2];  // distance: key − query at the chunk's first query
  float slope;
  c10::BFloat16 *p[2], *ds[2], *pairs;  // pairs: two bf16 a query
};

}  // namespace

}  // namespace isotrope

#define ISOTROPE_KERNELS "isotrope/kernels/attention_rows.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

using c10::BFloat16;

struct RowKernels {
  decltype(&baseline::softmax_row) softmax_row = ISOTROPE_CHOOSE(softmax_row);
  decltype(&baseline::key_rows) key_rows = ISOTROPE_CHOOSE(key_rows);
  decltype(&baseline::dot_row) dot_row = ISOTROPE_CHOOSE(dot_row);
  decltype(&baseline::scale_row) scale_row = ISOTROPE_CHOOSE(scale_row);
  decltype(&baseline::store_row) store_row = ISOTROPE_CHOOSE(store_row);
  decltype(&baseline::store_transposed) store_transposed = ISOTROPE_CHOOSE(store_transposed);
};

const RowKernels& kernels() {
  static const RowKernels chosen;
  return chosen;
}

constexpr std::int64_t query_block = 64, key_chunk = 256;  // forward: scores of 64 × 256 in fp32 are 64 KiB
constexpr std::int64_t key_block = 64, query_chunk = 128;  // backward: two score blocks of 64 × 128 in fp32 are 64 KiB

constexpr float log2_e = 1.44269504f;

std::int64_t round_up(std::int64_t n, std::int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/// Scratch memory of a thread that grows to what its calls need and is kept.
template <class T>
T* scratch(std::vector<T>& memory, std::int64_t count) {
  if (memory.size() < static_cast<std::size_t>(count)) memory.resize(static_cast<std::size_t>(count));
  return memory.data();
}

/// Smallest and largest document of [begin, end): two ranges of tokens without a common document need no product.
struct Documents {
  const std::int64_t* ids;
  std::pair<std::int64_t, std::int64_t> range(std::int64_t begin, std::int64_t end) const {
    const auto [low, high] = std::minmax_element(ids + begin, ids + end);
    return {*low, *high};
  }
  bool disjoint(std::int64_t begin, std::int64_t end, std::int64_t other_begin, std::int64_t other_end) const {
    if (!ids) return false;
    const auto a = range(begin, end), b = range(other_begin, other_end);
    return a.second < b.first || b.second < a.first;
  }
};

// ---- forward --------------------------------------------------------------------------------------------------------

/// One (batch, key-value head) pair: keys and values are packed once for all its query heads.
void forward_head_group(const AttentionShape& s, std::int64_t batch, std::int64_t kv_head, const AttentionRows& q, const AttentionRows& k,
                        const AttentionRows& v, const AttentionRows& out, float* statistics) {
  static thread_local std::vector<BFloat16> packed, probability_memory;
  static thread_local std::vector<float> score_memory, sum_memory;
  const float scale = s.scale * log2_e;
  const auto d = s.head_dim, padded_keys = round_up(s.keys, 16), groups = s.heads / s.kv_heads, offset = s.keys - s.queries;
  auto* keys = scratch(packed, 2 * padded_keys * d);
  auto* values = keys + padded_keys * d;
  pack_transposed_pairs(k.at(batch, kv_head), k.row_stride, s.keys, d, keys, padded_keys);
  pack_pairs(v.at(batch, kv_head), v.row_stride, s.keys, d, values, padded_keys);
  auto* probabilities = scratch(probability_memory, query_block * key_chunk);
  auto* scores = scratch(score_memory, query_block * key_chunk);
  auto* sums = scratch(sum_memory, query_block * d);
  const Documents documents{s.documents ? s.documents + batch * s.queries : nullptr};

  for (auto head = kv_head * groups; head < (kv_head + 1) * groups; ++head) {
    const float slope = s.slopes ? s.slopes[head] / s.scale : 0;
    for (std::int64_t first = 0; first < s.queries; first += query_block) {
      const auto count = std::min(query_block, s.queries - first);
      const auto end = s.last_key(first + count - 1 + offset);
      const auto* rows = q.at(batch, head) + first * q.row_stride;
      SoftmaxRow state[query_block];
      bool begun = false;
      for (auto begin = s.first_key(first + offset) / key_chunk * key_chunk; begin < end; begin += key_chunk) {
        const auto width = std::min(key_chunk, end - begin), padded = round_up(width, 16);
        if (documents.disjoint(first, first + count, begin, begin + width)) continue;
        block_gemm(count, padded, d, rows, q.row_stride, keys + 2 * begin, padded_keys, scores, key_chunk, false);
        for (std::int64_t i = 0; i < count; ++i) {
          const auto t = first + i + offset;
          const ScoreRow row{.first = std::clamp<std::int64_t>(s.first_key(t) - begin, 0, width),
                             .valid = std::clamp<std::int64_t>(s.last_key(t) - begin, 0, width),
                             .documents = documents.ids ? documents.ids + begin : nullptr,
                             .document = documents.ids ? documents.ids[first + i] : 0,
                             .slope = slope,
                             .distance = begin - t};
          const float correction =
              kernels().softmax_row(scores + i * key_chunk, row, padded, scale, state[i], probabilities + i * key_chunk);
          if (begun && correction != 1.0f) kernels().scale_row(sums + i * d, d, correction);
        }
        block_gemm(count, d, padded, probabilities, key_chunk, values + begin * d, d, sums, d, begun);
        begun = true;
      }
      auto* to = out.at(batch, head) + first * out.row_stride;
      for (std::int64_t i = 0; i < count; ++i) {
        kernels().store_row(sums + i * d, d, 1.0f / state[i].sum, to + i * out.row_stride);
        if (!statistics) continue;
        auto* of_head = statistics + (batch * s.heads + head) * 2 * s.queries + first;
        of_head[i] = state[i].top, of_head[s.queries + i] = std::log2(state[i].sum);
      }
    }
  }
}

// ---- backward -------------------------------------------------------------------------------------------------------

/// What the backward pass of one query head reads, packed: all of [padded queries].
struct PackedQueries {
  BFloat16 *q_columns, *d_out_columns;   ///< transposes in pairs, [d/2][padded][2]
  BFloat16 *q_pairs, *d_out_pairs;       ///< [padded/2][d][2]
  float *tops, *log_sums, *deltas, *dq;  ///< [padded] each, [d][padded]
  std::int64_t padded;
};

class BackwardMemory {
 public:
  /// Memory for one head of the shape; the pointers stay valid until the next call on this thread.
  PackedQueries queries(const AttentionShape& s) {
    const auto padded = round_up(s.queries, 32), size = padded * s.head_dim;
    auto* halves = scratch(halves_, 4 * size);
    auto* floats = scratch(floats_, 3 * padded + size);
    return {halves, halves + size, halves + 2 * size, halves + 3 * size, floats, floats + padded, floats + 2 * padded, floats + 3 * padded,
            padded};
  }
  std::vector<BFloat16> key_columns, probabilities, ds, ds_pairs;
  std::vector<float> scores, dp, dk, dv;

 private:
  std::vector<BFloat16> halves_;
  std::vector<float> floats_;
};

void pack_queries(const AttentionShape& s, std::int64_t batch, std::int64_t head, const AttentionRows& q, const AttentionRows& out,
                  const float* statistics, const AttentionRows& d_out, const PackedQueries& to) {
  const auto *rows = q.at(batch, head), *gradients = d_out.at(batch, head), *results = out.at(batch, head);
  pack_transposed_pairs(rows, q.row_stride, s.queries, s.head_dim, to.q_columns, to.padded);
  pack_transposed_pairs(gradients, d_out.row_stride, s.queries, s.head_dim, to.d_out_columns, to.padded);
  pack_pairs(rows, q.row_stride, s.queries, s.head_dim, to.q_pairs, to.padded);
  pack_pairs(gradients, d_out.row_stride, s.queries, s.head_dim, to.d_out_pairs, to.padded);
  const auto* of_head = statistics + (batch * s.heads + head) * 2 * s.queries;
  std::copy_n(of_head, s.queries, to.tops);
  std::copy_n(of_head + s.queries, s.queries, to.log_sums);
  for (std::int64_t i = 0; i < s.queries; ++i)
    to.deltas[i] = kernels().dot_row(gradients + i * d_out.row_stride, results + i * out.row_stride, s.head_dim);
  // Queries that only pad see nothing: 2^(0 − ∞) = 0.
  std::fill(to.tops + s.queries, to.tops + to.padded, 0.0f);
  std::fill(to.log_sums + s.queries, to.log_sums + to.padded, std::numeric_limits<float>::infinity());
  std::fill(to.deltas + s.queries, to.deltas + to.padded, 0.0f);
  std::fill_n(to.dq, s.head_dim * to.padded, 0.0f);
}

/// One block of keys against all queries that see it: adds to dq, to the block's dk and dv.
void backward_key_block(const AttentionShape& s, const PackedQueries& queries, const BFloat16* k, std::int64_t k_stride, const BFloat16* v,
                        std::int64_t v_stride, std::int64_t first, std::int64_t count, float slope, const Documents& documents,
                        BackwardMemory& memory, float* dk, float* dv) {
  const auto d = s.head_dim, offset = s.keys - s.queries, even = round_up(count, 2);
  auto* columns = scratch(memory.key_columns, d * key_block);
  auto* scores = scratch(memory.scores, key_block * query_chunk);
  auto* dp = scratch(memory.dp, key_block * query_chunk);
  auto* p = scratch(memory.probabilities, key_block * query_chunk);
  auto* ds = scratch(memory.ds, key_block * query_chunk);
  auto* pairs = scratch(memory.ds_pairs, key_block * query_chunk);
  pack_transposed(k, k_stride, count, d, columns, key_block);
  // The queries that see a key of the block: from its position on when causal, within the window on both sides.
  const auto before = s.causal ? 0 : s.window;
  const auto begin_all = std::max<std::int64_t>(0, first - before - offset) / 32 * 32;
  const auto end_all = std::min(queries.padded, round_up(std::max<std::int64_t>(0, first + count + s.window - offset), 32));
  for (auto begin = begin_all; begin < end_all; begin += query_chunk) {
    const auto width = std::min(query_chunk, end_all - begin), real = std::min(width, s.queries - begin);
    if (documents.disjoint(first, first + count, begin, begin + real)) continue;
    block_gemm(count, width, d, k, k_stride, queries.q_columns + 2 * begin, queries.padded, scores, query_chunk, false);
    block_gemm(count, width, d, v, v_stride, queries.d_out_columns + 2 * begin, queries.padded, dp, query_chunk, false);
    for (std::int64_t j = 0; j < count; j += 2) {
      KeyRows rows{.count = static_cast<int>(std::min<std::int64_t>(2, count - j))};
      rows.pairs = pairs + j * width, rows.slope = slope;
      for (int r = 0; r < rows.count; ++r) {
        const auto at = (j + r) * query_chunk;
        rows.scores[r] = scores + at, rows.dp[r] = dp + at, rows.p[r] = p + at, rows.ds[r] = ds + at;
        rows.distance[r] = first + j + r - offset - begin;
        rows.first_valid[r] = rows.distance[r] - before, rows.last_valid[r] = rows.distance[r] + s.window + 1;
        rows.document[r] = documents.ids ? documents.ids[first + j + r] : 0;
      }
      kernels().key_rows(rows, queries.tops + begin, queries.log_sums + begin, queries.deltas + begin, width, s.scale * log2_e,
                         documents.ids ? documents.ids + begin : nullptr, real);
    }
    block_gemm(count, d, width, p, query_chunk, queries.d_out_pairs + begin * d, d, dv, d, true);
    block_gemm(count, d, width, ds, query_chunk, queries.q_pairs + begin * d, d, dk, d, true);
    block_gemm(d, width, even, columns, key_block, pairs, width, queries.dq + begin, queries.padded, true);
  }
}

void backward_head_group(const AttentionShape& s, std::int64_t batch, std::int64_t kv_head, const AttentionRows& q, const AttentionRows& k,
                         const AttentionRows& v, const AttentionRows& out, const float* statistics, const AttentionRows& d_out,
                         const AttentionRows& dq, const AttentionRows& dk, const AttentionRows& dv) {
  static thread_local BackwardMemory memory;
  const auto d = s.head_dim, groups = s.heads / s.kv_heads;
  auto *dk_sum = scratch(memory.dk, s.keys * d), *dv_sum = scratch(memory.dv, s.keys * d);
  std::fill_n(dk_sum, s.keys * d, 0.0f);
  std::fill_n(dv_sum, s.keys * d, 0.0f);
  const Documents documents{s.documents ? s.documents + batch * s.queries : nullptr};
  const auto queries = memory.queries(s);
  for (auto head = kv_head * groups; head < (kv_head + 1) * groups; ++head) {
    pack_queries(s, batch, head, q, out, statistics, d_out, queries);
    const float slope = s.slopes ? s.slopes[head] / s.scale : 0;
    for (std::int64_t first = 0; first < s.keys; first += key_block) {
      const auto count = std::min(key_block, s.keys - first);
      backward_key_block(s, queries, k.at(batch, kv_head) + first * k.row_stride, k.row_stride, v.at(batch, kv_head) + first * v.row_stride,
                         v.row_stride, first, count, slope, documents, memory, dk_sum + first * d, dv_sum + first * d);
    }
    kernels().store_transposed(queries.dq, queries.padded, s.queries, d, s.scale, dq.at(batch, head), dq.row_stride);
  }
  for (std::int64_t j = 0; j < s.keys; ++j) {
    kernels().store_row(dk_sum + j * d, d, s.scale, dk.at(batch, kv_head) + j * dk.row_stride);
    kernels().store_row(dv_sum + j * d, d, 1.0f, dv.at(batch, kv_head) + j * dv.row_stride);
  }
}

}  // namespace

void attention_forward(const AttentionShape& shape, const AttentionRows& q, const AttentionRows& k, const AttentionRows& v,
                       const AttentionRows& out, float* statistics) {
  at::parallel_for(0, shape.batch * shape.kv_heads, 1, [&](std::int64_t begin, std::int64_t end) {
    const BlockGemmScope scope;
    for (auto i = begin; i < end; ++i) forward_head_group(shape, i / shape.kv_heads, i % shape.kv_heads, q, k, v, out, statistics);
  });
}

void attention_backward(const AttentionShape& shape, const AttentionRows& q, const AttentionRows& k, const AttentionRows& v,
                        const AttentionRows& out, const float* statistics, const AttentionRows& d_out, const AttentionRows& dq,
                        const AttentionRows& dk, const AttentionRows& dv) {
  at::parallel_for(0, shape.batch * shape.kv_heads, 1, [&](std::int64_t begin, std::int64_t end) {
    const BlockGemmScope scope;
    for (auto i = begin; i < end; ++i)
      backward_head_group(shape, i / shape.kv_heads, i % shape.kv_heads, q, k, v, out, statistics, d_out, dq, dk, dv);
  });
}

}  // namespace isotrope
