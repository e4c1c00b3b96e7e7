#include "isotrope/kernels/selective_scan.h"

#include <ATen/ATen.h>

#include <optional>
#include <utility>

#include "isotrope/kernels/composed.h"
#include "isotrope/kernels/dispatch.h"

namespace isotrope {

namespace {

constexpr std::int64_t scan_stretch_tokens = 32;  ///< between two checkpoints: what a tile of the way back reads stays in the first cache
constexpr std::int64_t scan_padding = 8;          ///< of the rows of a state
/// Between arrays that a tile walks side by side: at distances of whole pages a load would wait for the store to the array before it.
constexpr std::int64_t scan_stagger = 272;

/// A block of heads of one row that share B and C.
struct ScanShape {
  std::int64_t tokens, heads, channels, states;
};

/// Strides are those between tokens; heads and channels lie side by side.
template <class T>
struct ScanSource {
  const T* x;
  std::int64_t x_stride;
  const float* dt;
  std::int64_t dt_stride;
  const T *B, *C;
  std::int64_t B_stride, C_stride;
  const float *A, *D;
  const bool* resets;  ///< by token, or null
};

/// Slopes of the block's inputs; those of B and C in fp32, to be summed over the blocks of a group; A and D are added to.
template <class T>
struct ScanSlopes {
  T* x;
  std::int64_t x_stride;
  float *dt, *B, *C;
  std::int64_t B_stride;
  double *A, *D;
};

}  // namespace

}  // namespace isotrope

#define ISOTROPE_KERNELS "isotrope/kernels/selective_scan.inl"
#include "isotrope/kernels/for_each_isa.h"

namespace isotrope {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const ScanInputs& in, const ScanOptions& options) {
  const auto expect = [&](const at::Tensor& tensor, at::IntArrayRef shape, const char* name) {
    if (tensor.sizes() != shape) throw WorkError("scan", "{} {} is not {}", name, shape_text(tensor.sizes()), shape_text(shape));
  };
  if (in.x.dim() != 4 || in.x.numel() == 0 || in.B.dim() != 4 || in.B.size(2) < 1 || in.x.size(2) % in.B.size(2) != 0)
    throw WorkError("scan", "x {} and B {} are not [B, T, H, P] and [B, T, G, N] with H a multiple of G", shape_text(in.x.sizes()),
                    shape_text(in.B.sizes()));
  const auto batch = in.x.size(0), tokens = in.x.size(1), heads = in.x.size(2);
  expect(in.dt, {batch, tokens, heads}, "dt");
  expect(in.B, {batch, tokens, in.B.size(2), in.B.size(3)}, "B");
  expect(in.C, in.B.sizes(), "C");
  expect(in.A, {heads}, "A");
  expect(in.D, {heads}, "D");
  if (options.documents.defined()) expect(options.documents, {batch, tokens}, "documents");
  if (options.initial_state.defined()) expect(options.initial_state, {batch, heads, in.x.size(3), in.B.size(3)}, "the initial state");
}

/// [B, T] booleans: a document other than that of the token before begins here; undefined without documents.
at::Tensor beginnings(const at::Tensor& documents) {
  if (!documents.defined()) return {};
  auto begins = at::zeros_like(documents, at::kBool);
  const auto tokens = documents.size(1);
  if (tokens > 1) begins.narrow(1, 1, tokens - 1).copy_(documents.narrow(1, 1, tokens - 1) != documents.narrow(1, 0, tokens - 1));
  return begins;
}

at::ScalarType wide_type(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

at::Tensor initial(const ScanInputs& in, const ScanOptions& options) {
  const auto wide = in.x.options().dtype(wide_type(in.x));
  return options.initial_state.defined() ? options.initial_state.to(wide)
                                         : at::zeros({in.x.size(0), in.x.size(2), in.x.size(3), in.B.size(3)}, wide);
}

}  // namespace

