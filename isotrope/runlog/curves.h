#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace isotrope {

/// Something against the step: steps strictly ascending, NaN and infinities where the log has them.
template <class Value>
struct Course {
  std::vector<std::uint64_t> steps;
  std::vector<Value> values;

  /// Appends, or puts the value where its step belongs, in place of one that is there. Returns whether it was appended.
  bool set(std::uint64_t step, Value value);
  void drop_after(std::uint64_t step);
};

using Curve = Course<double>;                  ///< one number against the step
using Spectrum = Course<std::vector<double>>;  ///< a list of 1 to longest_spectrum numbers, whose length may change

/// A run log as curves: the numbers of its effective records in columns, made for drawing and for following a log of 10⁵ records and more.
///
/// Curves have the names of csv_text()'s columns (`loss`, `eval.nll`), and `weights.CLASS` for the classes of `weights` records. The
/// matrices of those are the table `weight_rms`, beside the tables and spectra that have records of their own; such a record that is not as
/// docs/formats/run_log.md says is passed over. Other records are kept as they are: samples() and events() (the types run, resume, end,
/// checkpoint, skip, warning).
class RunCurves {
 public:
  template <class Value>
  using ByName = std::map<std::string, Value, std::less<>>;
  using Curves = ByName<Curve>;

  /// One line of a run log. A flat `step` record in the writer's form is read without building JSON (a tenth of the time).
  /// Throws InputError as parse_run_record() does.
  void add_line(std::string_view line, const std::string& name, std::uint64_t number);
  void add(const nlohmann::json& record);

  const Curves& curves() const { return curves_; }
  const ByName<Curves>& tables() const { return tables_; }              ///< by name and row; none is empty
  const ByName<ByName<Spectrum>>& spectra() const { return spectra_; }  ///< by name and row; none is empty
  const std::vector<nlohmann::json>& events() const { return events_; }
  const std::vector<nlohmann::json>& samples() const { return samples_; }
  const nlohmann::json& header() const { return header_; }  ///< the `run` record; null before it
  std::uint64_t records() const { return records_; }        ///< taken in so far
  std::uint64_t last_step() const { return last_step_; }

  /// Counts the times that what was already there has changed (a resume that undid steps): whoever holds copies fetches them anew.
  std::uint64_t edition() const { return edition_; }

  /// `tokens` or `seconds` so far at `step`, from the last step record up to it (0 before the first); the step itself for any other axis.
  double position(std::string_view axis, std::uint64_t step) const;

 private:
  bool add_step_line(std::string_view line);
  void set(Curves& curves, std::string_view key, std::uint64_t step, double value);
  void add_rows(const std::string& table, const nlohmann::json& record, const char* key, std::uint64_t step);
  void add_spectrum(const nlohmann::json& record, std::uint64_t step);
  void undo_after(std::uint64_t step);

  Curves curves_;
  ByName<Curves> tables_;
  ByName<ByName<Spectrum>> spectra_;
  std::vector<nlohmann::json> events_, samples_;
  nlohmann::json header_;
  std::uint64_t records_ = 0, last_step_ = 0, edition_ = 0;
};

/// The curves of a finished or running log; `path` is run.jsonl or the run folder. Errors: those of RunLogReader.
RunCurves read_curves(const std::filesystem::path& path);

}  // namespace isotrope
