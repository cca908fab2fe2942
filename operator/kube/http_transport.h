#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "operator/kube/config.h"
#include "operator/kube/transport.h"

namespace sandboxrun::kube {

/// What one call on the wire came to, for metrics.
struct CallOutcome {
  Method method = Method::Get;
  int status = 0;  ///< 0: no answer
  std::chrono::microseconds duration{0};
};

struct HttpTransportOptions {
  std::string user_agent = "sandboxrun";
  std::size_t max_response_bytes = 32u << 20;  ///< of roundtrip; lists may be longer
  std::size_t max_error_bytes = 1u << 20;      ///< of a body that is not 2xx
  std::size_t max_line_bytes = 8u << 20;       ///< of a stream; etcd's own limit is 1.5 MiB
  /// Age at which connections are given up, so that calls spread over several API servers again;
  /// up to a fifth is added at random.
  std::chrono::milliseconds max_client_age{600000};
  std::chrono::milliseconds dead_peer_timeout{30000};  ///< TCP_USER_TIMEOUT and keepalive
  std::function<void(const CallOutcome&)> on_call;     ///< called on any thread; must not block
};

/// Sets up what the transport shares with the whole process: its I/O threads, and where OpenSSL
/// looks for default roots (nowhere: reading them costs 20 ms of CPU per connection).
/// Call once, first thing in main, before any thread is started. Later calls change nothing.
void prepare_process_for_http(std::size_t io_threads = 2);

/// A Transport over HTTP/1.1 and TLS 1.2 or later.
/// Guarantees: what Transport says; only the configured CA is trusted (the system's roots if none
/// is configured); a request that is not idempotent is sent at most once; a token, certificate or
/// CA file that changes is used from the next connection on, without a restart.
/// Assumptions: `prepare_process_for_http` ran before.
/// Caveats: one connection per call under way; a watch is one connection.
/// Errors: Invalid or NoCredentials when the configuration cannot be used at all.
Result<std::unique_ptr<Transport>> make_http_transport(Config config,
                                                       HttpTransportOptions options = {});

}  // namespace sandboxrun::kube
