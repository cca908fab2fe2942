#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/kube/error.h"

namespace sandboxrun::kube {

enum class Method { Get, Post, Put, Patch, Delete };

/// "GET", "POST", ...
std::string_view to_string(Method method);

/// One call to the API server.
struct Request {
  Method method = Method::Get;
  std::string path;  ///< absolute, percent-encoded where needed: "/api/v1/namespaces/x/pods"
  /// Names and values before percent-encoding, in order.
  std::vector<std::pair<std::string, std::string>> query;
  std::string content_type;  ///< of the body; empty: application/json
  std::string body;
  /// roundtrip: for everything, retries included. stream: until the answer's headers are there.
  std::chrono::milliseconds deadline{30000};
  /// stream only: longest silence between two pieces of the body.
  std::chrono::milliseconds idle_timeout{300000};
  /// True if sending it twice does no harm (GET, apply, PUT with a resourceVersion, DELETE with a
  /// uid). Only then is it sent again when a connection breaks under it; a request that is not is
  /// put on the wire at most once.
  bool idempotent = true;
  /// What the call is, in words for errors: "create pods in namespace x". Empty: method and path.
  std::string description;
};

/// A 2xx answer; everything else is an Error.
struct Response {
  int status = 200;
  std::string body;
};

/// How a stream that had begun came to its end.
enum class StreamEnd {
  Closed,   ///< the server ended it in order
  Dropped,  ///< the connection broke, or the framing was wrong
  Idle,     ///< nothing came for idle_timeout
  Stopped,  ///< the sink returned false
};

/// Takes one line of the body without its '\n' (never empty). True: go on; false: end the stream.
using LineSink = std::function<bool(std::string_view line)>;

/// Takes a piece of a body. True: go on; false: leave the rest.
using PieceSink = std::function<bool(std::string_view piece)>;

/// The way to the API server.
/// Guarantees: thread safe; several calls may be under way at once. Credentials, TLS, proxy and
/// headers are the implementation's business. No redirect is followed. An error is an Error, never
/// an exception.
/// Assumptions: `roundtrip` and `stream` block, so they are called on the caller's own threads,
/// never on the transport's. A stop token ends a call within milliseconds with Cancelled.
/// Caveats: after Timeout, Unreachable or Cancelled a write may have happened on the server. 429
/// and 5xx are not retried here; Error::retry_after says when the server wants to be asked again.
class Transport {
 public:
  virtual ~Transport() = default;

  /// Sends a request and waits for the whole answer. A 401 is tried once more with fresh
  /// credentials, when there are any.
  virtual Result<Response> roundtrip(const Request& request, std::stop_token stop) = 0;

  /// The same for an answer that is too large to be held: gives the body to `sink` in pieces, on
  /// the calling thread, as they come. The deadline holds until the headers are there, and then
  /// for each piece. An error after the first piece is not tried again; what was given is void.
  /// A transport that holds answers anyway gives the body as one piece.
  virtual Result<void> download(const Request& request, const PieceSink& sink,
                                std::stop_token stop) {
    const auto response = roundtrip(request, std::move(stop));
    if (!response) return std::unexpected(response.error());
    sink(response->body);
    return {};
  }

  /// Sends a request and gives the answer's lines to `sink`, on the calling thread, as they come.
  /// While the sink works, at most one more piece is read from the connection: a slow sink slows
  /// the server down and costs no memory.
  /// A value: the answer was 2xx and the stream has ended in that way. An error: the stream never
  /// began, was cancelled (Cancelled), or held a line over the limit (Malformed).
  virtual Result<StreamEnd> stream(const Request& request, const LineSink& sink,
                                   std::stop_token stop) = 0;
};

}  // namespace sandboxrun::kube
