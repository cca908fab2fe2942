#include "operator/pod/compare.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "operator/pod/canonical.h"
#include "operator/pod/names.h"

namespace sandboxrun::pod {
namespace {

constexpr std::int64_t kHighestUserPriority = 1'000'000'000;

constexpr std::array<std::string_view, 2> kTopologyLabels = {"topology.kubernetes.io/region",
                                                             "topology.kubernetes.io/zone"};

/// Scheduling and pulling: where a pod runs, never how. Settled at admission, in other hands later.
constexpr std::array<std::string_view, 11> kNotHashed = {"activeDeadlineSeconds",
                                                         "imagePullSecrets",
                                                         "nodeName",
                                                         "nodeSelector",
                                                         "overhead",
                                                         "preemptionPolicy",
                                                         "priority",
                                                         "priorityClassName",
                                                         "schedulingGates",
                                                         "serviceAccount",
                                                         "tolerations"};

bool is_one_of(std::string_view text, auto const& list) {
  return std::ranges::find(list, text) != std::ranges::end(list);
}

std::string_view text_of(const Node* node) {
  return node != nullptr && node->kind == Node::Kind::String ? std::string_view(node->text) : "";
}

std::string_view text_at(const Node& map, std::string_view key) {
  return text_of(map.find(key));
}

/// One place where the trees differ. `before` or `after` is missing where something was added or
/// removed.
struct Change {
  const std::string& path;
  const Node* before = nullptr;
  const Node* after = nullptr;
};

/// What both trees and the place say about whether a change is nobody's doing, or ours.
class Tolerance {
 public:
  Tolerance(const Node& rendered, Stage stage) : stage_(stage) {
    const Node* spec = rendered.find("spec");
    has_runtime_class_ = spec != nullptr && spec->find("runtimeClassName") != nullptr;
  }

  bool allows(const Change& change) const {
    return is_default(change) || is_class_default(change) || is_gate(change) ||
           (stage_ == Stage::Live && is_later_step(change));
  }

 private:
  // Written by the API server and its built-in admission plugins.
  static bool is_default(const Change& change) {
    const bool added = change.before == nullptr && change.after != nullptr;
    if (change.path == "spec.serviceAccount") return added && text_of(change.after) == "default";
    if (change.path == "spec.priority") {
      return added && change.after->kind == Node::Kind::Int &&
             change.after->integer <= kHighestUserPriority;
    }
    if (change.path == "spec.preemptionPolicy") return added;
    if (change.path == "spec.priorityClassName") {
      return added && !text_of(change.after).starts_with("system-");
    }
    // Those of the namespace's default service account; the kubelet uses them, never the run.
    if (change.path == "spec.imagePullSecrets") return added;
    // By digest: the same bytes, and one more question to the registry.
    const bool pull =
        change.path.ends_with("].imagePullPolicy") || change.path.ends_with("].image.pullPolicy");
    return pull && change.before != nullptr && text_of(change.after) == "Always";
  }

  // What a RuntimeClass adds for the runs that name it, and what a node's pressure taint does.
  bool is_class_default(const Change& change) const {
    if (change.before != nullptr || change.after == nullptr) return false;
    if (change.path.starts_with("spec.tolerations[")) {
      return has_runtime_class_ ||
             text_at(*change.after, "key") == "node.kubernetes.io/memory-pressure";
    }
    return has_runtime_class_ &&
           (change.path == "spec.overhead" || change.path == "spec.nodeSelector" ||
            change.path.starts_with("spec.nodeSelector["));
  }

  // A queue may hold a run back as well. Only our own gate's absence matters, and only at first.
  bool is_gate(const Change& change) const {
    const std::string ours = "spec.schedulingGates[" + std::string(kGate) + "]";
    if (change.path == ours || change.path == "spec.schedulingGates") {
      return change.after == nullptr && stage_ == Stage::Live;
    }
    return change.path.starts_with("spec.schedulingGates[") && change.before == nullptr;
  }

  static bool is_later_step(const Change& change) {
    const bool added = change.before == nullptr;
    if (change.path == "spec.nodeName") return added;
    if (change.path == "spec.activeDeadlineSeconds") {
      return change.before != nullptr && change.after != nullptr &&
             change.after->kind == Node::Kind::Int &&
             change.after->integer <= change.before->integer;
    }
    // Network plugins write down what they did.
    if (change.path.starts_with("metadata.annotations[")) {
      const std::string stop = "metadata.annotations[" + std::string(kStopAnnotation) + "]";
      const std::string stop_at = "metadata.annotations[" + std::string(kStopAtAnnotation) + "]";
      const bool ours = change.path.find("[" + std::string(kDomain)) != std::string::npos;
      return added && (!ours || change.path == stop || change.path == stop_at);
    }
    // Copied from the node when the pod is bound to it.
    for (const std::string_view label : kTopologyLabels) {
      if (change.path == "metadata.labels[" + std::string(label) + "]") return true;
    }
    // A gated pod may be told to take fewer nodes, a waiting one to wait longer.
    return change.path.starts_with("spec.nodeSelector") ||
           (added && change.path.starts_with("spec.tolerations["));
  }

