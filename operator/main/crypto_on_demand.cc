// The functions of libcrypto that `sandboxrun` uses, each passed on to the library, which is loaded
// when the first of them is called: a run whose image and environment are cached hashes nothing,
// and libcrypto would be a third of what the program needs to start. (With --as-needed the linker
// leaves the library out, since all that is asked of it is here.)

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <unistd.h>

#include <string_view>

#include "operator/base/late_library.h"

// Kept to this program: libcurl's libssl must find libcrypto's own.
#pragma GCC visibility push(hidden)

namespace {

constexpr int kUnable = 125;

void* open_or_exit() {
  void* const library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  if (library != nullptr) return library;
  constexpr std::string_view kText =
      "sandboxrun: libcrypto.so.3 cannot be loaded, so nothing can be verified; install libssl3\n";
  static_cast<void>(write(STDERR_FILENO, kText.data(), kText.size()));
  _exit(kUnable);
}

template <typename Function>
Function* find(const char* name) {
  static void* const library = open_or_exit();
  return sandboxrun::late_function<Function>(library, name);
}

}  // namespace

#define SANDBOXRUN_FIND(name) static auto* const call = find<decltype(name)>(#name)

extern "C" {

int EVP_DecodeBlock(unsigned char* to, const unsigned char* from, int bytes) {
  SANDBOXRUN_FIND(EVP_DecodeBlock);
  return call(to, from, bytes);
}

int EVP_EncodeBlock(unsigned char* to, const unsigned char* from, int bytes) {
  SANDBOXRUN_FIND(EVP_EncodeBlock);
  return call(to, from, bytes);
}

int EVP_Digest(const void* data, size_t bytes, unsigned char* digest, unsigned int* size,
               const EVP_MD* kind, ENGINE* engine) {
  SANDBOXRUN_FIND(EVP_Digest);
  return call(data, bytes, digest, size, kind, engine);
}

EVP_MD_CTX* EVP_MD_CTX_new() {
  SANDBOXRUN_FIND(EVP_MD_CTX_new);
  return call();
}

void EVP_MD_CTX_free(EVP_MD_CTX* context) {
  SANDBOXRUN_FIND(EVP_MD_CTX_free);
  call(context);
}

int EVP_DigestInit_ex(EVP_MD_CTX* context, const EVP_MD* kind, ENGINE* engine) {
  SANDBOXRUN_FIND(EVP_DigestInit_ex);
  return call(context, kind, engine);
}

int EVP_DigestUpdate(EVP_MD_CTX* context, const void* data, size_t bytes) {
  SANDBOXRUN_FIND(EVP_DigestUpdate);
  return call(context, data, bytes);
}

int EVP_DigestFinal_ex(EVP_MD_CTX* context, unsigned char* digest, unsigned int* size) {
  SANDBOXRUN_FIND(EVP_DigestFinal_ex);
  return call(context, digest, size);
}

const EVP_MD* EVP_sha256() {
  SANDBOXRUN_FIND(EVP_sha256);
  return call();
}

unsigned char* HMAC(const EVP_MD* kind, const void* key, int key_bytes, const unsigned char* data,
                    size_t bytes, unsigned char* code, unsigned int* size) {
  SANDBOXRUN_FIND(HMAC);
  return call(kind, key, key_bytes, data, bytes, code, size);
}

void OPENSSL_cleanse(void* data, size_t bytes) {
  explicit_bzero(data, bytes);
}

const char* X509_verify_cert_error_string(long code) {
  SANDBOXRUN_FIND(X509_verify_cert_error_string);
  return call(code);
}

}  // extern "C"

#pragma GCC visibility pop
