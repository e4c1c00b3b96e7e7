#include "isotrope/kernels/packed_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "isotrope/io/dtype.h"
#include "isotrope/kernels/batch_invariant.h"
#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/linear.h"
#include "isotrope/kernels/row_parts.h"

#define ISOTROPE_KERNELS "isotrope/kernels/packed_weights.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

constexpr std::int64_t numbers_a_task = 1 << 15;   // of the matrix, that are worth a thread
constexpr std::int64_t numbers_at_once = 1 << 20;  // of it that are expanded to be multiplied with many rows

/// The parts of a block whose scales lie before the numbers: the packings that our products read, which lay a row out anew.
struct Parts {
  std::int64_t scales, numbers;  // bytes
};

std::optional<Parts> parts_of(Packing packing) {
  switch (packing) {
    case Packing::q8_0: return Parts{2, 32};
    case Packing::q4_0: return Parts{2, 16};
    case Packing::q4_1: return Parts{4, 16};
    default: return std::nullopt;
  }
}

/// A row in our order from the file's.
void lay_out(const Parts& parts, std::int64_t blocks, const std::uint8_t* file, std::uint8_t* ours) {
  for (std::int64_t b = 0; b < blocks; ++b) {
    const auto* block = file + b * (parts.scales + parts.numbers);
    std::memcpy(ours + b * parts.scales, block, static_cast<std::size_t>(parts.scales));
    std::memcpy(ours + blocks * parts.scales + b * parts.numbers, block + parts.scales, static_cast<std::size_t>(parts.numbers));
  }
}

/// The numbers of some rows, [count, K], in `to`'s dtype: fp32 or bf16.
template <class T>
void expand_into(const PackedMatrix& packed, std::int64_t first, std::int64_t count, T* to) {
  const auto K = packed.columns;
  const auto* matrix = packed.bytes.const_data_ptr<std::uint8_t>();
  static const auto laid_out = ISOTROPE_CHOOSE(expand_rows<T>);
  if (parts_of(packed.packing)) return laid_out(packed.packing, matrix, K, first, first + count, to);
  const auto row = packed.bytes.size(1);
  const std::span bytes(reinterpret_cast<const std::byte*>(matrix + first * row), static_cast<std::size_t>(count * row));
  if constexpr (std::is_same_v<T, float>) expand(packed.packing, bytes, {to, static_cast<std::size_t>(count * K)});
  else {
    std::vector<float> numbers(static_cast<std::size_t>(count * K));
    expand(packed.packing, bytes, numbers);
    std::copy(numbers.begin(), numbers.end(), to);
  }
}

/// The same as a tensor, on all threads; other dtypes are rounded from fp32.
at::Tensor expanded_part(const PackedMatrix& packed, std::int64_t first, std::int64_t count, at::ScalarType type) {
  const auto K = packed.columns;
  const bool direct = type == at::kFloat || type == at::kBFloat16;
  auto out = at::empty({count, K}, direct ? type : at::kFloat);
  dispatch_float(out.scalar_type(), [&]<class T>() {
    auto* to = out.mutable_data_ptr<T>();
    at::parallel_for(0, count, std::max<std::int64_t>(1, numbers_a_task / K),
                     [&](std::int64_t begin, std::int64_t end) { expand_into(packed, first + begin, end - begin, to + begin * K); });
  });
  return out.to(type);
}

/// What the scales of a row are multiplied with besides its numbers, for each of the M rows of x: with (q − 8) = q + offset, or d q + m.
std::vector<float> offsets_of(Packing packing, const float* x, std::int64_t M, std::int64_t K) {
  if (packing != Packing::q4_0 && packing != Packing::q4_1) return {};
  const std::size_t scales = packing == Packing::q4_1 ? 2 : 1;
  std::vector<float> offsets(static_cast<std::size_t>(M * (K / 32)) * scales);
  for (std::size_t b = 0; b < offsets.size() / scales; ++b) {
    std::array<float, 8> parts{};
    for (std::size_t i = 0; i < 32; ++i) parts[i % 8] += x[b * 32 + i];
    const auto sum = std::accumulate(parts.begin(), parts.end(), 0.0F);
    offsets[b * scales + scales - 1] = packing == Packing::q4_1 ? sum : -8 * sum;
  }
  return offsets;
}

/// A matrix to multiply with: where its blocks lie, what is added and where the results [M, N] go.
struct Job {
  const PackedMatrix* weight;
  const float* offsets;
  at::Tensor shift, y;
  std::int64_t N;

  void multiply(std::int64_t M, const float* x, std::int64_t K, std::int64_t first, std::int64_t last) const;
};

void Job::multiply(std::int64_t M, const float* x, std::int64_t K, std::int64_t first, std::int64_t last) const {
  static const auto q8_0 = ISOTROPE_CHOOSE(packed_product<Packing::q8_0>);
  static const auto q4_0 = ISOTROPE_CHOOSE(packed_product<Packing::q4_0>);
  static const auto q4_1 = ISOTROPE_CHOOSE(packed_product<Packing::q4_1>);
  static const auto expanded_rows = ISOTROPE_CHOOSE(expanded_product);
  const auto* matrix = weight->bytes.const_data_ptr<std::uint8_t>();
  const auto* add = shift.defined() ? shift.const_data_ptr<float>() : nullptr;
  auto* to = y.mutable_data_ptr<float>();
  switch (weight->packing) {
    case Packing::q8_0: return q8_0(M, matrix, K, x, offsets, add, first, last, N, to);
    case Packing::q4_0: return q4_0(M, matrix, K, x, offsets, add, first, last, N, to);
    case Packing::q4_1: return q4_1(M, matrix, K, x, offsets, add, first, last, N, to);
    default: {
      std::vector<float> numbers(static_cast<std::size_t>((last - first) * K));
      expand_into(*weight, first, last - first, numbers.data());
      expanded_rows(M, numbers.data(), K, x, add, first, last - first, N, to);
    }
  }
}

}  // namespace

