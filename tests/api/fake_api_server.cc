#include "tests/api/fake_api_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cctype>
#include <list>
#include <set>
#include <stdexcept>
#include <thread>

#include "operator/base/json_writer.h"

namespace sandboxrun::test {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using TlsStream = asio::ssl::stream<tcp::socket>;

constexpr std::chrono::milliseconds kTick(20);  // how soon a waiting connection sees the end

std::string decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::map<std::string, std::string> parse_query(std::string_view text) {
  std::map<std::string, std::string> query;
  while (!text.empty()) {
    const auto end = text.find('&');
    const auto pair = text.substr(0, end);
    const auto equals = pair.find('=');
    query[decode(pair.substr(0, equals))] =
        equals == std::string_view::npos ? "" : decode(pair.substr(equals + 1));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return query;
}

FakeRequest recorded(const http::request<http::string_body>& request, int connection) {
  FakeRequest out;
  out.method = std::string(request.method_string());
  const std::string target(request.target());
  const auto mark = target.find('?');
  out.path = target.substr(0, mark);
  if (mark != std::string::npos) out.query = parse_query(std::string_view(target).substr(mark + 1));
  for (const auto& field : request) {
    std::string name(field.name_string());
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    out.headers[name] = std::string(field.value());
  }
  out.body = request.body();
  out.connection = connection;
  return out;
}

std::string head_text(const Answer& answer, bool chunked) {
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " " +
                     std::string(http::obsolete_reason(
                         http::int_to_status(static_cast<unsigned>(answer.status)))) +
                     "\r\n";
  bool typed = false;
  for (const auto& [name, value] : answer.headers) {
    text += name + ": " + value + "\r\n";
    typed = typed || name == "Content-Type";
  }
  if (!typed) text += "Content-Type: application/json\r\n";
  text += chunked ? "Transfer-Encoding: chunked\r\n"
                  : "Content-Length: " + std::to_string(answer.body.size()) + "\r\n";
  return text + "\r\n";
}

std::string chunk_head(std::size_t size) {
  char text[20];
  std::snprintf(text, sizeof text, "%zx\r\n", size);
  return text;
}

}  // namespace

struct FakeApiServer::Parts {
  struct Route {
    std::deque<Handler> once;
    Handler always;
  };

  Options options;
  asio::io_context io;
  tcp::acceptor acceptor{io};
  std::jthread accepting;

  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  std::map<std::pair<std::string, std::string>, Route> routes;
  Handler fallback = [](const FakeRequest& request) {
    return Answer::failure(404, "NotFound", "the fake server has no " + request.path);
  };
  std::optional<std::string> token;
  std::shared_ptr<asio::ssl::context> tls;
  std::vector<FakeRequest> requests;
  std::set<int> open_sockets;
  int connections = 0;
  bool stopping = false;
  std::list<std::jthread> threads;

  void load_tls(const std::string& certificate_pem, const std::string& key_pem) {
    auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
    context->use_certificate_chain(asio::buffer(certificate_pem));
    context->use_private_key(asio::buffer(key_pem), asio::ssl::context::pem);
    if (!options.client_ca_pem.empty()) {
      context->add_certificate_authority(asio::buffer(options.client_ca_pem));
      context->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    }
    const std::lock_guard lock(mutex);
    tls = std::move(context);
  }

  bool stopped() const {
    const std::lock_guard lock(mutex);
    return stopping;
  }

  Handler handler_for(const FakeRequest& request) {
    const std::lock_guard lock(mutex);
    requests.push_back(request);
    changed.notify_all();
    if (token && request.header("authorization") != "Bearer " + *token) {
      return
          [](const FakeRequest&) { return Answer::failure(401, "Unauthorized", "Unauthorized"); };
    }
    const auto found = routes.find({request.method, request.path});
    if (found == routes.end()) return fallback;
    if (!found->second.once.empty()) {
      Handler next = std::move(found->second.once.front());
      found->second.once.pop_front();
      return next;
    }
    return found->second.always ? found->second.always : fallback;
  }
};

/// Serves one connection on its own thread.
class FakeConnection {
 public:
  FakeConnection(std::shared_ptr<FakeApiServer::Parts> server, tcp::socket socket, int number)
      : server_(std::move(server)), socket_(std::move(socket)), number_(number) {}

  void run() {
    const int fd = socket_.native_handle();
    try {
      serve();
    } catch (const std::exception&) {
      // The peer went away or was dropped: what the test wanted, or it will notice itself.
    }
    const std::lock_guard lock(server_->mutex);
    server_->open_sockets.erase(fd);
    boost::system::error_code ignored;
    socket_.close(ignored);
    if (tls_) tls_->lowest_layer().close(ignored);
  }

