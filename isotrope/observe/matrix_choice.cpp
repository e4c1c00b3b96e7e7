#include "isotrope/observe/matrix_choice.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <ranges>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/base/glob.h"

namespace isotrope {

namespace {

/// The number of the layer in a tensor's name: the first part that is one.
std::optional<std::int64_t> layer_of(std::string_view name) {
  for (const auto part : std::views::split(name, '.')) {
    const std::string_view text(part.begin(), part.end());
    std::int64_t layer = 0;
    if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), layer);
        error == std::errc() && end == text.data() + text.size())
      return layer;
  }
  return std::nullopt;
}

}  // namespace

std::vector<const Parameter*> chosen_matrices(const Parameters& parameters, const std::vector<std::string>& patterns,
                                              const std::string& option) {
  std::vector<const Parameter*> matrices, chosen;
  for (const auto& p : parameters.all())
    if (p.value.dim() == 2 && !p.form.convolution) matrices.push_back(&p);
  if (!patterns.empty()) {
    for (const auto& pattern : patterns)
      if (std::ranges::none_of(matrices, [&](const auto* p) { return glob_matches(pattern, p->name); }))
        throw with_hint(UsageError("spectrum", "{}: no matrix has a name like \"{}\"", option, pattern),
                        "one that there is: " + (matrices.empty() ? std::string("none") : matrices.back()->name));
    std::ranges::copy_if(matrices, std::back_inserter(chosen), [&](const auto* p) {
      return std::ranges::any_of(patterns, [&](const auto& one) { return glob_matches(one, p->name); });
    });
    return chosen;
  }
  std::set<std::int64_t> layers;
  for (const auto* p : matrices)
    if (const auto layer = layer_of(p->name); layer && p->kind == ParameterClass::matrix) layers.insert(*layer);
  const auto nth = [&](std::size_t i) { return *std::next(layers.begin(), static_cast<std::ptrdiff_t>(i)); };
  const auto wanted = layers.empty() ? std::set<std::int64_t>{} : std::set{nth(0), nth(layers.size() / 2), nth(layers.size() - 1)};
  std::ranges::copy_if(matrices, std::back_inserter(chosen), [&](const auto* p) {
    const auto layer = layer_of(p->name);
    return p->kind == ParameterClass::matrix && (layers.empty() || (layer && wanted.contains(*layer)));
  });
  return chosen;
}

}  // namespace isotrope
