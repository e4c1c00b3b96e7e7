#include "isotrope/report/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <utility>
#include <vector>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"

namespace isotrope {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::string_view in_server = "watch";

/// A non-blocking socket that listens at the first usable address of `host`.
int listen_at(const std::string& host, int port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); error != 0)
    throw UsageError(in_server, "--host {}: {}", host, ::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
  int error = 0;
  for (const auto* address = found; address != nullptr; address = address->ai_next) {
    const int listener = ::socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0) {
      error = errno;
      continue;
    }
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(listener, address->ai_addr, address->ai_addrlen) == 0 && ::listen(listener, 128) == 0) return listener;
    error = errno;
    ::close(listener);
  }
  throw with_hint(UsageError(in_server, "cannot listen on {} port {}: {}", host, port, std::strerror(error)),
                  "--port 0 takes any free port");
}

int port_of(int listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

struct HttpServer::State {
  struct Connection {
    int socket;
    std::string in, out;
    std::size_t sent = 0;
    bool stream = false, close_after = false, broken = false;
    bool more = false;  // another request may lie in `in`
    Clock::time_point deadline;
    Clock::time_point last_heard;

    bool writing() const { return sent < out.size(); }
  };

  Options options;
  Handler handler;
  int listener = -1;
  std::list<Connection> connections;

  void accept_all();
  void make_room();
  void receive(Connection& connection);
  void answer(Connection& connection);
  void refuse(Connection& connection, int status);
  void reply(Connection& connection, const HttpRequest& request, const HttpResponse& response);
  void flush(Connection& connection);
  void sweep();
};

HttpServer::HttpServer(const Options& options, Handler handler) : state_(std::make_unique<State>()) {
  state_->options = options;
  state_->handler = std::move(handler);
  state_->listener = listen_at(options.host, options.port);
}

HttpServer::~HttpServer() {
  for (const auto& connection : state_->connections) ::close(connection.socket);
  ::close(state_->listener);
}

int HttpServer::port() const { return port_of(state_->listener); }
std::size_t HttpServer::open_connections() const { return state_->connections.size(); }

void HttpServer::State::accept_all() {
  for (;;) {
    const int socket = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) return;  // nobody waits, or no descriptor is left: the next round tries again
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    make_room();
    // A connection that sends nothing at all is held to the deadline of a request, not to that of a pause between two.
    connections.push_back({.socket = socket, .deadline = Clock::now() + options.request_deadline, .last_heard = Clock::now()});
  }
}

