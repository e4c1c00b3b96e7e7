#include "isotrope/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <set>
#include <tuple>

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"

namespace isotrope {

using nlohmann::json;

namespace {

constexpr std::string_view in_safetensors = "safetensors";
constexpr std::uint64_t max_header_bytes = 100'000'000;  // the format's own limit

/// A name from the file as a message shows it: escaped when it would break the line.
std::string escaped(const std::string& name) {
  const bool plain = std::ranges::all_of(name, [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
  return plain ? name : json(name).dump();
}

std::uint64_t natural(const json& value, std::string_view file, std::string_view tensor, std::string_view what) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > INT64_MAX)
    throw InputError(in_safetensors, "{}: tensor {}: {}: expected a whole number from 0 to 2^63 - 1, got {}", file, tensor, what,
                     value.is_number() ? value.dump() : std::string(json_kind(value)));
  return value.get<std::uint64_t>();
}

const json& field(const json& entry, const char* key, json::value_t type, std::string_view expected, std::string_view file,
                  std::string_view tensor) {
  const auto at = entry.find(key);
  if (at == entry.end()) throw InputError(in_safetensors, "{}: tensor {} has no \"{}\"", file, tensor, key);
  if (at->type() != type)
    throw InputError(in_safetensors, "{}: tensor {}: \"{}\": expected {}, got {}", file, tensor, key, expected, json_kind(*at));
  return *at;
}

struct Placed {
  TensorView view;
  std::uint64_t begin, end;
};

/// One entry of the header, checked against itself and the size of the data.
Placed parse_entry(const std::string& full_name, const json& entry, std::uint64_t data_bytes, std::string_view file) {
  const auto name = escaped(full_name);
  if (!entry.is_object()) throw InputError(in_safetensors, "{}: tensor {}: expected an object, got {}", file, name, json_kind(entry));
  const auto& dtype_text = field(entry, "dtype", json::value_t::string, "a string", file, name).get_ref<const std::string&>();
  const auto dtype = dtype_from_name(dtype_text);
  if (!dtype) throw InputError(in_safetensors, "{}: tensor {}: unknown dtype \"{}\"", file, name, dtype_text);
  std::vector<std::int64_t> shape;
  for (const auto& dim : field(entry, "shape", json::value_t::array, "an array", file, name))
    shape.push_back(static_cast<std::int64_t>(natural(dim, file, name, "shape")));
  const auto& offsets = field(entry, "data_offsets", json::value_t::array, "an array", file, name);
  if (offsets.size() != 2) throw InputError(in_safetensors, "{}: tensor {}: expected 2 data_offsets, got {}", file, name, offsets.size());
  const auto begin = natural(offsets[0], file, name, "data_offsets"), end = natural(offsets[1], file, name, "data_offsets");
  if (end < begin) throw InputError(in_safetensors, "{}: tensor {} ends at byte {}, before its begin at {}", file, name, end, begin);
  if (end > data_bytes) throw InputError(in_safetensors, "{}: tensor {} ends at byte {}, the file has {}", file, name, end, data_bytes);
  const auto expected = byte_count(shape, *dtype);
  if (!expected) throw InputError(in_safetensors, "{}: tensor {}: shape {} of {} is too large", file, name, shape_text(shape), dtype_text);
  if (*expected != end - begin)
    throw InputError(in_safetensors, "{}: tensor {}: shape {} of {} takes {} bytes, its offsets give {}", file, name, shape_text(shape),
                     dtype_text, *expected, end - begin);
  return {{full_name, *dtype, std::move(shape), {}}, begin, end};
}

/// Refuses data that is not covered exactly once.
void check_cover(const std::vector<Placed>& placed, std::uint64_t data_bytes, std::string_view file) {
  std::uint64_t reached = 0;
  const std::string* before = nullptr;
  for (const auto& [view, begin, end] : placed) {
    if (begin < reached)
      throw InputError(in_safetensors, "{}: tensor {} begins at byte {}, inside tensor {}", file, escaped(view.name), begin,
                       escaped(*before));
    if (begin > reached)
      throw InputError(in_safetensors, "{}: tensor {} begins at byte {}: the {} bytes before it belong to no tensor", file,
                       escaped(view.name), begin, begin - reached);
    reached = end;
    before = &view.name;
  }
  if (reached != data_bytes) throw InputError(in_safetensors, "{}: the tensors end at byte {}, the file has {}", file, reached, data_bytes);
}

std::map<std::string, std::string> parse_metadata(const json& entry, std::string_view file) {
  if (!entry.is_object()) throw InputError(in_safetensors, "{}: \"__metadata__\": expected an object, got {}", file, json_kind(entry));
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string())
      throw InputError(in_safetensors, "{}: \"__metadata__.{}\": expected a string, got {}", file, key, json_kind(value));
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const fs::path& path) : map_(path, in_safetensors), path_(path) { parse(map_.bytes()); }

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, const std::string& name) : path_(name) { parse(bytes); }

