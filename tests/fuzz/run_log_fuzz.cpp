// Any bytes as a run log: reading ends in effective records or in an InputError, and what was read can be exported and written again.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "isotrope/base/error.h"
#include "isotrope/runlog/export.h"
#include "isotrope/runlog/reader.h"
#include "isotrope/runlog/run_log.h"
#include "isotrope/runlog/tensorboard.h"

namespace {

const std::filesystem::path& folder() {
  static const std::filesystem::path path = [] {
    // In memory where there is such a file system: every input is a file.
    const auto memory = std::filesystem::exists("/dev/shm") ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
    auto fresh = memory / ("isotrope_run_log_fuzz_" + std::to_string(::getpid()));
    std::filesystem::create_directories(fresh);
    return fresh;
  }();
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::ofstream(folder() / "run.jsonl", std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    const auto read = isotrope::read_run_log(folder());
    isotrope::csv_text(read.records);
    const auto curves = isotrope::read_curves(folder());
    isotrope::tables_csv_text(curves);
    isotrope::spectra_csv_text(curves);
    isotrope::tensorboard_events(curves);
    isotrope::RunLog::open(folder()).append({{"type", "end"}, {"reason", "done"}});
    const auto again = isotrope::read_run_log(folder());
    if (again.torn || again.records.size() != std::max<std::size_t>(read.records.size(), 1) + 1) __builtin_trap();
  } catch (const isotrope::InputError&) {}
  return 0;
}
