#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "operator/base/error.h"
#include "sandbox-image/agent/http_client.h"

namespace sandboxrun::agent {

/// Reads an answer as libcurl hands it over, one header line and one piece of body at a time, and
/// stops what must not go on: a body over the limit, endless headers, lengths that contradict.
class HttpAnswer {
 public:
  explicit HttpAnswer(const HttpRequest& request) : request_(request) {}

  /// One line of the head, with its line end. False: stop the transfer.
  bool header_line(std::string_view line);
  /// False: stop the transfer.
  bool body(std::span<const std::byte> bytes);

  /// Whether the head of a final (not 1xx) answer was read whole.
  bool has_head() const { return head_done_; }
  /// Whether the body goes to the caller and must therefore be whole.
  bool is_wanted() const { return head_done_ && !request_.upload && response_.status == 200; }
  const std::optional<Error>& error() const { return error_; }
  /// Whether all that was declared has come. Errors: Transport, Rejected.
  Result<void> check_length() const;
  HttpResponse take() { return std::move(response_); }

 private:
  bool stop_with(ErrorKind kind, std::string_view message);
  bool header(std::string_view name, std::string_view value);
  bool content_length(std::string_view value);
  bool end_of_head();

  const HttpRequest& request_;
  HttpResponse response_;
  std::optional<Error> error_;
  std::optional<std::int64_t> length_;
  bool chunked_ = false;
  bool head_done_ = false;
  std::size_t head_bytes_ = 0;
  std::int64_t body_bytes_ = 0;
};

}  // namespace sandboxrun::agent