void SafetensorsFile::parse(std::span<const std::byte> bytes) {
  const auto file = path_.string();
  if (bytes.size() < 8) throw InputError(in_safetensors, "{}: {} bytes are too few for a safetensors file", file, bytes.size());
  std::uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), 8);
  if (header_bytes > max_header_bytes)
    throw InputError(in_safetensors, "{}: the header claims {} bytes, the limit is {}: not a safetensors file?", file, header_bytes,
                     max_header_bytes);
  if (header_bytes > bytes.size() - 8)
    throw InputError(in_safetensors, "{}: the header claims {} bytes, the file has {} after its first 8: truncated?", file, header_bytes,
                     bytes.size() - 8);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data() + 8), header_bytes);
  const auto header = parse_json(text, in_safetensors, file, {.max_depth = 8, .unique_keys = true});
  if (!header.is_object()) throw InputError(in_safetensors, "{}: the header: expected a JSON object, got {}", file, json_kind(header));

  const auto data = bytes.subspan(8 + header_bytes);
  std::vector<Placed> placed;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") metadata_ = parse_metadata(entry, file);
    else placed.push_back(parse_entry(name, entry, data.size(), file));
  }
  std::ranges::sort(placed, {}, [](const Placed& at) { return std::tie(at.begin, at.end, at.view.name); });
  check_cover(placed, data.size(), file);
  for (auto& [view, begin, end] : placed) {
    view.bytes = data.subspan(begin, end - begin);
    places_.emplace(view.name, tensors_.size());
    tensors_.push_back(std::move(view));
  }
}

const TensorView* SafetensorsFile::find(std::string_view name) const {
  const auto at = places_.find(name);
  return at == places_.end() ? nullptr : &tensors_[at->second];
}

// ---- folders ------------------------------------------------------------------------------------------------------

TensorFolder::TensorFolder(const fs::path& folder_or_file) : path_(folder_or_file) {
  const auto single = path_ / "model.safetensors", index = path_ / "model.safetensors.index.json";
  if (!fs::exists(path_)) throw InputError(in_safetensors, "{}: no such file or folder", path_.string());
  if (!fs::is_directory(path_) && path_.extension() == ".json") read_shards(path_);
  else if (!fs::is_directory(path_)) files_.emplace_back(path_);
  else if (fs::exists(single)) files_.emplace_back(single);
  else if (fs::exists(index)) read_shards(index);
  else if (fs::exists(path_ / "pytorch_model.bin") || fs::exists(path_ / "pytorch_model.bin.index.json"))
    throw with_hint(InputError(in_safetensors, "{}: pytorch_model.bin is a Python pickle, expected model.safetensors", path_.string()),
                    fmt::format("python tools/bin_to_safetensors.py {} writes it", path_.string()));
  else throw InputError(in_safetensors, "{}: neither model.safetensors nor model.safetensors.index.json is in this folder", path_.string());

  if (tensors_.empty()) tensors_ = files_.front().tensors();
  for (const auto& view : tensors_) {
    places_.emplace(view.name, places_.size());
    total_bytes_ += view.bytes.size();
  }
}