namespace reference {

ScanResult selective_scan(const ScanInputs& in, const ScanOptions& options) {
  check(in, options);
  const auto wide = wide_type(in.x);
  const auto each = in.x.size(2) / in.B.size(2);
  const auto x = in.x.to(wide), dt = in.dt.to(wide), B = in.B.to(wide).repeat_interleave(each, 2),
             C = in.C.to(wide).repeat_interleave(each, 2);
  auto decay = at::exp(dt * in.A.to(wide));
  if (const auto begins = beginnings(options.documents); begins.defined()) decay = decay.masked_fill(begins.unsqueeze(2), 0);
  auto state = initial(in, options);
  std::vector<at::Tensor> y;
  for (std::int64_t t = 0; t < x.size(1); ++t) {
    const auto at_t = [&](const at::Tensor& sequence) { return sequence.select(1, t); };
    state = at_t(decay).unsqueeze(2).unsqueeze(3) * state + (at_t(dt).unsqueeze(2) * at_t(x)).unsqueeze(3) * at_t(B).unsqueeze(2);
    y.push_back((state * at_t(C).unsqueeze(2)).sum(3) + in.D.to(wide).unsqueeze(1) * at_t(x));
  }
  return {at::stack(y, 1).to(in.x.scalar_type()), state};
}

}  // namespace reference

ScanResult chunked_selective_scan(const ScanInputs& in, const ScanOptions& options, std::int64_t chunk) {
  check(in, options);
  const auto wide = wide_type(in.x);
  const auto batch = in.x.size(0), tokens = in.x.size(1), heads = in.x.size(2), groups = in.B.size(2), each = heads / groups;
  const auto width = std::min(chunk, tokens), chunks = (tokens + width - 1) / width, missing = chunks * width - tokens;
  // [B, T, n, …] → [B, chunk, n, token, …]. Steps of length 0 fill the last chunk: they change no state.
  const auto cut = [&](const at::Tensor& sequence) {
    auto padded = sequence.to(wide);
    if (missing > 0) {
      auto shape = padded.sizes().vec();
      shape[1] = missing;
      padded = at::cat({padded, at::zeros(shape, padded.options())}, 1);
    }
    auto shape = padded.sizes().vec();
    shape.insert(shape.begin() + 2, width), shape[1] = chunks;
    return padded.view(shape).transpose(2, 3);
  };
  const auto by_group = [&](const at::Tensor& of_groups) { return of_groups.repeat_interleave(each, 2); };
  const auto dt = cut(in.dt), decay = dt * in.A.to(wide).view({1, 1, heads, 1}), u = dt.unsqueeze(4) * cut(in.x);
  const auto B = cut(in.B), C = cut(in.C), along = decay.cumsum(3), total = along.narrow(3, width - 1, 1);
  // How many documents have begun in the chunk: tokens belong together where the number is the same.
  at::Tensor begun;
  if (options.documents.defined()) begun = cut(beginnings(options.documents).to(wide).unsqueeze(2)).cumsum(3);
  const auto only = [&](const at::Tensor& value, const auto& connected) { return begun.defined() ? value * connected() : value; };
  const auto same = [&](const at::Tensor& a, const at::Tensor& b) { return (a == b).to(wide); };
  const auto last = [&] { return begun.narrow(3, width - 1, 1); };

  auto mask = at::ones({width, width}, u.options()).tril();
  auto weights = at::exp((along.unsqueeze(4) - along.unsqueeze(3)).clamp_max(0)) * mask;
  weights = only(weights, [&] { return same(begun.unsqueeze(4), begun.unsqueeze(3)); });
  const auto inside = at::matmul(weights * by_group(at::matmul(C, B.transpose(3, 4))), u);
  const auto to_end = only(at::exp(total - along), [&] { return same(begun, last()); });
  const auto added = at::matmul((to_end.unsqueeze(4) * u).transpose(3, 4), by_group(B));
  const auto kept = only(at::exp(total), [&] { return same(last(), at::zeros_like(last())); }).unsqueeze(4);
  auto state = initial(in, options);
  std::vector<at::Tensor> before;
  for (std::int64_t c = 0; c < chunks; ++c) {
    before.push_back(state);
    state = kept.select(1, c) * state + added.select(1, c);
  }
  const auto from_start = only(at::exp(along), [&] { return same(begun, at::zeros_like(begun)); });
  const auto across = from_start.unsqueeze(4) * at::matmul(by_group(C), at::stack(before, 1).transpose(3, 4));
  const auto y = (inside + across).transpose(2, 3).reshape({batch, chunks * width, heads, in.x.size(3)}).narrow(1, 0, tokens);
  return {(y + in.D.to(wide).unsqueeze(1) * in.x.to(wide)).to(in.x.scalar_type()), state};
}

namespace {

/// How heads are put into blocks, by shape alone, so that sums have the same bits for any number of threads: enough channels that sharing B
/// and C pays, few enough heads for one vector of decays.
struct Blocks {
  std::int64_t batch, groups, heads_a_group, heads, a_group;

