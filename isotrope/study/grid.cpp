#include "isotrope/study/grid.h"

#include <algorithm>
#include <charconv>
#include <ranges>
#include <set>

#include "isotrope/base/error.h"
#include "isotrope/base/sha256.h"

namespace isotrope {

namespace {

std::vector<std::string> between_commas(std::string_view text) {
  std::vector<std::string> parts;
  for (const auto part : std::views::split(text, ',')) parts.emplace_back(part.begin(), part.end());
  if (parts.empty()) parts.emplace_back();
  return parts;
}

void expect_distinct(const std::vector<std::string>& values, const std::string& what) {
  for (const auto& value : values) {
    if (value.empty()) throw UsageError("compare", "{}: a value is empty", what);
    if (std::ranges::count(values, value) > 1) throw UsageError("compare", "{}: {} is given twice", what, value);
  }
}

/// runs/adamw-0.001-seed1; what a file system may not take is left out, and a digest of the whole stands for it.
std::string folder_name(const std::vector<std::string>& values, std::int64_t seed) {
  constexpr std::size_t longest = 80;
  std::string whole;
  for (const auto& value : values) whole += value + "-";
  auto name = whole.substr(0, longest);
  std::ranges::replace_if(
      name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-'; }, '_');
  if (name != whole) name += sha256_hex(whole).substr(0, 8) + "-";
  return "runs/" + name + "seed" + std::to_string(seed);
}

}  // namespace

Axis parse_axis(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == text.npos || equals == 0) throw UsageError("compare", "axis \"{}\": expected KEY=VALUE,VALUE,…", text);
  Axis axis{text.substr(0, equals), between_commas(std::string_view(text).substr(equals + 1))};
  expect_distinct(axis.values, "axis " + axis.key);
  if (axis.key == "run.folder") throw UsageError("compare", "axis run.folder: every run has a folder of its own below -o already");
  if (axis.key.starts_with("compare.")) throw UsageError("compare", "axis {}: runs do not read it", axis.key);
  if (axis.key == "train.seed") throw with_hint(UsageError("compare", "axis train.seed: seeds are no axis"), "--seeds 1,2,3");
  return axis;
}

std::vector<std::int64_t> parse_seeds(const std::string& text) {
  const auto parts = between_commas(text);
  expect_distinct(parts, "seeds");
  std::vector<std::int64_t> seeds;
  for (const auto& part : parts) {
    std::int64_t seed = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), seed);
    if (error != std::errc() || end != part.data() + part.size() || seed < 0)
      throw UsageError("compare", "seeds: expected whole numbers from 0 on between commas, got \"{}\"", text);
    seeds.push_back(seed);
  }
  return seeds;
}

std::vector<GridRun> Grid::runs(const std::filesystem::path& config, const std::vector<std::string>& set,
                                const std::filesystem::path& folder) const {
  std::size_t points = 1;
  std::set<std::string> keys;
  for (const auto& axis : axes) {
    if (!keys.insert(axis.key).second) throw UsageError("compare", "two axes have the key {}", axis.key);
    points *= axis.values.size();
    if (points * seeds.size() > 1000) throw UsageError("compare", "the grid has more than 1000 runs");
  }
  if (const auto equals = reference.find('='); !reference.empty()) {
    const auto axis = std::ranges::find(axes, reference.substr(0, equals), &Axis::key);
    if (equals == reference.npos || axis == axes.end() ||
        std::ranges::find(axis->values, reference.substr(equals + 1)) == axis->values.end())
      throw UsageError("compare", "reference \"{}\": expected KEY=VALUE with a value of an axis", reference);
  }
  std::vector<GridRun> all;
  std::set<std::string> seen;
  for (const auto seed : seeds)
    for (std::size_t point = 0; point < points; ++point) {
      GridRun run{.seed = seed};
      auto rest = point, block = points;
      auto overrides = set;
      for (const auto& axis : axes) {
        block /= axis.values.size();
        run.values.push_back(axis.values[rest / block]);
        overrides.push_back(axis.key + "=" + run.values.back());
        rest %= block;
      }
      run.folder = folder_name(run.values, seed);
      overrides.push_back("train.seed=" + std::to_string(seed));
      run.config = read_run_config(config, overrides);
      run.config.compare = {};
      std::string settings;
      for (const auto& [key, value] : run.config.schema().settings())
        if (key != "run.folder") settings += key + "=" + value + "\n";
      if (!seen.insert(settings).second)
        throw UsageError("compare", "two runs have the same settings: {} says what another combination says already", run.folder);
      if (!reference.empty() && (run.config.observe.evaluation == 0 || run.config.data.validation.empty()))
        throw UsageError("compare",
                         "reference \"{}\": its loss is that of evaluations, and there are none (data.validation, observe.evaluation)",
                         reference);
      run.config.run.folder = (folder / run.folder).string();
      all.push_back(std::move(run));
    }
  return all;
}

}  // namespace isotrope
