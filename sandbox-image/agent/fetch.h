#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "operator/base/error.h"
#include "operator/base/fd.h"
#include "sandbox-image/protocol/work_order.h"

namespace sandboxrun::agent {

/// A fetched file: unlinked, so nobody else can open or change it, and hashed while it was
/// written. Whoever unpacks it reads this same descriptor.
struct Fetched {
  UniqueFd file;       ///< open for reading, at offset 0
  std::string digest;  ///< "sha256:<hex>" of its bytes
  std::int64_t bytes = 0;
};

/// Told how a transfer is getting on. `total` is 0 while unknown.
using Progress = std::function<void(std::int64_t done, std::int64_t total)>;

struct FetchContext {
  protocol::TransferPolicy policy;
  std::string staging_dir;  ///< where the unlinked file lives; a 0700 folder of ours
  std::stop_token stop;
  Progress progress;
};

/// Fetches one source whole. A `FileLocation` may go through symbolic links (mounts are made of
/// them) but must end at a regular file. Retries transport errors, HTTP 429 and 5xx, nothing else.
/// Errors: Transport (after all attempts), Rejected (any other HTTP status), Denied (scheme,
/// address, certificate, redirect or kind of file refused), LimitExceeded, Timeout, Cancelled,
/// NotFound, InvalidInput (URL, header, key, CA file), System (disk full). Messages name host,
/// attempts and last cause, never a query or credential.
Result<Fetched> fetch(const protocol::Source& source, const FetchContext& context);

struct UploadContext {
  protocol::TransferPolicy policy;
  std::stop_token stop;
  Progress progress;
};

/// Sends the whole of `file` (from offset 0, exactly `bytes`) with Content-Length set: PUT to a
/// URL, PUT object to S3 (Signature V4, payload hash signed), or a file (launcher; written beside
/// its destination and renamed, never over an existing file). Follows no redirect.
/// `digest` is the "sha256:<hex>" of the bytes. Errors as for fetch.
Result<void> upload(int file, std::int64_t bytes, const std::string& digest,
                    const std::string& content_type, const protocol::Target& target,
                    const UploadContext& context);

}  // namespace sandboxrun::agent
