#include "operator/pod/network_policy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "operator/base/json_writer.h"
#include "operator/pod/names.h"
#include "operator/run/cidr.h"

namespace sandboxrun::pod {
namespace {

using run::IpBlock;

constexpr std::string_view kEverywhere4 = "0.0.0.0/0";
constexpr std::string_view kEverywhere6 = "::/0";
constexpr std::size_t kHashDigits = 16;

/// What nothing of ours reaches: "this" network, loopback, link-local with the metadata addresses
/// in it, multicast, and metadata addresses elsewhere.
constexpr std::array<std::string_view, 11> kNever = {
    "0.0.0.0/8",          "127.0.0.0/8",      "169.254.0.0/16",  "224.0.0.0/3",
    "100.100.100.200/32", "::1/128",          "fe80::/10",       "ff00::/8",
    "fd00:ec2::254/128",  "fd20:ce::254/128", "168.63.129.16/32"};

/// What the agent refuses besides: private and shared ranges, and forms that stand for others.
constexpr std::array<std::string_view, 11> kPrivate = {
    "10.0.0.0/8",     "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
    "192.0.0.0/24",   "198.18.0.0/15", "fc00::/7",       "64:ff9b::/96",
    "64:ff9b:1::/48", "2002::/16",     "2001::/32"};

struct Port {
  std::string_view protocol;
  std::int64_t port = 0;
  std::int64_t end = 0;  ///< 0: only `port`
};

/// The ranges among `candidates` that lie inside `cidr`, without those inside another of them.
std::vector<std::string> excluded_from(std::string_view cidr,
                                       const std::vector<std::string>& candidates) {
  const auto outer = run::parse_cidr(cidr);
  std::vector<std::string> out;
  if (!outer) return out;
  const auto inside = [&](const std::string& text, const run::Cidr& range) {
    const auto inner = run::parse_cidr(text);
    return inner && *inner != range && run::contains(range, *inner);
  };
  for (const std::string& candidate : candidates) {
    if (!inside(candidate, *outer)) continue;
    const bool covered = std::ranges::any_of(candidates, [&](const std::string& other) {
      const auto range = run::parse_cidr(other);
      return range && inside(other, *outer) && inside(candidate, *range);
    });
    if (!covered && std::ranges::find(out, candidate) == out.end()) out.push_back(candidate);
  }
  std::ranges::sort(out);
  return out;
}

std::vector<std::string> never_reached(const PodOptions& options) {
  std::vector<std::string> out(kNever.begin(), kNever.end());
  out.insert(out.end(), options.cluster_cidrs.begin(), options.cluster_cidrs.end());
  return out;
}

IpBlock everywhere(std::string_view cidr, const PodOptions& options) {
  std::vector<std::string> excluded = never_reached(options);
  excluded.insert(excluded.end(), kPrivate.begin(), kPrivate.end());
  return {std::string(cidr), excluded_from(cidr, excluded)};
}

void write_block(JsonWriter& json, const IpBlock& block) {
  json.begin_object().key("ipBlock").begin_object().member("cidr", block.cidr);
  if (!block.except.empty()) {
    json.key("except").begin_array();
    for (const std::string& range : block.except) json.string(range);
    json.end_array();
  }
  json.end_object().end_object();
}

void write_ports(JsonWriter& json, const std::vector<Port>& ports) {
  if (ports.empty()) return;
  json.key("ports").begin_array();
  for (const Port& port : ports) {
    json.begin_object().member("protocol", port.protocol);
    if (port.port != 0) json.member("port", port.port);
    if (port.end != 0) json.member("endPort", port.end);
    json.end_object();
  }
  json.end_array();
}

void write_rule(JsonWriter& json, const std::vector<IpBlock>& to, const std::vector<Port>& ports) {
  json.begin_object();
  json.key("to").begin_array();
  for (const IpBlock& block : to) write_block(json, block);
  json.end_array();
  write_ports(json, ports);
  json.end_object();
}

/// Only the cluster's DNS, and only what answers there.
void write_dns_rule(JsonWriter& json, const PodOptions& options) {
  json.begin_object();
  json.key("to").begin_array();
  json.begin_object();
  json.key("namespaceSelector").begin_object().key("matchLabels").begin_object();
  json.member("kubernetes.io/metadata.name", "kube-system").end_object().end_object();
  json.key("podSelector").begin_object().key("matchLabels").begin_object();
  json.member("k8s-app", "kube-dns").end_object().end_object();
  json.end_object();
  for (const std::string& cidr : options.dns_cidrs) write_block(json, {cidr, {}});
  json.end_array();
  write_ports(json, {{"UDP", 53}, {"TCP", 53}});
  json.end_object();
}

/// "CIDR[:port]" of the administrator's list; IPv6 with a port as "[fd00::]/8:443".
void write_allowed(JsonWriter& json, const std::string& entry) {
  const std::size_t slash = entry.rfind('/');
  const std::size_t colon = slash == std::string::npos ? slash : entry.find(':', slash);
  std::vector<Port> ports;
  if (colon != std::string::npos) {
    std::int64_t port = 0;
    std::from_chars(entry.data() + colon + 1, entry.data() + entry.size(), port);
    ports.push_back({"TCP", port});
  }
  std::string cidr = entry.substr(0, colon);
  std::erase_if(cidr, [](char c) { return c == '[' || c == ']'; });
  if (run::parse_cidr(cidr)) write_rule(json, {{cidr, {}}}, ports);
}

void write_transfer_rules(JsonWriter& json, const PodOptions& options) {
  write_dns_rule(json, options);
  std::vector<Port> ports = {{"TCP", 443}};
  if (options.transfer.allow_http) ports.push_back({"TCP", 80});
  write_rule(json, {everywhere(kEverywhere4, options), everywhere(kEverywhere6, options)}, ports);
  for (const std::string& entry : options.transfer.allow) write_allowed(json, entry);
}

IpBlock without_excluded(IpBlock block, const PodOptions& options) {
  std::vector<std::string> excluded = never_reached(options);
  excluded.insert(excluded.end(), block.except.begin(), block.except.end());
  block.except = excluded_from(block.cidr, excluded);
  return block;
}

void write_user_rules(JsonWriter& json, const run::PlanNetwork& network,
                      const PodOptions& options) {
  if (network.dns == run::Dns::Cluster) write_dns_rule(json, options);
  for (const run::EgressRule& rule : network.egress) {
    std::vector<IpBlock> to;
    for (const IpBlock& block : rule.to) to.push_back(without_excluded(block, options));
    std::vector<Port> ports;
    for (const run::EgressPort& port : rule.ports) {
      ports.push_back(
          {run::to_string(port.protocol), port.port.value_or(0), port.end_port.value_or(0)});
    }
    write_rule(json, to, ports);
  }
}

/// The rules alone, for their hash: without what the administrator's options add.
std::string egress_identity(const run::PlanNetwork& network) {
  JsonWriter json;
  json.begin_array();
  json.string(run::to_string(network.dns));
  for (const run::EgressRule& rule : network.egress) {
    json.begin_array();
    for (const IpBlock& block : rule.to) write_block(json, block);
    for (const run::EgressPort& port : rule.ports) {
      json.begin_array().string(run::to_string(port.protocol));
      json.integer(port.port.value_or(0)).integer(port.end_port.value_or(0)).end_array();
    }
    json.end_array();
  }
  json.end_array();
  return json.take();
}

/// `classes`: the pods' class; empty: every run.
template <typename WriteRules>
NetworkPolicy write_policy(const run::Plan& plan, const std::string& pods_class, std::string name,
                           WriteRules write_rules) {
  JsonWriter json;
  json.begin_object();
  json.member("apiVersion", "networking.k8s.io/v1").member("kind", "NetworkPolicy");
  json.key("metadata").begin_object();
  json.member("name", name).member("namespace", plan.namespace_name);
  json.key("labels").begin_object();
  json.member(kManagedByLabel, kManager);
  json.member(kNetworkLabel, pods_class.empty() ? "none" : std::string_view(pods_class));
  json.end_object().end_object();
  json.key("spec").begin_object();
  json.key("podSelector").begin_object();
  if (pods_class.empty()) {
    json.key("matchExpressions").begin_array().begin_object();
    json.member("key", kRunUidLabel).member("operator", "Exists");
    json.end_object().end_array();
  } else {
    json.key("matchLabels").begin_object().member(kNetworkLabel, pods_class).end_object();
  }
  json.end_object();
  json.key("policyTypes").begin_array().string("Ingress").string("Egress").end_array();
  json.key("ingress").begin_array().end_array();
  json.key("egress").begin_array();
  write_rules(json);
  json.end_array();
  json.end_object().end_object();
  return {std::move(name), json.take()};
}

}  // namespace

std::string network_class(const run::Plan& plan) {
  if (plan.network.mode == run::NetworkMode::Egress) {
    return "egress-" + short_hash(egress_identity(plan.network), kHashDigits);
  }
  return run::needs_transfer(plan) ? "transfer" : "none";
}

std::vector<NetworkPolicy> policies_for(const run::Plan& plan, const PodOptions& options) {
  std::vector<NetworkPolicy> out;
  out.push_back(write_policy(plan, "", "sandboxrun-deny-all", [](JsonWriter&) {}));
  const std::string pods_class = network_class(plan);
  const std::string name = "sandboxrun-" + pods_class;
  if (plan.network.mode == run::NetworkMode::Egress) {
    out.push_back(write_policy(plan, pods_class, name, [&](JsonWriter& json) {
      write_user_rules(json, plan.network, options);
    }));
  } else if (pods_class == "transfer") {
    out.push_back(write_policy(plan, pods_class, name,
                               [&](JsonWriter& json) { write_transfer_rules(json, options); }));
  }
  return out;
}

}  // namespace sandboxrun::pod
