#include "sandbox-image/agent/transfer.h"

#include <ctime>

#include <algorithm>

namespace sandboxrun::agent {
namespace {

constexpr int kTooManyRequests = 429;

}  // namespace

Result<void> check_scheme(const Url& url, const protocol::TransferPolicy& policy) {
  if (url.scheme == "https" || policy.allow_http) return {};
  return failure(ErrorKind::Denied, "http is refused; use https, or have http allowed");
}

Result<RemoteObject> remote_object(const protocol::HttpLocation& location,
                                   const protocol::TransferPolicy& policy) {
  const bool secret = !location.url_file.empty();
  if (secret == !location.url.empty()) {
    return failure(ErrorKind::InvalidInput, "exactly one of url and urlFile is needed");
  }
  auto url = secret ? read_url(location.url_file) : parse_url(location.url);
  if (!url) return std::unexpected(url.error());
  RemoteObject object{.url = *url,
                      .shown = secret ? url->authority() + " (URL from a Secret)" : url->shown(),
                      .ca_file = location.ca_file,
                      .is_s3 = false,
                      .headers = {}};
  if (auto allowed = check_scheme(*url, policy); !allowed) {
    return failure_within(object.shown, allowed.error());
  }
  std::vector<HttpHeader> headers;
  if (!location.headers_dir.empty()) {
    auto read = read_headers(location.headers_dir);
    if (!read) return failure_within(object.shown, read.error());
    headers = std::move(*read);
  }
  object.headers = [headers = std::move(headers)] { return headers; };
  return object;
}

Result<RemoteObject> remote_object(const protocol::S3Location& location,
                                   const protocol::TransferPolicy& policy,
                                   const std::string& method, const std::string& payload_sha256) {
  auto url = s3_object_url(location);
  if (!url) return std::unexpected(url.error());
  RemoteObject object{.url = *url,
                      .shown = url->shown(),
                      .ca_file = location.ca_file,
                      .is_s3 = true,
                      .headers = {}};
  if (auto allowed = check_scheme(*url, policy); !allowed) {
    return failure_within(object.shown, allowed.error());
  }
  std::optional<AwsCredentials> credentials;
  if (!location.credentials_dir.empty()) {
    auto read = read_aws_credentials(location.credentials_dir);
    if (!read) return failure_within(object.shown, read.error());
    credentials = std::move(*read);
  }
  object.headers = [location, url = *url, method, payload_sha256,
                    credentials = std::move(credentials)] {
    return s3_headers(location, url, method, payload_sha256, credentials, std::time(nullptr));
  };
  return object;
}

Result<HttpConditions> conditions_of(const protocol::TransferPolicy& policy,
                                     const TransferTuning& tuning, const std::stop_token& stop) {
  auto addresses = AddressPolicy::parse(policy.allow);
  if (!addresses) return std::unexpected(addresses.error());
  const auto now = std::chrono::steady_clock::now();
  return HttpConditions{
      .addresses = std::move(*addresses),
      .deadline = now + std::chrono::seconds(std::max(1, policy.timeout_seconds)),
      .connect_timeout = std::chrono::seconds(std::max(1, policy.connect_timeout_seconds)),
      .low_speed_bytes = tuning.low_speed_bytes,
      .low_speed_time = tuning.low_speed_time,
      .stop = stop};
}

AttemptLimits limits_of(const protocol::TransferPolicy& policy, const TransferTuning& tuning,
                        const HttpConditions& conditions) {
  return AttemptLimits{.max_attempts = policy.max_attempts,
                       .deadline = conditions.deadline,
                       .first_wait = tuning.first_wait,
                       .longest_wait = tuning.longest_wait,
                       .stop = conditions.stop};
}

AttemptFailure failed_status(const RemoteObject& object, const HttpResponse& response) {
  std::string message = "HTTP " + std::to_string(response.status);
  if (object.is_s3) {
    if (auto code = s3_error_code(response.body)) message += " (" + *code + ")";
    if (response.status < 500 && is_region(response.bucket_region)) {
      message += "; the bucket is in region " + response.bucket_region + ", set that";
    }
  }
  const bool again = response.status == kTooManyRequests || response.status >= 500;
  return AttemptFailure{
      Error{again ? ErrorKind::Transport : ErrorKind::Rejected, std::move(message)}, again,
      response.retry_after};
}

}  // namespace sandboxrun::agent