 private:
  using End = Answer::End;

  void serve() {
    std::shared_ptr<asio::ssl::context> context;
    {
      const std::lock_guard lock(server_->mutex);
      context = server_->tls;
    }
    if (!context) {
      serve_requests(socket_);
      return;
    }
    pause(server_->options.handshake_delay);
    tls_ = std::make_unique<TlsStream>(std::move(socket_), *context);
    tls_->handshake(asio::ssl::stream_base::server);
    serve_requests(*tls_);
  }

  /// Waits, but not for a server that stops or a peer that has gone.
  void pause(std::chrono::milliseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
      check();
      std::this_thread::sleep_for(std::min(kTick, std::chrono::ceil<std::chrono::milliseconds>(
                                                      until - std::chrono::steady_clock::now())));
    }
  }

  void check() {
    if (server_->stopped()) throw std::runtime_error("stopping");
    char byte = 0;
    const int fd =
        static_cast<int>(tls_ ? tls_->lowest_layer().native_handle() : socket_.native_handle());
    if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) throw std::runtime_error("peer left");
  }

  template <typename Stream>
  void serve_requests(Stream& stream) {
    boost::beast::flat_buffer buffer;
    for (;;) {
      http::request_parser<http::string_body> parser;
      parser.body_limit(64u << 20);
      http::read(stream, buffer, parser);
      const FakeRequest request = recorded(parser.get(), number_);
      const Answer answer = server_->handler_for(request)(request);
      if (!send(stream, answer)) return;
    }
  }

  template <typename Stream>
  void write(Stream& stream, const std::string& text) {
    asio::write(stream, asio::buffer(text));
  }

  /// False: the connection is to be closed.
  template <typename Stream>
  bool send(Stream& stream, const Answer& answer) {
    pause(answer.delay);
    if (answer.no_answer) return false;
    if (answer.silence) stall();
    if (answer.raw) {
      write(stream, *answer.raw);
      return false;
    }
    const bool chunked = !answer.pieces.empty() || answer.live || answer.end != End::Normal;
    write(stream, head_text(answer, chunked) + (chunked ? "" : answer.body));
    return !chunked || send_chunks(stream, answer);
  }

  template <typename Stream>
  bool send_chunks(Stream& stream, const Answer& answer) {
    for (const auto& piece : answer.pieces) {
      pause(piece.before);
      write(stream, chunk_head(piece.text.size()) + piece.text + "\r\n");
    }
    if (answer.live) send_live(stream, *answer.live);
    if (answer.end == End::Drop) return false;
    if (answer.end == End::Stall) stall();
    if (answer.end == End::HalfChunk) {
      write(stream, chunk_head(64) + std::string(32, 'x'));
      return false;
    }
    write(stream, "0\r\n\r\n");
    return true;
  }

  template <typename Stream>
  void send_live(Stream& stream, LiveStream& live) {
    bool ended = false;
    while (!ended) {
      check();
      const auto line = live.next(kTick, ended);
      if (line) write(stream, chunk_head(line->size() + 1) + *line + "\n\r\n");
    }
  }

  void stall() {
    for (;;) pause(std::chrono::hours(1));
  }

  std::shared_ptr<FakeApiServer::Parts> server_;
  tcp::socket socket_;
  std::unique_ptr<TlsStream> tls_;
  int number_;
};

std::string FakeRequest::header(const std::string& lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  return found == headers.end() ? "" : found->second;
}

std::string FakeRequest::parameter(const std::string& name) const {
  const auto found = query.find(name);
  return found == query.end() ? "" : found->second;
}

void LiveStream::push(std::string line) {
  const std::lock_guard lock(mutex_);
  lines_.emplace_back(std::move(line));
  changed_.notify_all();
}

void LiveStream::end() {
  const std::lock_guard lock(mutex_);
  lines_.emplace_back(std::nullopt);
  changed_.notify_all();
}

std::size_t LiveStream::waiting() const {
  const std::lock_guard lock(mutex_);
  return lines_.size();
}

std::optional<std::string> LiveStream::next(std::chrono::milliseconds patience, bool& ended) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, patience, [this] { return !lines_.empty(); })) return std::nullopt;
  auto line = std::move(lines_.front());
  lines_.pop_front();
  ended = !line;
  return line;
}

Answer Answer::json(std::string body, int status) {
  Answer answer;
  answer.body = std::move(body);
  answer.status = status;
  return answer;
}

Answer Answer::failure(int code, std::string_view reason, std::string_view message) {
  JsonWriter writer;
  writer.begin_object()
      .member("kind", "Status")
      .member("apiVersion", "v1")
      .member("status", "Failure")
      .member("message", message)
      .member("reason", reason)
      .member("code", code)
      .end_object();
  return json(writer.take(), code);
}

