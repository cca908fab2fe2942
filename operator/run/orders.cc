#include "operator/run/orders.h"

#include <algorithm>
#include <set>
#include <utility>

#include "operator/run/path.h"

namespace sandboxrun::run {
namespace {

using ObjectKind = ReferencedObject::Kind;

constexpr std::string_view kSharedDataFolder = "data";

/// Everything below /data is a read-only asset, so that one read-only mount shows it all.
bool data_is_one_mount(const Plan& plan) {
  const auto below = [](const std::string& path) { return is_within(path, kDataDir); };
  if (plan.results && below(plan.results->path)) return false;
  // A working folder is made for the run, which may write in it.
  if (is_below(plan.working_dir, kDataDir)) return false;
  return std::ranges::all_of(
      plan.assets, [&](const PlanAsset& asset) { return !below(asset.target) || asset.read_only; });
}

bool uses_data(const Plan& plan) {
  const auto below = [](const std::string& path) { return is_within(path, kDataDir); };
  return (plan.results && below(plan.results->path)) || below(plan.working_dir) ||
         std::ranges::any_of(plan.assets, below, &PlanAsset::target);
}

bool has_data_assets(const Plan& plan) {
  return std::ranges::any_of(
      plan.assets, [](const PlanAsset& asset) { return is_within(asset.target, kDataDir); });
}

/// Where a read-only asset lies in the assets volume.
std::string assets_sub_path(const Plan& plan, std::size_t index) {
  const std::string& target = plan.assets[index].target;
  if (is_within(target, kDataDir) && data_is_one_mount(plan)) {
    return std::string(kSharedDataFolder) + target.substr(kDataDir.size());
  }
  return std::to_string(index);
}

/// The folders of the shared read-only folder, parents first. They are not the run's.
void add_shared_folders(const Plan& plan, const Layout& layout,
                        std::vector<protocol::DirectoryOrder>& out) {
  std::set<std::string> folders;
  for (std::size_t i = 0; i < plan.assets.size(); ++i) {
    if (!is_within(plan.assets[i].target, kDataDir)) continue;
    const std::string path = assets_sub_path(plan, i);
    for (auto end = path.find('/'); end != std::string::npos; end = path.find('/', end + 1)) {
      folders.insert(path.substr(0, end));
    }
  }
  for (const std::string& folder : folders) {
    out.push_back({.path = layout.assets_dir + "/" + folder, .mode = 0755});
  }
}

/// A path of the run as prepare sees it in a writable volume.
std::string in_volume(const std::string& path, const Layout& layout) {
  if (is_within(path, kDataDir)) return layout.data_dir + path.substr(kDataDir.size());
  return layout.work_dir + path.substr(kWorkDir.size());
}

std::string folder_of(const std::map<std::string, std::string>& folders, const std::string& base,
                      const std::string& name) {
  const auto found = folders.find(name);
  return found != folders.end() ? found->second : base + "/" + name;
}

std::string secret_folder(const std::string& name, const Layout& layout) {
  return folder_of(layout.secret_folders, layout.secrets_dir, name);
}

std::string config_map_file(const KeyReference& ref, const Layout& layout) {
  return folder_of(layout.config_map_folders, layout.config_maps_dir, ref.name) + "/" + ref.key;
}

/// From a source to what the agent gets. Every alternative of Source is also one of the caller's.
struct Locate {
  const Layout& layout;

  protocol::HttpLocation operator()(const HttpsSource& https) const {
    protocol::HttpLocation out;
    out.url = https.url;
    if (https.url_secret) {
      out.url_file = secret_folder(https.url_secret->name, layout) + "/" + https.url_secret->key;
    }
    if (!https.headers_secret.empty()) {
      out.headers_dir = secret_folder(https.headers_secret, layout);
    }
    if (https.ca) out.ca_file = config_map_file(*https.ca, layout);
    return out;
  }

  protocol::S3Location operator()(const S3Source& s3) const {
    protocol::S3Location out;
    out.endpoint = s3.endpoint;
    out.region = s3.region;
    out.bucket = s3.bucket;
    out.key = s3.key;
    out.version_id = s3.version_id;
    if (!s3.credentials_secret.empty()) {
      out.credentials_dir = secret_folder(s3.credentials_secret, layout);
    }
    return out;
  }

  protocol::FileLocation operator()(const ConfigMapSource& source) const {
    return {config_map_file(source.ref, layout)};
  }

