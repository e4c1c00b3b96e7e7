#include "isotrope/io/activation_dump.h"

#include <algorithm>
#include <cstring>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

constexpr std::string_view in_dump = "parity";
constexpr std::string_view version = "1";
constexpr std::int64_t no_target = -100;

std::vector<std::int64_t> integers(const TensorView& view) {
  std::vector<std::int64_t> values(view.bytes.size() / sizeof(std::int64_t));
  if (!values.empty()) std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
  return values;
}

/// Whether the ones of a row stand side by side.
bool one_stretch(std::span<const std::int64_t> row) {
  const auto begin = std::ranges::find(row, 1), end = std::find(begin, row.end(), 0);
  return begin != row.end() && std::find(end, row.end(), 1) == row.end();
}

}  // namespace

ActivationDump::ActivationDump(const fs::path& path) : file_(path) { read(); }

ActivationDump::ActivationDump(std::span<const std::byte> bytes, const std::string& name) : file_(bytes, name) { read(); }

void ActivationDump::read() {
  const auto about = [&](const char* key) {
    const auto at = file_.metadata().find(key);
    return at == file_.metadata().end() ? std::string() : at->second;
  };
  if (about("format") != "activation_dump")
    throw with_hint(InputError(in_dump, "{}: is not an activation dump", name()), "tools/dump_activations.py makes one with transformers");
  if (about("version") != version)
    throw InputError(in_dump, "{}: activation dump of version '{}', this program reads {}", name(), about("version"), version);
  model_type_ = about("model_type"), dtype_ = about("dtype");
  if (dtype_ != "float32" && dtype_ != "bfloat16" && dtype_ != "float16")
    throw InputError(in_dump, "{}: dtype is '{}', expected float32, bfloat16 or float16", name(), dtype_);

  const std::pair<const char*, std::vector<std::int64_t>*> inputs[] = {
      {"ids", &ids_}, {"mask", &mask_}, {"positions", &positions_}, {"token_types", &token_types_}, {"targets", &targets_}};
  for (const auto& [input, values] : inputs) {
    const auto* view = file_.find(input);
    if (!view && (values == &token_types_ || values == &targets_)) continue;
    if (!view) throw InputError(in_dump, "{}: tensor {} is missing", name(), input);
    if (view->dtype != DType::i64 || view->shape.size() != 2)
      throw InputError(in_dump, "{}: tensor {}: expected I64 [rows, tokens], got {} {}", name(), input, dtype_name(view->dtype),
                       shape_text(view->shape));
    if (values == &ids_) rows_ = view->shape[0], length_ = view->shape[1];
    expect_shape(in_dump, fmt::format("{}: tensor {}", name(), input), std::vector{rows_, length_}, view->shape);
    *values = integers(*view);
  }
  check_inputs();
  for (const auto& view : file_.tensors()) {
    if (std::ranges::any_of(inputs, [&](const auto& input) { return view.name == input.first; })) continue;
    check_tap(view);
    taps_.push_back(view);
  }
  if (taps_.empty()) throw InputError(in_dump, "{}: holds no tap", name());
}

void ActivationDump::check_inputs() const {
  if (ids_.empty()) throw InputError(in_dump, "{}: ids {} hold no token", name(), shape_text(std::vector{rows_, length_}));
  const auto negative = [](std::int64_t value) { return value < 0; };
  for (const auto& [input, values] : {std::pair{"ids", &ids_}, {"positions", &positions_}, {"token_types", &token_types_}})
    if (std::ranges::any_of(*values, negative)) throw InputError(in_dump, "{}: tensor {} has a negative number", name(), input);
  if (std::ranges::any_of(targets_, [](auto value) { return value < 0 && value != no_target; }))
    throw InputError(in_dump, "{}: tensor targets: expected ids, or {} for none", name(), no_target);
  for (std::size_t i = 0; i < targets_.size(); ++i)
    if (targets_[i] != no_target && mask_[i] == 0) throw InputError(in_dump, "{}: tensor targets: padding has a target", name());
  if (std::ranges::any_of(positions_, [](auto value) { return value > INT32_MAX; }))
    throw InputError(in_dump, "{}: tensor positions has a number above {}", name(), INT32_MAX);
  if (std::ranges::any_of(mask_, [](auto value) { return value != 0 && value != 1; }))
    throw InputError(in_dump, "{}: tensor mask: expected 0 and 1 alone", name());
  for (std::int64_t row = 0; row < rows_; ++row)
    if (!one_stretch(std::span(mask_).subspan(static_cast<std::size_t>(row * length_), static_cast<std::size_t>(length_))))
      throw InputError(in_dump, "{}: tensor mask: row {} does not count tokens in one stretch", name(), row);
}

void ActivationDump::check_tap(const TensorView& tap) const {
  const bool pair = tap.name == "pair_logits";
  if (!is_floating(tap.dtype) || dtype_size(tap.dtype) < 2)
    throw InputError(in_dump, "{}: tap {} has dtype {}, expected F64, F32, F16 or BF16", name(), tap.name, dtype_name(tap.dtype));
  if (tap.shape.size() != (pair ? 2 : 3) || tap.shape.back() < 1)
    throw InputError(in_dump, "{}: tap {}: expected shape {}, got {}", name(), tap.name, pair ? "[rows, 2]" : "[rows, tokens, channels]",
                     shape_text(tap.shape));
  const auto channels = pair ? 2 : tap.shape.back();
  expect_shape(in_dump, fmt::format("{}: tap {}", name(), tap.name),
               pair ? std::vector{rows_, channels} : std::vector{rows_, length_, channels}, tap.shape);
}

const TensorView* ActivationDump::find(std::string_view tap) const {
  const auto at = std::ranges::find(taps_, tap, &TensorView::name);
  return at == taps_.end() ? nullptr : &*at;
}

std::int64_t ActivationDump::layers() const {
  return std::ranges::count_if(taps_, [](const auto& tap) { return tap.name.starts_with("resid_post."); });
}

}  // namespace isotrope
