#include "tests/api/test_certificates.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdexcept>

namespace sandboxrun::test {
namespace {

constexpr long kDay = 24 * 3600;

void require(bool good) {
  if (!good) throw std::runtime_error("OpenSSL could not make a test certificate");
}

std::string bio_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

std::string certificate_text(X509* certificate) {
  BIO* bio = BIO_new(BIO_s_mem());
  require(PEM_write_bio_X509(bio, certificate) == 1);
  return bio_text(bio);
}

std::string key_text(EVP_PKEY* key) {
  BIO* bio = BIO_new(BIO_s_mem());
  require(PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return bio_text(bio);
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  require(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* make_certificate(EVP_PKEY* key, const char* name, long serial, int days) {
  X509* certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -2 * kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate), days * kDay);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  return certificate;
}

}  // namespace

struct TestAuthority::Parts {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = nullptr;
  std::string pem;
  mutable long serial = 1;

  ~Parts() {
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
};

TestAuthority::TestAuthority() : parts_(std::make_unique<Parts>()) {
  parts_->certificate = make_certificate(parts_->key, "test authority", 1, 1);
  X509_set_issuer_name(parts_->certificate, X509_get_subject_name(parts_->certificate));
  add_extension(parts_->certificate, parts_->certificate, NID_basic_constraints,
                "critical,CA:TRUE");
  require(X509_sign(parts_->certificate, parts_->key, EVP_sha256()) > 0);
  parts_->pem = certificate_text(parts_->certificate);
}

TestAuthority::~TestAuthority() = default;

const std::string& TestAuthority::pem() const {
  return parts_->pem;
}

TestCertificate TestAuthority::issue(const std::vector<std::string>& names, int days) const {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = make_certificate(key, "test", ++parts_->serial, days);
  X509_set_issuer_name(certificate, X509_get_subject_name(parts_->certificate));
  std::string list;
  for (const auto& name : names) list += (list.empty() ? "" : ",") + name;
  if (!list.empty()) {
    add_extension(certificate, parts_->certificate, NID_subject_alt_name, list);
  }
  require(X509_sign(certificate, parts_->key, EVP_sha256()) > 0);
  TestCertificate made{certificate_text(certificate), key_text(key)};
  X509_free(certificate);
  EVP_PKEY_free(key);
  return made;
}

}  // namespace sandboxrun::test
