#include "isotrope/kernels/invariant_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "isotrope/kernels/batch_invariant.h"
#include "isotrope/kernels/dispatch.h"

namespace isotrope {

namespace {

/// A query of one head: where it lies, where its result goes, its position, ALiBi's slope of its head.
template <class T>
struct QueryRow {
  const T* query;
  T* out;
  std::int64_t own;
  float slope;
};

}  // namespace

}  // namespace isotrope

#define ISOTROPE_KERNELS "isotrope/kernels/invariant_attention.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

constexpr std::int64_t group = 16, most_tile_rows = 8;
constexpr std::int64_t queries_at_once = 64;  // of a sequence, that a thread takes with the keys they see

/// Queries that follow each other in a sequence, and the rows of the keys up to the last one that they may see.
struct Stretch {
  std::int64_t batch, begin, count;                       ///< rows of queries
  std::int64_t position;                                  ///< of the first query, in the sequence
  std::shared_ptr<const std::vector<std::int64_t>> rows;  ///< of all keys of the sequence, by position
  std::int64_t length;                                    ///< those that the queries may see
  std::span<const std::int64_t> keys() const { return std::span(*rows).first(static_cast<std::size_t>(length)); }
};

using Rows = std::vector<std::int64_t>;

/// Cuts long stretches, so that threads share them; with causal attention a part needs the keys up to its end alone.
void add_stretch(std::vector<Stretch>& all, std::int64_t batch, std::int64_t begin, std::int64_t count, std::int64_t position, Rows rows,
                 bool causal) {
  const auto shared = std::make_shared<const Rows>(std::move(rows));
  for (std::int64_t done = 0; done < count; done += queries_at_once) {
    const auto here = std::min(queries_at_once, count - done);
    all.push_back({batch, begin + done, here, position + done, shared, causal ? position + done + here : std::ssize(*shared)});
  }
}

void append_range(Rows& rows, std::int64_t begin, std::int64_t end) {
  for (auto row = begin; row < end; ++row) rows.push_back(row);
}

std::vector<Stretch> stretches_of(const SequenceTree& tree) {
  std::vector<Stretch> all;
  for (const auto& part : tree.parts) {
    std::vector<const SequenceTree::Part*> chain;
    for (const auto* one = &part;; one = &tree.parts[static_cast<std::size_t>(one->parent)]) {
      chain.push_back(one);
      if (one->parent < 0) break;
    }
    Rows rows;
    rows.reserve(static_cast<std::size_t>(part.first + part.end - part.begin));
    for (auto one = chain.rbegin(); one != chain.rend(); ++one) append_range(rows, (*one)->begin, (*one)->end);
    add_stretch(all, 0, part.begin, part.end - part.begin, part.first, std::move(rows), /*causal=*/true);
  }
  return all;
}

/// The ends of the documents of a row; empty when a number comes back after another one.
std::vector<std::int64_t> document_ends(const std::int64_t* ids, std::int64_t count) {
  std::vector<std::int64_t> ends;
  std::unordered_set<std::int64_t> seen;
  for (std::int64_t i = 0; i < count; ++i) {
    if (i + 1 < count && ids[i + 1] == ids[i]) continue;
    if (!seen.insert(ids[i]).second) return {};
    ends.push_back(i + 1);
  }
  return ends;
}

std::vector<Stretch> stretches_of(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options) {
  if (options.sequences) return stretches_of(*options.sequences);
  const auto queries = q.size(2), keys = k.size(2);
  const auto documents = options.documents.defined() ? options.documents.contiguous() : at::Tensor();
  std::vector<Stretch> all;
  for (std::int64_t row = 0; row < q.size(0); ++row) {
    std::vector<std::int64_t> ends{keys};
    if (documents.defined()) ends = document_ends(documents.const_data_ptr<std::int64_t>() + row * keys, keys);
    std::int64_t begin = 0;
    for (const auto end : ends) {
      const auto first = documents.defined() ? begin : keys - queries;  // key of the first query
      Rows rows;
      append_range(rows, begin, end);
      add_stretch(all, row, first - (keys - queries), end - first, first - begin, std::move(rows), options.causal);
      begin = end;
    }
  }
  return all;
}

/// What a thread has laid out of a sequence's keys and values of one head: where the next sequence begins with the same rows, they stay.
struct Gathered {
  std::int64_t batch = -1, head = -1;
  Rows keys;
  std::vector<float> key_panels, value_panels, scratch;

  /// The position from which on the rows differ, rounded down to whole panels.
  std::int64_t kept(const Stretch& stretch, std::int64_t wanted_head) const {
    if (batch != stretch.batch || head != wanted_head) return 0;
    const auto [a, b] = std::ranges::mismatch(keys, stretch.keys());
    return (a - keys.begin()) / group * group;
  }
};

