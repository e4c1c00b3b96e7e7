#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "isotrope/report/http.h"

namespace isotrope {

/// A small HTTP server for a page of one's own: one thread, one poll(2) loop, sockets that never block. A client that is slow, silent or
/// malicious costs a connection until a deadline and delays nobody; everything that it may hold is bounded.
///
/// The handler is called in run()'s thread for every well-formed request that passed parse_http_request(); what it throws becomes a 500.
/// Throws UsageError when the address cannot be bound.
class HttpServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";                    ///< a numeric address, or a name that is looked up
    int port = 0;                                      ///< 0: any that is free
    std::size_t connections = 256;                     ///< beyond them, the one that has been idle the longest is closed
    std::size_t backlog_bytes = std::size_t{1} << 20;  ///< a stream whose client is further behind is closed
    std::chrono::milliseconds request_deadline{5000};  ///< from the first byte of a request to its last
    std::chrono::milliseconds idle_deadline{30000};    ///< between requests
    std::chrono::milliseconds write_deadline{20000};   ///< for a whole response, and for one event of a stream
  };
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  HttpServer(const Options& options, Handler handler);
  HttpServer(const HttpServer&) = delete;
  ~HttpServer();

  int port() const;
  /// Serves until `keep_going()` is false; it is asked at least every `pause`, and is the place for other work of this thread.
  void run(const std::function<bool()>& keep_going, std::chrono::milliseconds pause = std::chrono::milliseconds(100));
  /// Sends `event` (complete, with its blank line) to every open stream. From run()'s thread.
  void broadcast(const std::string& event);
  std::size_t open_connections() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace isotrope