  explicit Blocks(const at::Tensor& x, const at::Tensor& B) : batch(x.size(0)), groups(B.size(2)), heads_a_group(x.size(2) / groups) {
    const auto vectors = (x.size(3) + 15) / 16;
    heads = std::clamp<std::int64_t>(16 / vectors, 1, heads_a_group);
    a_group = (heads_a_group + heads - 1) / heads;
  }
  std::int64_t count() const { return batch * groups * a_group; }

  struct Block {
    std::int64_t row, group, part, head, heads;
  };
  Block operator[](std::int64_t i) const {
    const auto part = i % a_group, group = i / a_group % groups;
    return {i / (a_group * groups), group, part, group * heads_a_group + part * heads, std::min(heads, heads_a_group - part * heads)};
  }
};

/// fp32 numbers that a thread needs.
std::int64_t scratch_size(const ScanShape& s) {
  const auto channels = (s.channels + 15) / 16 * 16, rows = (s.states + scan_padding - 1) / scan_padding * scan_padding;
  const auto stretch = scan_stretch_tokens * (2 * rows + 16 + 4 * s.heads * channels);
  const auto sums = scan_stretch_tokens * 16 * (2 * scan_padding + s.heads), states = (scan_stretch_tokens + 1) * scan_padding * 16;
  return stretch + sums + states + 3 * scan_stagger;
}

/// Heads and channels side by side, whatever lies between tokens.
at::Tensor with_whole_rows(const at::Tensor& x) { return x.stride(3) == 1 && x.stride(2) == x.size(3) ? x : x.contiguous(); }

/// The inputs as the kernel reads them.
struct Prepared {
  at::Tensor x, dt, A, B, C, D, resets;