Answer Answer::stream(std::vector<Piece> pieces, End end) {
  Answer answer;
  answer.pieces = std::move(pieces);
  answer.end = end;
  return answer;
}

Answer Answer::watch(std::shared_ptr<LiveStream> live) {
  Answer answer;
  answer.live = std::move(live);
  return answer;
}

Answer Answer::with_header(std::string name, std::string value) && {
  headers.emplace_back(std::move(name), std::move(value));
  return std::move(*this);
}

FakeApiServer::FakeApiServer() : FakeApiServer(Options{}) {}

FakeApiServer::FakeApiServer(Options options) : parts_(std::make_shared<Parts>()) {
  parts_->options = std::move(options);
  if (!parts_->options.certificate_pem.empty()) {
    parts_->load_tls(parts_->options.certificate_pem, parts_->options.key_pem);
  }
  const tcp::endpoint endpoint(asio::ip::make_address(parts_->options.address), 0);
  parts_->acceptor.open(endpoint.protocol());
  parts_->acceptor.bind(endpoint);
  parts_->acceptor.listen();
  parts_->accepting = std::jthread([server = parts_.get(), keep = std::weak_ptr(parts_)] {
    for (;;) {
      tcp::socket socket(server->io);
      boost::system::error_code error;
      server->acceptor.accept(socket, error);
      const std::lock_guard lock(server->mutex);
      if (error || server->stopping) return;
      server->open_sockets.insert(socket.native_handle());
      const int number = ++server->connections;
      auto connection = std::make_shared<FakeConnection>(keep.lock(), std::move(socket), number);
      server->threads.emplace_back([connection] { connection->run(); });
    }
  });
}

FakeApiServer::~FakeApiServer() {
  {
    const std::lock_guard lock(parts_->mutex);
    parts_->stopping = true;
  }
  shutdown(parts_->acceptor.native_handle(), SHUT_RDWR);  // wakes the accepting thread
  parts_->accepting.join();
  drop_connections();
  parts_->threads.clear();
}

std::uint16_t FakeApiServer::port() const {
  return parts_->acceptor.local_endpoint().port();
}

void FakeApiServer::once(std::string method, std::string path, Answer answer) {
  once(std::move(method), std::move(path), [answer](const FakeRequest&) { return answer; });
}

void FakeApiServer::once(std::string method, std::string path, Handler handler) {
  const std::lock_guard lock(parts_->mutex);
  parts_->routes[{std::move(method), std::move(path)}].once.push_back(std::move(handler));
}

void FakeApiServer::always(std::string method, std::string path, Answer answer) {
  always(std::move(method), std::move(path), [answer](const FakeRequest&) { return answer; });
}

void FakeApiServer::always(std::string method, std::string path, Handler handler) {
  const std::lock_guard lock(parts_->mutex);
  parts_->routes[{std::move(method), std::move(path)}].always = std::move(handler);
}

void FakeApiServer::fallback(Handler handler) {
  const std::lock_guard lock(parts_->mutex);
  parts_->fallback = std::move(handler);
}

void FakeApiServer::require_token(std::string token) {
  const std::lock_guard lock(parts_->mutex);
  parts_->token = std::move(token);
}

void FakeApiServer::use_certificate(const std::string& certificate_pem,
                                    const std::string& key_pem) {
  parts_->load_tls(certificate_pem, key_pem);
}

void FakeApiServer::drop_connections() {
  const std::lock_guard lock(parts_->mutex);
  for (const int fd : parts_->open_sockets) shutdown(fd, SHUT_RDWR);
}

std::vector<FakeRequest> FakeApiServer::requests() const {
  const std::lock_guard lock(parts_->mutex);
  return parts_->requests;
}

std::size_t FakeApiServer::count(std::string_view method, std::string_view path) const {
  const std::lock_guard lock(parts_->mutex);
  return static_cast<std::size_t>(
      std::ranges::count_if(parts_->requests, [&](const FakeRequest& request) {
        return request.method == method && request.path == path;
      }));
}

int FakeApiServer::connections() const {
  const std::lock_guard lock(parts_->mutex);
  return parts_->connections;
}

bool FakeApiServer::wait_for(std::string_view method, std::string_view path, std::size_t wanted,
                             std::chrono::milliseconds patience) const {
  std::unique_lock lock(parts_->mutex);
  return parts_->changed.wait_for(lock, patience, [&] {
    return static_cast<std::size_t>(
               std::ranges::count_if(parts_->requests, [&](const FakeRequest& request) {
                 return request.method == method && request.path == path;
               })) >= wanted;
  });
}

}  // namespace sandboxrun::test
