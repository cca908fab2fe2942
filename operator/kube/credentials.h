#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "operator/kube/config.h"

namespace sandboxrun::kube {

/// What proves who we are, at this moment.
struct Credential {
  Secret authorization;    ///< the Authorization header's value; empty: none
  Secret certificate_pem;  ///< from an exec plugin; empty: the configuration's own
  Secret key_pem;
  std::uint64_t generation = 0;  ///< grows when anything in it changes
};

/// Keeps a credential fresh.
/// Guarantees: thread safe. A token file is read again when the last read is 50 s old; an
/// unreadable or empty file keeps the last token (the API server is the judge). An exec plugin runs
/// again when its expirationTimestamp is less than 10 s away.
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  /// Errors: NoCredentials, with the file or command and what to do; Cancelled.
  virtual Result<Credential> current(std::stop_token stop) = 0;
  /// The server answered 401 to `generation`. True if `current` now gives another one.
  virtual bool refused(std::uint64_t generation, std::stop_token stop) = 0;
};

/// The clocks, so that tests can turn them.
struct Clocks {
  std::function<std::chrono::steady_clock::time_point()> steady = [] {
    return std::chrono::steady_clock::now();
  };
  std::function<std::chrono::system_clock::time_point()> system = [] {
    return std::chrono::system_clock::now();
  };
};

/// For any configuration; without credentials it gives an empty Credential.
std::unique_ptr<CredentialSource> make_credential_source(const Config& config, Clocks clocks = {});

/// The text of a PemSource: its data, or its file's content. Errors: NoCredentials.
Result<Secret> read_pem(const PemSource& source, std::string_view what);

/// A file's content, at most `max_bytes`.
Result<Secret> read_small_file(const std::string& path, std::size_t max_bytes = 1u << 20);

}  // namespace sandboxrun::kube
