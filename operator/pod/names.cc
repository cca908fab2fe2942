#include "operator/pod/names.h"

#include <openssl/evp.h>

#include <array>

namespace sandboxrun::pod {
namespace {

constexpr std::size_t kHashDigits = 12;

}  // namespace

std::string short_hash(std::string_view text, std::size_t digits) {
  // EVP_sha256() would be looked up anew by each call.
  static const EVP_MD* const kSha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, kSha256, nullptr);
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < size && out.size() + 2 <= digits; ++i) {
    out += kHex[digest[i] >> 4];
    out += kHex[digest[i] & 15];
  }
  return out;
}

std::string pod_name(std::string_view namespace_name, std::string_view run_name,
                     std::string_view run_uid, int attempt) {
  // No namespace, name or UID holds a slash, so that no two sets of parts give one text.
  const std::string number = std::to_string(attempt);
  std::string identity(namespace_name);
  for (const std::string_view part : {run_name, run_uid, std::string_view(number)}) {
    identity.append("/").append(part);
  }
  const std::string suffix = "-" + short_hash(identity, kHashDigits) + "-" + number;
  std::string name(run_name.substr(0, kMaxPodName - suffix.size()));
  // A part between dots may not end in "-", and may not be empty.
  while (!name.empty() && (name.back() == '-' || name.back() == '.')) name.pop_back();
  return name + suffix;
}

}  // namespace sandboxrun::pod
