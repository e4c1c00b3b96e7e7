#include "isotrope/nn/positions.h"

#include <ATen/ATen.h>

#include <bit>
#include <numbers>

namespace isotrope {

at::Tensor token_positions(std::int64_t batch, std::int64_t tokens, std::int64_t past, const at::Tensor& documents, at::Device device) {
  const auto options = at::TensorOptions(at::kLong).device(device);
  const auto running = at::arange(tokens, options);
  if (!documents.defined()) return (running + past).expand({batch, tokens}).contiguous();
  // Distance to the last place where the document changed.
  const auto starts = at::ones_like(documents, at::kBool);
  if (tokens > 1) {
    auto rest = starts.narrow(1, 1, tokens - 1);
    rest.copy_(documents.narrow(1, 1, tokens - 1) != documents.narrow(1, 0, tokens - 1));
  }
  const auto begun = std::get<0>(at::cummax(running.expand({batch, tokens}) * starts, 1));
  return running - begun;
}

RopeTables::RopeTables(const RopeScaling& scaling, std::int64_t head_dim) {
  const auto exponents = at::arange(0, head_dim, 2, at::kLong).to(at::kFloat) / static_cast<double>(head_dim);
  frequencies_ = at::reciprocal(at::pow(scaling.theta, exponents));
  if (scaling.type == "linear") frequencies_ = frequencies_ / scaling.factor;
  if (scaling.type != "llama3") return;
  // Long wavelengths are stretched by the factor, short ones kept, those between interpolated (Llama 3.1).
  const auto length = static_cast<double>(scaling.original_max_positions);
  const auto wavelengths = 2 * std::numbers::pi / frequencies_;
  const auto stretched = at::where(wavelengths > length / scaling.low_freq_factor, frequencies_ / scaling.factor, frequencies_);
  const auto smooth = (length / wavelengths - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  const auto between = (1 - smooth) * stretched / scaling.factor + smooth * stretched;
  const auto medium = (wavelengths < length / scaling.high_freq_factor)
                          .logical_not()
                          .logical_and((wavelengths > length / scaling.low_freq_factor).logical_not());
  frequencies_ = at::where(medium, between, stretched);
}

const RopeTable& RopeTables::at_least(std::int64_t positions, at::Device device) {
  if (!table_.cos.defined() || table_.cos.size(0) < positions || table_.cos.device() != device) {
    const auto rows = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(positions, 256))));
    const auto angles = at::arange(rows, at::kFloat).unsqueeze(1) * frequencies_.unsqueeze(0);
    table_ = {angles.cos().to(device).contiguous(), angles.sin().to(device).contiguous()};
  }
  return table_;
}

}  // namespace isotrope
