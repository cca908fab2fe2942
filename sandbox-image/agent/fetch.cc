#include "sandbox-image/agent/fetch.h"

#include <unistd.h>

#include <cerrno>
#include <vector>

#include "sandbox-image/agent/local_file.h"
#include "sandbox-image/agent/sigv4.h"
#include "sandbox-image/agent/staging_file.h"
#include "sandbox-image/agent/transfer.h"

namespace sandboxrun::agent {
namespace {

constexpr int kMaxRedirects = 5;
constexpr std::size_t kCopyBlock = std::size_t{1} << 20;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// One source being fetched over HTTP.
class Download {
 public:
  Download(const RemoteObject& object, const FetchContext& context,
           const HttpConditions& conditions, StagingFile& file)
      : object_(object), context_(context), conditions_(conditions), file_(file) {}

  std::expected<void, AttemptFailure> attempt() {
    if (auto empty = file_.restart(); !empty) {
      return std::unexpected(AttemptFailure::of(empty.error()));
    }
    HttpRequest request = first_request();
    for (int hop = 1;; ++hop) {
      auto response = http_exchange(request, conditions_);
      if (!response) {
        return std::unexpected(AttemptFailure::of(at_hop(hop, response.error())));
      }
      if (response->status == 200) return {};
      if (object_.is_s3 || !is_redirect(response->status)) {
        return std::unexpected(failed_status(object_, *response));
      }
      auto next = hop > kMaxRedirects ? failure(ErrorKind::Denied, "more than 5 redirects")
                                      : target(request.url, response->location);
      if (!next) return std::unexpected(AttemptFailure::of(at_hop(hop + 1, next.error())));
      // What was meant for one server is told to no other, also not on the way back.
      if (!same_origin(*next, request.url)) request.headers.clear();
      request.url = std::move(*next);
    }
  }

 private:
  HttpRequest first_request() {
    HttpRequest request;
    request.url = object_.url;
    request.headers = object_.headers();
    request.ca_file = object_.ca_file;
    request.max_bytes = context_.policy.max_bytes;
    request.sink = [this](std::span<const std::byte> bytes, std::int64_t total) {
      auto written = file_.write(bytes);
      if (written && context_.progress) context_.progress(file_.bytes(), total);
      return written;
    };
    return request;
  }

  Result<Url> target(const Url& from, const std::string& location) const {
    auto url = resolve_reference(from, location);
    if (!url) return failure(ErrorKind::Denied, url.error().message);
    if (from.scheme == "https" && url->scheme != "https") {
      return failure(ErrorKind::Denied, "it leads from https to http");
    }
    if (auto allowed = check_scheme(*url, context_.policy); !allowed) {
      return std::unexpected(allowed.error());
    }
    return url;
  }

  /// The target of a redirect is the server's text, so only its number is told.
  static Error at_hop(int hop, const Error& error) {
    return hop == 1 ? error : error.within("redirect " + std::to_string(hop - 1));
  }

  const RemoteObject& object_;
  const FetchContext& context_;
  const HttpConditions& conditions_;
  StagingFile& file_;
};

Result<Fetched> fetch_remote(const Result<RemoteObject>& object, const FetchContext& context,
                             const TransferTuning& tuning) {
  if (!object) return std::unexpected(object.error());
  auto conditions = conditions_of(context.policy, tuning, context.stop);
  if (!conditions) return std::unexpected(conditions.error());
  auto file = StagingFile::create(context.staging_dir, context.policy.max_bytes);
  if (!file) return std::unexpected(file.error());
  Download download(*object, context, *conditions, *file);
  auto done = run_attempts(object->shown, limits_of(context.policy, tuning, *conditions),
                           [&] { return download.attempt(); });
  if (!done) return std::unexpected(done.error());
  return std::move(*file).finish();
}

Result<Fetched> fetch_file(const protocol::FileLocation& location, const FetchContext& context) {
  const std::string what = "file " + location.path;
  auto source = open_regular_file(location.path, what);
  if (!source) return std::unexpected(source.error());
  auto file = StagingFile::create(context.staging_dir, context.policy.max_bytes);
  if (!file) return std::unexpected(file.error());
  const auto size = static_cast<std::int64_t>(::lseek(source->get(), 0, SEEK_END));
  if (size > context.policy.max_bytes) {
    return failure(
        ErrorKind::LimitExceeded,
        what + ": more than the allowed " + std::to_string(context.policy.max_bytes) + " bytes");
  }
  std::vector<std::byte> block(kCopyBlock);
  while (true) {
    if (context.stop.stop_requested()) return failure(ErrorKind::Cancelled, what + ": cancelled");
    const ssize_t got = ::pread(source->get(), block.data(), block.size(), file->bytes());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure(what, errno);
    if (got == 0) break;
    const auto bytes = std::span<const std::byte>(block).first(static_cast<std::size_t>(got));
    if (auto written = file->write(bytes); !written) return failure_within(what, written.error());
    if (context.progress) context.progress(file->bytes(), size);
  }
  return std::move(*file).finish();
}

Result<Fetched> fetch_text(const protocol::InlineText& inline_text, const FetchContext& context) {
  auto file = StagingFile::create(context.staging_dir, context.policy.max_bytes);
  if (!file) return std::unexpected(file.error());
  const auto bytes = std::as_bytes(std::span(inline_text.text));
  if (auto written = file->write(bytes); !written) {
    return failure_within("inline text", written.error());
  }
  return std::move(*file).finish();
}

struct Fetcher {
  const FetchContext& context;
  const TransferTuning& tuning;

  Result<Fetched> operator()(const protocol::HttpLocation& location) const {
    return fetch_remote(remote_object(location, context.policy), context, tuning);
  }
  Result<Fetched> operator()(const protocol::S3Location& location) const {
    return fetch_remote(remote_object(location, context.policy, "GET", std::string(kEmptySha256)),
                        context, tuning);
  }
  Result<Fetched> operator()(const protocol::FileLocation& location) const {
    return fetch_file(location, context);
  }
  Result<Fetched> operator()(const protocol::InlineText& text) const {
    return fetch_text(text, context);
  }
};

}  // namespace

Result<Fetched> fetch(const protocol::Source& source, const FetchContext& context,
                      const TransferTuning& tuning) {
  if (context.stop.stop_requested()) return failure(ErrorKind::Cancelled, "cancelled");
  return std::visit(Fetcher{context, tuning}, source);
}

Result<Fetched> fetch(const protocol::Source& source, const FetchContext& context) {
  return fetch(source, context, TransferTuning{});
}

}  // namespace sandboxrun::agent