  protocol::FileLocation operator()(const FileSource& source) const {
    if (source.path.starts_with('/') || layout.files_dir.empty()) return {source.path};
    return {layout.files_dir + "/" + source.path};
  }

  protocol::InlineText operator()(const InlineSource& source) const { return {source.text}; }
};

template <typename To, typename From>
To located(const From& source, const Layout& layout) {
  return std::visit([&](const auto& each) -> To { return Locate{layout}(each); }, source);
}

/// Gathers references so that each object comes once.
class References {
 public:
  void add(const HttpsSource& https) {
    if (https.url_secret) add_key(ObjectKind::Secret, *https.url_secret);
    if (!https.headers_secret.empty()) {
      entry(ObjectKind::Secret, https.headers_secret).all_keys = true;
    }
    if (https.ca) add_key(ObjectKind::ConfigMap, *https.ca);
  }

  void add(const S3Source& s3) {
    if (s3.credentials_secret.empty()) return;
    ReferencedObject& object = entry(ObjectKind::Secret, s3.credentials_secret);
    insert(object.keys, "AWS_ACCESS_KEY_ID");
    insert(object.keys, "AWS_SECRET_ACCESS_KEY");
    insert(object.optional_keys, "AWS_SESSION_TOKEN");
  }

  void add(const ConfigMapSource& source) { add_key(ObjectKind::ConfigMap, source.ref); }
  void add(const InlineSource&) {}
  void add(const FileSource&) {}

  std::vector<ReferencedObject> take() {
    std::vector<ReferencedObject> out;
    for (auto& [name, object] : objects_) {
      std::erase_if(object.optional_keys, [&](const std::string& key) {
        return std::ranges::find(object.keys, key) != object.keys.end();
      });
      out.push_back(std::move(object));
    }
    return out;
  }

 private:
  static void insert(std::vector<std::string>& keys, std::string_view key) {
    const auto place = std::ranges::lower_bound(keys, key);
    if (place == keys.end() || *place != key) keys.insert(place, std::string(key));
  }

  ReferencedObject& entry(ObjectKind kind, const std::string& name) {
    ReferencedObject& object = objects_[{kind, name}];
    object.kind = kind;
    object.name = name;
    return object;
  }

  void add_key(ObjectKind kind, const KeyReference& ref) {
    insert(entry(kind, ref.name).keys, ref.key);
  }

