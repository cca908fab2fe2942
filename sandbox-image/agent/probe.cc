#include "sandbox-image/agent/probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <thread>

#include "operator/base/fd.h"
#include "operator/base/json_writer.h"

namespace sandboxrun::agent {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTryPatience{1000};
constexpr std::size_t kMaxAnswer = 128;
constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Address socket_address(const ProbeOrder& order) {
  Address out;
  auto* four = reinterpret_cast<sockaddr_in*>(&out.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (inet_pton(AF_INET, order.address.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(order.port);
    out.size = sizeof(sockaddr_in);
  } else if (inet_pton(AF_INET6, order.address.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(order.port);
    out.size = sizeof(sockaddr_in6);
  }
  return out;
}

bool wait_for(int fd, short events, Clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
  pollfd entry{.fd = fd, .events = events, .revents = 0};
  return left > 0 && poll(&entry, 1, static_cast<int>(left)) == 1;
}

// Gives the answer's body, or sets errno.
bool ask(const Address& address, std::string& body) {
  const auto until = Clock::now() + kTryPatience;
  const UniqueFd fd(
      socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return false;
  const auto* peer = reinterpret_cast<const sockaddr*>(&address.storage);
  if (connect(fd.get(), peer, address.size) != 0 && errno != EINPROGRESS) return false;
  errno = ETIMEDOUT;
  if (!wait_for(fd.get(), POLLOUT, until)) return false;
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  errno = error;
  if (error != 0) return false;
  if (send(fd.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0) return false;
  std::string answer;
  std::array<char, 512> piece{};
  while (answer.size() < 4096) {
    errno = ETIMEDOUT;
    if (!wait_for(fd.get(), POLLIN, until)) return false;
    const ssize_t count = recv(fd.get(), piece.data(), piece.size(), 0);
    if (count < 0) return false;
    if (count == 0) break;
    answer.append(piece.data(), static_cast<std::size_t>(count));
  }
  const std::size_t head = answer.find("\r\n\r\n");
  errno = EPROTO;
  if (!answer.starts_with("HTTP/1.") || head == std::string::npos) return false;
  body = answer.substr(head + 4, kMaxAnswer);
  return true;
}

}  // namespace

Result<ProbeOrder> parse_probe_address(std::string_view text) {
  ProbeOrder order;
  const std::size_t colon = text.rfind(':');
  if (colon != std::string_view::npos) {
    std::string_view host = text.substr(0, colon);
    const std::string_view port = text.substr(colon + 1);
    const bool brackets = host.starts_with('[') && host.ends_with(']');
    if (brackets) host = host.substr(1, host.size() - 2);
    const auto [end, error] = std::from_chars(port.begin(), port.end(), order.port);
    order.address = host;
    const Address address = socket_address(order);
    const bool six = address.storage.ss_family == AF_INET6;
    if (error == std::errc() && end == port.end() && order.port != 0 && address.size != 0 &&
        brackets == six) {
      return order;
    }
  }
  return failure(ErrorKind::InvalidInput,
                 "\"" + std::string(text) + "\" is no ADDRESS:PORT, such as 10.0.0.7:8082");
}

ProbeReport probe(const ProbeOrder& order, const std::stop_token& stop) {
  const Address address = socket_address(order);
  const auto until = Clock::now() + order.patience;
  ProbeReport report;
  do {
    if (report.attempts > 0) std::this_thread::sleep_for(order.pause);
    ++report.attempts;
    std::string body;
    if (ask(address, body)) {
      ++report.answers;
      report.last = "answered";
      report.answer = std::move(body);
    } else {
      report.last = std::strerror(errno);
    }
  } while (Clock::now() + order.pause < until && !stop.stop_requested());
  return report;
}

std::string encode(const ProbeReport& report) {
  JsonWriter json;
  json.begin_object().member("version", 1);
  json.member("attempts", report.attempts).member("answers", report.answers);
  json.member("last", report.last).member("answer", report.answer);
  json.end_object();
  return json.take();
}

}  // namespace sandboxrun::agent
