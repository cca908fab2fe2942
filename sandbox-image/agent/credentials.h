#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/base/error.h"
#include "operator/base/secret.h"
#include "sandbox-image/agent/url.h"

namespace sandboxrun::agent {

/// A header of a request. The value may be a credential.
struct HttpHeader {
  std::string name;
  Secret value;
};

/// One header for each file of a mounted Secret: the file's name (an RFC 9110 token) and its
/// content without one newline at its end. Entries that begin with a dot are the mount's own
/// machinery and skipped. Errors: InvalidInput for a name, value or number of headers that must not
/// be sent (framing and hop-by-hop headers, control characters), NotFound, System. No message
/// holds a value.
Result<std::vector<HttpHeader>> read_headers(const std::string& folder);

/// The URL in a mounted Secret's file, surrounding whitespace dropped. No message quotes it.
Result<Url> read_url(const std::string& path);

struct AwsCredentials {
  Secret access_key_id;
  Secret secret_access_key;
  Secret session_token;  ///< empty: long-term keys
};

/// From files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if it is there, AWS_SESSION_TOKEN.
Result<AwsCredentials> read_aws_credentials(const std::string& folder);

}  // namespace sandboxrun::agent
