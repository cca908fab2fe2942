#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "operator/base/error.h"

namespace sandboxrun::control {

struct HttpAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

/// A small HTTP server for probes and metrics.
/// Guarantees: only GET and HEAD are answered; a request may take 10 s and its head 8 KiB; a slow
/// client holds up no other. The destructor closes every connection and ends the thread.
/// Assumptions: `handler` is quick, throws nothing, and is called on the server's one thread with
/// the path, without its query.
class HttpServer {
 public:
  using Handler = std::function<HttpAnswer(std::string_view path)>;

  /// `address`: "host:port", "[ipv6]:port" or ":port" (all addresses); port 0 takes a free one.
  /// Errors: InvalidInput for another address; System if it cannot be listened on.
  static Result<std::unique_ptr<HttpServer>> start(std::string_view address, Handler handler);
  ~HttpServer();

  std::uint16_t port() const;

 private:
  struct Parts;
  explicit HttpServer(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

/// The host and port of an address as `HttpServer::start` takes it. Errors: InvalidInput.
struct BindAddress {
  std::string host;  ///< empty: all
  std::uint16_t port = 0;
};
Result<BindAddress> parse_bind_address(std::string_view text);

}  // namespace sandboxrun::control
