#include "sandbox-image/agent/s3.h"

#include <algorithm>

#include "sandbox-image/agent/sigv4.h"

namespace sandboxrun::agent {
namespace {

constexpr std::size_t kMaxKeyBytes = 1024;
constexpr std::size_t kMaxVersionBytes = 1024;
constexpr std::size_t kMaxCodeBytes = 64;

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

std::unexpected<Error> refuse(std::string_view rule) {
  return failure(ErrorKind::InvalidInput, std::string(rule));
}

/// Amazon's rules for general purpose buckets; they leave no way out of the bucket's place in a
/// path or host name.
bool is_bucket(std::string_view text) {
  if (text.size() < 3 || text.size() > 63) return false;
  if (!is_lower_or_digit(text.front()) || !is_lower_or_digit(text.back())) return false;
  if (text.contains("..")) return false;
  return std::ranges::all_of(text,
                             [](char c) { return is_lower_or_digit(c) || c == '-' || c == '.'; });
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

Result<void> check_names(const protocol::S3Location& location) {
  if (!is_bucket(location.bucket)) {
    return refuse("S3 bucket: not 3 to 63 lower-case letters, digits, '-' and single '.'");
  }
  if (location.key.empty() || location.key.size() > kMaxKeyBytes || has_control(location.key)) {
    return refuse("S3 key: not 1 to 1024 bytes without control characters");
  }
  if (location.version_id.size() > kMaxVersionBytes || has_control(location.version_id)) {
    return refuse("S3 versionId: longer than 1024 bytes, or with control characters");
  }
  if (!location.region.empty() && !is_region(location.region)) {
    return refuse("S3 region: not 1 to 32 lower-case letters, digits and '-'");
  }
  return {};
}

std::string amazon_endpoint(const protocol::S3Location& location) {
  const std::string region = s3_region(location);
  const std::string zone = region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  const std::string host = "s3." + region + "." + zone;
  // Amazon's wildcard certificate covers one label: a bucket with a dot has to go by path.
  const bool by_path = location.bucket.contains('.');
  return "https://" + (by_path ? host : location.bucket + "." + host);
}

}  // namespace

bool is_region(std::string_view text) {
  return !text.empty() && text.size() <= 32 &&
         std::ranges::all_of(text, [](char c) { return is_lower_or_digit(c) || c == '-'; });
}

std::string s3_region(const protocol::S3Location& location) {
  return location.region.empty() ? "us-east-1" : location.region;
}

Result<Url> s3_object_url(const protocol::S3Location& location) {
  if (auto checked = check_names(location); !checked) return std::unexpected(checked.error());
  auto url = parse_url(location.endpoint.empty() ? amazon_endpoint(location) : location.endpoint);
  if (!url) return failure_within("S3 endpoint", url.error());
  if (url->path != "/" || url->query) return refuse("S3 endpoint: it has a path or a query");
  const bool virtual_host = url->host.starts_with(location.bucket + ".");
  url->path = (virtual_host ? "/" : "/" + location.bucket + "/") + uri_encode(location.key, false);
  if (!location.version_id.empty()) {
    url->query = canonical_query({{"versionId", location.version_id}});
  }
  return url;
}

std::vector<HttpHeader> s3_headers(const protocol::S3Location& location, const Url& url,
                                   std::string_view method, std::string_view payload_sha256,
                                   const std::optional<AwsCredentials>& credentials,
                                   std::time_t now) {
  if (!credentials) return {};
  const SigningScope scope{.region = s3_region(location), .timestamp = amz_timestamp(now)};
  SignedParts parts{.method = std::string(method),
                    .path = url.path,
                    .query = {},
                    .headers = {{"x-amz-content-sha256", std::string(payload_sha256)},
                                {"x-amz-date", scope.timestamp}},
                    .payload_sha256 = std::string(payload_sha256)};
  if (!location.version_id.empty()) parts.query.emplace_back("versionId", location.version_id);
  if (!credentials->session_token.empty()) {
    parts.headers.emplace_back("x-amz-security-token", credentials->session_token.reveal());
  }
  std::vector<HttpHeader> headers;
  for (const auto& [name, value] : parts.headers) headers.push_back({name, Secret(value)});
  parts.headers.emplace_back("host", url.authority());
  headers.push_back({"Authorization", authorization(parts, scope, *credentials)});
  return headers;
}

std::optional<std::string> s3_error_code(std::string_view body) {
  constexpr std::string_view kOpen = "<Code>";
  const std::size_t error = body.find("<Error>");
  if (error == std::string_view::npos) return std::nullopt;
  const std::size_t begin = body.find(kOpen, error);
  if (begin == std::string_view::npos) return std::nullopt;
  const std::string_view rest = body.substr(begin + kOpen.size());
  const std::string_view code = rest.substr(0, rest.find("</Code>"));
  const bool letters = std::ranges::all_of(
      code, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
  if (code.empty() || code.size() > kMaxCodeBytes || !letters || code.size() == rest.size()) {
    return std::nullopt;
  }
  return std::string(code);
}

}  // namespace sandboxrun::agent
