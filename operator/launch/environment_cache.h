#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

#include "operator/base/error.h"
#include "operator/base/fd.h"
#include "operator/launch/cache_folder.h"
#include "operator/run/plan.h"
#include "sandbox-image/protocol/report.h"

namespace sandboxrun::launch {

/// Changes whenever the same archive would be unpacked to another tree; part of the cache's key.
inline constexpr int kUnpackerVersion = 1;

/// The place in the cache of one verified, unpacked environment archive, keyed by digest, format,
/// unpacker version, path (/env) and the ids that it belongs to.
/// Either it is there already, or it is ours to build: until publish() or the destructor, other
/// launchers that want the same wait.
class EnvironmentSlot {
 public:
  static Result<EnvironmentSlot> acquire(const std::string& cache_dir,
                                         const run::PlanArchive& archive, std::uint32_t id_base,
                                         const std::stop_token& stop);
  EnvironmentSlot(EnvironmentSlot&&) = default;
  EnvironmentSlot& operator=(EnvironmentSlot&&) = delete;
  ~EnvironmentSlot();

  /// What was found out when it was unpacked; nothing: it has to be built at build_path().
  const std::optional<protocol::Placed>& placed() const { return placed_; }
  /// Absolute path of the folder into which the archive is to be unpacked.
  const std::string& build_path() const { return build_path_; }
  /// Gives what was built its name. Assumes: it was unpacked whole after its digest matched.
  Result<void> publish(const protocol::Placed& placed);
  /// The published tree. Assumes: placed().
  int tree() const { return tree_.get(); }

 private:
  EnvironmentSlot(CacheFolder cache, std::string name)
      : cache_(std::move(cache)), name_(std::move(name)) {}
  Result<void> find();

  CacheFolder cache_;
  std::string name_;
  std::string build_path_;
  UniqueFd lock_;  // held while it is ours to build
  UniqueFd partial_;
  UniqueFd tree_;
  std::optional<protocol::Placed> placed_;
};

}  // namespace sandboxrun::launch
