#include "operator/base/json_writer.h"
#include "operator/control/isolation.h"
#include "operator/pod/names.h"
#include "operator/pod/volumes.h"

// The pod of a probe: hardened like a run's, so that a cluster that runs runs can run it.
namespace sandboxrun::control {
namespace {

constexpr std::int64_t kDeadlineSeconds = 120;

void write_metadata(JsonWriter& json, const IsolationProbeOptions& options, std::string_view role,
                    std::string_view token) {
  json.key("metadata").begin_object();
  json.member("name", "sandboxrun-probe-" + std::string(role) + "-" + pod::short_hash(token, 8));
  json.member("namespace", options.namespace_name);
  json.key("labels").begin_object();
  json.member(pod::kManagedByLabel, pod::kManager).member(kProbeLabel, role);
  json.member("sidecar.istio.io/inject", "false").member("istio.io/dataplane-mode", "none");
  json.end_object();
  json.key("annotations").begin_object();
  json.member("linkerd.io/inject", "disabled").end_object();
  if (!options.pod_uid.empty()) {
    json.key("ownerReferences").begin_array().begin_object();
    json.member("apiVersion", "v1").member("kind", "Pod");
    json.member("name", options.pod_name).member("uid", options.pod_uid);
    json.end_object().end_array();
  }
  json.end_object();
}

void write_ids(JsonWriter& json, std::int64_t id) {
  json.member("runAsNonRoot", true).member("runAsUser", id).member("runAsGroup", id);
  json.key("seccompProfile").begin_object().member("type", "RuntimeDefault").end_object();
}

void write_amounts(JsonWriter& json, std::string_view name, std::string_view cpu) {
  json.key(name).begin_object();
  json.member("cpu", cpu).member("memory", "64Mi").member("ephemeral-storage", "16Mi");
  json.end_object();
}

void write_container(JsonWriter& json, const IsolationProbeOptions& options,
                     std::string_view address) {
  json.begin_object().member("name", "probe").member("image", options.sandbox_image);
  json.member("imagePullPolicy", "IfNotPresent");
  json.key("command").begin_array();
  json.string(std::string(pod::kProgramsFolder) + "/agent").end_array();
  json.key("args").begin_array();
  json.string("probe").string("--connect").string(address).end_array();
  json.key("securityContext").begin_object();
  json.member("allowPrivilegeEscalation", false).member("privileged", false);
  json.member("readOnlyRootFilesystem", true);
  json.key("capabilities").begin_object();
  json.key("drop").begin_array().string("ALL").end_array().end_object();
  write_ids(json, options.user_id);
  json.end_object();
  json.key("resources").begin_object();
  write_amounts(json, "requests", "10m");
  write_amounts(json, "limits", "200m");
  json.end_object();
  json.end_object();
}

}  // namespace

std::string render_probe_pod(const IsolationProbeOptions& options, std::string_view role,
                             std::string_view token, std::string_view address) {
  JsonWriter json;
  json.begin_object().member("apiVersion", "v1").member("kind", "Pod");
  write_metadata(json, options, role, token);
  json.key("spec").begin_object();
  json.member("restartPolicy", "Never").member("activeDeadlineSeconds", kDeadlineSeconds);
  json.member("terminationGracePeriodSeconds", 1);
  json.member("hostUsers", false).member("automountServiceAccountToken", false);
  json.member("enableServiceLinks", false).member("shareProcessNamespace", false);
  json.member("dnsPolicy", "None");
  json.key("dnsConfig").begin_object();
  json.key("nameservers").begin_array().string("127.0.0.1").end_array().end_object();
  json.key("securityContext").begin_object();
  json.member("supplementalGroupsPolicy", "Strict");
  write_ids(json, options.user_id);
  json.end_object();
  json.key("containers").begin_array();
  write_container(json, options, address);
  json.end_array().end_object().end_object();
  return json.take();
}

}  // namespace sandboxrun::control
