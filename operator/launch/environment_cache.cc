#include "operator/launch/environment_cache.h"

#include "operator/launch/files.h"

namespace sandboxrun::launch {
namespace {

constexpr const char* kTree = "tree";
constexpr const char* kReport = "report.json";

}  // namespace

Result<EnvironmentSlot> EnvironmentSlot::acquire(const std::string& cache_dir,
                                                 const run::PlanArchive& archive,
                                                 std::uint32_t id_base,
                                                 const std::stop_token& stop) {
  auto cache = CacheFolder::open(cache_dir, "environments-v" + std::to_string(kUnpackerVersion) +
                                                "-" + std::to_string(id_base));
  if (!cache) return std::unexpected(cache.error());
  std::string name = archive.digest.substr(std::string_view("sha256:").size()) + "-" +
                     std::string(protocol::to_string(archive.format)) + "-env";
  EnvironmentSlot slot(std::move(*cache), std::move(name));
  if (auto found = slot.find(); !found) return std::unexpected(found.error());
  if (slot.placed_) return slot;

  slot.cache_.sweep();
  auto lock = slot.cache_.lock(slot.name_, stop);
  if (!lock) return std::unexpected(lock.error());
  if (auto found = slot.find(); !found) return std::unexpected(found.error());
  if (slot.placed_) return slot;  // another launcher was faster
  auto partial = slot.cache_.begin(slot.name_);
  if (!partial) return std::unexpected(partial.error());
  slot.lock_ = std::move(*lock);
  slot.partial_ = std::move(*partial);
  slot.build_path_ = slot.cache_.partial_path(slot.name_) + "/" + kTree;
  return slot;
}

EnvironmentSlot::~EnvironmentSlot() {
  if (lock_) cache_.abandon(name_);
}

Result<void> EnvironmentSlot::find() {
  const UniqueFd folder = cache_.find(name_);
  if (!folder) return {};
  auto json = read_small_file(folder.get(), kReport, protocol::kMaxReportBytes,
                              "a cached environment's report");
  if (!json) return std::unexpected(json.error());
  auto report = protocol::decode_prepare_report(*json);
  if (!report) return std::unexpected(report.error());
  auto tree = open_directory(folder.get(), kTree, "a cached environment");
  if (!tree) return std::unexpected(tree.error());
  placed_ = report->environment;
  tree_ = std::move(*tree);
  return {};
}

Result<void> EnvironmentSlot::publish(const protocol::Placed& placed) {
  const protocol::PrepareReport report{.environment = placed};
  if (auto written = write_new_file(partial_.get(), kReport, protocol::encode(report), 0444,
                                    "writing the cache");
      !written) {
    return written;
  }
  if (auto published = cache_.publish(name_); !published) return published;
  lock_.reset();
  return find();
}

}  // namespace sandboxrun::launch
