#include "sandbox-image/agent/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>

namespace sandboxrun::agent {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
using Hash = std::array<unsigned char, 32>;

std::string hex(const Hash& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : bytes) {
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

Hash sha256(std::string_view text) {
  Hash out{};
  EVP_Digest(text.data(), text.size(), out.data(), nullptr, EVP_sha256(), nullptr);
  return out;
}

Hash hmac(std::string_view key, std::string_view text) {
  Hash out{};
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), nullptr);
  return out;
}

std::string_view view(const Hash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

/// Lower-case name, value with its ends trimmed and runs of spaces made one.
std::pair<std::string, std::string> canonical_header(const std::string& name,
                                                     const std::string& value) {
  std::pair<std::string, std::string> out;
  for (const char c : name) {
    out.first += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  for (const char c : value) {
    if (c == ' ' && (out.second.empty() || out.second.back() == ' ')) continue;
    out.second += c;
  }
  if (out.second.ends_with(' ')) out.second.pop_back();
  return out;
}

NameValues canonical_headers(const SignedParts& parts) {
  NameValues headers;
  for (const auto& [name, value] : parts.headers) headers.push_back(canonical_header(name, value));
  std::ranges::sort(headers);
  return headers;
}

std::string signed_names(const NameValues& headers) {
  std::string out;
  for (const auto& [name, value] : headers) {
    if (!out.empty()) out += ';';
    out += name;
  }
  return out;
}

}  // namespace

std::string amz_timestamp(std::time_t now) {
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 17> out{};
  std::strftime(out.data(), out.size(), "%Y%m%dT%H%M%SZ", &utc);
  return out.data();
}

std::string uri_encode(std::string_view text, bool encode_slash) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").contains(c);
    if (plain || (c == '/' && !encode_slash)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

std::string canonical_query(const NameValues& query) {
  NameValues encoded;
  for (const auto& [name, value] : query) {
    encoded.emplace_back(uri_encode(name, true), uri_encode(value, true));
  }
  std::ranges::sort(encoded);
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out.append(name).append("=").append(value);
  }
  return out;
}

std::string canonical_request(const SignedParts& parts) {
  const NameValues headers = canonical_headers(parts);
  std::string out = parts.method + "\n" + parts.path + "\n" + canonical_query(parts.query) + "\n";
  for (const auto& [name, value] : headers) out.append(name).append(":").append(value).append("\n");
  return out + "\n" + signed_names(headers) + "\n" + parts.payload_sha256;
}

Secret authorization(const SignedParts& parts, const SigningScope& scope,
                     const AwsCredentials& credentials) {
  const std::string date = scope.timestamp.substr(0, 8);
  const std::string path = date + "/" + scope.region + "/" + scope.service + "/aws4_request";
  const std::string to_sign = std::string(kAlgorithm) + "\n" + scope.timestamp + "\n" + path +
                              "\n" + hex(sha256(canonical_request(parts)));
  const Secret first("AWS4" + std::string(credentials.secret_access_key.reveal()));
  const Hash date_key = hmac(first.reveal(), date);
  const Hash region_key = hmac(view(date_key), scope.region);
  const Hash service_key = hmac(view(region_key), scope.service);
  const Hash signing_key = hmac(view(service_key), "aws4_request");
  return Secret(std::string(kAlgorithm) +
                " Credential=" + std::string(credentials.access_key_id.reveal()) + "/" + path +
                ",SignedHeaders=" + signed_names(canonical_headers(parts)) +
                ",Signature=" + hex(hmac(view(signing_key), to_sign)));
}

}  // namespace sandboxrun::agent
