#include "operator/kube/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <mutex>
#include <utility>
#include <vector>

#include "operator/kube/url.h"

namespace sandboxrun::kube {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* thing) const {
    Free(thing);
  }
};
using Bio = std::unique_ptr<BIO, Freed<&BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freed<&X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<&EVP_PKEY_free>>;
using Store = std::unique_ptr<X509_STORE, Freed<&X509_STORE_free>>;

// OpenSSL's own default file is switched off for the process (prepare_process_for_http).
constexpr const char* kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";

Bio text_bio(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// An encrypted key is an error, not a question on the terminal.
int no_passphrase(char*, int, int, void*) {
  return 0;
}

std::vector<Certificate> read_certificates(std::string_view pem) {
  std::vector<Certificate> found;
  const Bio bio = text_bio(pem);
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, &no_passphrase, nullptr)) {
    found.emplace_back(one);
  }
  ERR_clear_error();
  return found;
}

Result<Store> make_store(const std::string& ca_pem) {
  Store store(X509_STORE_new());
  if (ca_pem.empty()) {
    if (X509_STORE_load_file(store.get(), kSystemRoots) != 1) {
      ERR_clear_error();
      return failure(
          ErrorKind::NoCredentials,
          std::string("no certificate authority is configured and the system's roots (") +
              kSystemRoots + ") cannot be read");
    }
    return store;
  }
  const auto anchors = read_certificates(ca_pem);
  if (anchors.empty()) {
    return failure(ErrorKind::NoCredentials, "the certificate authority holds no PEM certificate");
  }
  for (const auto& anchor : anchors) X509_STORE_add_cert(store.get(), anchor.get());
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  ERR_clear_error();
  return store;
}

}  // namespace

struct TlsClient::Parts {
  std::string server_name;
  Store store;
  std::vector<Certificate> chain;
  Key key;
  mutable std::mutex mutex;
  std::string refusal;  // guarded by mutex
};

TlsClient::TlsClient(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TlsClient::~TlsClient() = default;

Result<std::shared_ptr<TlsClient>> TlsClient::make(const TlsSettings& settings) {
  auto parts = std::make_unique<Parts>();
  parts->server_name = settings.server_name;
  auto store = make_store(settings.ca_pem);
  if (!store) return std::unexpected(store.error());
  parts->store = std::move(*store);
  if (settings.certificate_pem.empty() != settings.key_pem.empty()) {
    return failure(ErrorKind::NoCredentials,
                   "the client certificate and the client key go together; one of them is missing");
  }
  if (!settings.certificate_pem.empty()) {
    parts->chain = read_certificates(settings.certificate_pem.reveal());
    if (parts->chain.empty()) {
      return failure(ErrorKind::NoCredentials, "the client certificate is no PEM certificate");
    }
    const Bio bio = text_bio(settings.key_pem.reveal());
    parts->key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, &no_passphrase, nullptr));
    const bool fits =
        parts->key && X509_check_private_key(parts->chain.front().get(), parts->key.get()) == 1;
    ERR_clear_error();
    if (!parts->key) {
      return failure(ErrorKind::NoCredentials,
                     "the client key is no PEM key, or it is encrypted; give it decrypted");
    }
    if (!fits) {
      return failure(ErrorKind::NoCredentials,
                     "the client key does not belong to the client certificate");
    }
  }
  return std::shared_ptr<TlsClient>(new TlsClient(std::move(parts)));
}

bool TlsClient::apply(SSL_CTX* context) const {
  SSL_CTX_set1_cert_store(context, parts_->store.get());
  if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) return false;
  SSL_CTX_set_cert_verify_callback(context, &TlsClient::verify,
                                   const_cast<TlsClient*>(this));  // given back to us untouched
  if (parts_->chain.empty()) return true;
  if (SSL_CTX_use_certificate(context, parts_->chain.front().get()) != 1) return false;
  for (std::size_t i = 1; i < parts_->chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, parts_->chain[i].get()) != 1) return false;
  }
  return SSL_CTX_use_PrivateKey(context, parts_->key.get()) == 1;
}

std::string TlsClient::last_refusal() const {
  const std::lock_guard lock(parts_->mutex);
  return parts_->refusal;
}

int TlsClient::verify(X509_STORE_CTX* chain, void* self) {
  Parts& parts = *static_cast<TlsClient*>(self)->parts_;
  X509_VERIFY_PARAM* rules = X509_STORE_CTX_get0_param(chain);
  const bool named = is_ip_address(parts.server_name)
                         ? X509_VERIFY_PARAM_set1_ip_asc(rules, parts.server_name.c_str()) == 1
                         : X509_VERIFY_PARAM_set1_host(rules, parts.server_name.c_str(), 0) == 1;
  // In place of the library's own callback, which would take the name from the Host header.
  X509_STORE_CTX_set_verify_cb(chain, [](int ok, X509_STORE_CTX*) { return ok; });
  const bool good = named && X509_verify_cert(chain) == 1;
  const std::lock_guard lock(parts.mutex);
  parts.refusal = good ? "" : X509_verify_cert_error_string(X509_STORE_CTX_get_error(chain));
  return good ? 1 : 0;
}

}  // namespace sandboxrun::kube
