#pragma once

#include <memory>
#include <string>

#include "tests/support/child_process.h"
#include "tests/support/https_server.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {

/// A real S3 server (versitygw, built by tests/tools/build.sh) on a free port of the loopback or of
/// another address of this machine, with bucket "inputs", and bucket "versions" that keeps
/// versions. Throws std::runtime_error, saying what to do, if it cannot be had.
class S3Server {
 public:
  /// Plain HTTP.
  explicit S3Server(const std::string& address = "127.0.0.1");
  /// TLS with a certificate of that authority, for 127.0.0.1.
  explicit S3Server(const CertificateAuthority& authority);

  std::string endpoint() const { return endpoint_; }
  int port() const { return port_; }
  /// A folder as a mounted Secret: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
  std::string credentials_dir() const { return dir_ / "credentials"; }

  /// The file that an object's content is stored in.
  std::string file(const std::string& bucket, const std::string& key) const {
    return dir_ / ("data/" + bucket + "/" + key);
  }
  /// Puts an object by another client than ours. Returns its version ("" without versions). Only
  /// for the plain server. `key` is percent-encoded.
  std::string put(const std::string& bucket, const std::string& key, const std::string& content);
  /// Gets an object's content by another client than ours.
  std::string get(const std::string& bucket, const std::string& key);

 private:
  void start(const std::string& address, const std::vector<std::string>& more);
  std::string request(const std::string& method, const std::string& path_and_query,
                      const std::string& body, const std::string& field);

  TempDir dir_;
  std::string endpoint_;
  int port_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace sandboxrun::test
