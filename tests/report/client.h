#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace isotrope::test {

/// A connection to 127.0.0.1:port over which a test says whatever it likes.
class RawClient {
 public:
  explicit RawClient(int port, int receive_buffer = 0) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  RawClient(RawClient&& other) noexcept : socket_(std::exchange(other.socket_, -1)), connected_(other.connected_) {}
  ~RawClient() {
    if (socket_ >= 0) ::close(socket_);
  }

  bool connected() const { return connected_; }
  /// Whether all of it went out.
  bool send(std::string_view bytes) {
    return ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  void hang_up() { ::shutdown(socket_, SHUT_WR); }

  /// What arrives until `enough(text)`, the other side closes, or the time is over.
  template <class Enough>
  std::string receive(std::chrono::milliseconds time, Enough enough) {
    std::string text;
    const auto end = std::chrono::steady_clock::now() + time;
    while (!enough(text)) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
      pollfd ready{socket_, POLLIN, 0};
      if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) <= 0) break;
      char buffer[65536];
      const auto got = ::recv(socket_, buffer, sizeof buffer, 0);
      if (got <= 0) {
        closed_ = true;
        break;
      }
      text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
  }
  std::string receive_all(std::chrono::milliseconds time = std::chrono::seconds(10)) {
    return receive(time, [](const std::string&) { return false; });
  }
  /// Whether the other side closed during the last receive.
  bool closed() const { return closed_; }

 private:
  int socket_;
  bool connected_ = false, closed_ = false;
};

/// The response to `GET target` with these extra header lines (each with its CRLF); headers and body as they came.
inline std::string get(int port, const std::string& target, const std::string& headers = "", std::string host = "") {
  if (host.empty()) host = "127.0.0.1:" + std::to_string(port);
  RawClient client(port);
  client.send("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n" + headers + "\r\n");
  return client.receive_all();
}

inline int status_of(const std::string& response) { return response.starts_with("HTTP/1.1 ") ? std::stoi(response.substr(9, 3)) : 0; }
inline std::string body_of(const std::string& response) {
  const auto end = response.find("\r\n\r\n");
  return end == response.npos ? "" : response.substr(end + 4);
}

}  // namespace isotrope::test
