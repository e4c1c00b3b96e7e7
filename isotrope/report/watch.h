#pragma once

#include <functional>
#include <memory>
#include <string>

#include "isotrope/report/run_set.h"
#include "isotrope/report/server.h"

namespace isotrope {

/// The live page of some runs: its files, the runs' data, and a stream that tells at once when there is more (docs/guides/watching.md).
///
/// Without a token only requests whose Host is this machine's own name for itself (127.0.0.1, localhost, [::1], with the port) are
/// answered, so that no other site can reach the page through a name that it points here. With a token every request must bring it: in the
/// query of the first, from then on in a cookie, or as a Bearer. Paths of files are never taken from a request: what can be asked for is a
/// fixed list of names, and runs are numbers. Throws UsageError when the address cannot be bound.
class WatchServer {
 public:
  struct Options {
    HttpServer::Options http = {};
    std::string token;  ///< required by callers that listen for other machines
  };
  WatchServer(RunSet& runs, const Options& options);

  int port() const { return server_.port(); }
  /// The address to open, with the token if there is one.
  std::string url() const;
  /// Serves and follows the runs until `keep_going()` is false.
  void run(const std::function<bool()>& keep_going);

 private:
  HttpResponse respond(const HttpRequest& request) const;
  HttpResponse data(const HttpRequest& request) const;
  bool host_is_ours(std::string_view host) const;
  std::string cookie_name() const;
  bool token_is_right(const HttpRequest& request) const;
  std::string news() const;

  RunSet& runs_;
  Options options_;
  HttpServer server_;
};

/// 128 random bits as 32 hexadecimal digits.
std::string random_token();

}  // namespace isotrope
