#include "operator/pod/volumes.h"

#include <algorithm>

#include "operator/pod/names.h"

namespace sandboxrun::pod {
namespace {

using run::ReferencedObject;

constexpr std::int64_t kBlockBytes = 4096;
constexpr std::int64_t kAgentShmBytes = 8 * kMiB;
constexpr std::int64_t kReadableByAll = 0444;

/// What a results folder takes up at most on a disk that counts whole blocks.
std::int64_t results_bytes(const run::PlanResults& results) {
  return results.max_bytes + results.max_entries * kBlockBytes;
}

EmptyDir volume_size(run::Volume volume, const run::Plan& plan, const PodOptions& options) {
  switch (volume) {
    case run::Volume::Env:
      return {.bytes = options.environment_bytes};
    case run::Volume::Assets:
      return {.bytes = options.assets_bytes};
    case run::Volume::Results:
      return {.bytes = results_bytes(*plan.results)};
    case run::Volume::Work:
    case run::Volume::Data:
      break;
  }
  return {.memory = plan.scratch.medium == run::Medium::Memory, .bytes = plan.scratch.size_bytes};
}

/// Puts volumes and mounts together.
class Builder {
 public:
  Builder(const run::Plan& plan, const PodOptions& options) : plan_(plan), options_(options) {}

  Volumes build() {
    add_run();
    if (has_prepare(plan_, options_)) add_prepare();
    if (run::needs_collect(plan_)) add_collect();
    add_guard();
    return std::move(out_);
  }

 private:
  bool has(const std::string& name) const {
    return std::ranges::find(out_.all, name, &Volume::name) != out_.all.end();
  }

  void add(std::string name, EmptyDir empty) { out_.all.push_back({std::move(name), empty}); }

  void add_run() {
    for (const run::Mount& mount : run::mounts_for(plan_)) {
      const std::string name(run::to_string(mount.volume));
      if (!has(name)) add(name, volume_size(mount.volume, plan_, options_));
      out_.run.push_back({name, mount.target, mount.sub_path, mount.read_only});
    }
    add("tmp", {.memory = true, .bytes = options_.tmp_bytes});
    out_.run.push_back({"tmp", "/tmp", "", false});
    add_shm(kRun, options_.shm_bytes, out_.run);
  }

  void add_shm(std::string_view step, std::int64_t bytes, std::vector<Mount>& mounts) {
    const std::string name = "shm-" + std::string(step);
    add(name, {.memory = true, .bytes = bytes});
    mounts.push_back({name, "/dev/shm", "", false});
  }

  void add_prepare() {
    add_order(kPrepare, kPrepareOrderAnnotation, out_.prepare);
    const run::Layout layout = layout_for(options_);
    const auto show = [&](run::Volume volume, const std::string& path) {
      const std::string name(run::to_string(volume));
      if (has(name)) out_.prepare.push_back({name, path, "", false});
    };
    show(run::Volume::Work, layout.work_dir);
    show(run::Volume::Data, layout.data_dir);
    show(run::Volume::Env, layout.env_dir);
    show(run::Volume::Assets, layout.assets_dir);
    add_references(kPrepare, run::prepare_references(plan_), out_.prepare);
    add_staging(kPrepare, options_.staging_bytes, out_.prepare);
    add_shm(kPrepare, kAgentShmBytes, out_.prepare);
  }

  void add_collect() {
    add_order(kCollect, kCollectOrderAnnotation, out_.collect);
    out_.collect.push_back({"results", plan_.results->path, "", true});
    add_references(kCollect, run::collect_references(plan_), out_.collect);
    add_staging(kCollect, results_bytes(*plan_.results), out_.collect);
    add_shm(kCollect, kAgentShmBytes, out_.collect);
  }

  void add_order(std::string_view step, std::string_view annotation, std::vector<Mount>& mounts) {
    const std::string name = "order-" + std::string(step);
    out_.all.push_back({name, OrderVolume{std::string(annotation)}});
    mounts.push_back({name, std::string(kOrderFolder), "", true});
  }

  void add_staging(std::string_view step, std::int64_t bytes, std::vector<Mount>& mounts) {
    const std::string name = "staging-" + std::string(step);
    add(name, {.bytes = bytes});
    mounts.push_back({name, std::string(kStagingFolder), "", false});
  }

  void add_references(std::string_view step, std::vector<ReferencedObject> objects,
                      std::vector<Mount>& mounts) {
    const run::Layout layout = layout_for(options_);
    for (std::size_t i = 0; i < objects.size(); ++i) {
      const bool secret = objects[i].kind == ReferencedObject::Kind::Secret;
      const std::string name =
          (secret ? "secret-" : "configmap-") + std::string(step) + "-" + std::to_string(i);
      mounts.push_back(
          {name, (secret ? layout.secrets_dir : layout.config_maps_dir) + "/" + objects[i].name, "",
           true});
      out_.all.push_back({name, std::move(objects[i])});
    }
  }

