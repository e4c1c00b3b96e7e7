#include "isotrope/report/comparison.h"

#include <sys/stat.h>

#include <initializer_list>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/io/json.h"

namespace isotrope {

namespace {

constexpr std::string_view in_comparison = "compare";
constexpr std::int64_t comparison_format = 1;
constexpr std::size_t longest_comparison = std::size_t{8} << 20, deepest_comparison = 32;

enum class Kind { text, list, object };

/// Throws InputError unless the member `list` is a list of objects that have these members.
void check_list(const JsonReader& comparison, const char* list, std::initializer_list<std::pair<const char*, Kind>> members) {
  std::size_t at = 0;
  for (const auto& entry : comparison.get_array(list)) {
    const JsonReader reader(entry, std::string(in_comparison), fmt::format("{}: {}[{}]", comparison.name(), list, at++));
    for (const auto& [key, kind] : members) {
      if (kind == Kind::text) reader.get_string(key);
      if (kind == Kind::list) reader.get_array(key);
      if (kind == Kind::object) reader.get_object(key);
    }
  }
}

/// Throws InputError unless this is a comparison as far as the page relies on it: its numbers may all be missing.
void check_comparison(const nlohmann::json& value, const std::string& name) {
  const JsonReader comparison(value, std::string(in_comparison), name);
  const auto format = comparison.get_int("format");
  if (format > comparison_format)
    throw with_hint(
        InputError(in_comparison, "{}: is a comparison of format {}, this program reads up to {}", name, format, comparison_format),
        "a newer Isotrope wrote it");
  if (format < 1) throw InputError(in_comparison, "{}: \"format\": expected {}, got {}", name, comparison_format, format);
  check_list(comparison, "axes", {{"key", Kind::text}, {"values", Kind::list}});
  check_list(comparison, "runs", {{"settings", Kind::object}, {"folder", Kind::text}, {"status", Kind::text}});
  check_list(comparison, "summary", {{"settings", Kind::object}});
  check_list(comparison, "best", {{"settings", Kind::object}, {"axis", Kind::text}});
}

}  // namespace

void FollowedComparison::read(const fs::path& file) {
  text_.clear();
  problem_.clear();
  try {
    // Like a run's configuration it must lie in the folder itself: a link would show what is elsewhere.
    if (fs::is_symlink(file) || !fs::is_regular_file(file)) throw InputError(in_comparison, "{}: is not a regular file", file.string());
    const auto value =
        parse_json(read_file(file, in_comparison, longest_comparison), in_comparison, file.string(), {.max_depth = deepest_comparison});
    check_comparison(value, file.string());
    text_ = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  } catch (const InputError& error) {
    problem_ = error.message();
  } catch (const fs::filesystem_error& error) {
    problem_ = error.what();
  }
}

bool FollowedComparison::refresh() {
  if (folder_.empty()) return false;
  const auto file = folder_ / "compare.json";
  struct stat status{};
  auto found = decltype(read_){};
  if (::lstat(file.c_str(), &status) == 0)
    found = {status.st_ino, static_cast<std::uint64_t>(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  if (found == read_) return false;
  read_ = found;
  ++edition_;
  if (found == decltype(read_){}) {
    text_.clear();
    problem_.clear();
  } else {
    read(file);
  }
  return true;
}

std::string FollowedComparison::place_of(const fs::path& run) const {
  return folder_.empty() ? "" : run.lexically_relative(folder_).generic_string();
}

}  // namespace isotrope
