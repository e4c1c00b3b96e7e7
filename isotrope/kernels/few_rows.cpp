#include "isotrope/kernels/few_rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/row_parts.h"

#define ISOTROPE_KERNELS "isotrope/kernels/few_rows.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

constexpr std::int64_t rows_a_step = 16;
/// Of the matrix, that are worth a thread.
constexpr std::int64_t numbers_a_task = 1 << 15;

}  // namespace

bool takes_few_rows(const at::Tensor& x, const at::Tensor& weight) {
  const auto width = x.size(-1);
  return has_cpu_kernel(x) && weight.numel() > 0 && weight.scalar_type() == x.scalar_type() && weight.is_contiguous() &&
         weight.dim() == 2 && weight.size(1) == width && x.numel() <= few_rows * width && !at::GradMode::is_enabled();
}

std::vector<at::Tensor> few_row_products(const at::Tensor& x, std::span<const Affine> maps) {
  std::vector<at::Tensor> results;
  auto shape = x.sizes().vec();
  const auto rows = x.contiguous();
  const auto K = x.size(-1), M = x.numel() / K;
  dispatch_float(x.scalar_type(), [&]<class T>() {
    static const auto product = ISOTROPE_CHOOSE(product_of_few_rows<T>);
    struct Job {
      const T *matrix, *add;
      T* to;
    };
    std::vector<at::Tensor> shifts;
    std::vector<Job> jobs;
    std::vector<std::int64_t> counts;
    for (const Affine& map : maps) {
      counts.push_back(map.weight.size(0));
      shape.back() = counts.back();
      results.push_back(at::empty(shape, x.options()));
      if (map.bias.defined()) shifts.push_back(map.bias.contiguous());
      const T* add = map.bias.defined() ? shifts.back().template const_data_ptr<T>() : nullptr;
      jobs.push_back({map.weight.template const_data_ptr<T>(), add, results.back().template mutable_data_ptr<T>()});
    }
    const auto* from = rows.const_data_ptr<T>();
    const auto part = std::max<std::int64_t>(1, numbers_a_task / (rows_a_step * K)) * rows_a_step;
    for_row_parts(counts, part, [&](std::size_t matrix, std::int64_t first, std::int64_t last) {
      const auto& job = jobs[matrix];
      product(M, from, job.matrix, job.add, K, counts[matrix], first, last, job.to);
    });
  });
  return results;
}

namespace reference {

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto y = at::linear(x.to(at::kDouble), weight.to(at::kDouble));
  return (bias.defined() ? y + bias.to(at::kDouble) : y).to(x.scalar_type());
}

}  // namespace reference

}  // namespace isotrope
