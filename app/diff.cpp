#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "app/common.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/io/model_path.h"
#include "isotrope/io/tensor_diff.h"

namespace isotrope::app {

namespace {

struct DiffOptions : CommonOptions {
  std::string a, b;
  std::optional<double> tolerance;
  bool all = false;
};

/// A model in any of its forms, a bare .safetensors file, or a folder that holds nothing but tensors.
TensorFolder open_tensors(const fs::path& asked) {
  const auto path = fs::exists(asked) ? asked : resolve_model(asked);
  if (single_file_model(path))
    throw with_hint(InputError("diff", "{}: is a GGUF or llama2.c model, expected safetensors", path.string()),
                    "isotrope convert makes a folder of it");
  if (!fs::is_directory(path) || fs::exists(path / "model.safetensors") || fs::exists(path / "model.safetensors.index.json"))
    return TensorFolder(path);
  return TensorFolder(resolve_model(path));
}

/// Infinity and NaN have no JSON number; they become null.
nlohmann::json number(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr); }

std::string_view kind_text(TensorDiff::Kind kind) {
  switch (kind) {
    case TensorDiff::Kind::only_in_a: return "only in A";
    case TensorDiff::Kind::only_in_b: return "only in B";
    case TensorDiff::Kind::shapes_differ: return "shapes differ";
    case TensorDiff::Kind::compared: break;
  }
  return "compared";
}

nlohmann::json diff_json(const ModelDiff& diff, const DiffOptions& options) {
  auto tensors = nlohmann::json::array();
  for (const auto& tensor : diff.tensors) {
    nlohmann::json entry{{"name", tensor.name}, {"state", kind_text(tensor.kind)}};
    if (!tensor.dtype_a.empty()) entry["a"] = {{"dtype", tensor.dtype_a}, {"shape", tensor.shape_a}};
    if (!tensor.dtype_b.empty()) entry["b"] = {{"dtype", tensor.dtype_b}, {"shape", tensor.shape_b}};
    if (tensor.kind == TensorDiff::Kind::compared)
      entry.update({{"identical", tensor.identical},
                    {"max_abs", number(tensor.max_abs)},
                    {"rms", number(tensor.rms)},
                    {"relative", number(tensor.relative)}});
    tensors.push_back(std::move(entry));
  }
  return {{"a", options.a},
          {"b", options.b},
          {"compared", diff.compared},
          {"identical", diff.identical},
          {"unmatched", diff.unmatched},
          {"max_abs", number(diff.worst_abs)},
          {"max_relative", number(diff.worst_relative)},
          {"tensors", tensors}};
}

std::string remark(const TensorDiff& tensor) {
  if (tensor.kind == TensorDiff::Kind::shapes_differ)
    return fmt::format("{} against {}", shape_text(tensor.shape_a), shape_text(tensor.shape_b));
  const auto& shape = tensor.dtype_a.empty() ? tensor.shape_b : tensor.shape_a;
  const auto dtype = tensor.dtype_a.empty()                                       ? tensor.dtype_b
                     : tensor.dtype_b.empty() || tensor.dtype_a == tensor.dtype_b ? tensor.dtype_a
                                                                                  : tensor.dtype_a + "/" + tensor.dtype_b;
  return fmt::format("{} {}", dtype, shape_text(shape));
}

void print_diff(const ModelDiff& diff, const DiffOptions& options) {
  std::size_t width = 6, hidden = 0;
  for (const auto& tensor : diff.tensors) width = std::max(width, tensor.name.size());
  std::string text = fmt::format("{:<{}}  {:>10}  {:>10}  {:>10}\n", "tensor", width, "relative", "RMS", "max");
  for (const auto& tensor : diff.tensors) {
    if (tensor.identical && !options.all) {
      ++hidden;
      continue;
    }
    if (tensor.kind != TensorDiff::Kind::compared)
      text += fmt::format("{:<{}}  {:<34}  {}\n", tensor.name, width, kind_text(tensor.kind), remark(tensor));
    else
      text += fmt::format("{:<{}}  {:>10.3e}  {:>10.3e}  {:>10.3e}  {}\n", tensor.name, width, tensor.relative, tensor.rms, tensor.max_abs,
                          remark(tensor));
  }
  if (diff.tensors.size() == hidden) text.clear();
  text +=
      fmt::format("{} tensors compared, {} bit-identical, {} without a match; largest relative difference {:.3e}, largest |B - A| {:.3e}\n",
                  diff.compared, diff.identical, diff.unmatched, diff.worst_relative, diff.worst_abs);
  std::fputs(printable(text).c_str(), stdout);
}

void run_diff(const DiffOptions& options) {
  const auto a = open_tensors(options.a), b = open_tensors(options.b);
  const auto diff = diff_tensors(a, b);
  if (options.json) print_json(diff_json(diff, options));
  else print_diff(diff, options);
  if (!options.tolerance || diff.within(*options.tolerance)) return;
  std::fflush(stdout);
  if (diff.unmatched > 0) throw WorkError("diff", "{} tensors have no match of their shape", diff.unmatched);
  throw WorkError("diff", "the largest relative difference is {:.3e}, the tolerance {:.3e}", diff.worst_relative, *options.tolerance);
}

void add_diff(CLI::App& root) {
  auto options = std::make_shared<DiffOptions>();
  auto& command = *root.add_subcommand("diff", "Per-tensor difference of two models");
  command.add_option("A", options->a, "Run, checkpoint or HF folder, a .safetensors file, or a name in the Hugging Face cache")->required();
  command.add_option("B", options->b, "The same, compared with A")->required();
  command
      .add_option("--tolerance", options->tolerance,
                  "Fail (exit code 1) when a relative difference |B-A|/|A| exceeds X, or a tensor has no match")
      ->check(CLI::NonNegativeNumber)
      ->type_name("X");
  command.add_flag("--all", options->all, "List the bit-identical tensors too");
  add_common_options(command, *options);
  set_examples(command, {"isotrope diff runs/a runs/b", "isotrope diff model.safetensors other/model.safetensors --tolerance 1e-6"});
  command.callback([options] { run_diff(*options); });
}

const Command diff_command{Order::diff, add_diff};

}  // namespace
}  // namespace isotrope::app
