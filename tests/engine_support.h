#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "isotrope/io/safetensors.h"
#include "isotrope/models/checkpoint.h"

namespace isotrope::test {

/// ‖got − expected‖₂ / ‖expected‖₂, in double.
inline double relative(const at::Tensor& got, const at::Tensor& expected) {
  const auto reference = expected.to(at::kDouble);
  const auto scale = reference.norm().item<double>();
  const auto difference = (got.detach().to(at::kDouble) - reference).norm().item<double>();
  return scale > 0 ? difference / scale : difference;
}

/// max|got − expected| / max|expected|.
inline double relative_max(const at::Tensor& got, const at::Tensor& expected) {
  const auto reference = expected.to(at::kDouble);
  return ((got.detach().to(at::kDouble) - reference).abs().max() / reference.abs().max()).item<double>();
}

/// A file of golden tensors.
class Goldens {
 public:
  explicit Goldens(const fs::path& path) : file_(path) {}
  at::Tensor operator()(const std::string& name) const {
    const auto* view = file_.find(name);
    if (!view) throw std::runtime_error("no golden tensor " + name);
    return at::from_blob(const_cast<std::byte*>(view->bytes.data()), view->shape, at::TensorOptions(tensor_dtype(view->dtype))).clone();
  }
  bool has(const std::string& name) const { return file_.find(name); }
  const SafetensorsFile& file() const { return file_; }

 private:
  SafetensorsFile file_;
};

inline fs::path source(const std::string& path) { return fs::path(ISOTROPE_TEST_SOURCE) / path; }

/// An empty folder for one test, removed afterwards.
class TestFolder {
 public:
  TestFolder() {
    std::string name = (fs::temp_directory_path() / "isotrope-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TestFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace isotrope::test
