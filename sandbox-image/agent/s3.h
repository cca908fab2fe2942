#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/error.h"
#include "sandbox-image/agent/credentials.h"
#include "sandbox-image/agent/url.h"
#include "sandbox-image/protocol/work_order.h"

namespace sandboxrun::agent {

/// Amazon's own limit on an object sent by one PUT.
inline constexpr std::int64_t kMaxS3PutBytes = std::int64_t{5} << 30;

/// Where the object is: path style under `endpoint`, virtual-host style where the endpoint's host
/// begins with "<bucket>." or, without an endpoint, at Amazon. Errors: InvalidInput, naming the
/// part (endpoint, region, bucket, key, versionId).
Result<Url> s3_object_url(const protocol::S3Location& location);

/// The region that requests are signed for.
std::string s3_region(const protocol::S3Location& location);

/// The headers of one request, signed for `now`; none without credentials. `payload_sha256` is in
/// hex.
std::vector<HttpHeader> s3_headers(const protocol::S3Location& location, const Url& url,
                                   std::string_view method, std::string_view payload_sha256,
                                   const std::optional<AwsCredentials>& credentials,
                                   std::time_t now);

/// The Code of an S3 error document, if it is one word of at most 64 letters; else nothing. No
/// other text of a server is shown.
std::optional<std::string> s3_error_code(std::string_view body);

/// Whether `text` can be an S3 region's name: what may be shown of a server's region header.
bool is_region(std::string_view text);

}  // namespace sandboxrun::agent
