#include "operator/launch/image_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "operator/launch/cache_folder.h"
#include "operator/launch/files.h"
#include "operator/launch/layers.h"
#include "operator/launch/registry.h"

namespace sandboxrun::launch {
namespace {

constexpr std::size_t kMaxConfigBytes = 4 * 1024 * 1024;

std::string cache_kind(std::uint32_t id_base) {
  return "rootfs-v" + std::to_string(kLayerApplierVersion) + "-" + std::to_string(id_base);
}

std::string name_of(const std::string& reference) {
  return digest_of_reference(reference).substr(std::string_view("sha256:").size());
}

Result<std::optional<RootFs>> find_cached(const CacheFolder& cache, const std::string& name) {
  const UniqueFd folder = cache.find(name);
  if (!folder) return std::nullopt;
  auto json =
      read_small_file(folder.get(), "config.json", kMaxConfigBytes, "a cached image config");
  if (!json) return std::unexpected(json.error());
  auto config = decode_image_config(*json);
  if (!config) return std::unexpected(config.error());
  auto tree = open_directory(folder.get(), "tree", "a cached image");
  if (!tree) return std::unexpected(tree.error());
  return RootFs{.tree = std::move(*tree), .config = std::move(*config), .cached = true};
}

Result<Image> find_image(const std::string& reference, const ImageStoreOptions& options,
                         const std::stop_token& stop) {
  const std::string digest = digest_of_reference(reference);
  for (const std::string& layout : options.layouts) {
    auto image = open_image(layout, digest);
    if (!image) return std::unexpected(image.error());
    if (*image) return std::move(**image);
  }
  const RegistryOptions registry{.skopeo = options.skopeo,
                                 .scratch_dir = options.scratch_dir,
                                 .scratch = options.scratch,
                                 .user = options.id_base,
                                 .stop = stop};
  auto layout = fetch_to_layout(reference, registry);
  if (!layout) return std::unexpected(layout.error());
  auto image = open_image(*layout, digest);
  if (!image) return std::unexpected(image.error());
  if (!*image) {
    return failure(ErrorKind::DigestMismatch,
                   "expected " + digest + ", the registry sent an image of another digest");
  }
  return std::move(**image);
}

Result<void> build(const Image& image, int folder, const ImageStoreOptions& options,
                   const std::stop_token& stop) {
  if (auto made = make_owned_directory(folder, "tree", 0755, options.id_base); !made) return made;
  auto tree = open_directory(folder, "tree", "the image's tree");
  if (!tree) return std::unexpected(tree.error());
  const ApplyOptions applying{.owner = options.id_base, .stop = stop, .progress = options.progress};
  if (auto applied = apply_layers(image.layers, tree->get(), applying); !applied) return applied;
  return write_new_file(folder, "config.json", image.config_json, 0444, "writing the cache");
}

}  // namespace

Result<RootFs> get_rootfs(const std::string& reference, const ImageStoreOptions& options) {
  auto cache = CacheFolder::open(options.cache_dir, cache_kind(options.id_base));
  if (!cache) return std::unexpected(cache.error());
  const std::string name = name_of(reference);
  auto cached = find_cached(*cache, name);
  if (!cached) return std::unexpected(cached.error());
  if (*cached) return std::move(**cached);

  const std::stop_token stop = options.stop();
  cache->sweep();
  auto lock = cache->lock(name, stop);
  if (!lock) return std::unexpected(lock.error());
  cached = find_cached(*cache, name);  // another builder may have been faster
  if (!cached) return std::unexpected(cached.error());
  if (*cached) return std::move(**cached);

  auto image = find_image(reference, options, stop);
  if (!image) return std::unexpected(image.error());
  auto folder = cache->begin(name);
  if (!folder) return std::unexpected(folder.error());
  auto built = build(*image, folder->get(), options, stop);
  if (built) built = cache->publish(name);
  if (!built) {
    cache->abandon(name);
    return std::unexpected(built.error());
  }
  cached = find_cached(*cache, name);
  if (!cached) return std::unexpected(cached.error());
  if (!*cached) return failure(ErrorKind::Internal, "a published image is not in the cache");
  (*cached)->cached = false;
  return std::move(**cached);
}

Result<std::optional<ImageConfig>> known_image_config(const std::string& reference,
                                                      const ImageStoreOptions& options) {
  for (const std::string& layout : options.layouts) {
    auto config = read_image_config(layout, digest_of_reference(reference));
    if (!config || *config) return config;
  }
  if (options.cache_dir.empty()) return std::nullopt;
  const std::string path =
      options.cache_dir + "/" + cache_kind(options.id_base) + "/" + name_of(reference);
  auto json =
      read_small_file(AT_FDCWD, path + "/config.json", kMaxConfigBytes, "a cached image config");
  if (!json && json.error().kind == ErrorKind::NotFound) return std::nullopt;
  if (!json) return std::unexpected(json.error());
  auto config = decode_image_config(*json);
  if (!config) return std::unexpected(config.error());
  return *config;
}

}  // namespace sandboxrun::launch
