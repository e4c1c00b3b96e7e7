#include <ATen/ATen.h>

#include "isotrope/kernels/adamw.h"
#include "isotrope/optim/optimizer.h"

namespace isotrope {

std::int64_t Optimizer::state_bytes() {
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : state()) bytes += static_cast<std::int64_t>(tensor.nbytes());
  return bytes;
}

namespace {

class AdamW final : public Optimizer {
 public:
  AdamW(FlatParameters& parameters, const AdamWOptions& options)
      : parameters_(parameters),
        options_(options),
        exp_avg_(at::zeros_like(parameters.master())),
        exp_avg_sq_(at::zeros_like(parameters.master())) {}

  void step_(double lr, double gradient_scale) override {
    ++steps_;
    for (const auto& [offset, count, decay] : ranges()) {
      const auto piece = [&, at = offset, n = count](const at::Tensor& flat) { return flat.defined() ? flat.narrow(0, at, n) : flat; };
      auto weights = piece(parameters_.master()), mean = piece(exp_avg_), square = piece(exp_avg_sq_);
      adamw_(weights, mean, square, piece(parameters_.gradients()), piece(parameters_.working()),
             {lr, options_.beta1, options_.beta2, options_.eps, decay ? options_.weight_decay : 0.0, steps_, gradient_scale});
    }
  }

  std::vector<std::pair<std::string, at::Tensor>> state() override { return {{"exp_avg", exp_avg_}, {"exp_avg_sq", exp_avg_sq_}}; }

 private:
  struct Range {
    std::int64_t offset, count;
    bool decay;
  };

  /// Neighbouring segments with the same decay as one range; the gaps between them hold zeros, which stay zeros.
  std::vector<Range> ranges() const {
    std::vector<Range> out;
    for (const auto& segment : parameters_.segments()) {
      const bool decay = segment.kind != ParameterClass::vector && segment.kind != ParameterClass::multiplier;
      if (!out.empty() && out.back().decay == decay) out.back().count = segment.offset + segment.count - out.back().offset;
      else out.push_back({segment.offset, segment.count, decay});
    }
    return out;
  }

  FlatParameters& parameters_;
  AdamWOptions options_;
  at::Tensor exp_avg_, exp_avg_sq_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(FlatParameters& parameters, const AdamWOptions& options) {
  return std::make_unique<AdamW>(parameters, options);
}

}  // namespace isotrope
