#include "isotrope/study/comparison.h"

#include <atomic>
#include <cmath>
#include <cstdio>
#include <optional>
#include <thread>

#include "app/engine/commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/report/watch.h"

namespace isotrope::app {

namespace {

/// The live page, served by a thread of its own for as long as this lives.
class LivePage {
 public:
  LivePage(const fs::path& folder, int port) : runs_({folder}, true), server_(runs_, options(port)) {
    thread_ = std::thread([this] { server_.run([this] { return !ended_.load(); }); });
  }
  LivePage(const LivePage&) = delete;
  ~LivePage() {
    ended_ = true;
    thread_.join();
  }
  std::string url() const { return server_.url(); }

 private:
  static WatchServer::Options options(int port) {
    WatchServer::Options options;
    options.http.port = port;
    return options;
  }

  RunSet runs_;
  WatchServer server_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

std::string text_of(const nlohmann::json& settings) {
  std::string text;
  for (const auto& [key, value] : settings.items())
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, value.is_string() ? value.get<std::string>() : value.dump());
  return text;
}

/// "28 ± 2 (2 of 3)": where not all `runs` have the number, how many.
std::string spread_text(const nlohmann::json& spread, int digits, int runs) {
  if (spread.is_null()) return "–";
  const auto of_all = spread["n"] == runs ? "" : fmt::format(" ({} of {})", spread["n"].get<int>(), runs);
  auto text = fmt::format("{:.{}f}", spread["mean"].get<double>(), digits);
  if (!spread["sd"].is_null()) text += fmt::format(" ± {:.{}f}", spread["sd"].get<double>(), digits);
  return text + of_all;
}

void print_summary(const nlohmann::json& all) {
  std::size_t widest = 8;
  for (const auto& point : all["summary"]) widest = std::max(widest, text_of(point["settings"]).size());
  const auto bytes = [](const nlohmann::json& value) { return value.is_null() ? std::string("–") : bytes_text(value.get<double>()); };
  std::puts(fmt::format("{:<{}}  {:>17}  {:>14}  {:>14}  {:>20}  {:>14}  {:>8}", "settings", widest, "final loss", "steps to", "seconds to",
                        "state: matrices, all", "optimizer ms", "diverged")
                .c_str());
  for (const auto& point : all["summary"]) {
    auto optimizer = point["optimizer_seconds_per_step"];
    if (!optimizer.is_null())
      for (const auto* key : {"mean", "sd"})
        if (!optimizer[key].is_null()) optimizer[key] = 1000 * optimizer[key].get<double>();
    std::puts(fmt::format("{:<{}}  {:>17}  {:>14}  {:>14}  {:>20}  {:>14}  {:>8}", text_of(point["settings"]), widest,
                          spread_text(point["final_nll"], 4, point["runs"]), spread_text(point["steps_to"], 0, point["runs"]),
                          spread_text(point["seconds_to"], 0, point["runs"]),
                          bytes(point["matrix_state_bytes"]) + ", " + bytes(point["state_bytes"]), spread_text(optimizer, 2, point["runs"]),
                          fmt::format("{} of {}", point["diverged"].get<int>(), point["runs"].get<int>()))
                  .c_str());
  }
  if (const auto& reference = all["reference"]; !reference.is_null() && !reference["nll"].is_null())
    std::puts(fmt::format("reference: {}, loss {:.4f}", reference["name"].get<std::string>(), reference["nll"].get<double>()).c_str());
  double seconds = 0;
  for (const auto& run : all["runs"]) seconds += run["seconds"].get<double>();
  std::puts(fmt::format("{} runs, {} of training", all["runs"].size(), duration_text(seconds)).c_str());
  for (const auto& best : all["best"]) {
    const auto settings = text_of(best["settings"]);
    std::puts(fmt::format("best {}{}: {} (loss {:.4f}){}", best["axis"].get<std::string>(), settings.empty() ? "" : " for " + settings,
                          best["value"].dump(), best["final_nll"].get<double>(),
                          best["at_edge"].get<bool>() ? ", at the edge of the grid: the best may lie beyond" : "")
                  .c_str());
  }
}

}  // namespace

void run_compare(const CompareCommand& options) {
  const auto file = isotrope::read_run_config(options.config, options.set).compare;
  ComparisonOptions comparison{
      .config = options.config, .set = options.set, .output = options.output, .threads = thread_count(options.common)};
  for (const auto& axis : options.axes.empty() ? file.axes : options.axes) comparison.grid.axes.push_back(parse_axis(axis));
  if (comparison.grid.axes.empty())
    throw UsageError("compare", "expected an axis: --axis KEY=VALUE,…, or compare.axes in the configuration");
  const auto& seeds = options.seeds.empty() ? file.seeds : options.seeds;
  comparison.grid.seeds =
      seeds.empty() ? std::vector<std::int64_t>{isotrope::read_run_config(options.config, options.set).train.seed} : parse_seeds(seeds);
  comparison.grid.reference = options.reference.empty() ? file.reference : options.reference;
  comparison.grid.runs(options.config, options.set, options.output);  // what is wrong is said before anything is written
  create_folders(options.output, "compare");
  const FileLock lock(fs::path(options.output) / "lock", "compare");
  nlohmann::json all;
  {
    std::optional<LivePage> page;
    comparison.begin = [&] {
      page.emplace(options.output, options.port);
      note("live page: " + page->url() + " (until the last run has ended)");
    };
    comparison.say = [](const std::string& line) { note(line); };
    all = compare(comparison);
  }
  note("report: " + (fs::path(options.output) / "report.html").string());
  if (options.common.json) return print_json(all);
  print_summary(all);
}

}  // namespace isotrope::app
