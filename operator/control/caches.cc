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

bool has_ended(const kube::Cached<CachedRun>& run) {
  return run.value && std::holds_alternative<EndedRun>(*run.value);
}

}  // namespace

Caches::Caches(CacheOptions options, kube::Transport& transport, kube::Clock& clock,
               kube::Metrics& metrics, const Log& log)
    : log_(log) {
  if (options.namespaces.empty()) options.namespaces.emplace_back();
  const IsSpent is_spent = [this](const kube::ObjectName& name, const pod::PodView& pod) {
    return this->is_spent(name, pod);
  };
  for (const std::string& each : options.namespaces) {
    auto runs = reflector_options(options.reflector, "sandboxruns", kRuns, each);
    auto pods = reflector_options(options.reflector, "pods", kPods, each);
    pods.selection.label_selector = pod::kRunUidLabel;
    // What is kept of a pod depends on its run.
    pods.begin_when = [this, each] { return scopes_.find(each)->second->runs.store().is_synced(); };
    auto policies = reflector_options(options.reflector, "networkpolicies", kPolicies, each);
    policies.selection.label_selector = pod::kNetworkLabel;
    scopes_.emplace(each,
                    std::unique_ptr<Scope>(new Scope{
                        {std::move(runs), run_decoder(options.policy), transport, clock, metrics},
                        {std::move(pods), pod_decoder(is_spent), transport, clock, metrics},
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
    Scope& own = *scope;
    own.runs.start(
        [this, &own](const kube::StoreEvent<CachedRun>& event) { run_changed(own, event); },
        hooks("sandboxruns"));
    own.pods.start(
        [this, &own](const kube::StoreEvent<CachedPod>& event) { pod_changed(own, event); },
        hooks("pods"));
    own.policies.start(
        [this, &own](const kube::StoreEvent<PolicyView>& event) { policy_changed(own, event); },
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

std::shared_ptr<const FoundRun> Caches::find_run(const kube::ObjectName& name) const {
  const Scope* found = scope(name.namespace_name);
  const auto run = found == nullptr ? nullptr : found->runs.store().find(name);
  if (!run) return nullptr;
  return std::make_shared<const FoundRun>(FoundRun{run->meta, view_of(*run)});
}

CachedPod Caches::find_pod(const kube::ObjectName& name) const {
  const Scope* found = scope(name.namespace_name);
  const auto pod = found == nullptr ? nullptr : found->pods.store().find(name);
  return pod ? pod->value.value_or(nullptr) : nullptr;
}

std::uint64_t Caches::seen_runs(const std::string& namespace_name) const {
  const Scope* found = scope(namespace_name);
  return found == nullptr ? 0 : found->runs.store().seen_version();
}

std::uint64_t Caches::seen_pods(const std::string& namespace_name) const {
  const Scope* found = scope(namespace_name);
  return found == nullptr ? 0 : found->pods.store().seen_version();
}

std::size_t Caches::count_runs() const {
  std::size_t out = 0;
  for (const auto& [name, scope] : scopes_) out += scope->runs.store().size();
  return out;
}

std::vector<FoundRun> Caches::active_runs() const {
  std::vector<FoundRun> out;
  for (const auto& [name, scope] : scopes_) {
    for (const auto& run : scope->runs.store().all()) {
      if (run->value && !has_ended(*run)) out.push_back({run->meta, view_of(*run)});
    }
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

CachedPod Caches::buried(std::string_view pod_uid) const {
  const std::lock_guard lock(mutex_);
  const auto found = buried_.find(pod_uid);
  return found == buried_.end() ? nullptr : found->second;
}

void Caches::policy_changed(const Scope& scope, const kube::StoreEvent<PolicyView>& event) {
  using Kind = kube::StoreEvent<PolicyView>::Kind;
  if (event.kind == Kind::Added) return;
  const auto rules = [](const PolicyObject& object) {
    return object && object->value ? object->value->rules : std::string();
  };
  if (event.kind == Kind::Updated && rules(event.before) == rules(event.after)) return;
  const std::string& namespace_name = event.meta().name.namespace_name;
  for (const auto& run : scope.runs.store().all()) {
    if (run->meta.name.namespace_name == namespace_name && run->value && !has_ended(*run)) {
      on_change_(run->meta.name, event.initial);
    }
  }
}

bool Caches::is_spent(const kube::ObjectName& name, const pod::PodView& pod) const {
  if (!pod.facts.over || pod.run_name.empty()) return false;
  const Scope* found = scope(name.namespace_name);
  const auto run = found->runs.store().find({name.namespace_name, pod.run_name});
  return run && run->meta.uid == pod.run_uid && has_ended(*run);
}

// Called after either of the two has changed, so that whoever comes second sees both.
void Caches::spend(Scope& scope, const kube::ObjectName& pod) {
  const auto held = scope.pods.store().find(pod);
  if (!held || !held->value || !*held->value || !is_spent(pod, **held->value)) return;
  auto empty = std::make_shared<kube::Cached<CachedPod>>();
  empty->meta = held->meta;
  empty->value = nullptr;
  scope.pods.replace(held, std::move(empty));
}

void Caches::run_changed(Scope& scope, const kube::StoreEvent<CachedRun>& event) {
  const kube::ObjectMeta& meta = event.meta();
  if (event.after && has_ended(*event.after)) {
    const auto& attempts = std::get<EndedRun>(*event.after->value).attempts;
    for (std::size_t at = 0; at < attempts.size(); ++at) {
      const auto& [namespace_name, name] = meta.name;
      spend(scope, {namespace_name,
                    pod::pod_name(namespace_name, name, meta.uid, static_cast<int>(at) + 1)});
      const std::lock_guard lock(mutex_);
      buried_.erase(attempts[at].pod_uid);
    }
  }
  on_change_(meta.name, event.initial);
}

void Caches::bury(const CachedPod& pod) {
  const std::string& uid = pod->facts.uid;
  const std::lock_guard lock(mutex_);
  if (burials_.size() < kMaxBuried) {
    burials_.push_back(uid);
  } else {
    buried_.erase(std::exchange(burials_[next_burial_], uid));
    next_burial_ = (next_burial_ + 1) % kMaxBuried;
  }
  buried_.insert_or_assign(uid, pod);
}

void Caches::pod_changed(Scope& scope, const kube::StoreEvent<CachedPod>& event) {
  const auto& object = event.after && event.after->value ? event.after : event.before;
  if (!object || !object->value || !*object->value) return;
  const CachedPod view = *object->value;
  if (event.kind == kube::StoreEvent<CachedPod>::Kind::Deleted) {
    bury(view);
  } else {
    spend(scope, object->meta.name);
  }
  if (!view->run_name.empty()) {
    on_change_({object->meta.name.namespace_name, view->run_name}, event.initial);
  }
}

}  // namespace sandboxrun::control
