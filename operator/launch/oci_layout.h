#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "operator/base/error.h"
#include "operator/base/fd.h"

/// Images in an OCI layout folder (OCI image specification: image-layout, manifest, image index,
/// config), found by digest alone: names and tags are never looked at.
namespace sandboxrun::launch {

enum class Compression { None, Gzip, Zstd };

/// One layer, opened and verified: whoever unpacks it reads this descriptor.
struct Layer {
  UniqueFd blob;
  Compression compression = Compression::None;
  std::string diff_id;  ///< the digest that its tar must have, from the config (rootfs.diff_ids)
};

/// What of an image's config a run uses. Its user, entry point and command are ignored.
struct ImageConfig {
  std::vector<std::string> env;  ///< "NAME=value"
  friend bool operator==(const ImageConfig&, const ImageConfig&) = default;
};

struct Image {
  std::string config_json;
  ImageConfig config;
  std::vector<Layer> layers;
};

/// "sha256:<hex>" of repository@sha256:<hex>. Assumes a validated reference.
std::string digest_of_reference(const std::string& reference);

/// Errors: InvalidInput.
Result<ImageConfig> decode_image_config(std::string_view json);

/// Opens the image whose manifest, or index, has `digest`; of an index this machine's platform.
/// Guarantees: the sha256 of the manifest, the config and every layer was checked on the bytes
/// that are given out.
/// Nothing: the layout does not hold that digest.
/// Errors: DigestMismatch (a blob holds other bytes than its name says), InvalidInput (not an image
/// for this platform, or one whose config lists other layers than its manifest), Denied (a blob
/// that others may change), System.
Result<std::optional<Image>> open_image(const std::string& layout, const std::string& digest);

/// Only the config, without touching the layers.
Result<std::optional<ImageConfig>> read_image_config(const std::string& layout,
                                                     const std::string& digest);

}  // namespace sandboxrun::launch
