#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "tests/io/temporary_folder.h"

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

/// The message of the InputError that `work` throws, without its hint; "no error" when it throws none.
inline std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const InputError& error) {
    return error.message();
  }
  return "no error";
}

inline void expect_error(const std::string& message, const std::string& part) {
  EXPECT_NE(message.find(part), std::string::npos) << "got: " << message;
}

}  // namespace isotrope::tests
