#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "sandbox-image/agent/digest.h"
#include "sandbox-image/agent/local_file.h"
#include "sandbox-image/agent/transfer.h"

namespace sandboxrun::agent {
namespace {

constexpr std::string_view kDigestPrefix = "sha256:";

struct Payload {
  int file = -1;
  std::int64_t bytes = 0;
  std::string digest;
  std::string content_type;
};

bool is_success(int status) {
  return status == 200 || status == 201 || status == 204;
}

bool names_content_type(const std::vector<HttpHeader>& headers) {
  constexpr std::string_view kName = "content-type";
  return std::ranges::any_of(headers, [&](const HttpHeader& header) {
    return std::ranges::equal(header.name, kName, {}, [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
  });
}

std::expected<void, AttemptFailure> put_once(const RemoteObject& object, const Payload& payload,
                                             const UploadContext& context,
                                             const HttpConditions& conditions) {
  HttpRequest request;
  request.url = object.url;
  request.headers = object.headers();
  request.ca_file = object.ca_file;
  // A signed URL may demand a Content-Type of its own; it then stands in the Secret of headers.
  if (!names_content_type(request.headers)) {
    request.headers.push_back({"Content-Type", Secret(payload.content_type)});
  }
  request.upload = HttpRequest::Upload{payload.file, payload.bytes, [&](std::int64_t done) {
                                         if (context.progress)
                                           context.progress(done, payload.bytes);
                                       }};
  auto response = http_exchange(request, conditions);
  if (!response) return std::unexpected(AttemptFailure::of(response.error()));
  const bool success = is_success(response->status);
  // S3 stores may begin an answer with 200 before they know how it ends.
  const bool hidden_error = success && object.is_s3 && response->body.contains("<Error>");
  if (success && !hidden_error) return {};
  AttemptFailure failed = failed_status(object, *response);
  if (response->status >= 300 && response->status < 400) {
    failed.error.message += "; an upload follows no redirect";
  }
  if (hidden_error) failed.error.message += ", but with an error in its body";
  return std::unexpected(std::move(failed));
}

Result<void> put(const Result<RemoteObject>& object, const Payload& payload,
                 const UploadContext& context, const TransferTuning& tuning) {
  if (!object) return std::unexpected(object.error());
  if (payload.bytes > context.policy.max_bytes) {
    return failure(ErrorKind::LimitExceeded, object->shown + ": more than the allowed " +
                                                 std::to_string(context.policy.max_bytes) +
                                                 " bytes");
  }
  if (object->is_s3 && payload.bytes > kMaxS3PutBytes) {
    return failure(ErrorKind::LimitExceeded,
                   object->shown + ": larger than 5 GiB, which one S3 PUT cannot carry");
  }
  auto conditions = conditions_of(context.policy, tuning, context.stop);
  if (!conditions) return std::unexpected(conditions.error());
  return run_attempts(object->shown, limits_of(context.policy, tuning, *conditions),
                      [&] { return put_once(*object, payload, context, *conditions); });
}

struct Uploader {
  const Payload& payload;
  const UploadContext& context;
  const TransferTuning& tuning;

  Result<void> operator()(const protocol::HttpLocation& location) const {
    return put(remote_object(location, context.policy), payload, context, tuning);
  }
  Result<void> operator()(const protocol::S3Location& location) const {
    const std::string sha256 = payload.digest.substr(kDigestPrefix.size());
    return put(remote_object(location, context.policy, "PUT", sha256), payload, context, tuning);
  }
  Result<void> operator()(const protocol::FileLocation& location) const {
    return store_file(payload.file, payload.bytes, location.path, context.stop, context.progress);
  }
};

}  // namespace

Result<void> upload(int file, std::int64_t bytes, const std::string& digest,
                    const std::string& content_type, const protocol::Target& target,
                    const UploadContext& context, const TransferTuning& tuning) {
  if (context.stop.stop_requested()) return failure(ErrorKind::Cancelled, "cancelled");
  if (!is_digest(digest)) return failure(ErrorKind::Internal, "upload: not a digest");
  struct stat info{};
  if (::fstat(file, &info) != 0) return system_failure("the file to send", errno);
  if (info.st_size != bytes) {
    return failure(ErrorKind::Internal, "upload: the file has another size than it was hashed at");
  }
  const Payload payload{file, bytes, normalised_digest(digest), content_type};
  return std::visit(Uploader{payload, context, tuning}, target);
}

Result<void> upload(int file, std::int64_t bytes, const std::string& digest,
                    const std::string& content_type, const protocol::Target& target,
                    const UploadContext& context) {
  return upload(file, bytes, digest, content_type, target, context, TransferTuning{});
}

}  // namespace sandboxrun::agent