  Stage stage_;
  bool has_runtime_class_ = false;
};

/// How the items of a list are told apart.
std::string item_key(const std::string& list, const Node& item, std::size_t index) {
  if (item.kind == Node::Kind::Map) {
    if (list.ends_with("volumeMounts")) return std::string(text_at(item, "mountPath"));
    if (list == "spec.tolerations") {
      std::string key;
      append_sorted(key, item);
      return key;
    }
    if (const Node* name = item.find("name")) return std::string(text_of(name));
  }
  return std::to_string(index);
}

class Comparison {
 public:
  explicit Comparison(Tolerance tolerance) : tolerance_(tolerance) {}

  std::vector<std::string> take() { return std::move(found_); }

  void compare(const std::string& path, const Node& before, const Node& after) {
    if (before.kind != after.kind) return report({path, &before, &after}, "changed");
    switch (before.kind) {
      case Node::Kind::Map:
        return compare_maps(path, before, after);
      case Node::Kind::List:
        return compare_lists(path, before, after);
      default:
        if (before.text != after.text) report({path, &before, &after}, "changed");
    }
  }

 private:
  void report(const Change& change, std::string_view what) {
    if (!tolerance_.allows(change)) found_.push_back(change.path + " was " + std::string(what));
  }

  static std::string member(const std::string& path, const std::string& key) {
    const bool free_keys =
        path == "metadata.labels" || path == "metadata.annotations" || path == "spec.nodeSelector";
    if (free_keys) return path + "[" + key + "]";
    return path.empty() ? key : path + "." + key;
  }

  void compare_maps(const std::string& path, const Node& before, const Node& after) {
    for (const Node::Entry& entry : before.entries) {
      const std::string at = member(path, entry.key);
      if (const Node* other = after.find(entry.key)) {
        compare(at, entry.value, *other);
      } else {
        report({at, &entry.value, nullptr}, "removed");
      }
    }
    for (const Node::Entry& entry : after.entries) {
      if (before.find(entry.key) != nullptr) continue;
      const std::string at = member(path, entry.key);
      report({at, nullptr, &entry.value}, "added");
    }
  }

  using Keyed = std::vector<std::pair<std::string, const Node*>>;

  static Keyed keyed(const std::string& path, const Node& list) {
    Keyed out;
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      out.emplace_back(item_key(path, list.items[i], i), &list.items[i]);
    }
    return out;
  }

  // Items of one key are paired in their order, so that a second one of the same name is found.
  void compare_lists(const std::string& path, const Node& before, const Node& after) {
    const Keyed olds = keyed(path, before);
    Keyed news = keyed(path, after);
    std::size_t reached = 0;
    bool reordered = false;
    std::vector<bool> used(news.size(), false);
    for (const auto& [key, item] : olds) {
      const std::string at = path + "[" + key + "]";
      std::size_t match = 0;
      while (match < news.size() && (used[match] || news[match].first != key)) ++match;
      if (match == news.size()) {
        report({at, item, nullptr}, "removed");
        continue;
      }
      used[match] = true;
      reordered = reordered || match < reached;
      reached = std::max(reached, match);
      compare(at, *item, *news[match].second);
    }
    for (std::size_t i = 0; i < news.size(); ++i) {
      if (used[i]) continue;
      const std::string at = path + "[" + news[i].first + "]";
      report({at, nullptr, news[i].second}, "added");
    }
    if (reordered) report({path, &before, &after}, "reordered");
  }

  Tolerance tolerance_;
  std::vector<std::string> found_;
};

bool is_ours(std::string_view key) {
  return key.starts_with(kDomain) && key != kStopAnnotation && key != kStopAtAnnotation &&
         key != kPodHashAnnotation;
}

/// What may change in the life of a pod of ours, and a pull policy of Always, which is tolerated.
bool is_not_hashed(std::string_view parent, std::string_view map, std::string_view member) {
  if (parent == "metadata" && (map == "labels" || map == "annotations")) return !is_ours(member);
  if (parent.empty() && map == "spec") return is_one_of(member, kNotHashed);
  if (parent == "spec" && (map == "containers" || map == "initContainers")) {
    return member == "imagePullPolicy";
  }
  return parent == "volumes" && map == "image" && member == "pullPolicy";
}

}  // namespace

std::vector<std::string> differences(const Node& rendered, const Node& found, Stage stage) {
  Comparison comparison{Tolerance(rendered, stage)};
  comparison.compare("", canonical_pod(rendered), canonical_pod(found));
  return comparison.take();
}

std::string pod_hash(const Node& pod) {
  std::string text;
  append_canonical(text, pod, is_not_hashed);
  return "sha256:" + short_hash(text, 64);
}

bool is_intact(const Node& pod) {
  const Node* metadata = pod.find("metadata");
  const Node* annotations = metadata == nullptr ? nullptr : metadata->find("annotations");
  if (annotations == nullptr) return false;
  return text_at(*annotations, kPodHashAnnotation) == pod_hash(pod);
}

}  // namespace sandboxrun::pod
