#include "isotrope/report/views.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/runlog/downsample.h"

namespace isotrope {

namespace {

using nlohmann::json;

std::string text_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

void append_number(std::string& out, double value) {
  if (std::isfinite(value)) fmt::format_to(std::back_inserter(out), "{}", value);
  else out += "null";
}

/// `[a,b,…]` of value(i) for every i of `indices`.
template <class Value>
void append_array(std::string& out, const std::vector<std::size_t>& indices, Value value) {
  out += '[';
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (i > 0) out += ',';
    append_number(out, value(indices[i]));
  }
  out += ']';
}

/// Five digits are more than a colour or a line shows.
void append_short(std::string& out, double value) {
  if (std::isfinite(value)) fmt::format_to(std::back_inserter(out), "{:.5g}", value);
  else out += "null";
}

/// Indices of `count` values in buckets, `buckets` at most: the last of each, so that the newest is always there.
std::vector<std::size_t> last_of_buckets(std::size_t count, std::size_t buckets) {
  const auto bucket = bucket_size(count, buckets);
  std::vector<std::size_t> lasts;
  for (std::size_t at = 0; at < count;) {
    at = std::min(count, (at / bucket + 1) * bucket);
    lasts.push_back(at - 1);
  }
  return lasts;
}

/// Every step at which any of the rows has a value.
std::vector<std::uint64_t> all_steps(const RunCurves::Curves& rows) {
  std::vector<std::uint64_t> steps, both;
  for (const auto& [row, curve] : rows) {
    if (curve.steps == steps) continue;
    both.clear();
    std::ranges::set_union(steps, curve.steps, std::back_inserter(both));
    steps.swap(both);
  }
  return steps;
}

/// The three axes at the steps that `step_at` gives, which ascend; tokens and seconds never fall back, whatever the log says.
template <class Step>
void append_axes(std::string& out, const RunCurves& curves, const std::vector<std::size_t>& indices, Step step_at) {
  for (const auto* axis : {"step", "tokens", "seconds"}) {
    out += fmt::format("\"{}\":", axis);
    double furthest = 0;
    append_array(out, indices, [&](std::size_t i) {
      const double position = curves.position(axis, step_at(i));
      if (position > furthest) furthest = position;
      return furthest;
    });
    out += ',';
  }
}

struct Range {
  std::size_t begin, end;
};

/// The part of the curve within the query's range, with one value more on either side so that lines reach the edges.
Range part_of(const Curve& curve, const RunCurves& curves, const SeriesQuery& query) {
  const auto at_most = [&](double bound) {
    return static_cast<std::size_t>(
        std::ranges::partition_point(curve.steps, [&](std::uint64_t step) { return curves.position(query.axis, step) <= bound; }) -
        curve.steps.begin());
  };
  Range part{0, curve.steps.size()};
  if (std::isfinite(query.from)) part.begin = std::max<std::size_t>(at_most(query.from), 1) - 1;
  if (std::isfinite(query.to)) part.end = std::min(at_most(query.to) + 1, part.end);
  return {std::min(part.begin, part.end), part.end};
}

/// The first value that a follower needs: 0 unless the buckets are still those of its last answer. Of the step up to which it knows the
/// run it may lack a value: an `eval` record comes after the `step` record.
std::size_t first_missing(const Curve& curve, const SeriesQuery& query, std::size_t bucket) {
  if (query.since < 0) return 0;
  const auto before = std::ranges::lower_bound(curve.steps, static_cast<std::uint64_t>(query.since)) - curve.steps.begin();
  const auto known = static_cast<std::size_t>(before);
  return bucket_size(known, query.buckets) == bucket ? known / bucket * bucket : 0;
}

void append_means(std::string& out, const Curve& curve, const RunCurves& curves, Range part, std::size_t bucket) {
  std::vector<std::size_t> lasts;
  for (std::size_t at = part.begin; at < part.end;) {
    at = std::min(part.end, (at / bucket + 1) * bucket);
    lasts.push_back(at - 1);
  }
  out += ",\"mean\":{";
  append_axes(out, curves, lasts, [&](std::size_t i) { return curve.steps[i]; });
  out += "\"value\":";
  append_array(out, lasts, [&](std::size_t last) {
    double sum = 0;
    std::size_t count = 0;
    for (std::size_t i = std::max(last / bucket * bucket, part.begin); i <= last; ++i)
      if (std::isfinite(curve.values[i])) sum += curve.values[i], ++count;
    return sum / static_cast<double>(count);
  });
  out += '}';
}

void append_curve(std::string& out, const Curve& curve, const RunCurves& curves, const SeriesQuery& query) {
  auto part = part_of(curve, curves, query);
  const auto bucket = bucket_size(part.end - part.begin, query.buckets);
  const bool whole = part.begin == 0 && part.end == curve.steps.size();
  if (whole) part.begin = first_missing(curve, query, bucket);
  const auto kept = keep_extremes(curve.values, part.begin, part.end, bucket);
  out += fmt::format("{{\"from_step\":{},\"bucket\":{},", kept.empty() ? 0 : curve.steps[kept.front()], bucket);
  append_axes(out, curves, kept, [&](std::size_t i) { return curve.steps[i]; });
  out += "\"value\":";
  append_array(out, kept, [&](std::size_t i) { return curve.values[i]; });
  if (bucket > 1) append_means(out, curve, curves, part, bucket);
  out += '}';
}

/// The records with their place on the other two axes.
json placed(const std::vector<json>& records, const RunCurves& curves, std::size_t limit) {
  auto list = json::array();
  for (std::size_t i = records.size() - std::min(limit, records.size()); i < records.size(); ++i) {
    auto record = records[i];
    if (record.contains("step")) {
      const auto step = record["step"].get<std::uint64_t>();
      for (const auto* axis : {"tokens", "seconds"}) {
        const double position = curves.position(axis, step);
        record[axis] = std::isfinite(position) ? json(position) : json();
      }
    }
    list.push_back(std::move(record));
  }
  return list;
}

json summary(const FollowedRun& run, const std::string& name, const std::string& place, bool live) {
  const auto& curves = run.curves();
  json latest = json::object(), keys = json::array();
  for (const auto& [key, curve] : curves.curves()) {
    if (curve.steps.empty()) continue;
    keys.push_back(key);
    latest[key] = std::isfinite(curve.values.back()) ? json(curve.values.back()) : json();
  }
  json tables = json::object(), spectra = json::object();
  for (const auto& [table, rows] : curves.tables()) tables[table] = rows.size();
  for (const auto& [spectrum, rows] : curves.spectra())
    for (const auto& [row, course] : rows) spectra[spectrum].push_back(row);
  const auto status = run.status();
  const bool under_way = status == "running" || status == "stalled";
  std::error_code error;
  const auto header = [&](const char* key) {
    return curves.header().is_object() && curves.header().contains(key) ? curves.header()[key] : json();
  };
  return {{"name", name},
          {"folder", run.folder().string()},
          {"place", place},
          {"edition", run.edition()},
          {"status", under_way && !live ? "unfinished" : status},
          {"problem", run.problem()},
          {"started", header("started")},
          {"version", header("version")},
          {"commit", header("commit")},
          {"step", curves.last_step()},
          {"records", curves.records()},
          {"keys", keys},
          {"latest", latest},
          {"tables", tables},
          {"spectra", spectra},
          {"samples", curves.samples().size()},
          {"events", curves.events().size()},
          {"config", fs::exists(run.folder() / "config.toml", error)}};
}

}  // namespace

