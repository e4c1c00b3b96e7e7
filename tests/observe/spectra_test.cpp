// observe.spectra: what it writes, against the matrices themselves.
#include <ATen/ATen.h>

#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/models/checkpoint.h"
#include "isotrope/runlog/curves.h"
#include "tests/train/small_run.h"

namespace isotrope {
namespace {

class SpectraProbe : public test::SmallRun {
 protected:
  RunConfig config(const std::string& run, const std::string& rule) const {
    auto c = SmallRun::config(run, 6);
    c.optimizer.name = rule, c.train.precision = "fp32", c.observe.spectra = 3, c.checkpoint.every = 0;
    c.observe.spectra_matrices = {"model.layers.1.mlp.*"};
    return c;
  }
  static std::vector<double> spectrum(const RunConfig& c, const std::string& of, const std::string& row, std::int64_t step) {
    for (const auto& record : records(c.run.folder, "spectrum"))
      if (record["name"] == of && record["row"] == row && record["step"] == step) return record["values"].get<std::vector<double>>();
    return {};
  }
};

/// Keeps what one matrix was before and after a step.
struct Keeper : test::Watcher {
  std::string name;
  at::Tensor before, after, gradient, momentum;
  double lr = 0;
  explicit Keeper(std::string of) : name(std::move(of)) {}
  void before_update(const StepView& view) override { before = view.parameters.segment(name).in(view.parameters.master()).clone(); }
  void after_update(const StepView& view) override {
    after = view.parameters.segment(name).in(view.parameters.master()).clone();
    gradient = view.gradients.of(view.parameters.segment(name)).clone();
    for (const auto& [state, value] : view.optimizer.state())
      if (state == "momentum." + name || state == "exp_avg." + name) momentum = value.clone();
    lr = view.lr;
  }
};

void expect_values(const std::vector<double>& found, const at::Tensor& matrix, const std::string& what) {
  const auto expected = at::linalg_svdvals(matrix.to(at::kDouble));
  ASSERT_EQ(static_cast<std::int64_t>(found.size()), expected.numel()) << what;
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[static_cast<std::int64_t>(i)].item<double>(), 1e-6 * expected[0].item<double>()) << what << ' ' << i;
}

TEST_F(SpectraProbe, WritesGradientMomentumUpdateAndWeight) {
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  for (const std::string rule : {"adamw", "muon", "spectra"}) {
    const auto c = config(rule, rule);
    Keeper keeper(name);
    train(c, {.observers = {&keeper}});
    expect_values(spectrum(c, "gradient", name, 6), keeper.gradient, rule + " gradient");
    expect_values(spectrum(c, "momentum", name, 6), keeper.momentum, rule + " momentum");
    expect_values(spectrum(c, "weight", name, 6), keeper.after, rule + " weight");
    const auto update =
        ((1 - keeper.lr * c.optimizer.weight_decay) * keeper.before.to(at::kDouble) - keeper.after.to(at::kDouble)) / keeper.lr;
    expect_values(spectrum(c, "update", name, 6), update, rule + " update");
    if (rule != "adamw")  // the update's root mean square is the one that the rule promises
      EXPECT_NEAR(update.square().mean().sqrt().item<double>(), 0.2, rule == "muon" ? 0.03 : 1e-4);
    const auto curves = read_curves(c.run.folder);
    EXPECT_EQ(curves.tables().at("spike_energy.gradient").size(), 3u);  // gate, up, down
    EXPECT_EQ(curves.tables().at("spike_gap.update").at(name).steps, (std::vector<std::uint64_t>{3, 6}));
    EXPECT_GT(curves.tables().at("spike_energy.gradient").at(name).values.back(), 0);
  }
}

TEST_F(SpectraProbe, ChangesNoBitOfTheRun) {
  for (const std::string rule : {"adamw", "muon", "spectra"}) {
    const auto watched = config(rule, rule);
    auto alone = config(rule + "-alone", rule);
    alone.observe.spectra = 0;
    train(watched), train(alone);
    for (const auto* file : {"model.safetensors", "optimizer.safetensors"})
      EXPECT_EQ(bytes_of(watched.run.folder, file), bytes_of(alone.run.folder, file)) << rule;
  }
}

TEST_F(SpectraProbe, TakesFirstMiddleAndLastLayerUnlessToldOtherwise) {
  auto c = config("all", "adamw");
  c.observe.spectra_matrices.clear();
  train(c);
  EXPECT_EQ(read_curves(c.run.folder).tables().at("spike_energy.weight").size(), 14u);  // both layers, seven matrices each
  c = config("none", "adamw");
  c.observe.spectra_matrices = {"*.mlp.*", "*.mpl.*"};
  EXPECT_THROW(train(c), UsageError);
}

}  // namespace
}  // namespace isotrope
