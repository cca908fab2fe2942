#include "operator/kube/credentials.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "operator/base/fd.h"
#include "operator/kube/exec_plugin.h"

namespace sandboxrun::kube {
namespace {

// A projected token is renewed at 80 % of its life, which is never less than ten minutes; client-go
// reads once a minute, ten seconds early.
constexpr std::chrono::seconds kTokenFileAge(50);
constexpr std::chrono::seconds kExpiryLeeway(10);
constexpr std::chrono::seconds kPluginTimeout(60);

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

Secret bearer(std::string_view token) {
  return Secret("Bearer " + std::string(token));
}

Secret basic(const BasicAuth& auth) {
  const std::string plain = auth.username + ":" + std::string(auth.password.reveal());
  std::string encoded(4 * ((plain.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                   reinterpret_cast<const unsigned char*>(plain.data()),
                                   static_cast<int>(plain.size()));
  encoded.resize(static_cast<std::size_t>(size));
  return Secret("Basic " + encoded);
}

/// A header value that could carry a second header, or is not one line of printable text.
bool unfit_for_header(std::string_view token) {
  return std::ranges::any_of(token, [](unsigned char c) { return c <= 0x20 || c >= 0x7f; });
}

class FixedSource : public CredentialSource {
 public:
  explicit FixedSource(Credential credential) : credential_(std::move(credential)) {}
  Result<Credential> current(std::stop_token) override { return credential_; }
  bool refused(std::uint64_t, std::stop_token) override { return false; }

 private:
  Credential credential_;
};

class TokenFileSource : public CredentialSource {
 public:
  TokenFileSource(std::string path, Clocks clocks)
      : path_(std::move(path)), clocks_(std::move(clocks)) {}

  Result<Credential> current(std::stop_token) override {
    const std::lock_guard lock(mutex_);
    if (token_.empty() || clocks_.steady() - read_at_ >= kTokenFileAge) {
      if (auto read = reread(); !read && token_.empty()) return std::unexpected(read.error());
    }
    Credential credential;
    credential.authorization = bearer(token_.reveal());
    credential.generation = generation_;
    return credential;
  }

  bool refused(std::uint64_t generation, std::stop_token) override {
    const std::lock_guard lock(mutex_);
    if (generation != generation_) return true;
    // An unreadable file keeps the old token.
    return reread().has_value() && generation != generation_;
  }

 private:
  Result<void> reread() {
    read_at_ = clocks_.steady();
    auto content = read_small_file(path_, 64 * 1024);
    if (!content) return std::unexpected(content.error());
    const auto token = trim(content->reveal());
    if (token.empty() || unfit_for_header(token)) {
      return failure(ErrorKind::NoCredentials,
                     "the token file " + path_ + (token.empty() ? " is empty" : " holds no token"));
    }
    if (token != token_.reveal()) {
      token_ = Secret(std::string(token));
      ++generation_;
    }
    return {};
  }

  const std::string path_;
  const Clocks clocks_;
  std::mutex mutex_;
  Secret token_;
  std::chrono::steady_clock::time_point read_at_;
  std::uint64_t generation_ = 0;
};

class ExecSource : public CredentialSource {
 public:
  ExecSource(ExecPlugin plugin, Config config, Clocks clocks)
      : plugin_(std::move(plugin)), config_(std::move(config)), clocks_(std::move(clocks)) {}

  Result<Credential> current(std::stop_token stop) override {
    const std::lock_guard lock(mutex_);
    const bool stale = expires_ && clocks_.system() + kExpiryLeeway >= *expires_;
    if (generation_ == 0 || stale) {
      if (auto ran = run(std::move(stop)); !ran) return std::unexpected(ran.error());
    }
    return credential_;
  }

  bool refused(std::uint64_t generation, std::stop_token stop) override {
    const std::lock_guard lock(mutex_);
    if (generation != generation_) return true;
    // If it fails, the 401 stays the answer.
    return run(std::move(stop)).has_value();
  }

 private:
  Result<void> run(std::stop_token stop) {
    auto given = run_exec_plugin(plugin_, config_, kPluginTimeout, std::move(stop));
    if (!given) return std::unexpected(given.error());
    if (unfit_for_header(given->token.reveal())) {
      return failure(ErrorKind::NoCredentials,
                     "the exec plugin " + plugin_.command + " gave a token with blanks in it");
    }
    credential_ = {};
    if (!given->token.empty()) credential_.authorization = bearer(given->token.reveal());
    credential_.certificate_pem = std::move(given->certificate_pem);
    credential_.key_pem = std::move(given->key_pem);
    credential_.generation = ++generation_;
    expires_ = given->expires;
    return {};
  }

  const ExecPlugin plugin_;
  const Config config_;
  const Clocks clocks_;
  std::mutex mutex_;
  Credential credential_;
  std::optional<TimePoint> expires_;
  std::uint64_t generation_ = 0;
};

}  // namespace

std::unique_ptr<CredentialSource> make_credential_source(const Config& config, Clocks clocks) {
  Credential fixed;
  if (const auto* file = std::get_if<TokenFile>(&config.credentials)) {
    return std::make_unique<TokenFileSource>(file->path, std::move(clocks));
  }
  if (const auto* plugin = std::get_if<ExecPlugin>(&config.credentials)) {
    return std::make_unique<ExecSource>(*plugin, config, std::move(clocks));
  }
  if (const auto* token = std::get_if<StaticToken>(&config.credentials)) {
    fixed.authorization = bearer(token->token.reveal());
  } else if (const auto* auth = std::get_if<BasicAuth>(&config.credentials)) {
    fixed.authorization = basic(*auth);
  }
  return std::make_unique<FixedSource>(std::move(fixed));
}

Result<Secret> read_small_file(const std::string& path, std::size_t max_bytes) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info{};
  if (!fd || fstat(fd.get(), &info) != 0) {
    return failure(ErrorKind::NoCredentials, "cannot read " + path + ": " + std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return failure(ErrorKind::NoCredentials, path + " is not a regular file");
  }
  std::string content(max_bytes + 1, '\0');
  std::size_t size = 0;
  while (size < content.size()) {
    const ssize_t got = read(fd.get(), content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return failure(ErrorKind::NoCredentials, "cannot read " + path + ": " + std::strerror(errno));
    }
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > max_bytes) {
    return failure(ErrorKind::NoCredentials,
                   path + " is larger than " + std::to_string(max_bytes) + " bytes");
  }
  content.resize(size);
  return Secret(std::move(content));
}

Result<Secret> read_pem(const PemSource& source, std::string_view what) {
  if (!source.data.empty()) return source.data;
  if (source.file.empty()) return Secret();
  auto content = read_small_file(source.file);
  if (!content) {
    content.error().message = std::string(what) + ": " + content.error().message;
  }
  return content;
}

}  // namespace sandboxrun::kube
