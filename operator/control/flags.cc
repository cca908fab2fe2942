#include "operator/control/flags.h"

#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <array>
#include <utility>

#include "operator/control/http_server.h"
#include "operator/run/cidr.h"
#include "sandbox-image/agent/address_policy.h"

namespace sandboxrun::control {
namespace {

using Problems = std::vector<std::string>;

struct Raw {
  std::string guard_delivery = "ImageVolume";
  std::string network_isolation = "Probe";
  std::string log_level = "info";
  std::string log_format = "json";
  std::vector<std::string> tolerations;
  std::vector<std::string> node_selector_keys;
  int probe_port = 8082;
  bool version = false;
};

void declare(CLI::App& app, OperatorOptions& options, Raw& raw) {
  const auto list = [&](const char* name, std::vector<std::string>& into, const char* help) {
    app.add_option(name, into, help)->allow_extra_args(false);
  };
  app.add_option("--sandbox-image", options.pods.sandbox_image,
                 "image with the guard and the agent, by digest (required)");
  app.add_option("--guard-delivery", raw.guard_delivery, "ImageVolume (the default) or Copy");
  list("--watch-namespace", options.watch_namespaces,
       "serve runs of this namespace only; may be repeated (default: all)");
  app.add_flag("--leader-elect", options.leader_elect, "wait until no other operator leads");
  app.add_option("--leader-election-namespace", options.leader_election_namespace,
                 "where the Lease is (default: $POD_NAMESPACE)");
  app.add_option("--metrics-bind-address", options.metrics_address,
                 "where /metrics is served; 0 for nowhere (default :8080)");
  app.add_option("--health-probe-bind-address", options.probe_address,
                 "where /healthz and /readyz are served; 0 for nowhere (default :8081)");
  app.add_option(
      "--max-concurrent-reconciles", options.max_concurrent_reconciles,
      "workers, 1 to 64 (default " + std::to_string(options.max_concurrent_reconciles) + ")");
  list("--transfer-allow", options.pods.transfer.allow,
       "CIDR[:port] that transfers may reach though it is private; may be repeated");
  app.add_flag("--transfer-allow-http", options.policy.allow_http,
               "let transfers use http:// URLs");
  list("--allow-runtime-class", options.policy.runtime_classes,
       "RuntimeClass that runs may name; may be repeated");
  list("--allow-node-selector-key", raw.node_selector_keys,
       "further node selector key that runs may use; may be repeated");
  list("--allow-toleration", raw.tolerations,
       "KEY[=VALUE][:EFFECT] that runs may tolerate; may be repeated");
  list("--allow-priority-class", options.policy.priority_classes,
       "PriorityClass that runs may name; may be repeated");
  list("--cluster-cidr", options.policy.cluster_cidrs,
       "node, pod or service range that no run may reach; may be repeated");
  app.add_option("--network-isolation", raw.network_isolation,
                 "Probe (the default): network.mode Egress waits until a probe has shown that "
                 "policies are enforced; Assume: you vouch for it");
  app.add_option("--network-isolation-port", raw.probe_port,
                 "where this pod answers its own probe (default 8082)");
  app.add_option("--log-level", raw.log_level, "debug, info (the default), warn or error");
  app.add_option("--log-format", raw.log_format, "json (the default) or text");
  app.add_option("--kubeconfig", options.kubeconfig,
                 "kubeconfig (default: $KUBECONFIG, the pod's service account, ~/.kube/config)");
  app.add_flag("--version", raw.version, "print the version and end");
}

// "key=value:Effect"; without "=value" the operator is Exists, without an effect all are meant.
run::Toleration read_toleration(Problems& problems, const std::string& text) {
  constexpr std::array<std::string_view, 3> kEffects = {"NoSchedule", "PreferNoSchedule",
                                                        "NoExecute"};
  run::Toleration out;
  std::string rest = text;
  if (const std::size_t colon = rest.rfind(':'); colon != std::string::npos) {
    out.effect = rest.substr(colon + 1);
    rest.resize(colon);
    if (std::ranges::find(kEffects, out.effect) == kEffects.end()) {
      problems.push_back("--allow-toleration " + text +
                         ": the effect must be NoSchedule, PreferNoSchedule or NoExecute");
    }
  }
  const std::size_t equals = rest.find('=');
  out.key = rest.substr(0, equals);
  if (equals == std::string::npos) {
    out.op = "Exists";
  } else {
    out.op = "Equal";
    out.value = rest.substr(equals + 1);
  }
  if (out.key.empty()) {
    problems.push_back("--allow-toleration " + text + ": write it as KEY[=VALUE][:EFFECT]");
  }
  return out;
}

bool is_by_digest(std::string_view image) {
  const std::size_t at = image.find("@sha256:");
  if (at == 0 || at == std::string_view::npos) return false;
  const std::string_view hex = image.substr(at + 8);
  return hex.size() == 64 && hex.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void judge_images(Problems& problems, const Raw& raw, OperatorOptions& options) {
  const std::string& image = options.pods.sandbox_image;
  if (image.empty()) {
    problems.push_back("--sandbox-image is missing: give the sandbox image by digest");
  } else if (!is_by_digest(image)) {
    problems.push_back("--sandbox-image \"" + image +
                       "\" has no digest; write it as repository@sha256:<64 hex digits>");
  }
  if (raw.guard_delivery == "Copy") {
    options.pods.guard_delivery = pod::GuardDelivery::Copy;
  } else if (raw.guard_delivery != "ImageVolume") {
    problems.push_back("--guard-delivery " + raw.guard_delivery + ": give ImageVolume or Copy");
  }
}

// Without these the operator is no pod, or does not know which.
std::optional<IsolationProbeOptions> read_probe(const Raw& raw, const OperatorOptions& options,
                                                const kube::Environment& environment) {
  IsolationProbeOptions out;
  out.namespace_name = environment("POD_NAMESPACE").value_or("");
  out.pod_ip = environment("POD_IP").value_or("");
  out.pod_name = environment("POD_NAME").value_or("");
  out.pod_uid = environment("POD_UID").value_or("");
  out.port = static_cast<std::uint16_t>(raw.probe_port);
  out.sandbox_image = options.pods.sandbox_image;
  out.user_id = options.pods.run_id;
  if (out.namespace_name.empty() || out.pod_ip.empty()) return std::nullopt;
  return out;
}

void judge_network(Problems& problems, const Raw& raw, const kube::Environment& environment,
                   OperatorOptions& options) {
  for (const std::string& cidr : options.policy.cluster_cidrs) {
    if (!run::parse_cidr(cidr)) {
      problems.push_back("--cluster-cidr " + cidr + " is no range such as 10.0.0.0/8");
    }
  }
  options.pods.cluster_cidrs = options.policy.cluster_cidrs;
  if (const auto parsed = agent::AddressPolicy::parse(options.pods.transfer.allow); !parsed) {
    problems.push_back("--transfer-allow: " + parsed.error().message);
  }
  if (raw.probe_port < 1 || raw.probe_port > 65535) {
    problems.push_back("--network-isolation-port must be 1 to 65535");
  }
  options.pods.transfer.allow_http = options.policy.allow_http;
  if (raw.network_isolation == "Assume") {
    options.isolation = run::Isolation::Waived;
  } else if (raw.network_isolation == "Probe") {
    options.probe = read_probe(raw, options, environment);
    options.policy.allow_egress = options.probe.has_value();
  } else {
    problems.push_back("--network-isolation " + raw.network_isolation + ": give Probe or Assume");
  }
}

void judge_process(Problems& problems, const Raw& raw, OperatorOptions& options) {
  if (options.max_concurrent_reconciles < 1 || options.max_concurrent_reconciles > 64) {
    problems.push_back("--max-concurrent-reconciles must be 1 to 64");
  }
  for (const auto& [flag, address] : {std::pair("--metrics-bind-address", options.metrics_address),
                                      {"--health-probe-bind-address", options.probe_address}}) {
    if (address == "0") continue;
    if (const auto parsed = parse_bind_address(address); !parsed) {
      problems.push_back(std::string(flag) + ": " + parsed.error().message);
    }
  }
  if (const auto level = parse_log_level(raw.log_level)) {
    options.log_level = *level;
  } else {
    problems.push_back("--log-level " + raw.log_level + ": give debug, info, warn or error");
  }
  if (const auto format = parse_log_format(raw.log_format)) {
    options.log_format = *format;
  } else {
    problems.push_back("--log-format " + raw.log_format + ": give json or text");
  }
  if (options.leader_elect && options.leader_election_namespace.empty()) {
    problems.push_back(
        "--leader-elect needs --leader-election-namespace, or POD_NAMESPACE in the environment");
  }
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "sandboxrun";
}

}  // namespace

Result<CommandLine> read_flags(std::vector<std::string> arguments,
                               const kube::Environment& environment) {
  CommandLine out;
  Raw raw;
  OperatorOptions& options = out.options;
  options.leader_election_namespace = environment("POD_NAMESPACE").value_or("");
  options.instance = environment("POD_NAME").value_or(host_name());
  CLI::App app("Serves the SandboxRuns of a Kubernetes cluster.", "operator");
  declare(app, options, raw);
  try {
    std::ranges::reverse(arguments);  // CLI11 takes them from the back
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    out.print = app.help();
    return out;
  } catch (const CLI::ParseError& error) {
    return failure(ErrorKind::InvalidInput, std::string(error.what()) + "; see --help");
  }
  if (raw.version) {
    out.print = "sandboxrun operator " SANDBOXRUN_VERSION "\n";
    return out;
  }
  Problems problems;
  judge_images(problems, raw, options);
  judge_network(problems, raw, environment, options);
  judge_process(problems, raw, options);
  for (std::string& key : raw.node_selector_keys) {
    options.policy.node_selector_keys.push_back(std::move(key));
  }
  for (const std::string& each : raw.tolerations) {
    options.policy.tolerations.push_back(read_toleration(problems, each));
  }
  if (problems.empty()) return out;
  std::string text;
  for (const std::string& problem : problems) text += (text.empty() ? "" : "\n") + problem;
  return failure(ErrorKind::InvalidInput, std::move(text));
}

}  // namespace sandboxrun::control
