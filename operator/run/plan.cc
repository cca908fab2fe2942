#include "operator/run/plan.h"

#include <algorithm>
#include <set>

#include "operator/run/limits.h"
#include "operator/run/path.h"
#include "operator/run/quantity.h"
#include "operator/run/resolve.h"

namespace sandboxrun::run {
namespace {

constexpr std::string_view kDefaultCaKey = "ca.crt";

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

HttpsSource with_ca_key(HttpsSource https) {
  if (https.ca && https.ca->key.empty()) https.ca->key = kDefaultCaKey;
  return https;
}

PlanSource plan_source(const Source& source) {
  if (source.https) return with_ca_key(*source.https);
  if (source.s3) return *source.s3;
  if (source.config_map) return ConfigMapSource{*source.config_map};
  if (source.file) return *source.file;
  return InlineSource{source.inline_text.value_or("")};
}

PlanAsset plan_asset(const Asset& asset) {
  PlanAsset out;
  out.name = asset.name;
  out.source = plan_source(asset.source);
  out.target = normalise(asset.target);
  out.digest = lower(asset.digest);
  out.unpack = asset.unpack.value_or(false);
  out.read_only = asset.read_only.value_or(true);
  // Who places an asset is another user than the run: without these bits it could not write.
  out.mode = static_cast<std::uint32_t>(asset.mode.value_or(out.read_only ? 0444 : 0666));
  return out;
}

PlanEnvVar plan_env(const EnvVar& env) {
  PlanEnvVar out{.name = env.name, .value = env.value.value_or("")};
  if (env.secret) out.value = *env.secret;
  if (env.config_map) {
    out.value = *env.config_map;
    out.from_config_map = true;
  }
  return out;
}

PlanResults plan_results(const Results& results) {
  PlanResults out;
  out.path = normalise(results.path.empty() ? kDefaultResultsDir : std::string_view(results.path));
  out.format = results.format.value_or(ArchiveFormat::TarGzip);
  out.max_bytes = results.max_bytes.value_or(kDefaultResultsBytes);
  out.max_entries = results.max_entries.value_or(kDefaultResultsEntries);
  out.timeout_seconds = results.timeout_seconds.value_or(kDefaultResultsTimeout);
  if (results.upload && results.upload->https) {
    out.upload = with_ca_key(*results.upload->https);
  } else if (results.upload && results.upload->s3) {
    out.upload = *results.upload->s3;
  }
  return out;
}

std::int64_t amount(const std::string& text, Result<std::int64_t> (*parse)(std::string_view)) {
  return text.empty() ? 0 : parse(text).value_or(0);
}

PlanResourceList amounts(const ResourceList& list) {
  return {.cpu_millis = amount(list.cpu, parse_millicores),
          .memory_bytes = amount(list.memory, parse_bytes),
          .ephemeral_storage_bytes = amount(list.ephemeral_storage, parse_bytes)};
}

void resolve_one(std::int64_t& request, std::int64_t& limit, std::int64_t default_request,
                 std::int64_t default_limit) {
  if (limit == 0) limit = std::max(request, default_limit);
  if (request == 0) request = std::min(limit, std::max(default_request, std::int64_t{1}));
}

void add_with_parents(std::string path, std::set<std::string>& out) {
  while (is_below(path, kWorkDir) || is_below(path, kDataDir)) {
    out.insert(path);
    path = parent_of(path);
  }
}

}  // namespace

std::pair<PlanResourceList, PlanResourceList> resolve_resources(const Resources& resources) {
  PlanResourceList requests = amounts(resources.requests);
  PlanResourceList limits = amounts(resources.limits);
  resolve_one(requests.cpu_millis, limits.cpu_millis, kDefaultCpuRequestMillis,
              kDefaultCpuLimitMillis);
  const auto same_as_limit = std::numeric_limits<std::int64_t>::max();
  resolve_one(requests.memory_bytes, limits.memory_bytes, same_as_limit, kDefaultMemoryBytes);
  resolve_one(requests.ephemeral_storage_bytes, limits.ephemeral_storage_bytes, same_as_limit,
              kDefaultEphemeralBytes);
  return {requests, limits};
}

Plan make_plan(const SandboxRun& run) {
  const Spec& spec = run.spec;
  Plan plan;
  plan.name = run.metadata.name;
  plan.namespace_name = run.metadata.namespace_name;
  plan.uid = run.metadata.uid;
  plan.image = spec.environment.image;
  if (const auto& archive = spec.environment.archive) {
    plan.archive = PlanArchive{.source = plan_source(archive->source),
                               .digest = lower(archive->digest),
                               .format = archive->format.value_or(ArchiveFormat::Auto),
                               .activate = archive->activate};
  }
  plan.argv = spec.command;
  plan.argv.insert(plan.argv.end(), spec.args.begin(), spec.args.end());
  plan.working_dir = spec.working_dir.empty() ? std::string(kWorkDir) : normalise(spec.working_dir);
  std::ranges::transform(spec.env, std::back_inserter(plan.env), plan_env);
  for (const SetupStep& step : spec.setup) {
    plan.setup.push_back(
        {step.name, step.command, step.timeout_seconds.value_or(kDefaultStepTimeout)});
  }
  std::ranges::transform(spec.assets, std::back_inserter(plan.assets), plan_asset);
  if (spec.results) plan.results = plan_results(*spec.results);
  plan.network = {.mode = spec.network.mode.value_or(NetworkMode::None),
                  .egress = spec.network.egress,
                  .dns = spec.network.dns.value_or(Dns::None)};
  plan.scratch = {.medium = spec.scratch.medium.value_or(Medium::Disk),
                  .size_bytes = spec.scratch.size_limit.empty()
                                    ? kDefaultScratchBytes
                                    : amount(spec.scratch.size_limit, parse_bytes)};
  std::tie(plan.requests, plan.limits) = resolve_resources(spec.resources);
  plan.runtime_class_name = spec.runtime_class_name;
  plan.node_selector = spec.node_selector;
  plan.tolerations = spec.tolerations;
  plan.priority_class_name = spec.priority_class_name;
  plan.image_pull_secrets = spec.image_pull_secrets;
  plan.active_deadline_seconds = spec.active_deadline_seconds.value_or(kDefaultActiveDeadline);
  plan.start_deadline_seconds = spec.start_deadline_seconds.value_or(kDefaultStartDeadline);
  plan.backoff_limit = static_cast<int>(spec.backoff_limit.value_or(0));
  return plan;
}

std::vector<std::string> planned_directories(const Plan& plan) {
  std::set<std::string> found;
  for (const PlanAsset& asset : plan.assets) {
    // A tree that is mounted needs its mount point; one that is unpacked here is made by that.
    const bool mount_point = asset.read_only && asset.unpack;
    add_with_parents(mount_point ? asset.target : parent_of(asset.target), found);
  }
  if (plan.results) add_with_parents(parent_of(plan.results->path), found);
  const auto holds_working_dir = [&](const PlanAsset& asset) {
    return is_within(plan.working_dir, asset.target);
  };
  const bool in_results = plan.results && is_within(plan.working_dir, plan.results->path);
  if (!in_results && std::ranges::none_of(plan.assets, holds_working_dir)) {
    add_with_parents(plan.working_dir, found);
  }
  return {found.begin(), found.end()};
}

bool needs_prepare(const Plan& plan) {
  return plan.archive || !plan.assets.empty() || !planned_directories(plan).empty();
}

bool needs_collect(const Plan& plan) {
  return plan.results && plan.results->upload;
}

bool needs_transfer(const Plan& plan) {
  const auto over_network = [](const PlanSource& source) {
    return std::holds_alternative<HttpsSource>(source) || std::holds_alternative<S3Source>(source);
  };
  return needs_collect(plan) || (plan.archive && over_network(plan.archive->source)) ||
         std::ranges::any_of(plan.assets, over_network, &PlanAsset::source);
}

std::string activate_path(const Plan& plan) {
  if (!plan.archive || plan.archive->activate.empty()) return {};
  return std::string(kEnvDir) + "/" + plan.archive->activate;
}

}  // namespace sandboxrun::run
