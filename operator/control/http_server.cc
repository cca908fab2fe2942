#include "operator/control/http_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

namespace sandboxrun::control {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr std::chrono::seconds kPatience{10};
constexpr std::uint32_t kMaxHead = 8 * 1024;

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const HttpServer::Handler& handler)
      : stream_(std::move(socket)), handler_(handler) {}

  void read() {
    parser_.emplace();
    parser_->header_limit(kMaxHead);
    parser_->body_limit(0);
    stream_.expires_after(kPatience);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, std::size_t) {
                       if (!error) self->answer();
                     });
  }

 private:
  void answer() {
    const auto& request = parser_->get();
    const bool head = request.method() == http::verb::head;
    HttpAnswer given{.status = 405, .body = "only GET and HEAD\n"};
    if (head || request.method() == http::verb::get) {
      const std::string_view target(request.target().data(), request.target().size());
      given = handler_(target.substr(0, target.find('?')));
    }
    answer_ = {};
    answer_.version(request.version());
    answer_.keep_alive(request.keep_alive());
    answer_.result(static_cast<unsigned>(given.status));
    answer_.set(http::field::content_type, given.content_type);
    answer_.set(http::field::cache_control, "no-store");
    answer_.body() = std::move(given.body);
    answer_.prepare_payload();
    if (head) answer_.body().clear();
    http::async_write(stream_, answer_,
                      [self = shared_from_this()](beast::error_code error, std::size_t) {
                        if (!error && self->answer_.keep_alive()) self->read();
                      });
  }

  beast::tcp_stream stream_;
  const HttpServer::Handler& handler_;
  beast::flat_buffer buffer_{std::size_t{2} * kMaxHead};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> answer_;
};

}  // namespace

Result<BindAddress> parse_bind_address(std::string_view text) {
  const auto wrong = [&] {
    return failure(ErrorKind::InvalidInput,
                   "\"" + std::string(text) +
                       "\" is no address to listen on; write it as \":8080\" or \"host:8080\"");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong();
  BindAddress out;
  out.host = text.substr(0, colon);
  if (out.host.starts_with('[') && out.host.ends_with(']')) {
    out.host = out.host.substr(1, out.host.size() - 2);
  } else if (out.host.contains(':')) {
    return wrong();
  }
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (error != std::errc{} || end != port.data() + port.size()) return wrong();
  return out;
}

struct HttpServer::Parts {
  explicit Parts(Handler given) : handler(std::move(given)) {}

  void accept() {
    acceptor.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error) std::make_shared<Session>(std::move(socket), handler)->read();
      accept();
    });
  }

  bool listen(const tcp::endpoint& endpoint, beast::error_code& error) {
    acceptor.close(error);
    acceptor.open(endpoint.protocol(), error);
    if (error) return false;
    acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (endpoint.protocol() == tcp::v6()) {
      beast::error_code ignored;
      acceptor.set_option(asio::ip::v6_only(false), ignored);
    }
    acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    return !error;
  }

  Handler handler;
  asio::io_context context{1};
  tcp::acceptor acceptor{context};
  std::jthread thread;
};

Result<std::unique_ptr<HttpServer>> HttpServer::start(std::string_view address, Handler handler) {
  const auto parsed = parse_bind_address(address);
  if (!parsed) return std::unexpected(parsed.error());
  auto parts = std::make_unique<Parts>(std::move(handler));
  beast::error_code error;
  bool listens = false;
  if (parsed->host.empty()) {
    listens = parts->listen({tcp::v6(), parsed->port}, error) ||
              parts->listen({tcp::v4(), parsed->port}, error);
  } else {
    const auto host =
        asio::ip::make_address(parsed->host == "localhost" ? "127.0.0.1" : parsed->host, error);
    listens = !error && parts->listen({host, parsed->port}, error);
  }
  if (!listens) {
    return failure(ErrorKind::System,
                   "cannot listen on \"" + std::string(address) + "\": " + error.message());
  }
  parts->accept();
  parts->thread = std::jthread([raw = parts.get()] { raw->context.run(); });
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(parts)));
}

HttpServer::HttpServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

HttpServer::~HttpServer() {
  parts_->context.stop();
  if (parts_->thread.joinable()) parts_->thread.join();
}

std::uint16_t HttpServer::port() const {
  beast::error_code error;
  return parts_->acceptor.local_endpoint(error).port();
}

}  // namespace sandboxrun::control
