#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/kube/config.h"
#include "operator/kube/tls.h"
#include "operator/kube/transport.h"

/// What the two clients of the wire, CallClient and ListClient, have in common.
namespace sandboxrun::kube {

/// One exchange as it goes on the wire. The headers may hold secrets.
struct WireRequest {
  Method method = Method::Get;
  std::string target;  ///< path and query, encoded
  std::vector<std::pair<std::string, std::string>> headers;
  std::string content_type;
  std::string body;
  /// False: it must be on the wire at most once, also when a kept connection turns out dead.
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
  bool unsent = false;           ///< Broken before anything of the request was sent
};

/// Takes one piece of the body; false ends the exchange (Stopped).
using BodySink = std::function<bool(const WireHead& head, std::string_view piece)>;

/// The peer, and how to speak to it.
struct WireSettings {
  Endpoint endpoint;
  std::string tls_server_name;
  std::shared_ptr<TlsClient> tls;  ///< nullptr: plain HTTP
  std::optional<Proxy> proxy;
  bool verify = true;  ///< the server's certificate
  std::chrono::milliseconds dead_peer_timeout{30000};
};

/// Lets TCP notice within `dead_peer` that the peer of a socket is gone, by keepalive and by
/// unacknowledged data.
void watch_for_dead_peer(int socket, std::chrono::milliseconds dead_peer);

}  // namespace sandboxrun::kube
