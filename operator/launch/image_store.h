#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "operator/base/error.h"
#include "operator/base/fd.h"
#include "operator/launch/oci_layout.h"

namespace sandboxrun::launch {

struct ImageStoreOptions {
  std::string cache_dir;
  std::vector<std::string> layouts;  ///< searched in order
  std::string skopeo;                ///< absolute path; fetches what no layout holds
  std::string scratch_dir;           ///< a folder of this run; a fetched layout lies there
  int scratch = -1;                  ///< the same, opened
  std::uint32_t id_base = 0;
  std::function<std::stop_token()> stop;  ///< asked for once the image is not in the cache
  std::function<void(std::int64_t entries)> progress;
};

/// An image's tree, ready to be a lower layer.
struct RootFs {
  UniqueFd tree;  ///< read-only by agreement: nobody writes to a published tree
  ImageConfig config;
  bool cached = false;  ///< it was there already
};

/// Gets the image `reference` (repository@sha256:...): from the cache, else from a layout, else
/// from its registry.
/// Guarantees: what is given out was verified and unpacked whole, by us, once; it is published by
/// rename and belongs to the sandbox's mapped root, which no process of a run ever is. Two that
/// build the same image wait for each other.
/// Errors: as open_image and apply_layers; NotFound (no layout, and the registry does not have
/// it); Unavailable (no skopeo).
Result<RootFs> get_rootfs(const std::string& reference, const ImageStoreOptions& options);

/// The config of an image that is in the cache or in a layout; nothing if it is in neither.
Result<std::optional<ImageConfig>> known_image_config(const std::string& reference,
                                                      const ImageStoreOptions& options);

}  // namespace sandboxrun::launch
