#pragma once

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "isotrope/base/file.h"

namespace isotrope::tests {

/// A file of tests/data/tokenizer, made by tools/oracles/tokenizer_goldens.py.
inline std::filesystem::path golden_path(const std::string& name) {
  return std::filesystem::path(ISOTROPE_TEST_SOURCE) / "data/tokenizer" / name;
}
inline nlohmann::json golden(const std::string& name) { return nlohmann::json::parse(read_file(golden_path(name), "test")); }

/// The folder of large public texts, empty when ISOTROPE_DATA is not set.
inline std::filesystem::path data_folder() {
  const char* folder = std::getenv("ISOTROPE_DATA");
  return folder ? folder : "";
}

/// A fresh folder of this test's own, removed when it goes out of scope.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "isotrope-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace isotrope::tests
