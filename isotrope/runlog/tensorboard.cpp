#include "isotrope/runlog/tensorboard.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <iterator>
#include <utility>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"

namespace isotrope {

namespace {

// ---- protocol buffers: the four kinds of field that an Event needs -----------------------------------------------------

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

template <class Bits>
void append_little_endian(std::string& out, Bits bits) {
  for (std::size_t i = 0; i < sizeof bits; ++i) out += static_cast<char>(bits >> (8 * i));
}

void append_integer(std::string& out, int field, std::uint64_t value) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3);
  append_varint(out, value);
}

void append_double(std::string& out, int field, double value) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 1);
  append_little_endian(out, std::bit_cast<std::uint64_t>(value));
}

void append_bytes(std::string& out, int field, std::string_view bytes) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

void append_float(std::string& out, int field, float value) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 5);
  append_little_endian(out, std::bit_cast<std::uint32_t>(value));
}

// ---- events -----------------------------------------------------------------------------------------------------------

/// Length, its checksum, data, its checksum; checksums are rotated so that one of a file of such records differs from theirs.
void append_record(std::string& out, std::string_view data) {
  const auto masked = [](std::string_view bytes) {
    const auto crc = crc32c(bytes);
    return static_cast<std::uint32_t>((crc >> 15 | crc << 17) + 0xa282ead8U);
  };
  std::string length;
  append_little_endian(length, static_cast<std::uint64_t>(data.size()));
  out += length;
  append_little_endian(out, masked(length));
  out += data;
  append_little_endian(out, masked(data));
}

/// An Event with one value of a Summary.
std::string event(double time, std::uint64_t step, std::string_view value) {
  std::string summary, result;
  append_bytes(summary, 1, value);
  append_double(result, 1, time);
  if (step != 0) append_integer(result, 2, step);
  append_bytes(result, 5, summary);
  return result;
}

std::string scalar_value(std::string_view tag, double number) {
  std::string value;
  append_bytes(value, 1, tag);
  append_float(value, 2, static_cast<float>(number));
  return value;
}

/// A tensor that a plugin shows; `field` is the one of TensorProto that holds the content of its type.
std::string tensor_value(std::string_view tag, std::string_view plugin_name, std::initializer_list<std::uint64_t> sizes, std::uint64_t type,
                         int field, std::string_view content) {
  std::string plugin, metadata, shape, tensor, value;
  append_bytes(plugin, 1, plugin_name);
  append_bytes(metadata, 1, plugin);
  for (const auto size : sizes) {
    std::string dimension;
    append_integer(dimension, 1, size);
    append_bytes(shape, 2, dimension);
  }
  append_integer(tensor, 1, type);
  append_bytes(tensor, 2, shape);
  append_bytes(tensor, field, content);
  append_bytes(value, 1, tag);
  append_bytes(value, 8, tensor);
  append_bytes(value, 9, metadata);
  return value;
}

/// A one-element string tensor that the text plugin shows.
std::string text_value(std::string_view tag, std::string_view text) {
  constexpr std::uint64_t string_type = 7;
  return tensor_value(tag, "text", {1}, string_type, 8, text);
}

/// What the histogram plugin shows of `values`: rows of left edge, right edge and count as a tensor of doubles.
std::string histogram_value(std::string_view tag, const std::vector<double>& values) {
  constexpr std::uint64_t double_type = 2, buckets = 30;
  std::vector<double> finite;
  std::ranges::copy_if(values, std::back_inserter(finite), [](double value) { return std::isfinite(value); });
  if (finite.empty()) return "";
  const auto [low, high] = std::ranges::minmax(finite);
  // Where all are equal, or their range is no number, the last bucket holds them all.
  const double width = std::isfinite(high - low) ? (high - low) / buckets : 0;
  std::array<double, buckets> counts{};
  for (const double value : finite)
    counts[width > 0 ? static_cast<std::size_t>(std::min((value - low) / width, buckets - 1.0)) : buckets - 1] += 1;
  const auto edge = [&](std::size_t i) { return i == buckets ? high : low + static_cast<double>(i) * width; };
  std::string content;
  for (std::size_t i = 0; i < buckets; ++i)
    for (const double number : {edge(i), edge(i + 1), counts[i]}) append_little_endian(content, std::bit_cast<std::uint64_t>(number));
  return tensor_value(tag, "histograms", {buckets, 3}, double_type, 4, content);
}

/// The run's start in seconds since 1970; 0 when the log does not say.
double started(const RunCurves& run) {
  const auto& header = run.header();
  if (!header.is_object() || !header.contains("started") || !header["started"].is_string()) return 0;
  std::tm parts{};
  const char* end = ::strptime(header["started"].get_ref<const std::string&>().c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return end && *end == '\0' ? static_cast<double>(::timegm(&parts)) : 0;
}

/// `train/loss` for `loss`, `eval/nll` for `eval.nll`: TensorBoard makes groups of what stands before the slash.
std::string tag_of(std::string_view key) {
  std::string tag(key);
  const auto dot = tag.find('.');
  if (dot == std::string::npos) return "train/" + tag;
  tag[dot] = '/';
  return tag;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      entries[i] = i;
      for (int bit = 0; bit < 8; ++bit) entries[i] = entries[i] >> 1 ^ (entries[i] & 1 ? 0x82f63b78U : 0U);
    }
    return entries;
  }();
  std::uint32_t crc = 0xffffffffU;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::string tensorboard_events(const RunCurves& run) {
  const double start = started(run);
  const auto time = [&](std::uint64_t step) {
    const double seconds = run.position("seconds", step);
    return start + (std::isfinite(seconds) ? seconds : 0);
  };
  std::vector<std::pair<std::uint64_t, std::string>> values;
  for (const auto& [key, curve] : run.curves())
    for (std::size_t i = 0; i < curve.steps.size(); ++i) values.emplace_back(curve.steps[i], scalar_value(tag_of(key), curve.values[i]));
  for (const auto& [table, rows] : run.tables())
    for (const auto& [row, curve] : rows)
      for (std::size_t i = 0; i < curve.steps.size(); ++i)
        values.emplace_back(curve.steps[i], scalar_value(table + "/" + row, curve.values[i]));
  for (const auto& [spectrum, rows] : run.spectra())
    for (const auto& [row, course] : rows)
      for (std::size_t i = 0; i < course.steps.size(); ++i)
        if (auto value = histogram_value(spectrum + "/" + row, course.values[i]); !value.empty())
          values.emplace_back(course.steps[i], std::move(value));
  for (const auto& sample : run.samples()) {
    std::string text;
    for (const auto* part : {"prompt", "text"})
      if (sample.contains(part) && sample[part].is_string()) text += sample[part].get_ref<const std::string&>();
    values.emplace_back(sample["step"].get<std::uint64_t>(), text_value("sample", text));
  }
  std::ranges::stable_sort(values, {}, &std::pair<std::uint64_t, std::string>::first);

  std::string first, file;
  append_double(first, 1, start);
  append_bytes(first, 3, "brain.Event:2");
  append_record(file, first);
  for (const auto& [step, value] : values) append_record(file, event(time(step), step, value));
  return file;
}

void export_tensorboard(const RunCurves& run, const std::filesystem::path& folder) {
  create_folders(folder, "tensorboard");
  write_file(folder / fmt::format("events.out.tfevents.{:.0f}.isotrope", started(run)), tensorboard_events(run), "tensorboard");
}

}  // namespace isotrope
