#include "sandbox-image/agent/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <string_view>

#include "sandbox-image/agent/read_ahead.h"

namespace sandboxrun::agent {

namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::size_t kHexDigits = 64;
/// How far ahead of the hashing its bytes are asked for.
constexpr std::size_t kAheadBytes = 1024;
constexpr std::size_t kCacheLine = 64;

void prefetch(std::span<const std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kCacheLine) __builtin_prefetch(&bytes[at]);
}

}  // namespace

struct Sha256::State {
  State() : context(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context, EVP_sha256(), nullptr); }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  EVP_MD_CTX* context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

std::string Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned int length = 0;
  EVP_DigestFinal_ex(state_->context, hash.data(), &length);
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text(kPrefix);
  text.reserve(kPrefix.size() + kHexDigits);
  for (unsigned int i = 0; i < length; ++i) {
    text += kHex[hash[i] >> 4];
    text += kHex[hash[i] & 15U];
  }
  return text;
}

Result<std::string> digest_of(int fd) {
  Sha256 hash;
  FileBlocks blocks(fd, "reading a file to hash it");
  for (;;) {
    const auto block = blocks.next();
    if (!block) return std::unexpected(block.error());
    if (block->empty()) return hash.finish();
    // Another core copied these bytes. SHA-256 waits for each line that is not in this core's cache
    // yet, unless it was asked for in time.
    for (auto left = *block; !left.empty();) {
      const auto now = left.first(std::min(left.size(), kAheadBytes));
      left = left.subspan(now.size());
      prefetch(left.first(std::min(left.size(), kAheadBytes)));
      hash.update(now);
    }
  }
}

bool is_digest(std::string_view text) {
  if (!text.starts_with(kPrefix)) return false;
  text.remove_prefix(kPrefix.size());
  return text.size() == kHexDigits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
         });
}

std::string normalised_digest(std::string_view text) {
  std::string digest(text);
  for (char& c : digest) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  return digest;
}

}  // namespace sandboxrun::agent