void TensorFolder::read_shards(const fs::path& index) {
  const auto content = read_json(index, in_safetensors, {.unique_keys = true});
  const auto weight_map = JsonReader(content, std::string(in_safetensors), index.string()).get_object("weight_map");
  std::map<std::string, std::size_t> shards;
  for (const auto& [tensor, value] : weight_map.object().items()) {
    const auto shard = weight_map.get_string(tensor);
    if (shard.empty() || shard == "." || shard == ".." || shard.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos)
      throw InputError(in_safetensors, "{}: tensor {}: shard {} is not the name of a file in this folder", index.string(), escaped(tensor),
                       json(shard).dump());
    const auto [place, fresh] = shards.emplace(shard, files_.size());
    if (fresh) files_.emplace_back(index.parent_path() / shard);
    const auto* view = files_[place->second].find(tensor);
    if (!view) throw InputError(in_safetensors, "{}: tensor {} is not in shard {}", index.string(), escaped(tensor), shard);
    tensors_.push_back(*view);
  }
  if (files_.empty()) throw InputError(in_safetensors, "{}: \"weight_map\" names no tensor", index.string());
}

const TensorView* TensorFolder::find(std::string_view name) const {
  const auto at = places_.find(name);
  return at == places_.end() ? nullptr : &tensors_[at->second];
}

// ---- writing ------------------------------------------------------------------------------------------------------

namespace {

std::string header_text(const fs::path& path, std::span<const TensorView> tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string_view> names{"__metadata__"};
  std::uint64_t offset = 0;
  for (const auto& [name, dtype, shape, bytes] : tensors) {
    if (!names.insert(name).second) throw WorkError(in_safetensors, "{}: two tensors are called {}", path.string(), name);
    if (std::ranges::any_of(shape, [](auto dim) { return dim < 0; }) || byte_count(shape, dtype) != bytes.size())
      throw WorkError(in_safetensors, "{}: tensor {}: shape {} of {} does not take {} bytes", path.string(), name, shape_text(shape),
                      dtype_name(dtype), bytes.size());
    header[name] = {{"dtype", dtype_name(dtype)}, {"shape", shape}, {"data_offsets", {offset, offset + bytes.size()}}};
    offset += bytes.size();
  }
  auto text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

/// Consecutive groups of at most `max_bytes` each.
std::vector<std::span<const TensorView>> split(std::span<const TensorView> tensors, std::uint64_t max_bytes) {
  std::vector<std::span<const TensorView>> shards;
  std::size_t begin = 0;
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (i > begin && size + tensors[i].bytes.size() > max_bytes) {
      shards.push_back(tensors.subspan(begin, i - begin));
      begin = i;
      size = 0;
    }
    size += tensors[i].bytes.size();
  }
  shards.push_back(tensors.subspan(begin));
  return shards;
}

}  // namespace

void write_safetensors(const fs::path& path, std::span<const TensorView> tensors, const std::map<std::string, std::string>& metadata) {
  const auto header = header_text(path, tensors, metadata);
  const std::uint64_t header_bytes = header.size();
  AtomicFile file(path, in_safetensors);
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(header);
  for (const auto& tensor : tensors) file.write(tensor.bytes);
  file.commit();
}

std::vector<fs::path> write_tensor_folder(const fs::path& folder, std::span<const TensorView> tensors, std::uint64_t max_shard_bytes,
                                          const std::map<std::string, std::string>& metadata) {
  const auto shards = split(tensors, max_shard_bytes);
  if (shards.size() == 1) {
    write_safetensors(folder / "model.safetensors", tensors, metadata);
    return {folder / "model.safetensors"};
  }
  std::vector<fs::path> written;
  std::uint64_t total = 0;
  json weight_map = json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const auto name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_safetensors(folder / name, shards[i], metadata);
    written.push_back(folder / name);
    for (const auto& tensor : shards[i]) {
      weight_map[tensor.name] = name;
      total += tensor.bytes.size();
    }
  }
  const auto index = folder / "model.safetensors.index.json";
  write_file(index, json{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}}.dump(2) + "\n", in_safetensors);
  written.push_back(index);
  return written;
}

}  // namespace isotrope
