// isotrope watch: the live page of some runs.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/common.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/base/stop.h"
#include "isotrope/report/watch.h"

namespace isotrope::app {

namespace {

struct WatchOptions : CommonOptions {
  std::vector<std::string> runs;
  std::string host, token;
  int port = 8765;
};

void run_watch(const WatchOptions& options) {
  RunSet runs({options.runs.begin(), options.runs.end()}, true);
  while (runs.refresh()) {}  // the page opens on what is there already
  WatchServer::Options server;
  server.token = options.token;
  server.http.port = options.port;
  if (!options.host.empty()) server.http.host = options.host;
  // Other machines may come: nobody without the token.
  if (!options.host.empty() && options.token.empty()) server.token = random_token();
  const StopRequest stop("\n");
  WatchServer page(runs, server);
  if (options.json) print_json({{"url", page.url()}, {"port", page.port()}, {"runs", runs.size()}});
  else std::puts(page.url().c_str());
  std::fflush(stdout);
  note(fmt::format("watching {} run{}; Ctrl-C ends", runs.size(), runs.size() == 1 ? "" : "s"));
  page.run([&] { return !stop.requested(); });
}

void add_watch(CLI::App& root) {
  auto options = std::make_shared<WatchOptions>();
  auto& command = *root.add_subcommand("watch", "A live page of running and finished runs, on 127.0.0.1");
  command.add_option("RUN", options->runs, "Run folders, or folders that hold run folders")->required()->type_name("FOLDER…");
  command.add_option("--port", options->port, "Port to listen on; 0: any that is free")
      ->capture_default_str()
      ->check(CLI::Range(0, 65535))
      ->type_name("N");
  command.add_option("--host", options->host, "Listen on this address for other machines too; every request then needs the token")
      ->type_name("ADDRESS");
  command.add_option("--token", options->token, "Require this word; with --host one is made up unless given")
      ->check([](const std::string& token) {
        const auto good = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; };
        return token.size() >= 8 && std::all_of(token.begin(), token.end(), good)
                   ? std::string()
                   : std::string("a token is 8 or more of A-Z, a-z, 0-9, - and _");
      })
      ->type_name("WORD");
  add_common_options(command, *options);
  set_examples(command, {"isotrope watch runs/demo/run", "isotrope watch runs --port 0"});
  command.callback([options] { run_watch(*options); });
}

const Command watch_command{Order::watch, add_watch};

}  // namespace
}  // namespace isotrope::app
