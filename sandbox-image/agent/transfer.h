#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sandbox-image/agent/attempts.h"
#include "sandbox-image/agent/fetch.h"
#include "sandbox-image/agent/http_client.h"
#include "sandbox-image/agent/s3.h"

/// What fetching and uploading share. Inside the agent library only.
namespace sandboxrun::agent {

/// An object over HTTP, ready to be asked for.
struct RemoteObject {
  Url url;
  std::string shown;  ///< what messages call it: no query; only its host if the URL is secret
  std::string ca_file;
  bool is_s3 = false;
  /// The headers of an attempt: made anew for each, because a signature holds the time.
  std::function<std::vector<HttpHeader>()> headers;
};

/// `method` and `payload_sha256` (hex) are what a signature covers. Errors: InvalidInput, Denied
/// (http), NotFound and System for files of Secrets.
Result<RemoteObject> remote_object(const protocol::HttpLocation& location,
                                   const protocol::TransferPolicy& policy);
Result<RemoteObject> remote_object(const protocol::S3Location& location,
                                   const protocol::TransferPolicy& policy,
                                   const std::string& method, const std::string& payload_sha256);

/// The conditions for all attempts of one transfer that begins now. Errors: InvalidInput for an
/// allowed address that cannot be read.
Result<HttpConditions> conditions_of(const protocol::TransferPolicy& policy,
                                     const TransferTuning& tuning, const std::stop_token& stop);
AttemptLimits limits_of(const protocol::TransferPolicy& policy, const TransferTuning& tuning,
                        const HttpConditions& conditions);

/// Denied unless the policy allows the URL's scheme.
Result<void> check_scheme(const Url& url, const protocol::TransferPolicy& policy);

/// The failure that an answer with a status other than success means: Transport (429, 5xx) or
/// Rejected, with the S3 error code or the bucket's region where that is known.
AttemptFailure failed_status(const RemoteObject& object, const HttpResponse& response);

/// As fetch() and upload() of fetch.h, with other times between retries.
Result<Fetched> fetch(const protocol::Source& source, const FetchContext& context,
                      const TransferTuning& tuning);
Result<void> upload(int file, std::int64_t bytes, const std::string& digest,
                    const std::string& content_type, const protocol::Target& target,
                    const UploadContext& context, const TransferTuning& tuning);

}  // namespace sandboxrun::agent
