#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "sandbox-image/agent/agent.h"
#include "sandbox-image/agent/describe.h"
#include "sandbox-image/agent/fetch.h"
#include "sandbox-image/agent/pack.h"

namespace sandboxrun::agent {
namespace {

using protocol::CollectOrder;
using protocol::ReportFailure;
using protocol::Step;
using protocol::Subject;

/// Asks for a stop when a time has passed or when somebody else asks for one.
class Deadline {
 public:
  Deadline(std::chrono::seconds after, std::stop_token outer)
      : forward_(std::move(outer), [this] { source_.request_stop(); }),
        timer_([this, after](const std::stop_token& done) { wait(after, done); }) {}

  std::stop_token token() const { return source_.get_token(); }
  bool passed() const {
    const std::scoped_lock lock(mutex_);
    return passed_;
  }

 private:
  void wait(std::chrono::seconds after, const std::stop_token& done) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, done, after, [] { return false; });
    if (done.stop_requested()) return;
    passed_ = true;
    lock.unlock();
    source_.request_stop();
  }

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  bool passed_ = false;
  std::stop_source source_;
  std::stop_callback<std::function<void()>> forward_;
  std::jthread timer_;  // last: it uses everything above
};

std::string_view content_type(protocol::ArchiveFormat format) {
  return format == protocol::ArchiveFormat::TarZstd ? "application/zstd" : "application/gzip";
}

ReportFailure to_report(Step step, const CollectOrder& order, const Deadline& deadline,
                        Error error) {
  if (error.kind == ErrorKind::Cancelled && deadline.passed()) {
    error = {ErrorKind::Timeout, "not done after results.timeoutSeconds (" +
                                     std::to_string(order.timeout_seconds) + " s)"};
  }
  // What was packed says so itself.
  if (!error.message.starts_with("results: ")) error.message = "results: " + error.message;
  return {.subject = Subject::Results,
          .step = step,
          .kind = error.kind,
          .message = std::move(error.message)};
}

std::optional<ReportFailure> collect_all(const CollectOrder& order, const AgentContext& context,
                                         const Deadline& deadline, Collected& out) {
  const auto tell = [&](Step step) {
    return [&context, step](std::int64_t done, std::int64_t total) {
      if (context.progress) context.progress({Subject::Results, -1, step, done, total});
    };
  };
  const UniqueFd root(open(order.path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) {
    return to_report(Step::Archive, order, deadline,
                     system_failure("opening the results folder", errno).error());
  }
  const auto archived = tell(Step::Archive);
  auto packed = pack(
      root.get(), {.format = order.format,
                   .max_bytes = order.max_bytes,
                   .max_entries = order.max_entries,
                   .staging_dir = context.staging_dir,
                   .stop = deadline.token(),
                   .progress = [&](std::int64_t entries, std::int64_t) { archived(entries, 0); }});
  if (!packed) return to_report(Step::Archive, order, deadline, packed.error());
  out.report.digest = packed->digest;
  out.report.bytes = packed->bytes;
  out.report.entries = packed->entries;
  out.archive = std::move(packed->file);
  if (!order.target) return std::nullopt;
  const UploadContext uploading{
      .policy = order.transfer, .stop = deadline.token(), .progress = tell(Step::Upload)};
  auto sent = upload(out.archive.get(), out.report.bytes, out.report.digest,
                     std::string(content_type(order.format)), *order.target, uploading);
  if (!sent) return to_report(Step::Upload, order, deadline, sent.error());
  out.report.stored = true;
  return std::nullopt;
}

}  // namespace

Collected collect(const CollectOrder& order, const AgentContext& context) {
  const auto begin = std::chrono::steady_clock::now();
  Collected collected;
  const Deadline deadline(std::chrono::seconds(order.timeout_seconds), context.stop);
  collected.report.failure = collect_all(order, context, deadline, collected);
  collected.report.milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(
                                      std::chrono::steady_clock::now() - begin)
                                      .count();
  return collected;
}

}  // namespace sandboxrun::agent