std::string json_text(std::string_view text) { return text_of(json(text)); }

std::string runs_json(const RunSet& runs, bool live) {
  auto list = json::array();
  for (std::size_t i = 0; i < runs.size(); ++i)
    list.push_back(summary(runs[i], runs.name(i), runs.comparison().place_of(runs[i].folder()), live));
  return text_of(list);
}

std::string comparison_json(const RunSet& runs) {
  const auto& comparison = runs.comparison();
  if (!comparison.problem().empty()) return "{\"problem\":" + json_text(comparison.problem()) + "}";
  return comparison.text().empty() ? "null" : comparison.text();
}

std::string series_json(const FollowedRun& run, const SeriesQuery& query) {
  const auto& curves = run.curves();
  std::string out = fmt::format("{{\"edition\":{},\"through\":{},\"series\":{{", run.edition(), curves.last_step());
  bool first = true;
  for (const auto& [key, curve] : curves.curves()) {
    if (curve.steps.empty() || (!query.keys.empty() && std::ranges::find(query.keys, key) == query.keys.end())) continue;
    out += (first ? "" : ",") + json_text(key) + ":";
    append_curve(out, curve, curves, query);
    first = false;
  }
  return out + "}}";
}

std::string table_json(const FollowedRun& run, std::string_view name, std::size_t columns) {
  static const RunCurves::Curves none;
  const auto found = run.curves().tables().find(name);
  const auto& rows = found == run.curves().tables().end() ? none : found->second;
  const auto steps = all_steps(rows);
  const auto kept = last_of_buckets(steps.size(), columns);
  std::string out = fmt::format("{{\"edition\":{},", run.edition()), names, values;
  append_axes(out, run.curves(), kept, [&](std::size_t i) { return steps[i]; });
  for (const auto& [row, curve] : rows) {
    names += (names.empty() ? "" : ",") + json_text(row);
    values += values.empty() ? "[" : ",[";
    std::size_t at = 0;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const auto before = at;
      while (at < curve.steps.size() && curve.steps[at] <= steps[kept[i]]) ++at;
      values += i > 0 ? "," : "";
      append_short(values, at > before ? curve.values[at - 1] : NAN);
    }
    values += ']';
  }
  return out + "\"names\":[" + names + "],\"values\":[" + values + "]}";
}

