#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "isotrope/base/error.h"

namespace isotrope {

/// An empty folder of its own where the system keeps such things, removed with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "isotrope-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw WorkError("file", "{}: cannot make a temporary folder", name);
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace isotrope
