// GGUF: docs/formats/gguf.md says what is read and written.
#include "isotrope/io/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <type_traits>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

constexpr std::string_view in_gguf = "gguf";
constexpr std::uint32_t gguf_magic = 0x46554747;  // "GGUF"
constexpr std::uint64_t default_alignment = 32;
constexpr int deepest_array = 4;
constexpr std::uint32_t most_dimensions = 4;

/// A name from the file as a message shows it: escaped when it would break the line, cut when it is long.
std::string shown(std::string_view name) {
  constexpr std::size_t longest = 120;
  std::string text(name.substr(0, longest));
  if (name.size() > longest) text += "...";
  const bool plain = std::ranges::all_of(text, [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  return plain ? text : nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

constexpr std::string_view kinds[] = {"an unsigned 8-bit integer",
                                      "an 8-bit integer",
                                      "an unsigned 16-bit integer",
                                      "a 16-bit integer",
                                      "an unsigned 32-bit integer",
                                      "a 32-bit integer",
                                      "a 32-bit float",
                                      "true or false",
                                      "a string",
                                      "an array",
                                      "an unsigned 64-bit integer",
                                      "a 64-bit integer",
                                      "a 64-bit float"};

/// The header of a file, read front to back; every step is checked against what is left.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string_view file) : bytes_(bytes), file_(file) {}

  std::size_t position() const { return position_; }
  std::size_t left() const { return bytes_.size() - position_; }

  template <class T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }

  std::string text(std::string_view what) {
    const auto length = number<std::uint64_t>(what);
    if (length > left()) throw InputError(in_gguf, "{}: {}: a string of {} bytes, the file has {} left", file_, what, length, left());
    const auto bytes = take(length, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// A count of things that take at least `least` bytes each.
  std::uint64_t count(std::string_view what, std::size_t least) {
    const auto count = number<std::uint64_t>(what);
    if (count > left() / least) throw InputError(in_gguf, "{}: {}: {}, the file has only {} bytes left", file_, what, count, left());
    return count;
  }

  GgufValue value(std::uint32_t type, const std::string& key) { return make<GgufValue>(type, key, 0); }

 private:
  std::span<const std::byte> take(std::size_t size, std::string_view what) {
    if (size > left()) throw InputError(in_gguf, "{}: ends inside {}, at byte {}: truncated?", file_, what, bytes_.size());
    position_ += size;
    return bytes_.subspan(position_ - size, size);
  }

  template <class T>
  T element(const std::string& key, int depth) {
    if constexpr (std::is_same_v<T, std::string>) return text(key);
    else if constexpr (std::is_same_v<T, GgufArray>) return array(key, depth + 1);
    else if constexpr (std::is_same_v<T, bool>) return number<std::uint8_t>(key) != 0;
    else return number<T>(key);
  }

  /// The alternative of `Variant` that has the place `type`, read from the file.
  template <class Variant, std::size_t Place = 0>
  Variant make(std::uint32_t type, const std::string& key, int depth) {
    if constexpr (Place == std::variant_size_v<Variant>) {
      throw InputError(in_gguf, "{}: {}: type {} of metadata is unknown", file_, key, type);
    } else {
      using T = std::variant_alternative_t<Place, Variant>;
      if (type != Place) return make<Variant, Place + 1>(type, key, depth);
      if constexpr (std::is_same_v<Variant, GgufValue>) return Variant(std::in_place_index<Place>, element<T>(key, depth));
      else return Variant(std::in_place_index<Place>, elements<typename T::value_type>(key, depth));
    }
  }

  template <class T>
  std::vector<T> elements(const std::string& key, int depth) {
    constexpr std::size_t least = std::is_same_v<T, std::string> ? 8
                                  : std::is_same_v<T, GgufArray> ? 12
                                  : std::is_same_v<T, bool>      ? 1
                                                                 : sizeof(T);
    const auto size = count(key, least);
    std::vector<T> all;
    all.reserve(size);
    for (std::uint64_t i = 0; i < size; ++i) all.push_back(element<T>(key, depth));
    return all;
  }

  GgufArray array(const std::string& key, int depth) {
    if (depth > deepest_array) throw InputError(in_gguf, "{}: {}: arrays nested more than {} deep", file_, key, deepest_array);
    const auto type = number<std::uint32_t>(key);
    return {make<decltype(GgufArray::elements)>(type, key, depth)};
  }

  std::span<const std::byte> bytes_;
  std::string_view file_;
  std::size_t position_ = 0;
};

void check_version(std::uint32_t version, std::string_view file) {
  if (version == 2 || version == 3) return;
  if ((version & 0xffff) == 0 && version != 0) throw InputError(in_gguf, "{}: is big-endian, only little-endian files are read", file);
  throw InputError(in_gguf, "{}: version {}, expected 2 or 3", file, version);
}

/// Where a tensor lies, from the beginning of the data.
struct Place {
  std::uint64_t offset, size;
};

std::string type_text(std::uint32_t type) {
  const auto name = ggml_type_name(type);
  return name.empty() ? fmt::format("{}", type) : fmt::format("{} ({})", type, name);
}

/// One entry of the tensor table, checked against itself.
std::pair<PackedTensor, Place> read_entry(Cursor& cursor, std::string_view file) {
  PackedTensor tensor{.name = cursor.text("the tensor table")};
  const auto name = shown(tensor.name);
  const auto dimensions = cursor.number<std::uint32_t>(name);
  if (dimensions > most_dimensions)
    throw InputError(in_gguf, "{}: tensor {} has {} dimensions, at most {} are possible", file, name, dimensions, most_dimensions);
  std::uint64_t numbers = 1;
  bool overflows = false;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto size = cursor.number<std::uint64_t>(name);
    overflows = overflows || size > INT64_MAX || __builtin_mul_overflow(numbers, size, &numbers) || numbers > INT64_MAX;
    tensor.shape.insert(tensor.shape.begin(), static_cast<std::int64_t>(size));
  }
  const auto type = cursor.number<std::uint32_t>(name);
  const auto offset = cursor.number<std::uint64_t>(name);
  const auto packing = packing_from_number(type);
  if (!packing) throw InputError(in_gguf, "{}: tensor {} has type {}, which is not supported", file, name, type_text(type));
  tensor.packing = *packing;
  std::uint64_t size;
  if (overflows || __builtin_mul_overflow(numbers / block_size(*packing), block_bytes(*packing), &size))
    throw InputError(in_gguf, "{}: tensor {}: its shape is too large", file, name);
  const auto row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (static_cast<std::uint64_t>(row) % block_size(*packing) != 0)
    throw InputError(in_gguf, "{}: tensor {}: rows of {} numbers are no whole blocks of {}, as {} has them", file, name, row,
                     block_size(*packing), packing_name(*packing));
  return {std::move(tensor), {offset, size}};
}

/// Refuses data that is not aligned, lies outside the file or in another tensor's place. `data_bytes`: from the beginning of the data on.
void check_places(const std::vector<PackedTensor>& tensors, const std::vector<Place>& places, std::uint64_t alignment,
                  std::uint64_t data_bytes, std::string_view file) {
  std::vector<std::size_t> order(places.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair(places[i].offset, places[i].size); });
  std::uint64_t reached = 0;
  const std::string* before = nullptr;
  for (const auto i : order) {
    const auto [offset, size] = places[i];
    const auto name = shown(tensors[i].name);
    if (offset % alignment != 0)
      throw InputError(in_gguf, "{}: tensor {} begins at byte {} of the data, which is no multiple of {}", file, name, offset, alignment);
    if (offset > data_bytes || size > data_bytes - offset)
      throw InputError(in_gguf, "{}: tensor {} has {} bytes from byte {} of the data on, the file has {}: truncated?", file, name, size,
                       offset, data_bytes);
    if (offset < reached)
      throw InputError(in_gguf, "{}: tensor {} begins at byte {} of the data, inside tensor {}", file, name, offset, shown(*before));
    reached = offset + size;
    before = &tensors[i].name;
  }
}

}  // namespace

