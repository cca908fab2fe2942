#include "operator/pod/render_spec.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "operator/pod/names.h"
#include "operator/pod/render.h"
#include "operator/pod/volumes.h"
#include "operator/run/orders.h"

namespace sandboxrun::pod {
namespace {

constexpr std::string_view kHostname = "sandbox";
constexpr std::string_view kNowhere = "127.0.0.1";
/// After how long pods of a node that does not answer are evicted: what API servers add by default.
constexpr std::int64_t kLostNodeSeconds = 300;

void write_seccomp(JsonWriter& json) {
  json.key("seccompProfile").begin_object().member("type", "RuntimeDefault").end_object();
}

void write_ids(JsonWriter& json, std::int64_t id) {
  json.member("runAsNonRoot", true).member("runAsUser", id).member("runAsGroup", id);
}

void write_pod_security(JsonWriter& json, const PodOptions& options) {
  json.key("securityContext").begin_object();
  write_ids(json, options.run_id);
  json.member("supplementalGroupsPolicy", "Strict");
  write_seccomp(json);
  json.end_object();
}

void write_container_security(JsonWriter& json, std::int64_t id) {
  json.key("securityContext").begin_object();
  json.member("allowPrivilegeEscalation", false).member("privileged", false);
  json.member("readOnlyRootFilesystem", true);
  write_ids(json, id);
  json.key("capabilities").begin_object();
  json.key("drop").begin_array().string("ALL").end_array();
  json.end_object();
  write_seccomp(json);
  json.end_object();
}

void write_amounts(JsonWriter& json, std::string_view name, const run::PlanResourceList& list) {
  json.key(name).begin_object();
  json.member("cpu", std::to_string(list.cpu_millis) + "m");
  json.member("memory", std::to_string(list.memory_bytes));
  json.member("ephemeral-storage", std::to_string(list.ephemeral_storage_bytes));
  json.end_object();
}

void write_texts(JsonWriter& json, std::string_view name, const std::vector<std::string>& texts) {
  json.key(name).begin_array();
  for (const std::string& text : texts) json.string(double_dollars(text));
  json.end_array();
}

/// What our three containers have in common.
struct Container {
  std::string_view name;
  std::string image;
  std::vector<std::string> command;
  std::string working_dir;
  std::uint32_t id = 0;
  StepResources resources;
  const std::vector<Mount>& mounts;
  bool sidecar = false;
};

void write_container_head(JsonWriter& json, const Container& container) {
  json.begin_object();
  json.member("name", container.name).member("image", container.image);
  json.member("imagePullPolicy", "IfNotPresent");
  if (container.sidecar) json.member("restartPolicy", "Always");
  write_texts(json, "command", container.command);
  json.member("workingDir", container.working_dir);
}

void write_container_tail(JsonWriter& json, const Container& container) {
  write_container_security(json, container.id);
  json.key("resources").begin_object();
  write_amounts(json, "requests", container.resources.requests);
  write_amounts(json, "limits", container.resources.limits);
  json.end_object();
  json.member("terminationMessagePath", "/dev/termination-log");
  json.member("terminationMessagePolicy", "File");
  write_mounts(json, container.mounts);
  json.end_object();
}

/// The sandbox's variables, each name once: what is set later replaces what was before.
std::vector<run::PlanEnvVar> environment_of(const run::Plan& plan, const Attempt& attempt) {
  std::vector<run::PlanEnvVar> out = {{.name = "HOME", .value = std::string(run::kWorkDir)}};
  const auto set = [&](run::PlanEnvVar variable) {
    const auto there = std::ranges::find(out, variable.name, &run::PlanEnvVar::name);
    if (there != out.end()) {
      *there = std::move(variable);
    } else {
      out.push_back(std::move(variable));
    }
  };
  for (const run::PlanEnvVar& variable : plan.env) set(variable);
  for (const auto& [name, value] : run::sandbox_variables(plan)) {
    set({.name = name, .value = value});
  }
  set({.name = std::string(kTokenVariable), .value = attempt.token});
  return out;
}

void write_environment(JsonWriter& json, const run::Plan& plan, const Attempt& attempt) {
  json.key("env").begin_array();
  for (const run::PlanEnvVar& variable : environment_of(plan, attempt)) {
    json.begin_object().member("name", variable.name);
    if (const auto* text = std::get_if<std::string>(&variable.value)) {
      json.member("value", double_dollars(*text));
    } else {
      const auto& ref = std::get<run::KeyReference>(variable.value);
      json.key("valueFrom").begin_object();
      json.key(variable.from_config_map ? "configMapKeyRef" : "secretKeyRef").begin_object();
      json.member("name", ref.name).member("key", ref.key).member("optional", false);
      json.end_object().end_object();
    }
    json.end_object();
  }
  json.end_array();
}

/// No file of the run can be larger than its volumes are together.
std::int64_t largest_file(const run::Plan& plan) {
  return plan.scratch.size_bytes + (plan.results ? plan.results->max_bytes : 0);
}

std::vector<std::string> guard_command(const run::Plan& plan, const PodOptions& options) {
  std::vector<std::string> out = {guard_program(options)};
  const run::GuardOptions flags{.nofile = options.open_files,
                                .nproc = options.processes,
                                .fsize_bytes = largest_file(plan),
                                .require_userns = true,
                                .strict_speculation = options.strict_speculation,
                                .no_service_variables = true};
  std::ranges::move(run::guard_arguments(plan, flags), std::back_inserter(out));
  return out;
}

std::vector<std::string> agent_command(std::string_view verb) {
  return {std::string(kProgramsFolder) + "/agent",
          std::string(verb),
          "--order",
          std::string(kOrderFolder) + "/" + std::string(kOrderFile),
          "--staging",
          std::string(kStagingFolder)};
}

// Pages of a memory volume count for whoever writes them.
StepResources with_memory(StepResources resources, std::int64_t bytes) {
  resources.limits.memory_bytes += bytes;
  return resources;
}

void write_prepare(JsonWriter& json, const PodOptions& options, const Volumes& volumes) {
  std::vector<std::string> command = agent_command(kPrepare);
  if (options.guard_delivery == GuardDelivery::Copy) {
    command.insert(command.end(), {"--install-guard", std::string(kGuardFolder)});
  }
  const Container container{
      .name = kPrepare,
      .image = options.sandbox_image,
      .command = std::move(command),
      .working_dir = "/",
      .id = options.prepare_id,
      .resources = with_memory(options.prepare, volumes.memory_bytes(volumes.prepare)),
      .mounts = volumes.prepare};
  write_container_head(json, container);
  write_container_tail(json, container);
}

void write_collect(JsonWriter& json, const PodOptions& options, const Volumes& volumes) {
  const Container container{
      .name = kCollect,
      .image = options.sandbox_image,
      .command = agent_command(kCollect),
      .working_dir = "/",
      .id = options.run_id,
      .resources = with_memory(options.collect, volumes.memory_bytes(volumes.collect)),
      .mounts = volumes.collect,
      .sidecar = true};
  write_container_head(json, container);
  write_container_tail(json, container);
}

void write_run(JsonWriter& json, const run::Plan& plan, const PodOptions& options,
               const Attempt& attempt, const Volumes& volumes) {
  StepResources resources =
      with_memory({plan.requests, plan.limits}, volumes.memory_bytes(volumes.run));
  // The kubelet compares what the whole pod has written with the sum of its containers' limits.
  resources.limits.ephemeral_storage_bytes += volumes.disk_bytes();
  const Container container{.name = kRun,
                            .image = plan.image,
                            .command = guard_command(plan, options),
                            .working_dir = plan.working_dir,
                            .id = options.run_id,
                            .resources = resources,
                            .mounts = volumes.run};
  write_container_head(json, container);
  write_environment(json, plan, attempt);
  write_container_tail(json, container);
}

void write_dns(JsonWriter& json, const run::Plan& plan) {
  if (run::needs_transfer(plan) || plan.network.dns == run::Dns::Cluster) {
    json.member("dnsPolicy", "ClusterFirst");
    return;
  }
  json.member("dnsPolicy", "None");
  json.key("dnsConfig").begin_object();
  json.key("nameservers").begin_array().string(kNowhere).end_array();
  json.end_object();
}

void write_toleration(JsonWriter& json, const run::Toleration& toleration) {
  json.begin_object();
  if (!toleration.key.empty()) json.member("key", toleration.key);
  if (!toleration.op.empty()) json.member("operator", toleration.op);
  if (!toleration.value.empty()) json.member("value", toleration.value);
  if (!toleration.effect.empty()) json.member("effect", toleration.effect);
  if (toleration.toleration_seconds) {
    json.member("tolerationSeconds", *toleration.toleration_seconds);
  }
  json.end_object();
}

bool tolerates(const run::Toleration& toleration, std::string_view key) {
  return (toleration.key.empty() || toleration.key == key) &&
         (toleration.effect.empty() || toleration.effect == "NoExecute");
}

void write_tolerations(JsonWriter& json, const run::Plan& plan) {
  json.key("tolerations").begin_array();
  for (const run::Toleration& toleration : plan.tolerations) write_toleration(json, toleration);
  for (const std::string_view key :
       {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
    const bool there = std::ranges::any_of(
        plan.tolerations, [&](const run::Toleration& each) { return tolerates(each, key); });
    if (there) continue;
    write_toleration(json, {.key = std::string(key),
                            .op = "Exists",
                            .value = "",
                            .effect = "NoExecute",
                            .toleration_seconds = kLostNodeSeconds});
  }
  json.end_array();
}

void write_scheduling(JsonWriter& json, const run::Plan& plan) {
  json.key("schedulingGates").begin_array();
  json.begin_object().member("name", kGate).end_object();
  json.end_array();
  json.member("schedulerName", "default-scheduler");
  if (!plan.runtime_class_name.empty()) json.member("runtimeClassName", plan.runtime_class_name);
  if (!plan.priority_class_name.empty()) json.member("priorityClassName", plan.priority_class_name);
  if (!plan.node_selector.empty()) {
    json.key("nodeSelector").begin_object();
    for (const auto& [key, value] : plan.node_selector) json.member(key, value);
    json.end_object();
  }
  write_tolerations(json, plan);
  if (plan.image_pull_secrets.empty()) return;
  json.key("imagePullSecrets").begin_array();
  for (const std::string& name : plan.image_pull_secrets) {
    json.begin_object().member("name", name).end_object();
  }
  json.end_array();
}

}  // namespace

std::string double_dollars(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    out += c;
    if (c == '$') out += c;
  }
  return out;
}

void write_spec(JsonWriter& json, const run::Plan& plan, const PodOptions& options,
                const Attempt& attempt) {
  const Volumes volumes = volumes_for(plan, options);
  json.begin_object();
  json.member("hostname", kHostname).member("hostUsers", false);
  json.member("shareProcessNamespace", false);
  json.member("serviceAccountName", "default").member("automountServiceAccountToken", false);
  json.member("enableServiceLinks", false);
  json.member("restartPolicy", "Never");
  json.member("activeDeadlineSeconds", backstop_seconds(plan));
  json.member("terminationGracePeriodSeconds", termination_grace_seconds(plan));
  write_dns(json, plan);
  write_scheduling(json, plan);
  write_pod_security(json, options);
  if (has_prepare(plan, options) || run::needs_collect(plan)) {
    json.key("initContainers").begin_array();
    if (has_prepare(plan, options)) write_prepare(json, options, volumes);
    if (run::needs_collect(plan)) write_collect(json, options, volumes);
    json.end_array();
  }
  json.key("containers").begin_array();
  write_run(json, plan, options, attempt, volumes);
  json.end_array();
  write_volumes(json, volumes);
  json.end_object();
}

}  // namespace sandboxrun::pod
