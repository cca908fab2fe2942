#include <algorithm>
#include <array>

#include "operator/run/check.h"
#include "operator/run/cidr.h"
#include "operator/run/limits.h"
#include "operator/run/quantity.h"
#include "operator/run/resolve.h"
#include "operator/run/wording.h"

namespace sandboxrun::run {
namespace {

/// Never reachable from a run, whatever the administrator says: link-local ranges with the cloud
/// metadata addresses in them, loopback, and metadata addresses elsewhere.
constexpr std::array<std::string_view, 9> kExcluded = {
    "169.254.0.0/16",   "fe80::/10",          "127.0.0.0/8",       "::1/128",         "0.0.0.0/8",
    "168.63.129.16/32", "100.100.100.200/32", "fd00:ec2::254/128", "fd20:ce::254/128"};

void check_reachable(Check& check, const std::string& path, std::string_view text,
                     const Cidr& cidr) {
  for (const std::string_view range : kExcluded) {
    if (!contains(*parse_cidr(range), cidr)) continue;
    return check.denied(
        path, quoted(text) + " lies in " + std::string(range) + ", which no run may reach");
  }
  for (const std::string& range : check.policy().cluster_cidrs) {
    const auto outer = parse_cidr(range);
    if (!outer || !contains(*outer, cidr)) continue;
    return check.denied(path, quoted(text) + " lies in " + range +
                                  ", a range of the cluster itself, which no run may reach");
  }
}

void check_block(Check& check, const std::string& path, const IpBlock& block) {
  const auto cidr = parse_cidr(block.cidr);
  if (!cidr) {
    return check.invalid(path + ".cidr", quoted(block.cidr) +
                                             " is not an IP range such as 203.0.113.0/24 or "
                                             "2001:db8::/32 (no bits behind the prefix)");
  }
  check_reachable(check, path + ".cidr", block.cidr, *cidr);
  check.max_items(path + ".except", block.except.size(), kMaxExcept, "ranges");
  for (std::size_t i = 0; i < block.except.size(); ++i) {
    const auto inner = parse_cidr(block.except[i]);
    const std::string at = item_path(path + ".except", i);
    if (!inner) {
      check.invalid(at, quoted(block.except[i]) + " is not an IP range such as 203.0.113.0/24");
    } else if (!contains(*cidr, *inner) || *cidr == *inner) {
      check.invalid(at, quoted(block.except[i]) + " is not a part of " + quoted(block.cidr));
    }
  }
}

void check_port(Check& check, const std::string& path, const EgressPort& port) {
  check.range(path + ".port", port.port, 1, 65535);
  check.range(path + ".endPort", port.end_port, 1, 65535);
  if (port.end_port && !port.port) {
    check.invalid(path + ".endPort", "needs port, where the range begins");
  } else if (port.end_port && *port.end_port < *port.port) {
    check.invalid(path + ".endPort",
                  std::to_string(*port.end_port) + " is before port " + std::to_string(*port.port));
  }
}

void check_rule(Check& check, const std::string& path, const EgressRule& rule) {
  if (rule.to.empty()) {
    check.invalid(path + ".to",
                  "is empty, which would mean everywhere; name the ranges (0.0.0.0/0 "
                  "and ::/0 for the whole internet)");
  }
  check.max_items(path + ".to", rule.to.size(), kMaxEgressPeers, "peers");
  for (std::size_t i = 0; i < rule.to.size(); ++i) {
    check_block(check, item_path(path + ".to", i) + ".ipBlock", rule.to[i]);
  }
  check.max_items(path + ".ports", rule.ports.size(), kMaxEgressPorts, "ports");
  for (std::size_t i = 0; i < rule.ports.size(); ++i) {
    check_port(check, item_path(path + ".ports", i), rule.ports[i]);
  }
}

bool opens_port(const EgressRule& rule, std::int64_t wanted) {
  return rule.ports.empty() || std::ranges::any_of(rule.ports, [&](const EgressPort& port) {
           return port.protocol == Protocol::TCP &&
                  (!port.port ||
                   (wanted >= *port.port && wanted <= port.end_port.value_or(*port.port)));
         });
}

bool opens_address(const EgressRule& rule, const Cidr& address) {
  return std::ranges::any_of(rule.to, [&](const IpBlock& block) {
    const auto cidr = parse_cidr(block.cidr);
    return cidr && contains(*cidr, address) &&
           std::ranges::none_of(block.except, [&](const std::string& except) {
             const auto inner = parse_cidr(except);
             return inner && contains(*inner, address);
           });
  });
}

/// With its own egress list the whole pod is held to it, transfers included.
void check_transfers(Check& check, const Spec& spec) {
  for (const Endpoint& endpoint : endpoints_of(spec)) {
    const auto address = endpoint.known ? parse_address(endpoint.host) : std::nullopt;
    const bool open = std::ranges::any_of(spec.network.egress, [&](const EgressRule& rule) {
      return opens_port(rule, endpoint.port) && (!address || opens_address(rule, *address));
    });
    if (!open) {
      check.invalid(endpoint.path,
                    "cannot be reached: spec.network.egress holds for transfers too "
                    "and opens no TCP port " +
                        std::to_string(endpoint.port) + (address ? " to this address" : "") +
                        "; add it there");
    } else if (!address && spec.network.dns.value_or(Dns::None) != Dns::Cluster) {
      check.invalid("spec.network.dns", "must be Cluster: " + endpoint.path +
                                            " names a host, and with mode Egress this list holds "
                                            "for transfers too");
      return;
    }
  }
}

void check_class_name(Check& check, const std::string& path, const std::string& value,
                      const std::vector<std::string>& allowed) {
  if (value.empty()) return;
  const std::size_t before = check.count();
  check.object_name(path, value, kMaxObjectName);
  if (check.count() != before || std::ranges::find(allowed, value) != allowed.end()) return;
  const std::vector<std::string_view> names(allowed.begin(), allowed.end());
  check.denied(path, quoted(value) + " is not allowed here; " +
                         (allowed.empty() ? "the administrator has allowed none"
                                          : "allowed are " + listed(names)));
}

void check_node_selector(Check& check, const Spec& spec) {
  const auto label_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  check.max_items("spec.nodeSelector", spec.node_selector.size(), kMaxNodeSelector, "labels");
  for (const auto& [key, value] : spec.node_selector) {
    const std::string path = "spec.nodeSelector." + key;
    if (value.size() > 63 || !std::ranges::all_of(value, label_character)) {
      check.invalid(path, quoted(value) +
                              " is not a label's value: up to 63 letters, digits, -, _ "
                              "and .");
    }
    const auto& allowed = check.policy().node_selector_keys;
    if (check.where() == Where::Local || std::ranges::find(allowed, key) != allowed.end()) continue;
    const std::vector<std::string_view> names(allowed.begin(), allowed.end());
    check.denied(path, "selecting nodes by " + quoted(key) + " is not allowed here; " +
                           (allowed.empty() ? "the administrator has allowed no label"
                                            : "allowed are " + listed(names)));
  }
}

void check_toleration(Check& check, const std::string& path, const Toleration& toleration) {
  if (toleration.op == "Exists" && !toleration.value.empty()) {
    check.invalid(path + ".value", "has no meaning with operator Exists; remove it");
  }
  if (toleration.key.empty() && toleration.op != "Exists") {
    check.invalid(path + ".key", "is required unless operator is Exists");
  }
  if (toleration.toleration_seconds && toleration.effect != "NoExecute") {
    check.invalid(path + ".tolerationSeconds", "needs effect NoExecute");
  }
  check.plain_text(path + ".key", toleration.key, 316);
  check.plain_text(path + ".value", toleration.value, 63);
  const auto& allowed = check.policy().tolerations;
  if (check.where() == Where::Local || std::ranges::find(allowed, toleration) != allowed.end()) {
    return;
  }
  check.denied(path, "this toleration is not allowed here; the administrator lists those that are");
}

/// The amounts that an author wrote; false if one of them cannot be read.
bool check_amounts(Check& check, const std::string& path, const ResourceList& list) {
  const std::size_t before = check.count();
  const auto amount = [&](std::string_view name, const std::string& text, auto parse) {
    if (text.empty()) return;
    const std::string at = member_path(path, name);
    if (const auto value = parse(text); !value) {
      check.invalid(at, quoted(text) + " " + value.error().message);
    } else if (*value == 0) {
      check.invalid(at, quoted(text) + " is zero, which means no limit; leave it out");
    }
  };
  amount("cpu", list.cpu, parse_millicores);
  amount("memory", list.memory, parse_bytes);
  amount("ephemeral-storage", list.ephemeral_storage, parse_bytes);
  return check.count() == before;
}

}  // namespace

void check_network(Check& check, const Spec& spec) {
  const Network& network = spec.network;
  const bool egress = network.mode.value_or(NetworkMode::None) == NetworkMode::Egress;
  if (!egress && !network.egress.empty()) {
    check.invalid("spec.network.egress", "needs mode: Egress; without it a run has no network");
  }
  if (!egress && network.dns.value_or(Dns::None) == Dns::Cluster) {
    check.invalid("spec.network.dns", "needs mode: Egress; without it a run has no network");
  }
  if (egress && network.egress.empty()) {
    check.invalid("spec.network.egress",
                  "is empty: mode Egress needs the ranges and ports that "
                  "the run may reach");
  }
  if (egress && !check.policy().allow_egress) {
    check.denied("spec.network.mode", "Egress is not offered here; only runs without network are");
  }
  check.max_items("spec.network.egress", network.egress.size(), kMaxEgressRules, "rules");
  for (std::size_t i = 0; i < network.egress.size(); ++i) {
    check_rule(check, item_path("spec.network.egress", i), network.egress[i]);
  }
  if (egress && !network.egress.empty()) check_transfers(check, spec);
}

void check_resources(Check& check, const Spec& spec) {
  bool readable = check_amounts(check, "spec.resources.requests", spec.resources.requests);
  readable = check_amounts(check, "spec.resources.limits", spec.resources.limits) && readable;
  if (!spec.scratch.size_limit.empty()) {
    const auto size = parse_bytes(spec.scratch.size_limit);
    if (!size || *size == 0) {
      check.invalid("spec.scratch.sizeLimit", quoted(spec.scratch.size_limit) + " " +
                                                  (size ? "is zero" : size.error().message));
    }
  }
  if (!readable) return;
  const auto [requests, limits] = resolve_resources(spec.resources);
  const auto compare = [&](std::string_view name, std::int64_t request, std::int64_t limit) {
    if (request <= limit) return;
    check.invalid("spec.resources.requests." + std::string(name),
                  "is more than the limit; requests are at most the limits");
  };
  compare("cpu", requests.cpu_millis, limits.cpu_millis);
  compare("memory", requests.memory_bytes, limits.memory_bytes);
  compare("ephemeral-storage", requests.ephemeral_storage_bytes, limits.ephemeral_storage_bytes);
  if (limits.memory_bytes < kMinMemoryBytes) {
    check.invalid("spec.resources.limits.memory", quoted(spec.resources.limits.memory) +
                                                      " is too little to start a sandbox; give at "
                                                      "least 16Mi");
  }
}

void check_scheduling(Check& check, const Spec& spec) {
  check_class_name(check, "spec.runtimeClassName", spec.runtime_class_name,
                   check.policy().runtime_classes);
  check_node_selector(check, spec);
  check.max_items("spec.tolerations", spec.tolerations.size(), kMaxTolerations, "tolerations");
  for (std::size_t i = 0; i < spec.tolerations.size(); ++i) {
    check_toleration(check, item_path("spec.tolerations", i), spec.tolerations[i]);
  }
  if (spec.priority_class_name.starts_with("system-")) {
    check.denied("spec.priorityClassName", quoted(spec.priority_class_name) +
                                               " is for the cluster's own parts; no run gets it");
  } else if (check.where() == Where::Cluster) {
    check_class_name(check, "spec.priorityClassName", spec.priority_class_name,
                     check.policy().priority_classes);
  }
  check.max_items("spec.imagePullSecrets", spec.image_pull_secrets.size(), kMaxPullSecrets,
                  "Secrets");
  for (std::size_t i = 0; i < spec.image_pull_secrets.size(); ++i) {
    check.object_name(item_path("spec.imagePullSecrets", i) + ".name", spec.image_pull_secrets[i],
                      kMaxObjectName);
  }
  check.plain_text("spec.managedBy", spec.managed_by, 63);
}

}  // namespace sandboxrun::run