std::string spectrum_json(const FollowedRun& run, std::string_view name, std::string_view row, std::size_t frames, std::size_t points) {
  static const Spectrum none;
  const auto& spectra = run.curves().spectra();
  const Spectrum* course = &none;
  if (const auto rows = spectra.find(name); rows != spectra.end())
    if (const auto found = rows->second.find(row); found != rows->second.end()) course = &found->second;
  auto kept = last_of_buckets(course->steps.size(), frames - 1);
  if (!kept.empty() && kept.front() != 0) kept.insert(kept.begin(), 0);
  std::string out = fmt::format("{{\"edition\":{},", run.edition());
  append_axes(out, run.curves(), kept, [&](std::size_t i) { return course->steps[i]; });
  out += "\"values\":[";
  for (const auto i : kept) {
    out += i == kept.front() ? "[" : ",[";
    const auto values = thinned(course->values[i], points);
    for (std::size_t k = 0; k < values.size(); ++k) {
      if (k > 0) out += ',';
      append_short(out, values[k]);
    }
    out += ']';
  }
  return out + "]}";
}

std::string spectra_json(const FollowedRun& run, std::size_t bytes) {
  const auto all = [&](std::size_t frames, std::size_t points) {
    std::string out = "{";
    for (const auto& [name, rows] : run.curves().spectra()) {
      out += (out.size() > 1 ? "," : "") + json_text(name) + ":";
      for (const auto& [row, course] : rows)
        out += (&row == &rows.begin()->first ? "{" : ",") + json_text(row) + ":" + spectrum_json(run, name, row, frames, points);
      out += '}';
    }
    return out + "}";
  };
  // Fewer values only where they leave no room for eight steps.
  std::size_t points = longest_spectrum, size = all(8, points).size();
  while (size > bytes && points > 16) size = all(8, points /= 2).size();
  for (auto frames = std::min<std::size_t>(8 * bytes / size, 60); frames > 2; frames = frames * 3 / 4)
    if (auto text = all(frames, points); text.size() <= bytes) return text;
  return all(2, points);
}

std::string samples_json(const FollowedRun& run, std::size_t limit) { return text_of(placed(run.curves().samples(), run.curves(), limit)); }
std::string events_json(const FollowedRun& run, std::size_t limit) { return text_of(placed(run.curves().events(), run.curves(), limit)); }

}  // namespace isotrope
