#pragma once

#include <memory>
#include <string>
#include <vector>

namespace sandboxrun::test {

/// A certificate and its key as PEM.
struct TestCertificate {
  std::string certificate_pem;
  std::string key_pem;
};

/// A certificate authority that lives as long as the object.
class TestAuthority {
 public:
  TestAuthority();
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  const std::string& pem() const;
  /// `names`: "DNS:localhost", "IP:127.0.0.1", ...; `days` may be negative: expired.
  TestCertificate issue(const std::vector<std::string>& names, int days = 1) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace sandboxrun::test
