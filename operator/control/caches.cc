#include "operator/control/caches.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "operator/pod/names.h"

namespace sandboxrun::control {
namespace {

kube::ReflectorOptions reflector_options(kube::ReflectorOptions base, std::string name,
                                         const kube::Resource& resource,
                                         const std::string& namespace_name) {
  base.name = std::move(name);
  base.resource = resource;
  base.selection.namespace_name = namespace_name;
  return base;
}

}  // namespace

Caches::Caches(CacheOptions options, kube::Transport& transport, kube::Clock& clock,
               kube::Metrics& metrics, const Log& log)
    : log_(log) {
  if (options.namespaces.empty()) options.namespaces.emplace_back();
  for (const std::string& each : options.namespaces) {
    auto runs = reflector_options(options.reflector, "sandboxruns", kRuns, each);
    auto pods = reflector_options(options.reflector, "pods", kPods, each);
    pods.selection.label_selector = pod::kRunUidLabel;
    auto policies = reflector_options(options.reflector, "networkpolicies", kPolicies, each);
    policies.selection.label_selector = pod::kNetworkLabel;
    scopes_.emplace(each,
                    std::unique_ptr<Scope>(new Scope{
                        {std::move(runs), run_decoder(options.policy), transport, clock, metrics},
                        {std::move(pods), pod_decoder(), transport, clock, metrics},
                        {std::move(policies), policy_decoder(), transport, clock, metrics}}));
  }
}

void Caches::start(OnChange on_change, std::function<void(const kube::Error&)> on_problem) {
  on_change_ = std::move(on_change);
  const auto hooks = [&](const std::string& kind) {
    return kube::ReflectorHooks{
        .on_problem =
            [this, kind, on_problem](const kube::Error& error) {
              log_.warn("the cache cannot follow the API server; it tries again",
                        {{"kind", kind}, {"error", error.message}});
              if (on_problem) on_problem(error);
            },
        .on_bad_object =
            [this, kind](const kube::ObjectName& name, const std::string& why) {
              log_.error("an object cannot be read and is left alone",
                         {{"kind", kind},
                          {"namespace", name.namespace_name},
                          {"name", name.name},
                          {"error", why}});
            }};
  };
  for (auto& [name, scope] : scopes_) {
    scope->runs.start(
        [this](const kube::StoreEvent<RunView>& event) {
          on_change_(event.meta().name, event.initial);
        },
        hooks("sandboxruns"));
    scope->pods.start([this](const kube::StoreEvent<pod::PodView>& event) { pod_changed(event); },
                      hooks("pods"));
    scope->policies.start(
        [this, &runs = *scope](const kube::StoreEvent<PolicyView>& event) {
          policy_changed(runs, event);
        },
        hooks("networkpolicies"));
  }
}

void Caches::stop() {
  for (auto& [name, scope] : scopes_) {
    scope->runs.stop();
    scope->pods.stop();
    scope->policies.stop();
  }
}

bool Caches::is_synced() const {
  for (const auto& [name, scope] : scopes_) {
    if (!scope->runs.store().is_synced() || !scope->pods.store().is_synced() ||
        !scope->policies.store().is_synced()) {
      return false;
    }
  }
  return true;
}

const Caches::Scope* Caches::scope(const std::string& namespace_name) const {
  auto found = scopes_.find(namespace_name);
  if (found == scopes_.end()) found = scopes_.find("");
  return found == scopes_.end() ? nullptr : found->second.get();
}

Caches::RunObject Caches::find_run(const kube::ObjectName& name) const {
  const Scope* found = scope(name.namespace_name);
  return found == nullptr ? nullptr : found->runs.store().find(name);
}

Caches::PodObject Caches::find_pod(const kube::ObjectName& name) const {
  const Scope* found = scope(name.namespace_name);
  return found == nullptr ? nullptr : found->pods.store().find(name);
}

std::uint64_t Caches::seen_runs(const std::string& namespace_name) const {
  const Scope* found = scope(namespace_name);
  return found == nullptr ? 0 : found->runs.store().seen_version();
}

std::uint64_t Caches::seen_pods(const std::string& namespace_name) const {
  const Scope* found = scope(namespace_name);
  return found == nullptr ? 0 : found->pods.store().seen_version();
}

std::vector<Caches::RunObject> Caches::runs() const {
  std::vector<RunObject> out;
  for (const auto& [name, scope] : scopes_) {
    auto some = scope->runs.store().all();
    out.insert(out.end(), std::make_move_iterator(some.begin()),
               std::make_move_iterator(some.end()));
  }
  return out;
}

Caches::PolicyObject Caches::find_policy(const kube::ObjectName& name) const {
  const Scope* found = scope(name.namespace_name);
  return found == nullptr ? nullptr : found->policies.store().find(name);
}

std::uint64_t Caches::seen_policies(const std::string& namespace_name) const {
  const Scope* found = scope(namespace_name);
  return found == nullptr ? 0 : found->policies.store().seen_version();
}

std::vector<Caches::PolicyObject> Caches::policies() const {
  std::vector<PolicyObject> out;
  for (const auto& [name, scope] : scopes_)
    std::ranges::move(scope->policies.store().all(), std::back_inserter(out));
  return out;
}

std::optional<pod::PodView> Caches::buried(std::string_view pod_uid) const {
  const std::lock_guard lock(mutex_);
  const auto found = buried_.find(pod_uid);
  if (found == buried_.end()) return std::nullopt;
  return found->second;
}

void Caches::policy_changed(const Scope& scope, const kube::StoreEvent<PolicyView>& event) {
  using Kind = kube::StoreEvent<PolicyView>::Kind;
  if (event.kind == Kind::Added) return;
  const auto rules = [](const PolicyObject& object) {
    return object && object->value ? object->value->rules : std::string();
  };
  if (event.kind == Kind::Updated && rules(event.before) == rules(event.after)) return;
  const std::string& namespace_name = event.meta().name.namespace_name;
  for (const RunObject& run : scope.runs.store().all()) {
    if (run->meta.name.namespace_name == namespace_name && run->value && !run->value->ended) {
      on_change_(run->meta.name, event.initial);
    }
  }
}

void Caches::pod_changed(const kube::StoreEvent<pod::PodView>& event) {
  const auto& object = event.after && event.after->value ? event.after : event.before;
  if (!object || !object->value) return;
  const pod::PodView& view = *object->value;
  if (event.kind == kube::StoreEvent<pod::PodView>::Kind::Deleted) {
    const std::lock_guard lock(mutex_);
    if (burials_.size() < kMaxBuried) {
      burials_.push_back(view.facts.uid);
    } else {
      buried_.erase(std::exchange(burials_[next_burial_], view.facts.uid));
      next_burial_ = (next_burial_ + 1) % kMaxBuried;
    }
    buried_.insert_or_assign(view.facts.uid, view);
  }
  if (!view.run_name.empty()) {
    on_change_({object->meta.name.namespace_name, view.run_name}, event.initial);
  }
}

}  // namespace sandboxrun::control
