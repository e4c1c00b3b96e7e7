#include "isotrope/kernels/packed_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <span>
#include <vector>

#include "isotrope/io/dtype.h"
#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/few_rows.h"

#define ISOTROPE_KERNELS "isotrope/kernels/packed_weights.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

constexpr std::int64_t numbers_a_task = 1 << 15;  // of the matrix, that are worth a thread

const PackedWeight& blocks_of(const at::Tensor& weight) {
  const auto* packed = packed_weight(weight);
  if (!packed) throw WorkError("packed", "this weight is not packed");
  return *packed;
}

std::span<const std::byte> bytes_of_rows(const PackedWeight& packed, std::int64_t first, std::int64_t count) {
  const auto row = packed.bytes.size(1);
  return {reinterpret_cast<const std::byte*>(packed.bytes.const_data_ptr<std::uint8_t>() + first * row),
          static_cast<std::size_t>(count * row)};
}

void expand_into(const PackedWeight& packed, std::int64_t first, std::int64_t count, std::span<float> out) {
  expand(packed.packing, bytes_of_rows(packed, first, count), out);
}

/// What is multiplied with part of a matrix: fp32 rows of x, the sums of their blocks, and where the results go.
struct FewRows {
  at::Tensor x, sums, shift, y;
  std::int64_t M, K, N;
};

FewRows few_rows_of(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  FewRows rows{.K = weight.size(1), .N = weight.size(0)};
  rows.x = x.to(at::kFloat).reshape({-1, rows.K}).contiguous();
  rows.M = rows.x.size(0);
  if (rows.K % 32 == 0) rows.sums = rows.x.view({rows.M, rows.K / 32, 32}).sum(2);
  if (bias.defined()) rows.shift = bias.to(at::kFloat).contiguous();
  rows.y = at::empty({rows.M, rows.N}, rows.x.options());
  return rows;
}

/// Calls work(first, last) for parts of the matrix's rows, on all threads, each fetching a part when it is free.
void for_parts(std::int64_t N, std::int64_t K, const auto& work) {
  const auto part = std::max<std::int64_t>(1, numbers_a_task / K), parts = (N + part - 1) / part;
  std::atomic<std::int64_t> next{0};
  at::parallel_for(0, std::min<std::int64_t>(parts, at::get_num_threads()), 1, [&](std::int64_t, std::int64_t) {
    for (auto i = next++; i < parts; i = next++) work(i * part, std::min(N, (i + 1) * part));
  });
}

at::Tensor product(const FewRows& r, const PackedWeight& packed) {
  const auto *x = r.x.const_data_ptr<float>(), *sums = r.sums.defined() ? r.sums.const_data_ptr<float>() : nullptr;
  const auto* shift = r.shift.defined() ? r.shift.const_data_ptr<float>() : nullptr;
  auto* y = r.y.mutable_data_ptr<float>();
  const auto* matrix = packed.bytes.const_data_ptr<std::uint8_t>();
  const auto run = [&](const auto& kernel) {
    for_parts(r.N, r.K, [&](std::int64_t first, std::int64_t last) { kernel(r.M, matrix, r.K, x, sums, shift, first, last, r.N, y); });
  };
  static const auto q8_0 = ISOTROPE_CHOOSE(packed_product<Packing::q8_0>);
  static const auto q4_0 = ISOTROPE_CHOOSE(packed_product<Packing::q4_0>);
  static const auto q4_1 = ISOTROPE_CHOOSE(packed_product<Packing::q4_1>);
  static const auto expanded_rows = ISOTROPE_CHOOSE(expanded_product);
  switch (packed.packing) {
    case Packing::q8_0: run(q8_0); break;
    case Packing::q4_0: run(q4_0); break;
    case Packing::q4_1: run(q4_1); break;
    default:
      for_parts(r.N, r.K, [&](std::int64_t first, std::int64_t last) {
        std::vector<float> numbers(static_cast<std::size_t>((last - first) * r.K));
        expand_into(packed, first, last - first, numbers);
        expanded_rows(r.M, numbers.data(), r.K, x, shift, first, last - first, r.N, y);
      });
  }
  return r.y;
}

}  // namespace

