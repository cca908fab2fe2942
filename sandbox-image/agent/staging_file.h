#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "sandbox-image/agent/digest.h"
#include "sandbox-image/agent/fetch.h"

namespace sandboxrun::agent {

/// A file without a name that is hashed while it is written.
/// Guarantees: it never had a name that another user could open (O_TMPFILE, or created 0600 with a
/// random name and unlinked at once), and the digest is that of the bytes in it.
class StagingFile {
 public:
  /// `max_bytes`: more than that is an error before it is written. Errors: System.
  static Result<StagingFile> create(const std::string& folder, std::int64_t max_bytes);

  /// Errors: LimitExceeded, System (disk full).
  Result<void> write(std::span<const std::byte> bytes);
  /// Empties it, for another attempt.
  Result<void> restart();
  std::int64_t bytes() const { return bytes_; }
  /// Hands it over, at offset 0. May be called once.
  Result<Fetched> finish() &&;

 private:
  StagingFile(UniqueFd file, std::int64_t max_bytes)
      : file_(std::move(file)), max_bytes_(max_bytes) {}

  UniqueFd file_;
  Sha256 hash_;
  std::int64_t bytes_ = 0;
  std::int64_t max_bytes_;
};

}  // namespace sandboxrun::agent
