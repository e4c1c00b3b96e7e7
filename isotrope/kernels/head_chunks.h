#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "isotrope/kernels/dispatch.h"
#include "isotrope/kernels/linear.h"

namespace isotrope {

/// Some rows of the logits, never all: [count, V] in the dtype of hidden; in fp32 on the CPU they lie transposed, as a product with few
/// columns runs at twice the speed of one with few rows. Written over by the next.
struct HeadChunk {
  std::int64_t begin, count;
  at::Tensor logits;

  at::Tensor of(const at::Tensor& rows) const { return rows.narrow(0, begin, count); }
};

/// hidden [N, d] · weightᵀ [V, d] + bias, a chunk of rows at a time; `use` may overwrite the logits. `chunk_bytes` bounds them.
template <class Use>
void for_head_chunks(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, std::int64_t chunk_bytes, const Use& use) {
  const auto rows = hidden.size(0), vocab = weight.size(0);
  const bool own = has_cpu_kernel(hidden), transposed = own && hidden.scalar_type() == at::kFloat;
  const auto width = static_cast<std::int64_t>(hidden.element_size());
  const auto step = std::min(rows, std::max<std::int64_t>(16, chunk_bytes / (width * vocab) / 16 * 16));
  const auto buffer = own ? at::empty({step * vocab}, hidden.options()) : at::Tensor();
  for (std::int64_t begin = 0; begin < rows; begin += step) {
    HeadChunk chunk{begin, std::min(step, rows - begin), {}};
    const auto part = chunk.of(hidden);
    if (transposed) {
      auto logits = buffer.narrow(0, 0, chunk.count * vocab).view({vocab, chunk.count});
      if (bias.defined()) at::addmm_out(logits, bias.unsqueeze(1), weight, part.t());
      else at::mm_out(logits, weight, part.t());
      chunk.logits = logits.t();
    } else if (own) {
      chunk.logits = buffer.narrow(0, 0, chunk.count * vocab).view({chunk.count, vocab});
      if (bias.defined()) at::addmm_out(chunk.logits, bias, part, weight.t());
      else at::mm_out(chunk.logits, part, weight.t());
    } else {
      chunk.logits = at::linear(part, weight, bias.defined() ? std::optional(bias) : std::nullopt);
    }
    use(chunk);
  }
}

/// W̃ of a head, in the dtype of what it projects.
at::Tensor head_matrix(const Linear& head, const at::Tensor& hidden);
/// Whether a gradient is recorded of a product with it.
bool head_is_differentiated(const at::Tensor& hidden, const Linear& head);

/// Function::apply with everything that autograd must know of: its forward takes hidden, weight and optional bias, row, column, scale, down
/// and up, then the head and what else there is; its backward returns HeadGradients::finished() first.
template <class Function, class... More>
auto apply_to_head(const at::Tensor& hidden, const Linear& head, const More&... more) {
  const auto optional = [](const at::Tensor& x) { return x.defined() ? std::optional(x) : std::nullopt; };
  const auto& s = *head.slot;
  return Function::apply(hidden, s.weight, optional(head.bias), optional(s.row), optional(s.column), optional(s.scale), optional(s.down),
                         optional(s.up), head, more...);
}

/// The gradients of a head's input, weight and bias from those of its logits, chunk by chunk; only of what asks for one.
class HeadGradients {
 public:
  /// hidden [N, d], lying in rows; weight: W̃ of the head, as the logits were made with it.
  struct Asked {
    bool hidden, weight, additions, bias;  ///< which gradients are asked for
  };
  HeadGradients(const at::Tensor& hidden, const Asked& asked, const Linear& head, const at::Tensor& weight);
  /// d_logits [count, V], of the chunk's logits, in the dtype of hidden.
  void add(const HeadChunk& chunk, const at::Tensor& d_logits);
  /// Of hidden, W, b, r, c, s, A and B, in their dtypes; undefined where none is asked for, or where a sink has it from here on.
  std::vector<at::Tensor> finished();

 private:
  at::Tensor x_, weight_;
  Linear head_;
  bool into_sink_, of_weight_;
  at::Tensor d_hidden_, d_weight_, d_bias_;  // of W̃ and the bias in fp32; of W̃ where it does not go to the sink at once
  bool begun_ = false;
};

}  // namespace isotrope
