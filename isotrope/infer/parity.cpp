#include "isotrope/infer/parity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <fmt/ranges.h>

#include "isotrope/base/error.h"
#include "isotrope/models/checkpoint.h"

namespace isotrope {

namespace {

constexpr std::string_view where = "parity";
constexpr std::int64_t block_numbers = 1 << 20;

/// The larger, where NaN is larger than everything.
double worse(double a, double b) { return std::isnan(a) || std::isnan(b) ? std::numeric_limits<double>::quiet_NaN() : std::max(a, b); }

/// Some names in full, the others counted.
std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t shown = 4;
  const std::vector first(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(shown, names.size())));
  return fmt::format("{}{}", fmt::join(first, ", "), names.size() > shown ? fmt::format(" and {} more", names.size() - shown) : "");
}

}  // namespace

std::optional<std::size_t> ParityReport::first_departure(double tolerance) const {
  const auto at = std::ranges::find_if(taps, [&](const auto& tap) { return !(tap.relative <= tolerance); });
  return at == taps.end() ? std::nullopt : std::optional(static_cast<std::size_t>(at - taps.begin()));
}

TapDifference tap_difference(const std::string& tap, const at::Tensor& ours, const at::Tensor& theirs, const at::Tensor& counted,
                             const std::string& file) {
  expect_shape(where, fmt::format("{}: tap {}", file, tap), ours.sizes(), theirs.sizes());
  const auto channels = ours.size(-1), places = counted.size(0), step = std::max<std::int64_t>(1, block_numbers / channels);
  const auto flat = ours.reshape({-1, channels}), reference = theirs.reshape({-1, channels});
  TapDifference found{.tap = tap};
  double squares = 0, largest = 0;
  for (std::int64_t begin = 0; begin < places; begin += step) {
    const auto part = counted.narrow(0, begin, std::min(step, places - begin));
    const auto expected = reference.index_select(0, part).to(at::kDouble);
    if (!at::isfinite(expected).all().item<bool>()) throw InputError(where, "{}: tap {} has a number that is not finite", file, tap);
    const auto delta = flat.index_select(0, part.to(flat.device())).to(at::kCPU).to(at::kDouble) - expected;
    found.max_abs = worse(found.max_abs, delta.abs().max().item<double>());
    largest = std::max(largest, expected.abs().max().item<double>());
    squares += delta.square().sum().item<double>();
  }
  found.rms = std::sqrt(squares / static_cast<double>(places * channels));
  found.relative = found.max_abs == 0 ? 0 : found.max_abs / largest;
  return found;
}

namespace {

/// One dump against one model.
class Comparison {
 public:
  Comparison(Model& model, const ActivationDump& dump) : model_(model), dump_(dump), file_(dump.name()) {}

  ParityReport run() {
    check();
    const at::NoGradGuard no_grad;
    const auto mask = input(dump_.mask());
    counted_ = mask.flatten().nonzero().flatten();
    report_.tokens = counted_.size(0);
    const auto ids = input(dump_.ids());
    const auto hidden = model_.forward_ids(ids.to(device()), context(mask));
    if (const auto* logits = dump_.find("logits")) {
      const auto ours = model_.logits(hidden);
      compare("logits", ours);
      if (!dump_.targets().empty()) report_.loss = losses(ours, tensor_of(*logits));
    }
    if (dump_.find("pair_logits")) {
      counted_ = at::arange(dump_.rows(), at::kLong);
      compare("pair_logits", model_.pair_logits(hidden.select(1, 0)));
    }
    check_names();
    return std::move(report_);
  }

 private:
  at::Device device() const { return model_.parameters().options().device(); }
  at::Tensor input(const std::vector<std::int64_t>& values) const { return at::tensor(values).view({dump_.rows(), dump_.length()}); }

