#include "isotrope/runlog/curves.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "isotrope/runlog/reader.h"
#include "isotrope/runlog/records.h"

namespace isotrope {

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// Takes a number in JSON's grammar, or one of the three words for what is none, from the front of `text`.
bool take_number(std::string_view& text, double& value) {
  constexpr std::pair<std::string_view, double> words[] = {{"\"nan\"", not_a_number},
                                                           {"\"inf\"", std::numeric_limits<double>::infinity()},
                                                           {"\"-inf\"", -std::numeric_limits<double>::infinity()}};
  for (const auto& [word, meaning] : words)
    if (text.starts_with(word)) {
      value = meaning;
      text.remove_prefix(word.size());
      return true;
    }
  // from_chars also reads `.5`, `1.`, `01` and `inf`, which JSON does not know.
  const auto digit = [&](std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
  const std::size_t first = text.starts_with('-');
  if (!digit(first) || (text[first] == '0' && digit(first + 1))) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto length = static_cast<std::size_t>(end - text.data());
  const auto point = text.substr(0, length).find('.');
  if (error != std::errc() || (point != text.npos && !digit(point + 1))) return false;
  text.remove_prefix(length);
  return true;
}

bool take(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

/// A number or one of its three words; anything else of a record has no curve.
bool as_number(const nlohmann::json& value, double& number) {
  if (!value.is_number() && value != "nan" && value != "inf" && value != "-inf") return false;
  number = number_of(value);
  return true;
}

/// The text of a field; nullptr when it is absent, no text or empty.
const std::string* text_in(const nlohmann::json& record, const char* key) {
  const auto found = record.find(key);
  if (found == record.end() || !found->is_string()) return nullptr;
  const auto& text = found->get_ref<const std::string&>();
  return text.empty() ? nullptr : &text;
}

}  // namespace

template <class Value>
bool Course<Value>::set(std::uint64_t step, Value value) {
  if (steps.empty() || step > steps.back()) {
    steps.push_back(step);
    values.push_back(std::move(value));
    return true;
  }
  const auto at = std::ranges::lower_bound(steps, step) - steps.begin();
  if (steps[static_cast<std::size_t>(at)] == step) {
    values[static_cast<std::size_t>(at)] = std::move(value);
    return false;
  }
  steps.insert(steps.begin() + at, step);
  values.insert(values.begin() + at, std::move(value));
  return false;
}

template <class Value>
void Course<Value>::drop_after(std::uint64_t step) {
  const auto keep = static_cast<std::size_t>(std::ranges::upper_bound(steps, step) - steps.begin());
  steps.resize(keep);
  values.resize(keep);
}

template struct Course<double>;
template struct Course<std::vector<double>>;

void RunCurves::set(Curves& curves, std::string_view key, std::uint64_t step, double value) {
  auto found = curves.find(key);
  if (found == curves.end()) found = curves.emplace(key, Curve{}).first;
  if (!found->second.set(step, value)) ++edition_;
}

bool RunCurves::add_step_line(std::string_view line) {
  if (!take(line, R"({"type":"step","step":)")) return false;
  std::uint64_t step = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), step);
  if (error != std::errc() || step > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return false;
  if (line[0] == '0' && end != line.data() + 1) return false;
  line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  // All of the line is understood before any of it counts.
  constexpr std::size_t most = 64;
  std::pair<std::string_view, double> fields[most];
  std::size_t count = 0;
  while (take(line, ",\"")) {
    const auto quote = line.find('"');
    if (count == most || quote == line.npos) return false;
    const auto key = line.substr(0, quote);
    const auto plain = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    };
    if (!std::ranges::all_of(key, plain) || key == "type" || key == "step") return false;
    line.remove_prefix(quote + 1);
    if (!take(line, ":") || !take_number(line, fields[count].second)) return false;
    fields[count++].first = key;
  }
  if (line != "}") return false;
  for (std::size_t i = 0; i < count; ++i) set(curves_, fields[i].first, step, fields[i].second);
  ++records_;
  last_step_ = std::max(last_step_, step);
  return true;
}