std::string_view gguf_kind(const GgufValue& value) { return kinds[value.index()]; }

GgufFile::GgufFile(const fs::path& path) : map_(path, in_gguf), path_(path) { parse(map_.bytes()); }

GgufFile::GgufFile(std::span<const std::byte> bytes, const std::string& name) : path_(name) { parse(bytes); }

void GgufFile::parse(std::span<const std::byte> bytes) {
  const auto file = path_.string();
  Cursor cursor(bytes, file);
  if (cursor.left() < 4 || cursor.number<std::uint32_t>("the magic") != gguf_magic)
    throw InputError(in_gguf, "{}: does not begin with GGUF: not a GGUF file?", file);
  version_ = cursor.number<std::uint32_t>("the version");
  check_version(version_, file);
  const auto tensors = cursor.count("the number of tensors", 24), values = cursor.count("the number of metadata values", 13);
  for (std::uint64_t i = 0; i < values; ++i) {
    auto key = cursor.text("the metadata");
    const auto name = shown(key);
    if (!keys_.emplace(key, metadata_.size()).second) throw InputError(in_gguf, "{}: metadata {} is given twice", file, name);
    const auto type = cursor.number<std::uint32_t>(name);
    metadata_.emplace_back(std::move(key), cursor.value(type, name));
  }
  std::vector<Place> places;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    auto [tensor, place] = read_entry(cursor, file);
    if (!names_.emplace(tensor.name, tensors_.size()).second)
      throw InputError(in_gguf, "{}: tensor {} is given twice", file, shown(tensor.name));
    tensors_.push_back(std::move(tensor));
    places.push_back(place);
  }

  const auto alignment = get_int("general.alignment", default_alignment);
  if (alignment < 1 || !std::has_single_bit(static_cast<std::uint64_t>(alignment)))
    throw InputError(in_gguf, "{}: general.alignment is {}, expected a power of two", file, alignment);
  const auto step = static_cast<std::uint64_t>(alignment);
  const auto begin = cursor.position() + (step - cursor.position() % step) % step;
  const auto data = bytes.subspan(std::min<std::size_t>(begin, bytes.size()));
  check_places(tensors_, places, step, data.size(), file);
  for (std::size_t i = 0; i < places.size(); ++i) tensors_[i].bytes = data.subspan(places[i].offset, places[i].size);
}

