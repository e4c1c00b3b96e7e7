#include "isotrope/kernels/invariant_linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#include "isotrope/kernels/batch_invariant.h"
#include "isotrope/kernels/dispatch.h"

#define ISOTROPE_KERNELS "isotrope/kernels/invariant_linear.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

constexpr std::int64_t panel = 16;
constexpr std::int64_t columns_at_once = 6 * panel;  // a few panels, packed, stay in the second cache
constexpr std::int64_t rows_at_once = 512;           // that a thread takes; fewer would pack the same panels again too often

/// One of the products, cut into parts of columns and rows that threads fetch.
struct Job {
  at::Tensor weight, shift, y;
  std::int64_t columns, first_part;
};

bool lies_across(const at::Tensor& weight) { return weight.stride(1) != 1; }

}  // namespace

bool takes_invariant(const at::Tensor& x, const at::Tensor& weight) {
  return is_batch_invariant() && has_cpu_kernel(x) && weight.scalar_type() == x.scalar_type() && weight.dim() == 2 && weight.numel() > 0 &&
         weight.size(1) == x.size(-1) && !at::GradMode::is_enabled();
}

std::vector<at::Tensor> invariant_linears(const at::Tensor& x, std::span<const Affine> maps, bool round) {
  static const auto height = ISOTROPE_CHOOSE(height_of_tiles)();
  const auto rows = x.contiguous();
  const auto K = x.size(-1), M = x.numel() / K, tiles = (M + height - 1) / height, tiles_at_once = rows_at_once / height;
  const auto row_parts = (tiles + tiles_at_once - 1) / tiles_at_once;
  auto shape = x.sizes().vec();
  std::vector<Job> jobs;
  std::int64_t parts = 0;
  for (const auto& map : maps) {
    const bool whole = map.weight.stride(1) == 1 || map.weight.stride(0) == 1;
    const auto N = map.weight.size(0);
    shape.back() = N;
    jobs.push_back({whole ? map.weight : map.weight.contiguous(), map.bias.defined() ? map.bias.contiguous() : at::Tensor(),
                    at::empty(shape, x.options().dtype(round ? x.scalar_type() : at::kFloat)), N, parts});
    parts += (N + columns_at_once - 1) / columns_at_once * row_parts;
  }
  const auto packed = at::empty({tiles * height * K}, x.options().dtype(at::kFloat));
  auto* in_tiles = packed.mutable_data_ptr<float>();
  dispatch_float(x.scalar_type(), [&]<class T>() {
    static const auto pack = ISOTROPE_CHOOSE(pack_weight<T>);
    static const auto pack_x = ISOTROPE_CHOOSE(pack_tiles<T>);
    static const auto multiply = ISOTROPE_CHOOSE(multiply_panels<T>);
    static const auto multiply_wide = ISOTROPE_CHOOSE(multiply_panels_wide<T>);
    const auto* from = rows.const_data_ptr<T>();
    at::parallel_for(0, tiles, rows_per_task(height * K),
                     [&](std::int64_t begin, std::int64_t end) { pack_x(from, M, K, begin, end, in_tiles); });
    const auto work = [&](const Job& job, std::int64_t part, float* panels) {
      const auto first = part / row_parts * columns_at_once, tile = part % row_parts * tiles_at_once;
      const auto count = std::min(columns_at_once, job.columns - first), last = std::min(tiles, tile + tiles_at_once);
      const bool across = lies_across(job.weight);
      pack(job.weight.const_data_ptr<T>(), across ? job.weight.stride(1) : job.weight.stride(0), across, K, first, count, panels);
      const auto* shift = job.shift.defined() ? job.shift.const_data_ptr<T>() + first : nullptr;
      if (round) multiply(in_tiles, tile, last, M, K, panels, count, shift, job.y.mutable_data_ptr<T>() + first, job.columns);
      else multiply_wide(in_tiles, tile, last, M, K, panels, count, shift, job.y.mutable_data_ptr<float>() + first, job.columns);
    };
    std::atomic<std::int64_t> next{0};
    at::parallel_for(0, std::min<std::int64_t>(parts, at::get_num_threads()), 1, [&](std::int64_t, std::int64_t) {
      std::vector<float> panels(static_cast<std::size_t>(columns_at_once * K));
      for (auto i = next++; i < parts; i = next++) {
        const auto job = std::ranges::upper_bound(jobs, i, {}, &Job::first_part) - 1;
        work(*job, i - job->first_part, panels.data());
      }
    });
  });
  std::vector<at::Tensor> results;
  for (auto& job : jobs) results.push_back(std::move(job.y));
  return results;
}

}  // namespace isotrope