void RunCurves::add_line(std::string_view line, const std::string& name, std::uint64_t number) {
  if (!add_step_line(line)) add(parse_run_record(line, name, number));
}

void RunCurves::add(const nlohmann::json& record) {
  ++records_;
  const auto& type = record["type"].get_ref<const std::string&>();
  if (type == "run" && header_.is_null()) header_ = record;
  for (const auto* kept : {"run", "resume", "end", "checkpoint", "skip", "warning"})
    if (type == kept) {
      if (type == "resume") undo_after(record["step"].get<std::uint64_t>());
      events_.push_back(record);
    }
  if (!record.contains("step")) return;
  const auto step = record["step"].get<std::uint64_t>();
  if (type != "resume") last_step_ = std::max(last_step_, step);
  if (type == "sample") samples_.push_back(record);
  double value = 0;
  if (type == "step" || type == "eval") {
    for (const auto& [key, field] : record.items())
      if (key != "step" && as_number(field, value)) set(curves_, (type == "eval" ? "eval." : "") + key, step, value);
  }
  if (type == "weights") {
    if (const auto rms = record.find("rms"); rms != record.end() && rms->is_object())
      for (const auto& [key, field] : rms->items())
        if (as_number(field, value)) set(curves_, "weights." + key, step, value);
    add_rows("weight_rms", record, "matrices", step);
  }
  if (type == "spectrum") add_spectrum(record, step);
  if (const auto* name = type == "table" ? text_in(record, "name") : nullptr) add_rows(*name, record, "rows", step);
}

void RunCurves::add_rows(const std::string& table, const nlohmann::json& record, const char* key, std::uint64_t step) {
  const auto rows = record.find(key);
  if (rows == record.end() || !rows->is_object()) return;
  double value = 0;
  for (const auto& [row, field] : rows->items())
    if (!row.empty() && as_number(field, value)) set(tables_[table], row, step, value);
}

void RunCurves::add_spectrum(const nlohmann::json& record, std::uint64_t step) {
  const auto *name = text_in(record, "name"), *row = text_in(record, "row");
  const auto list = record.find("values");
  if (!name || !row || list == record.end() || !list->is_array() || list->empty() || list->size() > longest_spectrum) return;
  std::vector<double> values(list->size());
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!as_number((*list)[i], values[i])) return;
  if (!spectra_[*name][*row].set(step, std::move(values))) ++edition_;
}

void RunCurves::undo_after(std::uint64_t step) {
  if (last_step_ > step) ++edition_;
  const auto drop = [step](auto& courses) {
    for (auto& [name, course] : courses) course.drop_after(step);
    std::erase_if(courses, [](const auto& one) { return one.second.steps.empty(); });
  };
  const auto drop_all = [&](auto& groups) {
    for (auto& [name, courses] : groups) drop(courses);
    std::erase_if(groups, [](const auto& one) { return one.second.empty(); });
  };
  drop(curves_);
  drop_all(tables_);
  drop_all(spectra_);
  const auto undone = [&](const nlohmann::json& record) {
    const auto& type = record["type"].get_ref<const std::string&>();
    return record.contains("step") && record["step"].get<std::uint64_t>() > step && type != "run" && type != "resume" && type != "end";
  };
  std::erase_if(events_, undone);
  std::erase_if(samples_, undone);
  last_step_ = step;
}

double RunCurves::position(std::string_view axis, std::uint64_t step) const {
  if (axis != "tokens" && axis != "seconds") return static_cast<double>(step);
  const auto found = curves_.find(axis);
  if (found == curves_.end()) return 0;
  const auto& curve = found->second;
  const auto after = std::ranges::upper_bound(curve.steps, step) - curve.steps.begin();
  return after == 0 ? 0 : curve.values[static_cast<std::size_t>(after - 1)];
}

RunCurves read_curves(const std::filesystem::path& path) {
  RunLogReader reader(path);
  RunCurves curves;
  while (reader.next_lines([&](std::string_view line, std::uint64_t number) { curves.add_line(line, path.string(), number); }) > 0) {}
  return curves;
}

}  // namespace isotrope
