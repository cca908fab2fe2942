#include <chrono>
#include <string>

#include "sandbox-image/agent/agent.h"
#include "sandbox-image/agent/describe.h"
#include "sandbox-image/agent/digest.h"
#include "sandbox-image/agent/fetch.h"
#include "sandbox-image/agent/place.h"
#include "sandbox-image/agent/unpack.h"

namespace sandboxrun::agent {
namespace {

using protocol::Placed;
using protocol::PrepareOrder;
using protocol::ReportFailure;
using protocol::Step;
using protocol::Subject;

/// A failure of one step; becomes the report's failure.
struct StepFailure {
  Step step;
  Error error;
  std::string expected;
  std::string found;
};
template <typename T>
using Stepped = std::expected<T, StepFailure>;

std::unexpected<StepFailure> failed(Step step, Error error) {
  return std::unexpected(StepFailure{.step = step, .error = std::move(error)});
}

/// One thing that is being prepared: the environment or one asset.
class Item {
 public:
  Item(Subject subject, int index, const PrepareOrder& order, const AgentContext& context)
      : subject_(subject), index_(index), order_(order), context_(context) {}

  Stepped<Fetched> fetch_verified(const protocol::Source& source, const std::string& digest) const {
    FetchContext fetching{.policy = order_.transfer,
                          .staging_dir = context_.staging_dir,
                          .stop = context_.stop,
                          .progress = [this](std::int64_t done, std::int64_t total) {
                            tell(Step::Fetch, done, total);
                          }};
    auto fetched = fetch(source, fetching);
    if (!fetched) return failed(Step::Fetch, fetched.error());
    if (!digest.empty() && fetched->digest != normalised_digest(digest)) {
      return std::unexpected(mismatch(source, digest, *fetched));
    }
    return std::move(*fetched);
  }

  Stepped<Unpacked> unpack_into(const Fetched& archive, const std::string& destination,
                                protocol::ArchiveFormat format,
                                const protocol::ArchiveLimits& limits, bool writable) const {
    auto directory = open_empty_directory(destination, context_.owner);
    if (!directory) return failed(Step::Place, directory.error());
    const UnpackOptions options{
        .format = format,
        .limits = limits,
        .owner = context_.owner,
        .pixi_unpack = order_.pixi_unpack,
        .stop = context_.stop,
        .progress = [this](std::int64_t entries, std::int64_t) { tell(Step::Unpack, entries, 0); }};
    auto unpacked = unpack(archive.file.get(), directory->get(), options);
    if (!unpacked) return failed(Step::Unpack, unpacked.error());
    if (writable) {
      if (auto opened = let_others_write(directory->get()); !opened) {
        return failed(Step::Place, opened.error());
      }
    }
    return *unpacked;
  }

 private:
  void tell(Step step, std::int64_t done, std::int64_t total) const {
    if (context_.progress) context_.progress({subject_, index_, step, done, total});
  }

  static StepFailure mismatch(const protocol::Source& source, const std::string& digest,
                              const Fetched& fetched) {
    const std::string expected = normalised_digest(digest);
    return {
        .step = Step::Verify,
        .error = {ErrorKind::DigestMismatch,
                  "expected " + expected + ", the " + human_bytes(fetched.bytes) + " from " +
                      describe(source) + " hash to " + fetched.digest +
                      "; nothing of it was unpacked or placed, and the command was not run. Update "
                      "the digest if the new content is what you want."},
        .expected = expected,
        .found = fetched.digest};
  }

  Subject subject_;
  int index_;
  const PrepareOrder& order_;
  const AgentContext& context_;
};

// The message does not name its subject: whoever shows it knows the subject's name from the plan.
ReportFailure to_report(Subject subject, int index, StepFailure failure) {
  return {.subject = subject,
          .index = index,
          .step = failure.step,
          .kind = failure.error.kind,
          .message = std::move(failure.error.message),
          .expected = std::move(failure.expected),
          .found = std::move(failure.found)};
}

Stepped<Placed> prepare_environment(const PrepareOrder& order, const AgentContext& context) {
  const protocol::EnvironmentOrder& environment = *order.environment;
  if (!is_digest(environment.digest)) {
    return failed(Step::Read, {ErrorKind::InvalidInput, "the digest is not sha256:<64 hex>"});
  }
  if (context.have_environment) {
    if (auto cached = context.have_environment(environment)) return *cached;
  }
  const Item item(Subject::Environment, -1, order, context);
  auto fetched = item.fetch_verified(environment.source, environment.digest);
  if (!fetched) return std::unexpected(fetched.error());
  auto unpacked = item.unpack_into(*fetched, environment.destination, environment.format,
                                   environment.limits, /*writable=*/false);
  if (!unpacked) return std::unexpected(unpacked.error());
  return Placed{.digest = fetched->digest, .bytes = fetched->bytes, .entries = unpacked->entries};
}

Stepped<Placed> prepare_asset(int index, const PrepareOrder& order, const AgentContext& context) {
  const protocol::AssetOrder& asset = order.assets[static_cast<std::size_t>(index)];
  const Item item(Subject::Asset, index, order, context);
  auto fetched = item.fetch_verified(asset.source, asset.digest);
  if (!fetched) return std::unexpected(fetched.error());
  Placed placed{.digest = asset.digest.empty() ? fetched->digest : "", .bytes = fetched->bytes};
  if (asset.unpack) {
    auto unpacked = item.unpack_into(*fetched, asset.destination, protocol::ArchiveFormat::Auto,
                                     asset.limits, !asset.read_only);
    if (!unpacked) return std::unexpected(unpacked.error());
    placed.entries = unpacked->entries;
  } else if (auto file = place_file(fetched->file.get(), fetched->bytes, asset.destination,
                                    asset.mode, context.owner);
             !file) {
    return failed(Step::Place, file.error());
  }
  return placed;
}

std::optional<ReportFailure> prepare_all(const PrepareOrder& order, const AgentContext& context,
                                         protocol::PrepareReport& report) {
  for (const protocol::DirectoryOrder& directory : order.directories) {
    if (auto made = make_directory(directory.path, directory.mode, context.owner); !made) {
      return to_report(Subject::Order, -1, {.step = Step::Place, .error = made.error()});
    }
  }
  if (order.environment) {
    auto environment = prepare_environment(order, context);
    if (!environment) {
      return to_report(Subject::Environment, -1, environment.error());
    }
    report.environment = *environment;
  }
  for (int i = 0; i < static_cast<int>(order.assets.size()); ++i) {
    auto placed = prepare_asset(i, order, context);
    if (!placed) return to_report(Subject::Asset, i, placed.error());
    report.assets.push_back(*placed);
  }
  return std::nullopt;
}

}  // namespace

protocol::PrepareReport prepare(const PrepareOrder& order, const AgentContext& context) {
  const auto begin = std::chrono::steady_clock::now();
  protocol::PrepareReport report;
  report.failure = prepare_all(order, context, report);
  report.milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::steady_clock::now() - begin)
                            .count();
  return report;
}

}  // namespace sandboxrun::agent
