#include "operator/control/isolation.h"

#include <array>
#include <vector>

#include "operator/control/http_server.h"

namespace sandboxrun::control {
namespace {

// Of texts that others wrote.
constexpr std::size_t kMaxQuoted = 200;

const Node* at(const Node* node, std::string_view name) {
  return node == nullptr ? nullptr : node->find(name);
}

std::string text(const Node* node) {
  return node == nullptr ? std::string() : node->text.substr(0, kMaxQuoted);
}

// The first entry of a list, if there is one.
const Node* first(const Node* list) {
  return list == nullptr || list->items.empty() ? nullptr : &list->items.front();
}

Isolation unknown(std::string message) {
  return {run::Isolation::Unknown, std::move(message)};
}

// Why a pod has not ended yet, as far as it tells.
std::string why_it_waits(const Node& pod) {
  const Node* status = pod.find("status");
  const Node* waiting = at(at(first(at(status, "containerStatuses")), "state"), "waiting");
  if (waiting != nullptr) return text(at(waiting, "reason")) + " " + text(at(waiting, "message"));
  if (const Node* conditions = at(status, "conditions")) {
    for (const Node& each : conditions->items) {
      if (text(each.find("status")) == "False" && each.find("message") != nullptr) {
        return text(each.find("reason")) + " " + text(each.find("message"));
      }
    }
  }
  return "phase " + text(at(status, "phase"));
}

}  // namespace

std::string_view to_string(run::Isolation state) {
  constexpr std::array<std::string_view, 4> kNames = {"Unknown", "Enforced", "NotEnforced",
                                                      "Waived"};
  return kNames[static_cast<std::size_t>(state)];
}

Isolation IsolationState::get() const {
  const std::lock_guard lock(mutex_);
  return isolation_;
}

bool IsolationState::take(Isolation isolation) {
  const std::lock_guard lock(mutex_);
  const bool knows = isolation_.state != run::Isolation::Unknown;
  if (isolation.state == run::Isolation::Unknown && knows) return false;
  const bool changed = isolation != isolation_;
  isolation_ = std::move(isolation);
  return changed;
}

Isolation judge(const ProbeAnswer& allowed, const ProbeAnswer& denied) {
  if (denied.answered) {
    return {run::Isolation::NotEnforced,
            "a pod whose policy lets nothing out reached another pod: network policies are not "
            "enforced in this cluster"};
  }
  if (!allowed.answered) {
    return unknown("the probe proves nothing, since the pod that may connect could not either: " +
                   allowed.last);
  }
  return {run::Isolation::Enforced,
          "a pod whose policy lets nothing out could not reach what a pod that may could"};
}

IsolationProbe::Answer IsolationProbe::read(const Node& pod, std::string_view token) const {
  const Node* status = pod.find("status");
  const std::string phase = text(at(status, "phase"));
  if (phase != "Succeeded" && phase != "Failed") return std::monostate{};
  const Node* ended = at(at(first(at(status, "containerStatuses")), "state"), "terminated");
  const Node* message = at(ended, "message");
  if (message == nullptr) {
    return "it ended without a report: exit code " + text(at(ended, "exitCode")) + " " +
           text(at(ended, "reason")) + text(at(status, "reason"));
  }
  const auto report = parse_json(message->text);
  if (!report) return "its report cannot be read: " + text(message);
  const Node* answers = report->find("answers");
  ProbeAnswer out{.last = text(report->find("last"))};
  out.answers = answers == nullptr ? 0 : static_cast<int>(answers->integer);
  // What something in between answers is not the operator's answer.
  out.answered = out.last == "answered" && text(report->find("answer")) == token;
  if (out.last == "answered" && !out.answered)
    return "something else answered in the operator's place";
  return out;
}

kube::Result<void> IsolationProbe::delete_all(Cluster& cluster) {
  const auto pods = cluster.list_pods(options_.namespace_name, std::string(kProbeLabel));
  if (!pods) return std::unexpected(pods.error());
  for (const SeenPod& pod : *pods) {
    const auto deleted =
        cluster.delete_pod({options_.namespace_name, pod.view.facts.name}, pod.view.facts.uid, "");
    if (!deleted) return deleted;
  }
  return {};
}

Isolation IsolationProbe::compare(Cluster& cluster, std::string_view token,
                                  std::string_view address, const std::stop_token& stop) {
  constexpr std::array<std::string_view, 2> kRoles = {kAllowed, kDenied};
  std::array<std::string, 2> names;
  std::array<Answer, 2> answers;
  for (std::size_t i = 0; i < kRoles.size(); ++i) {
    const auto made = cluster.create_pod(options_.namespace_name,
                                         render_probe_pod(options_, kRoles[i], token, address));
    if (!made) return unknown("the probe's pods cannot be created: " + made.error().message);
    names[i] = made->view.facts.name;
  }
  const kube::Instant until = clock_.now() + options_.patience;
  while (true) {
    std::string waits;
    for (std::size_t i = 0; i < kRoles.size(); ++i) {
      if (!std::holds_alternative<std::monostate>(answers[i])) continue;
      const auto pod = cluster.get_pod({options_.namespace_name, names[i]});
      if (!pod) return unknown("the probe's pods cannot be read: " + pod.error().message);
      if (!*pod) return unknown("somebody deleted the probe's pods");
      answers[i] = read((*pod)->node, token);
      if (const auto* cause = std::get_if<std::string>(&answers[i])) {
        return unknown("the probe's pod that is " + std::string(kRoles[i]) + ": " + *cause);
      }
      if (std::holds_alternative<std::monostate>(answers[i])) waits = why_it_waits((*pod)->node);
    }
    const auto* allowed = std::get_if<ProbeAnswer>(&answers[0]);
    const auto* denied = std::get_if<ProbeAnswer>(&answers[1]);
    if (allowed != nullptr && denied != nullptr) return judge(*allowed, *denied);
    if (clock_.now() >= until) return unknown("the probe's pods do not end: " + waits);
    if (!clock_.sleep(options_.poll, stop)) return unknown("the operator is stopping");
  }
}

Isolation IsolationProbe::ask(const std::stop_token& stop) {
  // A probe under way is cleaned up by the next one at the latest; calls must not outlive a stop.
  const auto deadline = clock_.now() + options_.patience + std::chrono::minutes(2);
  Cluster cluster(transport_, clock_, deadline, stop);
  const std::string token = make_token_();
  const std::string host =
      options_.pod_ip.contains(':') ? "[" + options_.pod_ip + "]" : options_.pod_ip;
  const auto server =
      HttpServer::start(host + ":" + std::to_string(options_.port),
                        [&token](std::string_view) { return HttpAnswer{.body = token}; });
  if (!server) return unknown("the probe's server cannot be started: " + server.error().message);
  const auto cleared = delete_all(cluster);
  if (!cleared) {
    return unknown("the pods of an earlier probe cannot be deleted: " + cleared.error().message);
  }
  const std::string address = host + ":" + std::to_string((*server)->port());
  Isolation isolation = compare(cluster, token, address, stop);
  // What is left over here goes at the next probe, and with the operator's pod.
  if (!stop.stop_requested()) (void)delete_all(cluster);
  return isolation;
}

}  // namespace sandboxrun::control
