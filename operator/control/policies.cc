#include "operator/control/policies.h"

#include <algorithm>

#include "operator/base/document.h"
#include "operator/pod/network_policy.h"

namespace sandboxrun::control {
namespace {

constexpr std::string_view kEgressPrefix = "sandboxrun-egress-";
// Rule sets whose names and rules are remembered; more are rendered again when they are asked for.
constexpr std::size_t kMaxClasses = 1024;

}  // namespace

PolicyKeeper::PolicyKeeper(pod::PodOptions options, const Caches& caches)
    : options_(std::move(options)), caches_(caches) {}

std::vector<PolicyKeeper::Wanted> PolicyKeeper::wanted(const run::Plan& plan) {
  const std::string network = pod::network_class(plan);
  const std::lock_guard lock(mutex_);
  if (const auto found = classes_.find(network); found != classes_.end()) return found->second;
  std::vector<Wanted> out;
  for (const pod::NetworkPolicy& policy : pod::policies_for(plan, options_)) {
    const auto node = parse_json(policy.json);
    out.push_back({policy.name, node ? policy_rules(*node) : ""});
  }
  if (classes_.size() >= kMaxClasses) classes_.clear();
  classes_.emplace(network, out);
  return out;
}

bool PolicyKeeper::is_in_place(const Key& key, const std::string& rules) {
  const auto cached = caches_.find_policy(key);
  if (cached && cached->value && cached->value->rules == rules) return true;
  const std::lock_guard lock(mutex_);
  const auto found = written_.find(key);
  if (found == written_.end()) return false;
  if (found->second.rules == rules &&
      caches_.seen_policies(key.namespace_name) < found->second.version) {
    return true;
  }
  written_.erase(found);
  return false;
}

bool PolicyKeeper::are_in_place(const run::Plan& plan) {
  return std::ranges::all_of(wanted(plan), [&](const Wanted& each) {
    return is_in_place({plan.namespace_name, each.name}, each.rules);
  });
}

kube::Result<void> PolicyKeeper::apply(const run::Plan& plan, Cluster& cluster,
                                       const ScopedLog& log) {
  const auto all = wanted(plan);
  for (const pod::NetworkPolicy& policy : pod::policies_for(plan, options_)) {
    const Key key{plan.namespace_name, policy.name};
    const auto each = std::ranges::find(all, policy.name, &Wanted::name);
    if (each == all.end() || is_in_place(key, each->rules)) continue;
    const bool changed = caches_.find_policy(key) != nullptr;
    const auto applied = cluster.apply_policy(plan.namespace_name, policy);
    if (!applied) return std::unexpected(applied.error());
    if (changed)
      log.warn("a network policy was changed and is put right", {{"policy", policy.name}});
    if (applied->rules != each->rules) {
      return kube::failure(
          kube::ErrorKind::Malformed,
          "the network policy " + policy.name +
              " was changed while it was stored; find out which webhook does that");
    }
    const auto version = kube::version_number(applied->resource_version);
    const std::lock_guard lock(mutex_);
    if (version) written_.insert_or_assign(key, Written{each->rules, *version});
  }
  return {};
}

std::set<PolicyKeeper::Key> PolicyKeeper::needed_by_runs() const {
  std::set<Key> out;
  for (const FoundRun& found : caches_.active_runs()) {
    const run::SandboxRun& run = found.value->run;
    if (run.spec.network.mode != run::NetworkMode::Egress) continue;
    out.insert(
        {found.meta.name.namespace_name, "sandboxrun-" + pod::network_class(run::make_plan(run))});
  }
  return out;
}

void PolicyKeeper::sweep(Cluster& cluster, const Log& log) {
  const std::set<Key> needed = needed_by_runs();
  std::set<Key> unused;
  for (const auto& object : caches_.policies()) {
    const Key& key = object->meta.name;
    if (!key.name.starts_with(kEgressPrefix) || needed.contains(key)) continue;
    if (!unused_.contains(key)) {
      unused.insert(key);
      continue;
    }
    const auto deleted = cluster.delete_policy(object->meta);
    if (!deleted) {
      log.warn("a network policy that no run needs could not be deleted",
               {{"namespace", key.namespace_name},
                {"policy", key.name},
                {"error", deleted.error().message}});
      unused.insert(key);
    }
  }
  unused_ = std::move(unused);
}

}  // namespace sandboxrun::control
