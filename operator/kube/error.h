#pragma once

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sandboxrun::kube {

/// Why a call to the API server failed: a closed list, enough to decide on without reading text.
enum class ErrorKind {
  Unreachable,      ///< no answer: DNS, connection, TLS, proxy, or the connection broke
  Unauthorized,     ///< 401: the credentials are not (or no longer) accepted
  Forbidden,        ///< 403: a right is missing, or an admission plugin or quota refuses
  NotFound,         ///< 404
  Conflict,         ///< 409: resourceVersion, uid precondition, or field ownership
  AlreadyExists,    ///< 409 with reason AlreadyExists
  Gone,             ///< 410: resourceVersion or continue token too old (Expired)
  Invalid,          ///< 400, 405, 413, 415, 422: this request will never be accepted as it is
  TooManyRequests,  ///< 429
  Timeout,          ///< a deadline of ours passed, or 408 or 504
  VersionTooLarge,  ///< 504 with cause ResourceVersionTooLarge: a cache lags behind our version
  ServerError,      ///< other 5xx
  Malformed,        ///< the answer is not HTTP or JSON as it must be, or too large
  Cancelled,        ///< the caller's stop token
  NoCredentials,    ///< a token file, certificate or exec plugin gave nothing usable
};

/// The kind's name, e.g. "TooManyRequests", for logs and metrics.
std::string_view to_string(ErrorKind kind);

/// One entry of metav1.Status.details.causes.
struct Cause {
  std::string reason;  ///< e.g. "FieldValueInvalid"
  std::string field;   ///< e.g. "spec.containers[0].image"
  std::string message;
};

/// A failed call.
/// Guarantees: `message` is a sentence that names the call, what was answered and, where it helps,
/// what to do. It holds no token, header, query value or request body.
/// Caveats: `status_message` is the server's own text (bounded, control characters replaced);
/// webhooks can put anything into it.
struct Error {
  ErrorKind kind = ErrorKind::Unreachable;
  std::string message;
  int status = 0;              ///< HTTP status; 0 if there was no answer
  std::string reason;          ///< metav1.Status.reason, e.g. "Expired"
  std::string status_message;  ///< metav1.Status.message
  std::vector<Cause> causes;
  std::optional<std::chrono::seconds> retry_after;  ///< header or details.retryAfterSeconds

  /// True if the same call may succeed later without anybody changing anything.
  bool is_transient() const;
};

template <typename T>
using Result = std::expected<T, Error>;

/// Shorthand: `return failure(ErrorKind::Timeout, "...");`
std::unexpected<Error> failure(ErrorKind kind, std::string message);

/// The Error for an answer that is not 2xx. `call` names the request ("create pods in namespace
/// x"); `body` may be a metav1.Status or anything else; `retry_after` is the header's value.
Error error_from_answer(std::string_view call, int status, std::string_view body,
                        std::optional<std::chrono::seconds> retry_after = {});

/// The Error for an ERROR event of a watch, whose object is a metav1.Status (JSON text).
Error error_from_status(std::string_view call, std::string_view status_json);

}  // namespace sandboxrun::kube
