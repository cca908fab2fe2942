#pragma once

#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "operator/base/secret.h"
#include "operator/kube/error.h"

namespace sandboxrun::kube {

/// What a TLS client needs, as PEM text.
struct TlsSettings {
  std::string ca_pem;       ///< empty: the system's roots
  std::string server_name;  ///< DNS name or IP address that the certificate must carry
  Secret certificate_pem;   ///< our own chain, leaf first; empty: none
  Secret key_pem;
};

/// Parsed TLS settings that any number of SSL_CTX can be set up from at no cost.
/// Guarantees: TLS 1.2 or later; only `ca_pem` is trusted, every certificate in it as an anchor
/// (as Go does); the name is verified by OpenSSL itself, whatever else the caller's library does.
/// Assumptions: outlives every SSL_CTX and SSL that it set up.
class TlsClient {
 public:
  /// Errors: NoCredentials, naming what cannot be read as PEM or does not belong together.
  static Result<std::shared_ptr<TlsClient>> make(const TlsSettings& settings);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  /// False if OpenSSL refuses; `context` must not be used then.
  bool apply(SSL_CTX* context) const;

  /// Why the last handshake's certificate was refused, e.g. "certificate has expired"; or "".
  std::string last_refusal() const;

 private:
  struct Parts;
  explicit TlsClient(std::unique_ptr<Parts> parts);
  static int verify(X509_STORE_CTX* chain, void* self);

  std::unique_ptr<Parts> parts_;
};

}  // namespace sandboxrun::kube
