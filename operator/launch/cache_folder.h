#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "operator/base/error.h"
#include "operator/base/fd.h"

namespace sandboxrun::launch {

/// A folder of things that are built once and published whole under a name.
///
///     <name>/          published: complete, never written to again
///     <name>.partial/  being built by whoever holds the lock; left by a dead builder otherwise
///     <name>.lock
class CacheFolder {
 public:
  /// Opens <cache_dir>/<kind>, making it if it is missing. Only root may change it.
  static Result<CacheFolder> open(const std::string& cache_dir, const std::string& kind);

  /// The published folder, or an invalid descriptor.
  UniqueFd find(const std::string& name) const;

  /// Takes the lock of `name`; waits for another builder, until `stop`.
  Result<UniqueFd> lock(const std::string& name, const std::stop_token& stop) const;
  /// Makes an empty <name>.partial, removing a dead builder's. Assumes: the lock is held.
  Result<UniqueFd> begin(const std::string& name) const;
  std::string partial_path(const std::string& name) const {
    return path_ + "/" + name + ".partial";
  }
  /// Makes what was built durable and gives it its name.
  Result<void> publish(const std::string& name) const;
  /// Removes the partial folder; what cannot be removed now, the next builder removes.
  void abandon(const std::string& name) const;
  /// Removes the partial folders of builders that died.
  void sweep() const;

 private:
  std::string path_;
  UniqueFd directory_;
};

}  // namespace sandboxrun::launch
