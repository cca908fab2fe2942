#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "operator/base/error.h"

namespace sandboxrun::launch {

struct RegistryOptions {
  std::string skopeo;       ///< absolute path
  std::string scratch_dir;  ///< of the run; reachable by root only
  int scratch = -1;         ///< the same, opened
  std::uint32_t user = 0;   ///< host id as which skopeo runs
  std::stop_token stop;
};

/// Copies repository@sha256:... from its registry into a fresh OCI layout and returns the layout's
/// folder. skopeo runs without rights and without our environment; the caller verifies what it
/// brought.
/// Errors: Unavailable (no skopeo), NotFound (the registry lacks it), Transport (it could not be
/// reached), Denied (a login, or TLS that proves nothing), DigestMismatch, Rejected, Cancelled,
/// System. The registry's own words are in none of them.
Result<std::string> fetch_to_layout(const std::string& reference, const RegistryOptions& options);

}  // namespace sandboxrun::launch