at::Tensor PackedWeight::rows(std::int64_t first, std::int64_t count, std::int64_t columns) const {
  auto out = at::empty({count, columns}, at::kFloat);
  expand_into(*this, first, count, {out.mutable_data_ptr<float>(), static_cast<std::size_t>(count * columns)});
  return out;
}

bool can_stay_packed(Packing packing, std::int64_t columns) {
  const auto block = static_cast<std::int64_t>(block_size(packing));
  return block > 1 && columns % block == 0;
}

void keep_packed(const at::Tensor& weight, Packing packing, const at::Tensor& bytes) {
  const auto fits = weight.dim() == 2 && can_stay_packed(packing, weight.size(1)) && bytes.dim() == 2 && bytes.scalar_type() == at::kByte &&
                    bytes.is_contiguous() && bytes.size(0) == weight.size(0) &&
                    bytes.size(1) == static_cast<std::int64_t>(packed_bytes(packing, static_cast<std::size_t>(weight.size(1))));
  if (!fits)
    throw WorkError("packed", "{} bytes of {} are no weight {}", shape_text(bytes.sizes()), packing_name(packing),
                    shape_text(weight.sizes()));
  const auto nothing = at::full({1, 1}, std::numeric_limits<double>::quiet_NaN(), weight.options().requires_grad(false));
  weight.set_data(nothing.expand(weight.sizes()));
  auto packed = c10::make_intrusive<PackedWeight>();
  packed->packing = packing, packed->bytes = bytes;
  weight.unsafeGetTensorImpl()->set_backend_meta(std::move(packed));
}

const PackedWeight* packed_weight(const at::Tensor& weight) {
  return weight.defined() ? dynamic_cast<const PackedWeight*>(weight.unsafeGetTensorImpl()->get_backend_meta()) : nullptr;
}

at::Tensor expanded(const at::Tensor& weight) {
  const auto& packed = blocks_of(weight);
  const auto N = weight.size(0), K = weight.size(1);
  auto out = at::empty({N, K}, weight.options().requires_grad(false));
  at::parallel_for(0, N, std::max<std::int64_t>(1, numbers_a_task / K), [&](std::int64_t first, std::int64_t last) {
    const at::NoGradGuard no_grad;
    if (out.scalar_type() == at::kFloat)
      return expand_into(packed, first, last - first,
                         {out.mutable_data_ptr<float>() + first * K, static_cast<std::size_t>((last - first) * K)});
    constexpr std::int64_t at_once = 64;  // rows
    for (auto row = first; row < last; row += at_once)
      out.narrow(0, row, std::min(at_once, last - row)).copy_(packed.rows(row, std::min(at_once, last - row), K));
  });
  return out;
}

at::Tensor expanded_rows(const at::Tensor& weight, const at::Tensor& ids) {
  const auto& packed = blocks_of(weight);
  const auto K = weight.size(1);
  const auto flat = ids.to(at::kCPU, at::kLong).flatten().contiguous();
  auto out = at::empty({flat.numel(), K}, at::kFloat);
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    const auto id = flat.const_data_ptr<std::int64_t>()[i];
    if (id < 0 || id >= weight.size(0)) throw WorkError("packed", "row {} of {} is asked for", id, weight.size(0));
    expand_into(packed, id, 1, {out.mutable_data_ptr<float>() + i * K, static_cast<std::size_t>(K)});
  }
  auto shape = ids.sizes().vec();
  shape.push_back(K);
  return out.to(weight.scalar_type()).view(shape);
}

at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto& packed = blocks_of(weight);
  const bool few = x.numel() > 0 && x.numel() <= few_rows * x.size(-1) && !at::GradMode::is_enabled();
  if (!few) return linear_of_few_rows(x, expanded(weight).to(x.scalar_type()), bias);
  auto shape = x.sizes().vec();
  shape.back() = weight.size(0);
  return product(few_rows_of(x, weight, bias), packed).view(shape).to(x.scalar_type());
}

}  // namespace isotrope
