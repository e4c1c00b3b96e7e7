// isotrope report: runs as one HTML file, as CSV, as TensorBoard's files.
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/common.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/report/report.h"
#include "isotrope/runlog/export.h"
#include "isotrope/runlog/tensorboard.h"

namespace isotrope::app {

namespace {

struct ReportOptions : CommonOptions {
  std::vector<std::string> runs;
  std::string output, csv, tensorboard;
};

/// Where a run's events go: folders inside folders as in the run's name, which TensorBoard shows the same way, and never outside of
/// `folder`.
fs::path events_folder(const fs::path& folder, const std::string& name) {
  fs::path inside;
  for (const auto& part : fs::path(name).relative_path())
    if (part != "." && part != "..") inside /= part;
  return folder / inside;
}

void run_report(const ReportOptions& options) {
  if (options.output.empty() && options.csv.empty() && options.tensorboard.empty())
    throw UsageError("report", "expected an output: -o FILE, --csv FILE or --tensorboard FOLDER");
  RunSet runs({options.runs.begin(), options.runs.end()}, false);
  while (runs.refresh()) {}
  for (std::size_t i = 0; i < runs.size(); ++i)
    if (!runs[i].problem().empty()) throw InputError("report", "{}", runs[i].problem());
  if (!runs.comparison().problem().empty()) warn(runs.comparison().problem());  // the runs can be shown without it
  if (!options.csv.empty() && runs.size() != 1) throw UsageError("report", "--csv takes one run, got {}", runs.size());
  nlohmann::json written = nlohmann::json::array();
  const auto done = [&](const std::string& path) {
    written.push_back(path);
    note("wrote " + path);
  };
  if (!options.csv.empty())
    for (const auto& path : export_csv(runs[0].folder(), options.csv)) done(path.string());
  if (!options.tensorboard.empty()) {
    for (std::size_t i = 0; i < runs.size(); ++i) export_tensorboard(runs[i].curves(), events_folder(options.tensorboard, runs.name(i)));
    done(options.tensorboard);
  }
  if (!options.output.empty()) {
    write_file(options.output, report_html(runs), "report");
    done(options.output);
  }
  if (options.json) print_json({{"runs", runs.size()}, {"written", written}});
}

void add_report(CLI::App& root) {
  auto options = std::make_shared<ReportOptions>();
  auto& command = *root.add_subcommand("report", "Runs as one self-contained HTML file; also CSV and TensorBoard files");
  command.add_option("RUN", options->runs, "Run folders, or folders that hold run folders")->required()->type_name("FOLDER…");
  command.add_option("-o,--output", options->output, "The page, with everything in it")->type_name("FILE");
  command.add_option("--csv", options->csv, "The curves of one run, a row a step; its tables and spectra beside it")->type_name("FILE");
  command.add_option("--tensorboard", options->tensorboard, "Event files, a folder a run")->type_name("FOLDER");
  add_common_options(command, *options);
  set_examples(command, {"isotrope report runs/a runs/b -o report.html", "isotrope report runs/a --csv curves.csv --tensorboard events"});
  command.callback([options] { run_report(*options); });
}

const Command report_command{Order::report, add_report};

}  // namespace
}  // namespace isotrope::app