/// Closes the connection that has been silent the longest when all places are taken; streams and responses under way go last.
void HttpServer::State::make_room() {
  if (connections.size() < options.connections) return;
  const auto rank = [](const Connection& c) { return std::pair(c.stream || c.writing(), c.last_heard); };
  const auto victim = std::ranges::min_element(connections, [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  ::close(victim->socket);
  connections.erase(victim);
}

void HttpServer::State::receive(Connection& connection) {
  char buffer[16384];
  const auto got = ::recv(connection.socket, buffer, sizeof buffer, 0);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) connection.broken = true;
  if (got <= 0) return;
  connection.last_heard = Clock::now();
  if (connection.stream || connection.close_after) return;  // nothing more is expected from it
  if (connection.in.empty()) connection.deadline = Clock::now() + options.request_deadline;
  connection.in.append(buffer, static_cast<std::size_t>(got));
  answer(connection);
}

/// Answers one request if a whole one is there and no response is under way. One a round: who sends many at once waits with the others.
void HttpServer::State::answer(Connection& connection) {
  connection.more = false;
  if (connection.in.empty() || connection.writing() || connection.stream || connection.close_after || connection.broken) return;
  const auto parsed = parse_http_request(connection.in);
  if (parsed.status == 100) return;
  if (parsed.status != 0) return refuse(connection, parsed.status);
  connection.in.erase(0, parsed.length);
  HttpResponse response;
  try {
    response = handler(parsed.request);
  } catch (const std::exception& error) {
    warn(fmt::format("{}: {}", parsed.request.path, error.what()));
    response = {.status = 500, .body = "this program has failed; its terminal says why\n"};
  }
  reply(connection, parsed.request, response);
  connection.more = !connection.in.empty();
}

void HttpServer::State::refuse(Connection& connection, int status) {
  HttpResponse response{.status = status, .body = fmt::format("refused: {}\n", status)};
  if (status == 405) response.headers.emplace_back("Allow", "GET, HEAD");
  reply(connection, {.method = "GET", .path = "", .query = {}, .headers = {}, .keep_alive = false}, response);
}

void HttpServer::State::reply(Connection& connection, const HttpRequest& request, const HttpResponse& response) {
  connection.stream = response.stream && request.method == "GET";
  const bool keep = request.keep_alive || connection.stream;
  connection.close_after = !keep;
  connection.out = format_http_response(response, request, keep);
  connection.sent = 0;
  connection.deadline = Clock::now() + options.write_deadline;
  flush(connection);
}

void HttpServer::State::flush(Connection& connection) {
  while (connection.writing()) {
    const auto done =
        ::send(connection.socket, connection.out.data() + connection.sent, connection.out.size() - connection.sent, MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno != EAGAIN) connection.broken = true;
    if (done < 0) return;
    connection.sent += static_cast<std::size_t>(done);
  }
  connection.out.clear();
  connection.sent = 0;
  if (connection.close_after) ::shutdown(connection.socket, SHUT_WR);
  connection.deadline = connection.stream        ? Clock::time_point::max()
                        : connection.close_after ? Clock::now() + std::chrono::seconds(1)  // until the client hangs up too
                        : connection.in.empty()  ? Clock::now() + options.idle_deadline
                                                 : Clock::now() + options.request_deadline;
}

void HttpServer::State::sweep() {
  const auto now = Clock::now();
  for (auto connection = connections.begin(); connection != connections.end();) {
    const bool behind = connection->stream && connection->out.size() - connection->sent > options.backlog_bytes;
    if (connection->broken || behind || now >= connection->deadline) {
      ::close(connection->socket);
      connection = connections.erase(connection);
    } else {
      ++connection;
    }
  }
}

void HttpServer::run(const std::function<bool()>& keep_going, std::chrono::milliseconds pause) {
  auto& state = *state_;
  while (keep_going()) {
    std::vector<pollfd> watched{{state.listener, POLLIN, 0}};
    for (const auto& connection : state.connections) {
      // While a response is under way no further request is read: the client's own socket holds it back.
      const short interest = connection.writing() ? POLLOUT : POLLIN;
      watched.push_back({connection.socket, interest, 0});
    }
    const bool more = std::ranges::any_of(state.connections, &State::Connection::more);
    if (::poll(watched.data(), watched.size(), more ? 0 : static_cast<int>(pause.count())) < 0 && errno != EINTR)
      throw WorkError(in_server, "cannot wait for clients: {}", std::strerror(errno));
    auto entry = watched.begin() + 1;
    for (auto& connection : state.connections) {
      const auto events = (entry++)->revents;
      if (events & (POLLERR | POLLNVAL)) connection.broken = true;
      else if (events & POLLOUT) {
        state.flush(connection);
        state.answer(connection);
      } else if (connection.more) {
        state.answer(connection);
      } else if (events & (POLLIN | POLLHUP)) {
        state.receive(connection);
      }
    }
    state.sweep();
    if (watched[0].revents != 0) state.accept_all();
  }
}

void HttpServer::broadcast(const std::string& event) {
  for (auto& connection : state_->connections) {
    if (!connection.stream || connection.broken) continue;
    const bool caught_up = !connection.writing();
    if (caught_up) connection.out.clear(), connection.sent = 0;
    connection.out += event;
    if (caught_up) connection.deadline = Clock::now() + state_->options.write_deadline;
    state_->flush(connection);
  }
}

}  // namespace isotrope
