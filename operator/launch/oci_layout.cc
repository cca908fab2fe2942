#include "operator/launch/oci_layout.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>

#include "operator/base/document.h"
#include "operator/launch/files.h"
#include "sandbox-image/agent/digest.h"

namespace sandboxrun::launch {
namespace {

constexpr std::size_t kMaxManifestBytes = 4 * 1024 * 1024;
constexpr int kMaxIndexDepth = 2;
constexpr std::size_t kMaxLayers = 256;

#if defined(__x86_64__)
constexpr std::string_view kArchitecture = "amd64";
#elif defined(__aarch64__)
constexpr std::string_view kArchitecture = "arm64";
#else
#error "the OCI name of this architecture is not known here"
#endif

const std::string* text_of(const Node* node) {
  return node != nullptr && node->kind == Node::Kind::String ? &node->text : nullptr;
}

std::string text_or_empty(const Node& node, std::string_view key) {
  const std::string* text = text_of(node.find(key));
  return text == nullptr ? "" : *text;
}

std::optional<Compression> compression_of(std::string_view media_type) {
  // Docker's types say "…diff.tar.gzip", OCI's "…layer.v1.tar+gzip".
  if (!media_type.starts_with("application/vnd.oci.image.layer.") &&
      !media_type.starts_with("application/vnd.docker.image.rootfs.")) {
    return std::nullopt;
  }
  if (media_type.ends_with(".tar")) return Compression::None;
  if (media_type.ends_with("tar+gzip") || media_type.ends_with("tar.gzip")) {
    return Compression::Gzip;
  }
  if (media_type.ends_with("tar+zstd") || media_type.ends_with("tar.zstd")) {
    return Compression::Zstd;
  }
  return std::nullopt;
}

/// The blobs of one layout.
class Blobs {
 public:
  static Result<std::optional<Blobs>> of(const std::string& layout) {
    Blobs blobs;
    blobs.directory_.reset(
        open((layout + "/blobs/sha256").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!blobs.directory_) {
      if (errno == ENOENT) return std::nullopt;
      return system_failure("opening an OCI layout", errno);
    }
    return blobs;
  }

  /// Opens a blob and checks its digest. Nothing: it is not there.
  Result<std::optional<UniqueFd>> open_verified(const std::string& digest) const {
    if (!agent::is_digest(digest)) {
      return failure(ErrorKind::InvalidInput,
                     "the image names a blob by something that is not "
                     "sha256:<64 hex>");
    }
    const std::string name = agent::normalised_digest(digest).substr(7);
    UniqueFd blob(
        openat(directory_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!blob) {
      if (errno == ENOENT) return std::nullopt;
      return system_failure("opening the blob " + digest, errno);
    }
    struct stat info{};
    if (fstat(blob.get(), &info) != 0) return system_failure("opening a blob", errno);
    if (!S_ISREG(info.st_mode) || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
      return failure(
          ErrorKind::Denied,
          "the blob " + digest + " is not a regular file that only its owner can change");
    }
    auto found = agent::digest_of(blob.get());
    if (!found) return std::unexpected(found.error());
    if (*found != agent::normalised_digest(digest)) {
      return failure(ErrorKind::DigestMismatch, "expected " + agent::normalised_digest(digest) +
                                                    ", the blob hashes to " + *found +
                                                    "; nothing was unpacked");
    }
    return blob;
  }

  Result<std::optional<std::string>> read_verified(const std::string& digest) const {
    auto blob = open_verified(digest);
    if (!blob) return std::unexpected(blob.error());
    if (!*blob) return std::nullopt;
    std::string text;
    std::array<char, 16384> buffer;
    while (true) {
      const ssize_t got =
          pread(blob->value().get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
      if (got < 0) return system_failure("reading the blob " + digest, errno);
      if (got == 0) break;
      text.append(buffer.data(), static_cast<std::size_t>(got));
      if (text.size() > kMaxManifestBytes) {
        return failure(ErrorKind::LimitExceeded, "the blob " + digest + " is too large for JSON");
      }
    }
    // Read again after it was hashed: what is parsed must be what was verified.
    agent::Sha256 hash;
    hash.update(std::as_bytes(std::span(text)));
    if (hash.finish() != agent::normalised_digest(digest)) {
      return failure(ErrorKind::DigestMismatch,
                     "the blob " + digest + " changed while it was read");
    }
    return text;
  }

 private:
  UniqueFd directory_;
};

Result<Node> parse_blob(const std::string& text) {
  auto node = parse_json(text, {.max_bytes = kMaxManifestBytes});
  if (!node) return failure_within("an image manifest or config", node.error());
  if (node->kind != Node::Kind::Map) {
    return failure(ErrorKind::InvalidInput, "an image manifest or config is not a JSON object");
  }
  return node;
}

/// The digest of this platform's manifest in an index.
Result<std::string> select_platform(const Node& manifests) {
  for (const Node& item : manifests.items) {
    const Node* platform = item.find("platform");
    if (platform == nullptr || text_or_empty(*platform, "os") != "linux" ||
        text_or_empty(*platform, "architecture") != kArchitecture) {
      continue;
    }
    return text_or_empty(item, "digest");
  }
  return failure(ErrorKind::InvalidInput,
                 "the image has no manifest for linux/" + std::string(kArchitecture));
}

/// The manifest behind `digest`, through an index if it is one.
Result<std::optional<Node>> find_manifest(const Blobs& blobs, std::string digest) {
  for (int depth = 0; depth < kMaxIndexDepth; ++depth) {
    auto text = blobs.read_verified(digest);
    if (!text) return std::unexpected(text.error());
    if (!*text) {
      if (depth == 0) return std::nullopt;
      return failure(ErrorKind::NotFound,
                     "the layout holds the image's index but not its manifest " + digest);
    }
    auto node = parse_blob(**text);
    if (!node) return std::unexpected(node.error());
    const Node* manifests = node->find("manifests");
    if (manifests == nullptr) return std::move(*node);
    if (manifests->kind != Node::Kind::List || node->find("layers") != nullptr) {
      return failure(ErrorKind::InvalidInput, "the image's index is malformed");
    }
    auto chosen = select_platform(*manifests);
    if (!chosen) return std::unexpected(chosen.error());
    digest = *chosen;
  }
  return failure(ErrorKind::InvalidInput, "the image's index names a further index");
}

Result<std::string> read_config(const Blobs& blobs, const Node& manifest) {
  const Node* config = manifest.find("config");
  if (config == nullptr) {
    return failure(ErrorKind::InvalidInput, "the image's manifest names no config");
  }
  const std::string digest = text_or_empty(*config, "digest");
  auto text = blobs.read_verified(digest);
  if (!text) return std::unexpected(text.error());
  if (!*text) return failure(ErrorKind::NotFound, "the layout lacks the image's config " + digest);
  return std::move(**text);
}

/// What the config says that the layers unpack to (OCI image specification: config, rootfs).
Result<std::vector<std::string>> read_diff_ids(const std::string& config_json) {
  auto node = parse_blob(config_json);
  if (!node) return std::unexpected(node.error());
  const Node* rootfs = node->find("rootfs");
  const Node* list = rootfs == nullptr ? nullptr : rootfs->find("diff_ids");
  std::vector<std::string> ids;
  if (list == nullptr) return ids;
  for (const Node& item : list->items) {
    const std::string* text = text_of(&item);
    if (text == nullptr || !agent::is_digest(*text)) {
      return failure(ErrorKind::InvalidInput,
                     "the image's config lists a layer by something that is not sha256:<64 hex>");
    }
    ids.push_back(agent::normalised_digest(*text));
  }
  return ids;
}

Result<std::vector<Layer>> open_layers(const Blobs& blobs, const Node& manifest,
                                       const std::vector<std::string>& diff_ids) {
  const Node* list = manifest.find("layers");
  if (list == nullptr || list->kind != Node::Kind::List || list->items.size() > kMaxLayers) {
    return failure(ErrorKind::InvalidInput, "the image's manifest has no proper list of layers");
  }
  if (diff_ids.size() != list->items.size()) {
    return failure(ErrorKind::InvalidInput,
                   "the image's manifest has " + std::to_string(list->items.size()) +
                       " layers and its config lists " + std::to_string(diff_ids.size()) +
                       " (rootfs.diff_ids); build the image again");
  }
  std::vector<Layer> layers;
  for (const Node& item : list->items) {
    const std::string digest = text_or_empty(item, "digest");
    const auto compression = compression_of(text_or_empty(item, "mediaType"));
    if (!compression) {
      return failure(ErrorKind::InvalidInput,
                     "the layer " + digest +
                         " is of a media type that is not tar, tar+gzip or "
                         "tar+zstd");
    }
    auto blob = blobs.open_verified(digest);
    if (!blob) return std::unexpected(blob.error());
    if (!*blob) return failure(ErrorKind::NotFound, "the layout lacks the layer " + digest);
    layers.push_back({.blob = std::move(**blob),
                      .compression = *compression,
                      .diff_id = diff_ids[layers.size()]});
  }
  return layers;
}

/// An image but for its layers, and where they are found.
struct FoundImage {
  Blobs blobs;
  Node manifest;
  Image image;
};

Result<std::optional<FoundImage>> find_image(const std::string& layout, const std::string& digest) {
  auto blobs = Blobs::of(layout);
  if (!blobs) return std::unexpected(blobs.error());
  if (!*blobs) return std::nullopt;
  auto manifest = find_manifest(**blobs, digest);
  if (!manifest) return std::unexpected(manifest.error());
  if (!*manifest) return std::nullopt;
  auto json = read_config(**blobs, **manifest);
  if (!json) return std::unexpected(json.error());
  auto config = decode_image_config(*json);
  if (!config) return std::unexpected(config.error());
  return FoundImage{
      .blobs = std::move(**blobs),
      .manifest = std::move(**manifest),
      .image = {.config_json = std::move(*json), .config = std::move(*config), .layers = {}}};
}

}  // namespace

std::string digest_of_reference(const std::string& reference) {
  return reference.substr(reference.rfind('@') + 1);
}

Result<ImageConfig> decode_image_config(std::string_view json) {
  auto node = parse_blob(std::string(json));
  if (!node) return std::unexpected(node.error());
  ImageConfig config;
  const Node* settings = node->find("config");
  const Node* env = settings == nullptr ? nullptr : settings->find("Env");
  if (env == nullptr || env->kind == Node::Kind::Null) return config;
  for (const Node& item : env->items) {
    const std::string* text = text_of(&item);
    const auto equals = text == nullptr ? std::string::npos : text->find('=');
    if (equals == std::string::npos || equals == 0 || text->find('\0') != std::string::npos) {
      return failure(ErrorKind::InvalidInput,
                     "the image's config has an Env that is not NAME=value");
    }
    config.env.push_back(*text);
  }
  return config;
}

Result<std::optional<Image>> open_image(const std::string& layout, const std::string& digest) {
  auto found = find_image(layout, digest);
  if (!found) return std::unexpected(found.error());
  if (!*found) return std::nullopt;
  auto diff_ids = read_diff_ids((*found)->image.config_json);
  if (!diff_ids) return std::unexpected(diff_ids.error());
  auto layers = open_layers((*found)->blobs, (*found)->manifest, *diff_ids);
  if (!layers) return std::unexpected(layers.error());
  (*found)->image.layers = std::move(*layers);
  return std::move((*found)->image);
}

Result<std::optional<ImageConfig>> read_image_config(const std::string& layout,
                                                     const std::string& digest) {
  auto found = find_image(layout, digest);
  if (!found) return std::unexpected(found.error());
  if (!*found) return std::nullopt;
  return std::move((*found)->image.config);
}

}  // namespace sandboxrun::launch
