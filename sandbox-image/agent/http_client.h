#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "operator/base/error.h"
#include "sandbox-image/agent/address_policy.h"
#include "sandbox-image/agent/credentials.h"
#include "sandbox-image/agent/url.h"

namespace sandboxrun::agent {

/// One HTTP request.
struct HttpRequest {
  Url url;
  std::vector<HttpHeader> headers;
  std::string ca_file;  ///< trusted instead of the system's certificates; empty: the system's

  /// PUT with these bytes of an open file; absent: GET.
  struct Upload {
    int file = -1;
    std::int64_t bytes = 0;
    std::function<void(std::int64_t done)> progress;
  };
  std::optional<Upload> upload;
  /// GET: takes the body of a 200 answer as it comes; `total` is 0 if unknown.
  std::function<Result<void>(std::span<const std::byte>, std::int64_t total)> sink;
  std::int64_t max_bytes = 0;  ///< a 200 answer that declares more is refused at once
};

struct HttpConditions {
  AddressPolicy addresses;
  std::chrono::steady_clock::time_point deadline;
  std::chrono::milliseconds connect_timeout{30'000};
  std::int64_t low_speed_bytes = 0;         ///< a second; slower than this ...
  std::chrono::seconds low_speed_time{60};  ///< ... for so long is given up
  std::stop_token stop;
};

/// What is kept of an answer. Texts are the server's: never shown as they are.
struct HttpResponse {
  int status = 0;
  std::string location;
  std::string bucket_region;  ///< x-amz-bucket-region
  std::chrono::seconds retry_after{0};
  std::string body;  ///< at most 64 KiB of any body that isn't the sink's
};

/// Makes one request on a connection of its own by libcurl. Follows no redirect; uses no proxy,
/// netrc, cookie or environment variable; TLS 1.2 or later with peer and host name verified; asks
/// `addresses` for each socket that is opened.
/// Returns every complete answer, whatever its status. Errors: Transport (another try might cure
/// it; includes too slow), Denied (address, certificate), LimitExceeded, Timeout (the deadline),
/// Cancelled, InvalidInput (CA file), and the sink's own. Messages hold no text of the server, URL
/// or header.
Result<HttpResponse> http_exchange(const HttpRequest& request, const HttpConditions& conditions);

}  // namespace sandboxrun::agent
