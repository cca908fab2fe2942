#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "operator/base/error.h"

namespace sandboxrun::agent {

/// Streaming SHA-256 (FIPS 180-4) by OpenSSL.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> bytes);
  /// "sha256:<64 lower-case hex>". May be called once.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Digest of all bytes of an open file, read from its start with pread (its offset stays).
Result<std::string> digest_of(int fd);

/// Whether `text` is "sha256:" and 64 hex digits, nothing more (contract row W2).
bool is_digest(std::string_view text);

/// The digest with its hex in lower case. Assumes is_digest(text).
std::string normalised_digest(std::string_view text);

}  // namespace sandboxrun::agent
