#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace sandboxrun {

/// Why an operation failed: a closed list, coarse enough to decide on (retry, which reason to
/// report) without reading the message.
enum class ErrorKind {
  InvalidInput,    ///< what was given is malformed or breaks a rule
  NotFound,        ///< a named thing does not exist
  Denied,          ///< a policy of ours refuses it (address, scheme, redirect, path)
  Transport,       ///< network or server failure that another try might cure
  Rejected,        ///< the other side answered, and said no for good (HTTP 4xx)
  DigestMismatch,  ///< bytes do not hash to what was promised
  ArchiveCorrupt,  ///< truncated, or not of the named format
  ArchiveUnsafe,   ///< an entry breaks a safety rule
  LimitExceeded,   ///< more bytes, entries, depth or memory than allowed
  Timeout,         ///< a deadline of ours passed
  Cancelled,       ///< somebody asked for it to stop
  Unavailable,     ///< the machine lacks a runtime, feature or right that is needed
  System,          ///< the operating system refused a call
  Internal,        ///< a bug of ours
};

/// The kind's name as it is logged and reported, e.g. "DigestMismatch".
std::string_view to_string(ErrorKind kind);

/// A failure that may be shown to a person.
/// Guarantees: `message` names the thing, what was found and, where it isn't obvious, what to do.
/// It never holds a secret, a query string, a header value or another machine's raw text.
struct Error {
  ErrorKind kind = ErrorKind::Internal;
  std::string message;

  /// The same error with "context: " before its message.
  Error within(std::string_view context) const;

  friend bool operator==(const Error&, const Error&) = default;
};

template <typename T>
using Result = std::expected<T, Error>;

/// Shorthand for returning a failure: `return failure(ErrorKind::NotFound, "...");`
inline std::unexpected<Error> failure(ErrorKind kind, std::string message) {
  return std::unexpected(Error{kind, std::move(message)});
}

/// Passes an inner failure on, with "context: " before its message.
inline std::unexpected<Error> failure_within(std::string_view context, const Error& inner) {
  return std::unexpected(inner.within(context));
}

/// A failed system call: "context: No such file or directory". Reads no global; pass errno.
std::unexpected<Error> system_failure(std::string_view context, int error_number);

}  // namespace sandboxrun
