#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>

#include "operator/base/error.h"
#include "operator/launch/oci_layout.h"

namespace sandboxrun::launch {

/// Changes whenever the same layers would give another tree; part of the cache's key.
inline constexpr int kLayerApplierVersion = 1;

struct ApplyOptions {
  std::uint32_t owner = 0;  ///< host user and group id that everything will belong to
  std::stop_token stop;
  std::function<void(std::int64_t entries)> progress;
};

/// Applies an image's layers, in order, to the empty folder `destination` (OCI image
/// specification: layer, with whiteouts).
/// Guarantees: the layers are parsed in a child process without rights, network and other
/// descriptors, as user `owner`; paths are resolved inside the destination (openat2
/// RESOLVE_IN_ROOT), whatever links the layers hold; everything belongs to `owner`, setuid, setgid
/// and sticky bits are dropped, devices below dev/ are left out (the run gets its own /dev).
/// Assumes: the destination belongs to `owner`; the layers were verified.
/// Errors: DigestMismatch (a layer's tar is not the one that the config lists), ArchiveUnsafe (a
/// device or an unknown type elsewhere, a hard link to nothing), ArchiveCorrupt, Cancelled, System.
/// The destination is then half-filled: remove it.
Result<void> apply_layers(std::span<const Layer> layers, int destination,
                          const ApplyOptions& options);

}  // namespace sandboxrun::launch