  /// What tells another model before anything is computed.
  void check() const {
    const auto& shape = model_.shape();
    const auto& config = model_.config();
    if (const auto type = config.find("model_type"); type != config.end() && type->is_string() && *type != dump_.model_type())
      throw InputError(where, "{}: is of a model of type {}, this one's is {}", file_, dump_.model_type(), type->get<std::string>());
    const auto largest = std::ranges::max(dump_.ids());
    if (largest >= shape.vocab_size)
      throw InputError(where, "{}: id {} lies past the model's vocabulary of {}", file_, largest, shape.vocab_size);
    if (const auto* logits = dump_.find("logits"); logits && !model_.has_head())
      throw InputError(where, "{}: has logits, the model no language-modelling head", file_);
    else if (logits && logits->shape[2] != shape.vocab_size)
      throw InputError(where, "{}: logits of {} tokens, the model's vocabulary has {}", file_, logits->shape[2], shape.vocab_size);
    if (dump_.find("pair_logits") && !model_.has_pair_head())
      throw InputError(where, "{}: has pair_logits, the model no head for pairs of texts", file_);
    if (const auto* embed = dump_.find("embed"); embed && embed->shape[2] != shape.width)
      throw InputError(where, "{}: is of a model of width {}, this one's is {}", file_, embed->shape[2], shape.width);
    if (dump_.layers() != shape.layers) throw InputError(where, "{}: has {} layers, the model {}", file_, dump_.layers(), shape.layers);
    check_types();
  }

  void check_types() const {
    if (dump_.token_types().empty()) return;
    const auto kinds = model_.config().find("type_vocab_size");
    const auto known = kinds != model_.config().end() && kinds->is_number_integer() ? kinds->get<std::int64_t>() : 2;
    if (const auto largest = std::ranges::max(dump_.token_types()); largest >= known)
      throw InputError(where, "{}: token type {}, the model has {}", file_, largest, known);
  }

  /// Padding is a document of its own; positions are told where they are not simply a row's own.
  ForwardContext context(const at::Tensor& mask) {
    ForwardContext context;
    const auto positions = input(dump_.positions());
    const bool padded = report_.tokens < mask.numel();
    if (padded) context.documents = mask.to(device());
    if (padded || !positions.equal(at::arange(dump_.length(), at::kLong).expand_as(positions))) context.positions = positions.to(device());
    if (!dump_.token_types().empty()) context.token_types = input(dump_.token_types()).to(device());
    context.tap = Tap([this](std::string_view point, std::int64_t layer, const at::Tensor& value) {
      compare(layer < 0 ? std::string(point) : fmt::format("{}.{}", point, layer), value);
    });
    return context;
  }

  void compare(const std::string& tap, const at::Tensor& ours) {
    seen_.insert(tap);
    const auto* theirs = dump_.find(tap);
    if (!theirs) return missing_.push_back(tap);
    report_.taps.push_back(tap_difference(tap, ours, tensor_of(*theirs), counted_, file_));
  }

  /// InputError where there is no target, or one past the vocabulary.
  LossPair losses(const at::Tensor& ours, const at::Tensor& theirs) const {
    const auto targets = input(dump_.targets()).flatten(), places = (targets >= 0).nonzero().flatten();
    if (places.numel() == 0) throw InputError(where, "{}: tensor targets has no target", file_);
    if (const auto largest = targets.max().item<std::int64_t>(); largest >= ours.size(2))
      throw InputError(where, "{}: target {} lies past the model's vocabulary of {}", file_, largest, ours.size(2));
    const auto mean = [&](const at::Tensor& logits) {
      const auto chosen = logits.flatten(0, 1).index_select(0, places.to(logits.device())).to(at::kCPU).to(at::kDouble);
      return at::nll_loss(at::log_softmax(chosen, 1), targets.index_select(0, places)).item<double>();
    };
    return {.ours = mean(ours), .theirs = mean(theirs), .tokens = places.numel()};
  }

  void check_names() const {
    if (!missing_.empty()) throw InputError(where, "{}: lacks taps of this model: {}", file_, listed(missing_));
    std::vector<std::string> surplus;
    for (const auto& tap : dump_.taps())
      if (!seen_.contains(tap.name)) surplus.push_back(tap.name);
    if (!surplus.empty()) throw InputError(where, "{}: has taps that this model does not have: {}", file_, listed(surplus));
  }

  Model& model_;
  const ActivationDump& dump_;
  const std::string file_;
  at::Tensor counted_;
  ParityReport report_;
  std::vector<std::string> missing_;
  std::set<std::string> seen_;
};

}  // namespace

ParityReport compare_with_dump(Model& model, const ActivationDump& dump) { return Comparison(model, dump).run(); }

}  // namespace isotrope
