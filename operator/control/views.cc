#include "operator/control/views.h"

#include <array>
#include <utility>

#include "operator/pod/canonical.h"
#include "operator/pod/names.h"
#include "operator/run/manifest.h"

namespace sandboxrun::control {
namespace {

/// Half of an object's text, and nothing of it is used.
constexpr std::array<std::string_view, 2> kLeftOut = {"metadata", "managedFields"};

// An edit, a deletion or its age are all that can still concern it.
void leave_out_what_ended(RunView& view) {
  run::Spec kept;
  kept.managed_by = std::move(view.run.spec.managed_by);
  kept.ttl_seconds_after_finished = view.run.spec.ttl_seconds_after_finished;
  kept.suspend = view.run.spec.suspend;
  kept.cancel = view.run.spec.cancel;
  view.run.spec = std::move(kept);
  view.errors.clear();

  run::Status status;
  status.observed_generation = view.status.observed_generation;
  status.attempts = std::move(view.status.attempts);
  if (const auto* succeeded = view.status.find(run::ConditionType::Succeeded)) {
    status.conditions.push_back(*succeeded);
    status.conditions.back().message.clear();
    status.conditions.back().message.shrink_to_fit();
  }
  view.status = std::move(status);
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
  const auto document = parse_machine_json(json, kLeftOut);
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

Result<RunView> read_run(std::string_view json, const run::Policy& policy) {
  auto view = read_whole_run(json, policy);
  if (view && view->ended) leave_out_what_ended(*view);
  return view;
}

kube::Decoder<RunView> run_decoder(run::Policy policy) {
  return [policy = std::move(policy)](const kube::ObjectMeta&, std::string_view json) {
    return read_run(json, policy);
  };
}

kube::Decoder<pod::PodView> pod_decoder() {
  return [](const kube::ObjectMeta&, std::string_view json) -> Result<pod::PodView> {
    const auto document = parse_machine_json(json, kLeftOut);
    if (!document) return std::unexpected(document.error());
    return pod::observe(*document);
  };
}

kube::Decoder<PolicyView> policy_decoder() {
  return [](const kube::ObjectMeta&, std::string_view json) -> Result<PolicyView> {
    const auto document = parse_machine_json(json, kLeftOut);
    if (!document) return std::unexpected(document.error());
    return PolicyView{policy_rules(*document)};
  };
}

}  // namespace sandboxrun::control
