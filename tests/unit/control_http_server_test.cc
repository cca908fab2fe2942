#include "operator/control/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

namespace sandboxrun::control {
namespace {

std::string ask(std::uint16_t port, const std::string& request) {
  const int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(socket_fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      send(socket_fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
    std::array<char, 4096> piece{};
    for (ssize_t got = 0; (got = recv(socket_fd, piece.data(), piece.size(), 0)) > 0;) {
      answer.append(piece.data(), static_cast<std::size_t>(got));
    }
  }
  close(socket_fd);
  return answer;
}

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto started = HttpServer::start("127.0.0.1:0", [](std::string_view path) {
      return HttpAnswer{.status = path == "/here" ? 200 : 404, .body = std::string(path) + "\n"};
    });
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
  }
  std::unique_ptr<HttpServer> server;
};

TEST_F(HttpServerTest, AnswersAGetByItsPathWithoutTheQuery) {
  const std::string answer =
      ask(server->port(), "GET /here?x=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n/here\n")) << answer;
}

TEST_F(HttpServerTest, RefusesOtherMethods) {
  const std::string answer =
      ask(server->port(), "POST /here HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 405 ")) << answer;
}

TEST_F(HttpServerTest, ClosesOnAHeadThatIsTooLong) {
  EXPECT_EQ(ask(server->port(), "GET /here HTTP/1.1\r\nX: " + std::string(20000, 'x') + "\r\n\r\n"),
            "");
}

TEST(BindAddress, KnowsItsForms) {
  EXPECT_EQ(parse_bind_address(":8080")->port, 8080);
  EXPECT_EQ(parse_bind_address(":8080")->host, "");
  EXPECT_EQ(parse_bind_address("[::1]:80")->host, "::1");
  EXPECT_FALSE(parse_bind_address("8080"));
  EXPECT_FALSE(parse_bind_address("::1:80"));
  EXPECT_FALSE(parse_bind_address(":99999"));
}

}  // namespace
}  // namespace sandboxrun::control
