#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>

#include "CLI/CLI.hpp"
#include "app/commands.h"
#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope_version.h"

namespace isotrope::app {

namespace {

std::multimap<Order, void (*)(CLI::App&)>& commands() {
  static std::multimap<Order, void (*)(CLI::App&)> all;
  return all;
}

}  // namespace

Command::Command(Order order, void (*add)(CLI::App& root)) { commands().emplace(order, add); }

void add_commands(CLI::App& root) {
  for (const auto& [order, add] : commands()) add(root);
}

namespace {

int run(int argc, char** argv) {
  CLI::App root{"Isotrope trains, adapts, compresses and aligns language models, and shows the shape of their spaces.", "isotrope"};
  root.set_version_flag("--version", "isotrope " ISOTROPE_VERSION " (" ISOTROPE_COMMIT ")");
  root.require_subcommand(1);
  root.footer("isotrope COMMAND --help shows a command's options and an example.");
  root.get_formatter()->column_width(34);
  add_commands(root);
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return root.exit(error);  // --help, --version
    std::fprintf(stderr, "error: [usage] %s\n", printable(error.what()).c_str());
    const auto chosen = root.get_subcommands();
    std::fprintf(stderr, "hint: isotrope %s--help shows what is expected\n",
                 chosen.empty() ? "" : (chosen.front()->get_name() + " ").c_str());
    return static_cast<int>(ExitCode::usage);
  }
  return static_cast<int>(ExitCode::done);
}

}  // namespace
}  // namespace isotrope::app

int main(int argc, char** argv) {
  // A write past the file-size limit or into a closed pipe is an error of that write, with its own message, not a death by signal.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const int code = isotrope::app::run(argc, argv);
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
      throw isotrope::WorkError("output", "cannot write to stdout: {}", std::strerror(errno));
    return code;
  } catch (...) {
    return isotrope::report_current_exception();
  }
}
