#include "operator/kube/error.h"

#include <algorithm>
#include <array>
#include <utility>

#include "operator/base/document.h"
#include "operator/base/json_writer.h"

namespace sandboxrun::kube {
namespace {

constexpr std::size_t kMaxServerText = 2048;  // bytes of the server's message that are kept
constexpr std::size_t kMaxCauses = 32;

using sandboxrun::Node;

/// One printable line of at most kMaxServerText bytes, whatever the server sent.
std::string server_text(std::string_view text) {
  std::string line = to_valid_utf8(text.substr(0, kMaxServerText));
  std::ranges::replace_if(line, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  while (!line.empty() && line.back() == ' ') line.pop_back();
  if (text.size() > kMaxServerText) line += "...";
  return line;
}

std::string string_member(const Node& node, std::string_view key) {
  const Node* found = node.find(key);
  return found != nullptr && found->kind == Node::Kind::String ? found->text : std::string();
}

std::int64_t integer_member(const Node& node, std::string_view key) {
  const Node* found = node.find(key);
  return found != nullptr && found->kind == Node::Kind::Int ? found->integer : 0;
}

void read_details(const Node& details, Error& error) {
  if (const auto seconds = integer_member(details, "retryAfterSeconds");
      seconds > 0 && !error.retry_after) {
    error.retry_after = std::chrono::seconds(std::min<std::int64_t>(seconds, 3600));
  }
  const Node* causes = details.find("causes");
  if (causes == nullptr) return;
  for (const Node& cause : causes->items) {
    if (error.causes.size() == kMaxCauses) break;
    error.causes.push_back({.reason = server_text(string_member(cause, "reason")),
                            .field = server_text(string_member(cause, "field")),
                            .message = server_text(string_member(cause, "message"))});
  }
}

/// Fills what a metav1.Status says; false if `body` is none.
bool read_status(std::string_view body, Error& error) {
  const auto parsed = parse_json(body);
  if (!parsed || string_member(*parsed, "kind") != "Status") return false;
  error.reason = server_text(string_member(*parsed, "reason"));
  error.status_message = server_text(string_member(*parsed, "message"));
  if (const auto code = integer_member(*parsed, "code"); error.status == 0 && code < 1000) {
    error.status = static_cast<int>(code);
  }
  if (const Node* details = parsed->find("details")) read_details(*details, error);
  return true;
}

bool version_too_large(const Error& error) {
  return std::ranges::any_of(
             error.causes,
             [](const Cause& cause) { return cause.reason == "ResourceVersionTooLarge"; }) ||
         error.status_message.contains("Too large resource version");
}

ErrorKind kind_of(const Error& error) {
  switch (error.status) {
    case 401:
      return ErrorKind::Unauthorized;
    case 403:
      return ErrorKind::Forbidden;
    case 404:
      return ErrorKind::NotFound;
    case 408:
      return ErrorKind::Timeout;
    case 409:
      return error.reason == "AlreadyExists" ? ErrorKind::AlreadyExists : ErrorKind::Conflict;
    case 410:
      return ErrorKind::Gone;
    case 429:
      return ErrorKind::TooManyRequests;
    case 504:
      return version_too_large(error) ? ErrorKind::VersionTooLarge : ErrorKind::Timeout;
    default:
      break;
  }
  if (error.status >= 500) return ErrorKind::ServerError;
  if (error.status >= 400) return ErrorKind::Invalid;
  return ErrorKind::Malformed;
}

/// `User "system:serviceaccount:a:b"` of an authorizer's refusal, without the quotes.
std::string refused_user(std::string_view message) {
  constexpr std::string_view kMark = "User \"";
  const auto begin = message.find(kMark);
  if (begin == std::string_view::npos) return "";
  const auto end = message.find('"', begin + kMark.size());
  if (end == std::string_view::npos) return "";
  return std::string(message.substr(begin + kMark.size(), end - begin - kMark.size()));
}

std::string forbidden_sentence(std::string_view call, const Error& error) {
  // The authorizer's own words; quotas, Pod Security and webhooks answer 403 too.
  if (!error.status_message.contains("cannot ") || !error.status_message.contains(" resource ")) {
    return std::string(call) + " was refused: " + error.status_message;
  }
  const std::string user = refused_user(error.status_message);
  return "missing rights: " + std::string(call) + "; give " +
         (user.empty() ? "this account" : user) + " a Role or ClusterRole with that right";
}

std::string sentence(std::string_view call, const Error& error) {
  const std::string said = error.status_message.empty() ? "" : ": " + error.status_message;
  const std::string name(call);
  switch (error.kind) {
    case ErrorKind::Unauthorized:
      return name + ": the API server does not accept our credentials (401)" + said;
    case ErrorKind::Forbidden:
      return forbidden_sentence(call, error);
    case ErrorKind::TooManyRequests:
      return name + ": the API server is busy (429)" +
             (error.retry_after
                  ? ", it asks to wait " + std::to_string(error.retry_after->count()) + " s"
                  : "");
    case ErrorKind::Malformed:
      return name + ": unexpected HTTP status " + std::to_string(error.status) +
             (error.status >= 300 && error.status < 400 ? "; redirects are not followed" : "");
    default:
      return name + ": HTTP " + std::to_string(error.status) +
             (error.reason.empty() ? "" : " " + error.reason) + said;
  }
}

Error finish(std::string_view call, Error error) {
  error.kind = kind_of(error);
  error.message = sentence(call, error);
  return error;
}

}  // namespace

std::string_view to_string(ErrorKind kind) {
  static constexpr std::array<std::string_view, 15> kNames = {
      "Unreachable",     "Unauthorized", "Forbidden", "NotFound",        "Conflict",
      "AlreadyExists",   "Gone",         "Invalid",   "TooManyRequests", "Timeout",
      "VersionTooLarge", "ServerError",  "Malformed", "Cancelled",       "NoCredentials"};
  return kNames.at(static_cast<std::size_t>(kind));
}

bool Error::is_transient() const {
  switch (kind) {
    case ErrorKind::Unreachable:
    case ErrorKind::TooManyRequests:
    case ErrorKind::Timeout:
    case ErrorKind::VersionTooLarge:
    case ErrorKind::ServerError:
    case ErrorKind::Malformed:
    case ErrorKind::NoCredentials:
    case ErrorKind::Unauthorized:
      return true;
    default:
      return false;
  }
}

std::unexpected<Error> failure(ErrorKind kind, std::string message) {
  Error error;
  error.kind = kind;
  error.message = std::move(message);
  return std::unexpected(std::move(error));
}

Error error_from_answer(std::string_view call, int status, std::string_view body,
                        std::optional<std::chrono::seconds> retry_after) {
  Error error;
  error.status = status;
  error.retry_after = retry_after;
  // What is no Status comes from a proxy or a dying server; a short text still says something.
  if (!read_status(body, error) && !body.starts_with('<')) {
    error.status_message = server_text(body.substr(0, 256));
  }
  return finish(call, std::move(error));
}

Error error_from_status(std::string_view call, std::string_view status_json) {
  Error error;
  if (!read_status(status_json, error)) {
    error.kind = ErrorKind::Malformed;
    error.message = std::string(call) + ": the server sent an ERROR event without a Status";
    return error;
  }
  return finish(call, std::move(error));
}

}  // namespace sandboxrun::kube