  template <class T>
  ScanSource<T> block(const Blocks::Block& b) const {
    const auto at = [&](const at::Tensor& sequence, std::int64_t offset) {
      return sequence.const_data_ptr<T>() + b.row * sequence.stride(0) + offset;
    };
    return {at(x, b.head * x.size(3)),
            x.stride(1),
            dt.const_data_ptr<float>() + b.row * dt.stride(0) + b.head,
            dt.stride(1),
            at(B, b.group * B.size(3)),
            at(C, b.group * C.size(3)),
            B.stride(1),
            C.stride(1),
            A.const_data_ptr<float>() + b.head,
            D.const_data_ptr<float>() + b.head,
            resets.defined() ? resets.const_data_ptr<bool>() + b.row * resets.size(1) : nullptr};
  }
  ScanShape shape(std::int64_t heads) const { return {x.size(1), heads, x.size(3), B.size(3)}; }
};

/// Calls work(block, scratch) for every block of heads.
void for_each_block(const Prepared& in, const Blocks& blocks, const auto& work) {
  at::parallel_for(0, blocks.count(), 1, [&](std::int64_t begin, std::int64_t end) {
    const auto scratch = at::empty({scratch_size(in.shape(blocks.heads))}, at::kFloat);
    for (auto i = begin; i < end; ++i) work(blocks[i], scratch.mutable_data_ptr<float>());
  });
}

struct SelectiveScan : torch::autograd::Function<SelectiveScan> {
  /// `keep`: a gradient will be asked for.
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& dt, const at::Tensor& A,
                               const at::Tensor& B, const at::Tensor& C, const at::Tensor& D,
                               const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& resets, bool keep) {
    const Prepared in{with_whole_rows(x),           dt.contiguous(), A.contiguous(), with_whole_rows(B), with_whole_rows(C), D.contiguous(),
                      resets.value_or(at::Tensor())};
    const Blocks blocks(x, B);
    const auto tokens = x.size(1), stretches = (tokens + scan_stretch_tokens - 1) / scan_stretch_tokens;
    // The state before each stretch and the last one, or one state that is written over.
    const auto states = at::empty({keep ? stretches + 1 : 1, x.size(0), x.size(2), B.size(3), x.size(3)}, dt.options());
    const auto first = states.select(0, 0), last = states.select(0, keep ? stretches : 0);
    if (initial_state) first.copy_(initial_state->transpose(2, 3));
    else first.zero_();
    const auto apart = keep ? states.stride(0) : 0, state_size = states.stride(2);
    const auto y = at::empty(x.sizes(), x.options());
    dispatch_float(x.scalar_type(), [&]<class T>() {
      static const auto kernel = ISOTROPE_CHOOSE(scan_forward<T>);
      auto* to = y.mutable_data_ptr<T>();
      auto* state = states.mutable_data_ptr<float>();
      for_each_block(in, blocks, [&](const Blocks::Block& b, float* scratch) {
        kernel(in.shape(b.heads), in.block<T>(b), state + (b.row * x.size(2) + b.head) * state_size, apart,
               to + b.row * y.stride(0) + b.head * x.size(3), y.stride(1), scratch);
      });
    });
    if (keep) context->save_for_backward({in.x, in.dt, in.A, in.B, in.C, in.D, in.resets, states});
    context->saved_data["initial"] = initial_state.has_value();
    return {y, (keep ? last.clone() : last).transpose(2, 3)};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    refuse_second_derivative("selective_scan");
    const auto saved = context->get_saved_variables();
    const Prepared in{saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6]};
    const auto &x = in.x, &B = in.B, &states = saved[7];
    const Blocks blocks(x, B);
    const auto dy = grads[0].defined() ? with_whole_rows(grads[0]) : at::zeros(x.sizes(), x.options());
    const auto dS = grads[1].defined() ? grads[1].transpose(2, 3).clone(at::MemoryFormat::Contiguous)
                                       : at::zeros({x.size(0), x.size(2), B.size(3), x.size(3)}, in.dt.options());
    const auto dx = at::empty(x.sizes(), x.options()), ddt = at::empty_like(in.dt);
    const auto parts = [&] { return at::empty({blocks.a_group, x.size(0), x.size(1), B.size(2), B.size(3)}, in.dt.options()); };
    const auto dB = parts(), dC = parts();
    const auto dA = at::zeros({x.size(0), x.size(2)}, in.dt.options().dtype(at::kDouble)), dD = at::zeros_like(dA);
    dispatch_float(x.scalar_type(), [&]<class T>() {
      static const auto kernel = ISOTROPE_CHOOSE(scan_backward<T>);
      for_each_block(in, blocks, [&](const Blocks::Block& b, float* scratch) {
        const auto tokens_before = b.part * dB.stride(0) + b.row * dB.stride(1) + b.group * B.size(3), head = b.row * x.size(2) + b.head;
        const ScanSlopes<T> out{dx.mutable_data_ptr<T>() + b.row * dx.stride(0) + b.head * x.size(3),
                                dx.stride(1),
                                ddt.mutable_data_ptr<float>() + b.row * ddt.stride(0) + b.head,
                                dB.mutable_data_ptr<float>() + tokens_before,
                                dC.mutable_data_ptr<float>() + tokens_before,
                                dB.stride(2),
                                dA.mutable_data_ptr<double>() + head,
                                dD.mutable_data_ptr<double>() + head};
        kernel(in.shape(b.heads), in.block<T>(b), states.const_data_ptr<float>() + head * states.stride(2), states.stride(0),
               dy.const_data_ptr<T>() + b.row * dy.stride(0) + b.head * x.size(3), dy.stride(1),
               dS.mutable_data_ptr<float>() + head * dS.stride(1), out, scratch);
      });
    });
    const auto type = x.scalar_type();
    const auto d_initial = context->saved_data["initial"].toBool() ? dS.transpose(2, 3) : at::Tensor();
    return {dx, ddt, dA.sum(0).to(at::kFloat), dB.sum(0).to(type), dC.sum(0).to(type), dD.sum(0).to(at::kFloat), d_initial, {}, {}};
  }
};

bool takes_kernel(const ScanInputs& in, const ScanOptions& options) {
  const auto fits = [&](const at::Tensor& tensor, at::ScalarType type) { return tensor.device().is_cpu() && tensor.scalar_type() == type; };
  return has_cpu_kernel(in.x) && fits(in.B, in.x.scalar_type()) && fits(in.C, in.x.scalar_type()) && fits(in.dt, at::kFloat) &&
         fits(in.A, at::kFloat) && fits(in.D, at::kFloat) && (!options.initial_state.defined() || fits(options.initial_state, at::kFloat));
}

}  // namespace

ScanResult selective_scan(const ScanInputs& in, const ScanOptions& options) {
  check(in, options);
  if (!takes_kernel(in, options)) return chunked_selective_scan(in, options);
  const auto given = [](const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; };
  bool keep = false;
  for (const auto& tensor : {in.x, in.dt, in.A, in.B, in.C, in.D, options.initial_state})
    keep |= tensor.defined() && tensor.requires_grad();
  const auto out = SelectiveScan::apply(in.x, in.dt, in.A, in.B, in.C, in.D, given(options.initial_state),
                                        given(beginnings(options.documents)), keep && at::GradMode::is_enabled());
  return {out[0], out[1]};
}

}  // namespace isotrope
