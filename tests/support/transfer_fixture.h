#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <ostream>
#include <string>

#include "sandbox-image/agent/digest.h"
#include "sandbox-image/agent/transfer.h"
#include "tests/support/https_server.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun {

/// How a failed comparison shows an error.
inline void PrintTo(const Error& error, std::ostream* out) {
  *out << to_string(error.kind) << ": " << error.message;
}

}  // namespace sandboxrun

namespace sandboxrun::test {

/// What the tests of transfers share: an authority, a staging folder, and retries that do not wait.
class TransferTest : public ::testing::Test {
 protected:
  TransferTest() {
    context_.staging_dir = staging_.path();
    context_.policy.allow = {"127.0.0.0/8"};
    context_.policy.max_attempts = 3;
    context_.policy.timeout_seconds = 20;
    tuning_.first_wait = std::chrono::milliseconds(10);
    tuning_.longest_wait = std::chrono::milliseconds(40);
  }

  protocol::HttpLocation at(const HttpsServer& server, const std::string& path) const {
    protocol::HttpLocation location;
    location.url = server.url(path);
    location.ca_file = authority_.file();
    return location;
  }
  Result<agent::Fetched> fetch(const protocol::Source& source) const {
    return agent::fetch(source, context_, tuning_);
  }
  /// The error of a fetch that has to fail; kind Internal if it worked.
  Error fetch_error(const protocol::Source& source) const {
    auto fetched = fetch(source);
    return fetched ? Error{ErrorKind::Internal, "it worked"} : fetched.error();
  }
  /// The content of a fetch, or its error's message.
  std::string fetch_text(const protocol::Source& source) const {
    auto fetched = fetch(source);
    return fetched ? content_of(*fetched) : "error: " + fetched.error().message;
  }
  static std::string content_of(const agent::Fetched& fetched) {
    std::string text(static_cast<std::size_t>(fetched.bytes), '\0');
    const ssize_t got = ::read(fetched.file.get(), text.data(), text.size());
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }

  /// Uploads `content`; the error's message, or "stored".
  std::string upload_text(const std::string& content, const protocol::Target& target) {
    auto done = upload(content, target);
    return done ? "stored" : done.error().message;
  }
  Result<void> upload(const std::string& content, const protocol::Target& target) {
    protocol::InlineText text{content};
    auto payload = agent::fetch(text, context_, tuning_);
    if (!payload) return std::unexpected(payload.error());
    const agent::UploadContext context{context_.policy, context_.stop, context_.progress};
    return agent::upload(payload->file.get(), payload->bytes, payload->digest, "application/gzip",
                         target, context, tuning_);
  }

  static double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  CertificateAuthority authority_;
  TempDir staging_;
  agent::FetchContext context_;
  agent::TransferTuning tuning_;
};

}  // namespace sandboxrun::test