bool documents_are_whole(const AttentionOptions& options) {
  if (!options.documents.defined() || options.sequences) return true;
  const auto documents = options.documents.contiguous();
  for (std::int64_t row = 0; row < documents.size(0); ++row)
    if (document_ends(documents.const_data_ptr<std::int64_t>() + row * documents.size(1), documents.size(1)).empty()) return false;
  return true;
}

}  // namespace

bool takes_invariant(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options) {
  return is_batch_invariant() && has_cpu_kernel(q) && k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type() &&
         v.size(3) == q.size(3) && k.size(2) >= q.size(2) && !at::GradMode::is_enabled() && !options.on_probabilities &&
         documents_are_whole(options);
}

at::Tensor invariant_attention(const at::Tensor& q_in, const at::Tensor& k_in, const at::Tensor& v_in, const AttentionOptions& options) {
  const auto whole = [](const at::Tensor& x) { return x.stride(3) == 1 ? x : x.contiguous(); };
  const auto q = whole(q_in), k = whole(k_in), v = whole(v_in);
  const auto heads = q.size(1), kv_heads = k.size(1), width = q.size(3), shared = heads / kv_heads;
  const auto scale = static_cast<float>(options.scale > 0 ? options.scale : 1 / std::sqrt(static_cast<double>(width)));
  const auto slopes = options.slopes.defined() ? options.slopes.to(at::kFloat).contiguous() : at::Tensor();
  const auto stretches = stretches_of(q, k, options);
  std::int64_t longest = 0;
  for (const auto& stretch : stretches) longest = std::max(longest, stretch.length);
  const auto capacity = (longest + group - 1) / group * group;
  const auto window = options.window.value_or(std::numeric_limits<std::int64_t>::max() / 2);
  auto out = at::empty({q.size(0), q.size(2), heads, width}, q.options());
  const auto tasks = static_cast<std::int64_t>(stretches.size()) * kv_heads;
  dispatch_float(q.scalar_type(), [&]<class T>() {
    static const auto gather = ISOTROPE_CHOOSE(gather_panel<T>);
    static const auto attend = ISOTROPE_CHOOSE(attend_rows<T>);
    const auto lay_out = [&](Gathered& own, const Stretch& stretch, std::int64_t head) {
      const auto wanted = stretch.keys();
      const auto count = stretch.length;
      for (auto first = own.kept(stretch, head); first < count; first += group) {
        const T *keys[group] = {}, *values[group] = {};
        const auto here = std::min(group, count - first);
        for (std::int64_t i = 0; i < here; ++i) {
          const auto row = wanted[static_cast<std::size_t>(first + i)];
          keys[i] = k.const_data_ptr<T>() + stretch.batch * k.stride(0) + head * k.stride(1) + row * k.stride(2);
          values[i] = v.const_data_ptr<T>() + stretch.batch * v.stride(0) + head * v.stride(1) + row * v.stride(2);
        }
        gather(keys, values, here, width, first, capacity, own.key_panels.data(), own.value_panels.data());
      }
      own.batch = stretch.batch, own.head = head, own.keys.assign(wanted.begin(), wanted.end());
    };
    const auto work = [&](Gathered& own, const Stretch& stretch, std::int64_t head) {
      lay_out(own, stretch, head);
      std::vector<QueryRow<T>> rows;
      for (std::int64_t t = 0; t < stretch.count; ++t)
        for (auto h = head * shared; h < (head + 1) * shared; ++h)
          rows.push_back({q.const_data_ptr<T>() + stretch.batch * q.stride(0) + h * q.stride(1) + (stretch.begin + t) * q.stride(2),
                          out.mutable_data_ptr<T>() + ((stretch.batch * q.size(2) + stretch.begin + t) * heads + h) * width,
                          stretch.position + t, slopes.defined() ? slopes.const_data_ptr<float>()[h] : 0.0F});
      attend(rows.data(), static_cast<std::int64_t>(rows.size()), width, own.key_panels.data(), own.value_panels.data(), stretch.length,
             capacity, scale, options.causal, window, own.scratch.data());
    };
    // A thread takes neighbours, which share most of their keys.
    constexpr std::int64_t neighbours = 8;
    const auto parts = (tasks + neighbours - 1) / neighbours;
    std::atomic<std::int64_t> next{0};
    at::parallel_for(0, std::min<std::int64_t>(parts, at::get_num_threads()), 1, [&](std::int64_t, std::int64_t) {
      Gathered own;
      own.key_panels.resize(static_cast<std::size_t>(capacity * width));
      own.value_panels.resize(static_cast<std::size_t>(capacity * ((width + group - 1) / group * group)));
      own.scratch.resize(static_cast<std::size_t>(most_tile_rows * (width + 2 * capacity)));
      for (auto part = next++; part < parts; part = next++)
        for (auto task = part * neighbours; task < std::min(tasks, (part + 1) * neighbours); ++task) {
          const auto count = static_cast<std::int64_t>(stretches.size());
          work(own, stretches[static_cast<std::size_t>(task % count)], task / count);
        }
    });
  });
  return out.transpose(1, 2);
}

}  // namespace isotrope
