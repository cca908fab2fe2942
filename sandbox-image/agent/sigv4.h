#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sandbox-image/agent/credentials.h"

/// AWS Signature Version 4, signing in the Authorization header, with the whole payload in one
/// piece: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html. Pure functions.
namespace sandboxrun::agent {

using NameValues = std::vector<std::pair<std::string, std::string>>;

/// What is signed of a request.
struct SignedParts {
  std::string method;
  std::string path;            ///< as it is sent, percent-encoded once (S3's rule; dots are kept)
  NameValues query;            ///< decoded
  NameValues headers;          ///< all that are signed, "host" among them; any order and case
  std::string payload_sha256;  ///< 64 lower-case hex digits
};

struct SigningScope {
  std::string region;
  std::string service = "s3";
  std::string timestamp;  ///< "20130524T000000Z"
};

/// SHA-256 of nothing: the payload hash of a GET.
inline constexpr std::string_view kEmptySha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// ISO 8601 basic format in UTC, as x-amz-date has it.
std::string amz_timestamp(std::time_t now);

/// AWS's UriEncode: all but A-Z a-z 0-9 - . _ ~ becomes %XX (upper case); '/' only if asked for.
std::string uri_encode(std::string_view text, bool encode_slash);

/// The query string as it is signed and sent: encoded, sorted.
std::string canonical_query(const NameValues& query);

std::string canonical_request(const SignedParts& parts);

/// The value of the Authorization header.
Secret authorization(const SignedParts& parts, const SigningScope& scope,
                     const AwsCredentials& credentials);

}  // namespace sandboxrun::agent
