#include "operator/control/views.h"

#include <utility>

#include "operator/pod/canonical.h"
#include "operator/pod/names.h"
#include "operator/run/manifest.h"

namespace sandboxrun::control {
namespace {

EndedRun what_ended(RunView view) {
  EndedRun out{.generation = view.run.metadata.generation,
               .created = view.run.metadata.creation_timestamp,
               .deleted = view.run.metadata.deletion_timestamp,
               .managed_by = std::move(view.run.spec.managed_by),
               .ttl_seconds_after_finished = view.run.spec.ttl_seconds_after_finished,
               .suspend = view.run.spec.suspend,
               .cancel = view.run.spec.cancel,
               .observed_generation = view.status.observed_generation,
               .succeeded = *view.status.find(run::ConditionType::Succeeded),
               .attempts = {}};
  out.succeeded.message.clear();
  out.succeeded.message.shrink_to_fit();
  out.attempts.reserve(view.status.attempts.size());
  for (run::AttemptStatus& each : view.status.attempts) {
    out.attempts.push_back({.pod_uid = std::move(each.pod_uid), .finish = each.finish});
  }
  return out;
}

RunView whole_view(const kube::ObjectMeta& meta, const EndedRun& ended) {
  RunView view;
  view.ended = true;
  view.run.metadata = {.name = meta.name.name,
                       .namespace_name = meta.name.namespace_name,
                       .uid = meta.uid,
                       .generation = ended.generation,
                       .creation_timestamp = ended.created,
                       .deletion_timestamp = ended.deleted};
  view.run.spec.managed_by = ended.managed_by;
  view.run.spec.ttl_seconds_after_finished = ended.ttl_seconds_after_finished;
  view.run.spec.suspend = ended.suspend;
  view.run.spec.cancel = ended.cancel;
  view.status.observed_generation = ended.observed_generation;
  view.status.conditions.push_back(ended.succeeded);
  for (const EndedRun::Attempt& each : ended.attempts) {
    run::AttemptStatus& attempt = view.status.attempts.emplace_back();
    attempt.pod_uid = each.pod_uid;
    attempt.finish = each.finish;
  }
  return view;
}

// An empty list in a map says what its absence says. In a list nothing is left out: a rule without
// members lets everything through.
Node without_empty_lists(const Node& node) {
  Node out = node;
  out.entries.clear();
  out.items.clear();
  for (const Node& item : node.items) out.items.push_back(without_empty_lists(item));
  for (const Node::Entry& entry : node.entries) {
    const Node& value = entry.value;
    const bool empty = value.kind == Node::Kind::List && value.items.empty();
    if (empty || value.kind == Node::Kind::Null) continue;
    out.entries.push_back({entry.key, entry.key_mark, without_empty_lists(value)});
  }
  return out;
}

}  // namespace

std::string policy_rules(const Node& policy) {
  constexpr std::size_t kDigits = 32;
  const Node* spec = policy.find("spec");
  std::string text;
  if (spec != nullptr) pod::append_sorted(text, without_empty_lists(*spec));
  return pod::short_hash(text, kDigits);
}

run::Wishes RunView::wishes() const {
  return {.generation = run.metadata.generation,
          .created = run.metadata.creation_timestamp.value_or(TimePoint{}),
          .suspend = run.spec.suspend,
          .cancel = run.spec.cancel,
          .deleted = run.metadata.deletion_timestamp.has_value(),
          .ttl_seconds_after_finished = run.spec.ttl_seconds_after_finished};
}

Result<RunView> read_whole_run(std::string_view json, const run::Policy& policy) {
  const auto document = parse_machine_json(json, kManagedFields);
  if (!document) return std::unexpected(document.error());
  RunView view;
  if (const Node* status = document->find("status")) {
    auto decoded = run::decode_status(*status);
    if (!decoded) return failure_within("status", decoded.error());
    view.status = std::move(*decoded);
  }
  view.ended = view.status.ended();
  run::CheckedManifest checked = run::check_document(*document, policy, run::Where::Cluster);
  view.run = std::move(checked.run);
  view.errors = std::move(checked.errors);
  return view;
}

CachedRun cached_run(RunView view) {
  if (view.ended) return what_ended(std::move(view));
  return std::make_shared<const RunView>(std::move(view));
}

std::shared_ptr<const RunView> view_of(const kube::Cached<CachedRun>& run) {
  if (!run.value) return nullptr;
  if (const auto* ended = std::get_if<EndedRun>(&*run.value)) {
    return std::make_shared<const RunView>(whole_view(run.meta, *ended));
  }
  return std::get<std::shared_ptr<const RunView>>(*run.value);
}

kube::Decoder<CachedRun> run_decoder(run::Policy policy) {
  return [policy = std::move(policy)](const kube::ObjectMeta&,
                                      std::string_view json) -> Result<CachedRun> {
    auto view = read_whole_run(json, policy);
    if (!view) return std::unexpected(view.error());
    return cached_run(std::move(*view));
  };
}

kube::Decoder<CachedPod> pod_decoder(IsSpent is_spent) {
  return [is_spent = std::move(is_spent)](const kube::ObjectMeta& meta,
                                          std::string_view json) -> Result<CachedPod> {
    const auto document = parse_machine_json(json, kManagedFields);
    if (!document) return std::unexpected(document.error());
    auto view = pod::observe(*document);
    if (!view) return std::unexpected(view.error());
    if (is_spent(meta.name, *view)) return nullptr;
    return std::make_shared<const pod::PodView>(std::move(*view));
  };
}

kube::Decoder<PolicyView> policy_decoder() {
  return [](const kube::ObjectMeta&, std::string_view json) -> Result<PolicyView> {
    const auto document = parse_machine_json(json, kManagedFields);
    if (!document) return std::unexpected(document.error());
    return PolicyView{policy_rules(*document)};
  };
}

}  // namespace sandboxrun::control