  std::map<std::pair<ObjectKind, std::string>, ReferencedObject> objects_;
};

template <typename Source>
void add_source(References& references, const Source& source) {
  std::visit([&](const auto& each) { references.add(each); }, source);
}

}  // namespace

std::string_view to_string(Volume volume) {
  switch (volume) {
    case Volume::Work:
      return "work";
    case Volume::Data:
      return "data";
    case Volume::Env:
      return "env";
    case Volume::Results:
      return "results";
    case Volume::Assets:
      return "assets";
  }
  return "work";
}

std::vector<Mount> mounts_for(const Plan& plan) {
  std::vector<Mount> out;
  out.push_back({.volume = Volume::Work, .target = std::string(kWorkDir)});
  const bool one_data_mount = data_is_one_mount(plan) && has_data_assets(plan);
  if (one_data_mount) {
    out.push_back({.volume = Volume::Assets,
                   .sub_path = std::string(kSharedDataFolder),
                   .target = std::string(kDataDir),
                   .read_only = true});
  } else if (uses_data(plan)) {
    out.push_back({.volume = Volume::Data, .target = std::string(kDataDir)});
  }
  if (plan.archive) {
    out.push_back({.volume = Volume::Env, .target = std::string(kEnvDir), .read_only = true});
  }
  if (plan.results) out.push_back({.volume = Volume::Results, .target = plan.results->path});
  for (std::size_t i = 0; i < plan.assets.size(); ++i) {
    const PlanAsset& asset = plan.assets[i];
    const bool shown_already = one_data_mount && is_within(asset.target, kDataDir);
    if (!asset.read_only || shown_already) continue;
    out.push_back({.volume = Volume::Assets,
                   .sub_path = assets_sub_path(plan, i),
                   .target = asset.target,
                   .read_only = true,
                   .file = !asset.unpack});
  }
  std::ranges::stable_sort(out, {},
                           [](const Mount& mount) { return component_count(mount.target); });
  return out;
}

std::vector<ReferencedObject> prepare_references(const Plan& plan) {
  References references;
  if (plan.archive) add_source(references, plan.archive->source);
  for (const PlanAsset& asset : plan.assets) add_source(references, asset.source);
  return references.take();
}

std::vector<ReferencedObject> collect_references(const Plan& plan) {
  References references;
  if (needs_collect(plan)) add_source(references, *plan.results->upload);
  return references.take();
}

protocol::PrepareOrder prepare_order(const Plan& plan, const Layout& layout) {
  protocol::PrepareOrder order;
  order.transfer = layout.transfer;
  order.pixi_unpack = layout.pixi_unpack;
  const bool one_data_mount = data_is_one_mount(plan) && has_data_assets(plan);
  for (const std::string& path : planned_directories(plan)) {
    // Inside the shared read-only folder the run owns nothing.
    if (one_data_mount && is_within(path, kDataDir)) continue;
    order.directories.push_back({.path = in_volume(path, layout)});
  }
  if (one_data_mount) add_shared_folders(plan, layout, order.directories);
  if (plan.archive) {
    order.environment = protocol::EnvironmentOrder{
        .source = located<protocol::Source>(plan.archive->source, layout),
        .digest = plan.archive->digest,
        .format = plan.archive->format,
        .destination = layout.env_dir,
        .limits = {}};
  }
  for (std::size_t i = 0; i < plan.assets.size(); ++i) {
    const PlanAsset& asset = plan.assets[i];
    order.assets.push_back({.name = asset.name,
                            .source = located<protocol::Source>(asset.source, layout),
                            .destination = asset.read_only
                                               ? layout.assets_dir + "/" + assets_sub_path(plan, i)
                                               : in_volume(asset.target, layout),
                            .digest = asset.digest,
                            .unpack = asset.unpack,
                            .read_only = asset.read_only,
                            .mode = asset.mode,
                            .limits = {}});
  }
  return order;
}

protocol::CollectOrder collect_order(const Plan& plan, const Layout& layout) {
  const PlanResults& results = *plan.results;
  protocol::CollectOrder order;
  order.transfer = layout.transfer;
  order.path = layout.results_dir.empty() ? results.path : layout.results_dir;
  order.format = results.format;
  order.max_bytes = results.max_bytes;
  order.max_entries = results.max_entries;
  order.timeout_seconds = static_cast<int>(results.timeout_seconds);
  if (results.upload) order.target = located<protocol::Target>(*results.upload, layout);
  return order;
}

std::vector<std::pair<std::string, std::string>> sandbox_variables(const Plan& plan) {
  std::vector<std::pair<std::string, std::string>> variables;
  if (plan.results) variables.emplace_back("SANDBOXRUN_RESULTS", plan.results->path);
  return variables;
}

namespace {

bool names_service_variable(const Plan& plan) {
  return std::ranges::any_of(plan.env, [](const PlanEnvVar& variable) {
    return variable.name.starts_with("KUBERNETES_SERVICE_") ||
           variable.name.starts_with("KUBERNETES_PORT");
  });
}

}  // namespace

std::vector<std::string> guard_arguments(const Plan& plan, const GuardOptions& options) {
  std::vector<std::string> out;
  const auto flag = [&](std::string_view name, std::string value) {
    out.emplace_back(name);
    out.push_back(std::move(value));
  };
  const auto number = [&](std::string_view name, const auto& value) {
    if (value) flag(name, std::to_string(*value));
  };
  flag("--deadline", std::to_string(plan.active_deadline_seconds));
  flag("--grace", std::to_string(kGraceSeconds));
  flag("--network", plan.network.mode == NetworkMode::None ? "none" : "any");
  number("--nofile", options.nofile);
  number("--nproc", options.nproc);
  number("--fsize", options.fsize_bytes);
  if (const std::string activate = activate_path(plan); !activate.empty()) {
    flag("--activate", activate);
  }
  if (options.require_userns) out.emplace_back("--require-userns");
  if (options.strict_speculation) out.emplace_back("--strict-speculation");
  if (options.no_service_variables && !names_service_variable(plan)) {
    out.emplace_back("--no-service-variables");
  }
  if (!options.termination_log.empty()) flag("--termination-log", options.termination_log);
  number("--record-fd", options.record_fd);
  for (const PlanStep& step : plan.setup) {
    flag("--step", std::to_string(step.timeout_seconds));
    out.push_back(std::to_string(step.command.size()));
    out.insert(out.end(), step.command.begin(), step.command.end());
  }
  out.emplace_back("--");
  out.insert(out.end(), plan.argv.begin(), plan.argv.end());
  return out;
}

}  // namespace sandboxrun::run
