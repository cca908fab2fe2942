#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/kube/config.h"
#include "operator/kube/tls.h"
#include "operator/kube/transport.h"

namespace sandboxrun::kube {

/// One exchange as it goes on the wire. The headers may hold secrets.
struct WireRequest {
  Method method = Method::Get;
  std::string target;  ///< path and query, encoded
  std::vector<std::pair<std::string, std::string>> headers;
  std::string content_type;
  std::string body;
  /// False: the library must not send it a second time when a kept connection turns out dead.
  bool may_replay = true;
  std::chrono::steady_clock::time_point deadline;
  /// Not zero: the deadline only counts until the head of a 2xx answer; then this much silence.
  std::chrono::milliseconds idle_timeout{0};
};

struct WireHead {
  int status = 0;
  std::optional<std::chrono::seconds> retry_after;
};

struct WireOutcome {
  enum class End { Complete, Broken, Deadline, Idle, Cancelled, Stopped };
  End end = End::Broken;
  std::optional<WireHead> head;  ///< nothing: it ended before the answer began
  std::string failure;           ///< Broken: what the library said
  bool tls_failed = false;       ///< Broken in the handshake
};

/// Takes one piece of the body; false ends the exchange (Stopped).
using BodySink = std::function<bool(const WireHead& head, std::string_view piece)>;

/// The wire: one cpprestsdk http_client and its kept connections to one endpoint. Everything of
/// cpprestsdk stays behind this border.
/// Guarantees: thread safe; `exchange` blocks the caller only, keeps its times by its own clock
/// (a hung DNS query cannot hold it), and gives the body to `sink` on the caller's thread; the next
/// piece is read from the connection when the sink is done. No redirects, no compression.
/// Caveats: an exchange given up goes on in the background until its socket is closed. Dead peers
/// are noticed by TCP (keepalive, user timeout) only where the endpoint, or the proxy if there is
/// one, is an IP address, and not through a proxy's tunnel: for names the library chooses the
/// socket's family itself.
class HttpClient {
 public:
  struct Settings {
    Endpoint endpoint;
    std::string tls_server_name;
    std::shared_ptr<TlsClient> tls;  ///< nullptr: plain HTTP
    std::optional<Proxy> proxy;
    bool verify = true;  ///< the server's certificate
    std::chrono::milliseconds dead_peer_timeout{30000};
  };

  explicit HttpClient(Settings settings);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  WireOutcome exchange(const WireRequest& request, const BodySink& sink, std::stop_token stop);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Starts the library's threads; only the first call in a process counts.
void start_http_threads(std::size_t count);

}  // namespace sandboxrun::kube
