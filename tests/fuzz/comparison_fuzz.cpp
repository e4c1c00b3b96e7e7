// Any bytes as compare.json: what is read of them is JSON that reads the same again, or a problem says why there is nothing.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "isotrope/io/json.h"
#include "isotrope/report/comparison.h"

namespace {

const std::filesystem::path& folder() {
  static const std::filesystem::path path = [] {
    const auto memory = std::filesystem::exists("/dev/shm") ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
    auto fresh = memory / ("isotrope_comparison_fuzz_" + std::to_string(::getpid()));
    std::filesystem::create_directories(fresh);
    return fresh;
  }();
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::ofstream(folder() / "compare.json", std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  isotrope::FollowedComparison comparison(folder());
  comparison.refresh();
  if (comparison.text().empty() == comparison.problem().empty()) __builtin_trap();
  if (!comparison.text().empty() && isotrope::parse_json(comparison.text(), "fuzz", "text").at("format") != 1) __builtin_trap();
  return 0;
}