const PackedTensor* GgufFile::find(std::string_view name) const {
  const auto at = names_.find(name);
  return at == names_.end() ? nullptr : &tensors_[at->second];
}

const GgufValue* GgufFile::value(std::string_view key) const {
  const auto at = keys_.find(key);
  return at == keys_.end() ? nullptr : &metadata_[at->second].second;
}

// ---- values by key ------------------------------------------------------------------------------------------------

namespace {

/// The value as an integer, where it is one and fits.
std::optional<std::int64_t> as_int(const GgufValue& value) {
  return std::visit(
      [](const auto& held) -> std::optional<std::int64_t> {
        using T = std::remove_cvref_t<decltype(held)>;
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          if (std::in_range<std::int64_t>(held)) return static_cast<std::int64_t>(held);
        }
        return std::nullopt;
      },
      value);
}

std::optional<double> as_number(const GgufValue& value) {
  if (const auto* held = std::get_if<float>(&value)) return *held;
  if (const auto* held = std::get_if<double>(&value)) return *held;
  if (const auto integer = as_int(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

}  // namespace

const GgufValue& GgufFile::required(std::string_view key) const {
  const auto* found = value(key);
  if (!found) throw InputError(in_gguf, "{}: metadata {} is missing", path_.string(), key);
  return *found;
}

void GgufFile::wrong(std::string_view key, std::string_view expected, const GgufValue& got) const {
  throw InputError(in_gguf, "{}: metadata {}: expected {}, got {}", path_.string(), key, expected, gguf_kind(got));
}

std::int64_t GgufFile::get_int(std::string_view key) const {
  const auto& held = required(key);
  const auto integer = as_int(held);
  if (!integer) wrong(key, "an integer", held);
  return *integer;
}

double GgufFile::get_number(std::string_view key) const {
  const auto& held = required(key);
  const auto number = as_number(held);
  if (!number) wrong(key, "a number", held);
  return *number;
}

std::string GgufFile::get_string(std::string_view key) const {
  const auto& held = required(key);
  const auto* text = std::get_if<std::string>(&held);
  if (!text) wrong(key, "a string", held);
  return *text;
}

bool GgufFile::get_bool(std::string_view key, bool fallback) const {
  const auto* held = value(key);
  if (!held) return fallback;
  if (!std::holds_alternative<bool>(*held)) wrong(key, "true or false", *held);
  return std::get<bool>(*held);
}

std::int64_t GgufFile::get_int(std::string_view key, std::int64_t fallback) const { return value(key) ? get_int(key) : fallback; }
double GgufFile::get_number(std::string_view key, double fallback) const { return value(key) ? get_number(key) : fallback; }
std::string GgufFile::get_string(std::string_view key, std::string_view fallback) const {
  return value(key) ? get_string(key) : std::string(fallback);
}

const std::vector<std::string>& GgufFile::get_strings(std::string_view key) const {
  const auto& held = required(key);
  const auto* array = std::get_if<GgufArray>(&held);
  const auto* strings = array ? std::get_if<std::vector<std::string>>(&array->elements) : nullptr;
  if (!strings) wrong(key, "an array of strings", held);
  return *strings;
}

std::vector<std::int64_t> GgufFile::get_ints(std::string_view key) const {
  const auto& held = required(key);
  const auto* array = std::get_if<GgufArray>(&held);
  if (!array) wrong(key, "an array of integers", held);
  std::vector<std::int64_t> integers;
  std::visit(
      [&](const auto& elements) {
        for (const auto& element : elements) {
          const auto integer = as_int(GgufValue(element));
          if (!integer) throw InputError(in_gguf, "{}: metadata {}: expected an array of integers, got another array", path_.string(), key);
          integers.push_back(*integer);
        }
      },
      array->elements);
  return integers;
}

// ---- writing ------------------------------------------------------------------------------------------------------

namespace {

/// The bytes of a header.
class Header {
 public:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view text) {
    number<std::uint64_t>(text.size());
    bytes_ += text;
  }
  void value(const GgufValue& value) {
    number<std::uint32_t>(static_cast<std::uint32_t>(value.index()));
    std::visit([&](const auto& held) { element(held); }, value);
  }
  std::string& bytes() { return bytes_; }

 private:
  void element(const std::string& held) { text(held); }
  void element(bool held) { number<std::uint8_t>(held); }
  void element(const GgufArray& held) {
    number<std::uint32_t>(static_cast<std::uint32_t>(held.elements.index()));
    std::visit(
        [&](const auto& elements) {
          number<std::uint64_t>(elements.size());
          for (const auto& each : elements) element(each);
        },
        held.elements);
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  void element(T held) {
    number(held);
  }

  std::string bytes_;
};

std::uint64_t aligned(std::uint64_t size) { return (size + default_alignment - 1) / default_alignment * default_alignment; }

std::uint64_t size_of(const GgufEntry& entry, const fs::path& path) {
  std::uint64_t numbers = 1;
  for (const auto size : entry.shape) numbers *= static_cast<std::uint64_t>(size);
  const auto row = entry.shape.empty() ? 1 : entry.shape.back();
  if (entry.shape.size() > most_dimensions || static_cast<std::uint64_t>(row) % block_size(entry.packing) != 0)
    throw WorkError(in_gguf, "{}: tensor {}: shape {} has no place as {}", path.string(), entry.name, shape_text(entry.shape),
                    packing_name(entry.packing));
  return packed_bytes(entry.packing, numbers);
}

}  // namespace

void write_gguf(const fs::path& path, const GgufMetadata& metadata, std::span<const GgufEntry> entries,
                const std::function<std::vector<std::byte>(std::size_t entry)>& data) {
  Header header;
  header.number(gguf_magic);
  header.number<std::uint32_t>(3);
  header.number<std::uint64_t>(entries.size());
  header.number<std::uint64_t>(metadata.size());
  std::set<std::string_view> keys, names;
  for (const auto& [key, value] : metadata) {
    if (!keys.insert(key).second) throw WorkError(in_gguf, "{}: metadata {} is given twice", path.string(), key);
    header.text(key);
    header.value(value);
  }
  std::uint64_t offset = 0;
  for (const auto& entry : entries) {
    if (!names.insert(entry.name).second) throw WorkError(in_gguf, "{}: two tensors are called {}", path.string(), entry.name);
    header.text(entry.name);
    header.number(static_cast<std::uint32_t>(entry.shape.size()));
    for (auto size = entry.shape.rbegin(); size != entry.shape.rend(); ++size) header.number(static_cast<std::uint64_t>(*size));
    header.number(static_cast<std::uint32_t>(entry.packing));
    header.number(offset);
    offset = aligned(offset + size_of(entry, path));
  }

  AtomicFile file(path, in_gguf);
  file.write(header.bytes());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto bytes = data(i);
    if (bytes.size() != size_of(entries[i], path))
      throw WorkError(in_gguf, "{}: tensor {}: {} bytes, its shape takes {}", path.string(), entries[i].name, bytes.size(),
                      size_of(entries[i], path));
    file.write(std::string(aligned(file.size()) - file.size(), '\0'));
    file.write(bytes);
  }
  file.write(std::string(aligned(file.size()) - file.size(), '\0'));
  file.commit();
}

}  // namespace isotrope
