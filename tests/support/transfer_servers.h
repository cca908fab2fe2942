#pragma once

#include <string>

#include "tests/support/https_server.h"
#include "tests/support/s3_server.h"
#include "tests/support/served_namespace.h"

namespace sandboxrun::test {

/// An HTTPS and an S3 server on the node's address, where the pods of a served namespace reach
/// them, and in the namespace what runs need: ConfigMap "authority" (ca.crt), Secret "s3".
/// The texts that it gives are YAML in one line, as members of a source or an upload.
class TransferServers {
 public:
  /// `script`: see https_server.py.
  TransferServers(const ServedNamespace& space, const std::string& script);

  HttpsServer& https() { return https_; }
  S3Server& s3() { return s3_; }

  /// An https place by its URL in the manifest.
  std::string by_url(const std::string& path) const;
  /// An https place whose URL is that key of Secret "urls".
  static std::string by_secret(const std::string& key);
  /// An object of bucket "inputs".
  std::string object(const std::string& key) const;

 private:
  CertificateAuthority authority_;
  HttpsServer https_;
  S3Server s3_;
};

/// The content of a file in a gzipped tar archive. Throws if it is not there.
std::string file_in(const std::string& archive, const std::string& name);
/// The names of a gzipped tar archive, sorted, one a line. Throws if it cannot be read.
std::string names_in(const std::string& archive);
/// "sha256:<hex>" of a file's content.
std::string digest_of_file(const std::string& path);

}  // namespace sandboxrun::test
