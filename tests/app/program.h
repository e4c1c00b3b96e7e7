#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace isotrope::test {

struct ProgramResult {
  int code;
  std::string out, err;
};

/// Runs the program under test through the shell, `arguments` as one would type them.
inline ProgramResult run_program(const std::string& arguments) {
  static int runs = 0;
  const auto base = std::filesystem::temp_directory_path() / ("isotrope_run_" + std::to_string(::getpid()) + "_" + std::to_string(++runs));
  const auto slurp = [](const std::filesystem::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    std::filesystem::remove(path);
    return text.str();
  };
  const std::string out = base.string() + ".out", err = base.string() + ".err";
  const int status = std::system(("'" ISOTROPE_TEST_PROGRAM "' " + arguments + " >'" + out + "' 2>'" + err + "'").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, slurp(out), slurp(err)};
}

}  // namespace isotrope::test