bool can_stay_packed(Packing packing, std::int64_t columns) {
  const auto block = static_cast<std::int64_t>(block_size(packing));
  return block > 1 && columns % block == 0;
}

PackedMatrix packed_matrix(Packing packing, const at::Tensor& bytes, std::int64_t columns) {
  const auto fits = can_stay_packed(packing, columns) && bytes.dim() == 2 && bytes.scalar_type() == at::kByte && bytes.is_contiguous() &&
                    bytes.size(1) == static_cast<std::int64_t>(packed_bytes(packing, static_cast<std::size_t>(columns)));
  if (!fits)
    throw WorkError("packed", "{} bytes of {} are no matrix of {} columns", shape_text(bytes.sizes()), packing_name(packing), columns);
  PackedMatrix packed{packing, bytes.size(0), columns, bytes};
  if (const auto parts = parts_of(packing)) {
    packed.bytes = at::empty_like(bytes);
    const auto row = bytes.size(1);
    for (std::int64_t i = 0; i < bytes.size(0); ++i)
      lay_out(*parts, row / (parts->scales + parts->numbers), bytes.const_data_ptr<std::uint8_t>() + i * row,
              packed.bytes.mutable_data_ptr<std::uint8_t>() + i * row);
  }
  return packed;
}

at::Tensor expanded(const PackedMatrix& matrix, at::ScalarType dtype) { return expanded_part(matrix, 0, matrix.rows, dtype); }

at::Tensor expanded_rows(const PackedMatrix& matrix, const at::Tensor& ids, at::ScalarType dtype) {
  const auto K = matrix.columns;
  const auto flat = ids.to(at::kCPU, at::kLong).flatten().contiguous();
  auto out = at::empty({flat.numel(), K}, at::kFloat);
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    const auto id = flat.const_data_ptr<std::int64_t>()[i];
    if (id < 0 || id >= matrix.rows) throw WorkError("packed", "row {} of {} is asked for", id, matrix.rows);
    expand_into(matrix, id, 1, out.mutable_data_ptr<float>() + i * K);
  }
  auto shape = ids.sizes().vec();
  shape.push_back(K);
  return out.to(dtype).view(shape);
}

namespace {

/// x · Wᵀ + b, part by part of the matrix, whose numbers need no room for all.
at::Tensor product_by_parts(const at::Tensor& x, const PackedMatrix& packed, const at::Tensor& bias) {
  const auto K = packed.columns, N = packed.rows, part = std::max<std::int64_t>(64, numbers_at_once / K);
  std::vector<at::Tensor> results;
  for (std::int64_t first = 0; first < N; first += part) {
    const auto count = std::min(part, N - first);
    results.push_back(
        product(x, expanded_part(packed, first, count, x.scalar_type()), bias.defined() ? bias.narrow(0, first, count) : bias));
  }
  return results.size() == 1 ? results.front() : at::cat(results, -1);
}

}  // namespace

std::vector<at::Tensor> packed_products(const at::Tensor& x, std::span<const PackedAffine> maps) {
  std::vector<at::Tensor> results;
  const bool few = !is_batch_invariant() && x.numel() > 0 && x.numel() <= few_rows * x.size(-1) && !at::GradMode::is_enabled();
  if (!few) {
    const bool differentiated =
        at::GradMode::is_enabled() &&
        (x.requires_grad() || std::ranges::any_of(maps, [](const auto& map) { return map.bias.defined() && map.bias.requires_grad(); }));
    for (const auto& [matrix, bias] : maps)
      results.push_back(differentiated ? product(x, expanded(*matrix, x.scalar_type()), bias) : product_by_parts(x, *matrix, bias));
    return results;
  }
  const auto rows = x.to(at::kFloat).contiguous();
  const auto K = x.size(-1), M = x.numel() / K;
  const auto* from = rows.const_data_ptr<float>();
  std::map<Packing, std::vector<float>> offsets;  // most matrices of one input are packed alike
  auto shape = x.sizes().vec();
  std::vector<Job> jobs;
  std::vector<std::int64_t> counts;
  for (const auto& [matrix, bias] : maps) {
    if (matrix->columns != K) throw WorkError("packed", "rows of {} numbers for a matrix of {} columns", K, matrix->columns);
    shape.back() = matrix->rows;
    auto& offset = offsets[matrix->packing];
    if (offset.empty()) offset = offsets_of(matrix->packing, from, M, K);
    jobs.push_back(
        {matrix, offset.data(), bias.defined() ? bias.to(at::kFloat).contiguous() : bias, at::empty(shape, rows.options()), matrix->rows});
    counts.push_back(matrix->rows);
  }
  for_row_parts(counts, std::max<std::int64_t>(4, numbers_a_task / K / 4 * 4),
                [&](std::size_t matrix, std::int64_t first, std::int64_t last) { jobs[matrix].multiply(M, from, K, first, last); });
  for (const auto& job : jobs) results.push_back(job.y.to(x.scalar_type()));
  return results;
}

}  // namespace isotrope
