#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {

/// A certificate authority that lives as long as the object. Throws std::runtime_error.
class CertificateAuthority {
 public:
  CertificateAuthority();

  /// PEM of its own certificate: what a client is to trust.
  std::string file() const { return dir_ / "ca.pem"; }

  struct Pair {
    std::string certificate;
    std::string key;
  };
  /// A certificate for `names` ("IP:127.0.0.1,DNS:localhost").
  Pair issue(const std::string& names) const;

 private:
  TempDir dir_;
};

/// A request as the server got it.
struct ServedRequest {
  std::string method;
  std::string target;
  std::multimap<std::string, std::string> headers;  ///< names in lower case
  std::string sha256;                               ///< of the body, hex
  std::int64_t bytes = 0;

  std::string header(const std::string& name) const;  ///< the first; "" if there is none
};

/// https_server.py on a free port of the loopback. Throws std::runtime_error if it does not start.
class HttpsServer {
 public:
  enum class Certificate { Good, OtherHost, SelfSigned };
  /// `script`: see https_server.py.
  HttpsServer(const CertificateAuthority& authority, const std::string& script,
              Certificate certificate = Certificate::Good,
              const std::string& address = "127.0.0.1");
  /// Plain HTTP.
  explicit HttpsServer(const std::string& script);

  int port() const { return port_; }
  /// "https://127.0.0.1:PORT" and the path.
  std::string url(const std::string& path) const;
  /// All requests so far.
  std::vector<ServedRequest> requests() const;

 private:
  void start(const std::string& script, std::vector<std::string> more);

  TempDir dir_;
  std::string origin_;
  int port_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace sandboxrun::test