  void add_guard() {
    if (options_.guard_delivery == GuardDelivery::ImageVolume) {
      out_.all.push_back({"guard", ImageVolume{options_.sandbox_image}});
    } else {
      add("guard", {.bytes = 16 * kMiB});
      out_.prepare.push_back({"guard", std::string(kGuardFolder), "", false});
    }
    out_.run.push_back({"guard", std::string(kGuardFolder), "", true});
  }

  const run::Plan& plan_;
  const PodOptions& options_;
  Volumes out_;
};

void write_source(JsonWriter& json, const EmptyDir& empty) {
  json.key("emptyDir").begin_object();
  if (empty.memory) json.member("medium", "Memory");
  json.member("sizeLimit", std::to_string(empty.bytes));
  json.end_object();
}

void write_source(JsonWriter& json, const OrderVolume& order) {
  json.key("downwardAPI").begin_object();
  json.member("defaultMode", kReadableByAll);
  json.key("items").begin_array().begin_object();
  json.member("path", kOrderFile);
  json.key("fieldRef").begin_object();
  json.member("apiVersion", "v1");
  json.member("fieldPath", "metadata.annotations['" + order.annotation + "']");
  json.end_object().end_object().end_array();
  json.end_object();
}

void write_source(JsonWriter& json, const ImageVolume& image) {
  json.key("image").begin_object();
  json.member("reference", image.reference).member("pullPolicy", "IfNotPresent");
  json.end_object();
}

void write_projection(JsonWriter& json, const ReferencedObject& object, bool optional) {
  const bool secret = object.kind == ReferencedObject::Kind::Secret;
  json.begin_object().key(secret ? "secret" : "configMap").begin_object();
  json.member("name", object.name).member("optional", optional);
  if (optional || !object.all_keys) {
    json.key("items").begin_array();
    for (const std::string& key : optional ? object.optional_keys : object.keys) {
      json.begin_object().member("key", key).member("path", key).end_object();
    }
    json.end_array();
  }
  json.end_object().end_object();
}

// A projected volume, because its parts may be optional one by one.
void write_source(JsonWriter& json, const ReferencedObject& object) {
  json.key("projected").begin_object();
  json.member("defaultMode", kReadableByAll);
  json.key("sources").begin_array();
  write_projection(json, object, false);
  if (!object.all_keys && !object.optional_keys.empty()) write_projection(json, object, true);
  json.end_array();
  json.end_object();
}

}  // namespace

std::int64_t Volumes::disk_bytes() const {
  std::int64_t sum = 0;
  for (const Volume& volume : all) {
    const auto* empty = std::get_if<EmptyDir>(&volume.source);
    if (empty != nullptr && !empty->memory) sum += empty->bytes;
  }
  return sum;
}

std::int64_t Volumes::memory_bytes(const std::vector<Mount>& mounts) const {
  std::int64_t sum = 0;
  for (const Volume& volume : all) {
    const auto* empty = std::get_if<EmptyDir>(&volume.source);
    const bool seen = std::ranges::find(mounts, volume.name, &Mount::volume) != mounts.end();
    if (empty != nullptr && empty->memory && seen) sum += empty->bytes;
  }
  return sum;
}

bool has_prepare(const run::Plan& plan, const PodOptions& options) {
  return run::needs_prepare(plan) || options.guard_delivery == GuardDelivery::Copy;
}

Volumes volumes_for(const run::Plan& plan, const PodOptions& options) {
  return Builder(plan, options).build();
}

run::Layout layout_for(const PodOptions& options) {
  run::Layout layout;
  layout.pixi_unpack = options.pixi_unpack;
  layout.transfer = options.transfer;
  return layout;
}

std::string guard_program(const PodOptions& options) {
  std::string path(kGuardFolder);
  if (options.guard_delivery == GuardDelivery::ImageVolume) path += kProgramsFolder;
  return path + "/guard";
}

void write_volumes(JsonWriter& json, const Volumes& volumes) {
  json.key("volumes").begin_array();
  for (const Volume& volume : volumes.all) {
    json.begin_object().member("name", volume.name);
    std::visit([&](const auto& source) { write_source(json, source); }, volume.source);
    json.end_object();
  }
  json.end_array();
}

void write_mounts(JsonWriter& json, const std::vector<Mount>& mounts) {
  json.key("volumeMounts").begin_array();
  for (const Mount& mount : mounts) {
    json.begin_object();
    json.member("name", mount.volume).member("mountPath", mount.path);
    if (!mount.sub_path.empty()) json.member("subPath", mount.sub_path);
    if (mount.read_only) json.member("readOnly", true);
    // Nothing is mounted inside the guard's volume, and of an image volume nothing can be.
    if (mount.read_only && mount.path != kGuardFolder) {
      json.member("recursiveReadOnly", "IfPossible");
    }
    json.end_object();
  }
  json.end_array();
}

}  // namespace sandboxrun::pod
