#include "tests/support/pod/plans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>

#include "operator/pod/canonical.h"
#include "operator/pod/render.h"
#include "operator/run/manifest.h"

namespace sandboxrun::pod::testing {
namespace {

/// The next part of a path, and the rest of it. Brackets hold what may have dots in it.
std::string_view take_part(std::string_view& path, bool& in_brackets) {
  in_brackets = path.starts_with('[');
  if (in_brackets) {
    const std::size_t end = path.find(']');
    const std::string_view part = path.substr(1, end - 1);
    path.remove_prefix(end + 1);
    if (path.starts_with('.')) path.remove_prefix(1);
    return part;
  }
  const std::size_t end = std::min(path.find_first_of(".["), path.size());
  const std::string_view part = path.substr(0, end);
  path.remove_prefix(end);
  if (path.starts_with('.')) path.remove_prefix(1);
  return part;
}

bool is_item(const Node& item, std::string_view part) {
  for (const std::string_view key : {"mountPath", "name", "key"}) {
    if (const Node* name = item.find(key)) return name->text == part;
  }
  return false;
}

Node* step_into(Node& node, std::string_view part) {
  if (node.kind == Node::Kind::List) {
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    if (error == std::errc() && end == part.data() + part.size()) {
      return index < node.items.size() ? &node.items[index] : nullptr;
    }
    const auto found =
        std::ranges::find_if(node.items, [&](const Node& item) { return is_item(item, part); });
    return found == node.items.end() ? nullptr : &*found;
  }
  const auto found = std::ranges::find(node.entries, part, &Node::Entry::key);
  return found == node.entries.end() ? nullptr : &found->value;
}

/// The parent of what `path` names, and the last part's name.
std::pair<Node*, std::string> parent_of(Node& root, std::string_view path) {
  Node* node = &root;
  std::string last;
  while (!path.empty()) {
    if (!last.empty() && node != nullptr) node = step_into(*node, last);
    bool in_brackets = false;
    last = take_part(path, in_brackets);
  }
  return {node, last};
}

}  // namespace

run::Plan plan_of(const std::string& lines) {
  const bool has_environment = lines.find("environment:") != std::string::npos;
  const bool has_command = ("\n" + lines).find("\n  command:") != std::string::npos;
  const std::string manifest =
      "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\n"
      "metadata: {name: weather, namespace: team}\nspec:\n" +
      std::string(has_command ? "" : "  command: [run]\n") +
      (has_environment
           ? ""
           : "  environment: {image: \"registry.example/base@sha256:" + kHexA + "\"}\n") +
      lines;
  run::Policy policy;
  policy.runtime_classes = {"gvisor"};
  policy.priority_classes = {"batch"};
  policy.tolerations = {{.key = "pool",
                         .op = "Equal",
                         .value = "runs",
                         .effect = "NoSchedule",
                         .toleration_seconds = {}}};
  const auto checked = run::check_manifest(manifest, policy, run::Where::Cluster);
  for (const auto& error : checked.errors) ADD_FAILURE() << run::format(error);
  run::Plan plan = run::make_plan(checked.run);
  plan.uid = "0f4c1d7e-0000-4000-8000-000000000000";
  return plan;
}

run::Plan full_plan() {
  return plan_of(
      "  environment:\n"
      "    image: registry.example/base@sha256:" +
      kHexA +
      "\n"
      "    archive: {digest: \"sha256:" +
      kHexB +
      "\", activate: activate.sh, source: {s3: "
      "{region: eu-1, bucket: inputs, key: env.tar, credentialsSecretRef: {name: keys}}}}\n"
      "  args: [\"$(HOME)\", \"$5\"]\n"
      "  env:\n"
      "  - {name: PLAIN, value: \"a $(PATH) b\"}\n"
      "  - {name: FROM_SECRET, valueFrom: {secretKeyRef: {name: run-secret, key: k}}}\n"
      "  - {name: FROM_MAP, valueFrom: {configMapKeyRef: {name: run-map, key: k}}}\n"
      "  setup: [{name: one, command: [make, \"$x\"], timeoutSeconds: 60}]\n"
      "  assets:\n"
      "  - {name: model, target: /work/a/b/m.bin, source: {https: {urlFrom: {secretKeyRef: "
      "{name: url, key: u}}, headersSecretRef: {name: headers}}}}\n"
      "  - {name: note, target: /work/note, readOnly: false, source: {inline: hello}}\n"
      "  - {name: conf, target: /data/conf, source: {configMap: {name: maps, key: c}}}\n"
      "  results: {upload: {https: {urlFrom: {secretKeyRef: {name: put, key: u}}}}}\n"
      "  activeDeadlineSeconds: 600\n");
}

PodOptions options() {
  PodOptions options;
  options.sandbox_image = "registry.example/sandbox@sha256:" + std::string(64, 'c');
  options.cluster_cidrs = {"10.88.0.0/16", "10.96.0.0/12"};
  return options;
}

Attempt attempt() {
  return {.number = 1, .token = "4f0c"};
}

Node rendered(const run::Plan& plan, const PodOptions& with) {
  const auto pod = render_pod(plan, with, attempt());
  if (!pod) {
    ADD_FAILURE() << pod.error().message;
    return {};
  }
  return parsed(pod->json);
}

Node parsed(const std::string& text) {
  auto node = parse_json(text);
  if (node) return std::move(*node);
  ADD_FAILURE() << node.error().message << "\n" << text;
  return {};
}

Node* find(Node& root, std::string_view path) {
  Node* node = &root;
  while (!path.empty() && node != nullptr) {
    bool in_brackets = false;
    const std::string_view part = take_part(path, in_brackets);
    node = step_into(*node, part);
  }
  return node;
}

const Node* find(const Node& root, std::string_view path) {
  return find(const_cast<Node&>(root), path);
}

std::string text(const Node& root, std::string_view path) {
  const Node* node = find(root, path);
  return node == nullptr ? "" : node->text;
}

std::vector<std::string> texts(const Node& root, std::string_view path) {
  std::vector<std::string> out;
  const Node* node = find(root, path);
  if (node == nullptr) return out;
  for (const Node& item : node->items) out.push_back(item.text);
  return out;
}

std::vector<std::string> names(const Node& root, std::string_view path) {
  std::vector<std::string> out;
  const Node* node = find(root, path);
  if (node == nullptr) return out;
  for (const Node::Entry& entry : node->entries) out.push_back(entry.key);
  for (const Node& item : node->items) out.push_back(text(item, "name"));
  return out;
}

std::string json(const Node& root, std::string_view path) {
  std::string out;
  const Node* node = find(root, path);
  if (node != nullptr) append_sorted(out, *node);
  return out;
}

void put(Node& root, const std::string& path, const std::string& value) {
  const auto [parent, last] = parent_of(root, path);
  ASSERT_NE(parent, nullptr) << path;
  if (last == "+") {
    parent->items.push_back(parsed(value));
  } else if (Node* there = step_into(*parent, last)) {
    *there = parsed(value);
  } else {
    ASSERT_EQ(parent->kind, Node::Kind::Map) << path;
    parent->entries.push_back({last, {}, parsed(value)});
  }
}

void drop(Node& root, const std::string& path) {
  const auto [parent, last] = parent_of(root, path);
  ASSERT_NE(parent, nullptr) << path;
  const Node* gone = step_into(*parent, last);
  ASSERT_NE(gone, nullptr) << path;
  std::erase_if(parent->entries, [&](const Node::Entry& entry) { return &entry.value == gone; });
  if (parent->kind == Node::Kind::List) {
    parent->items.erase(parent->items.begin() + (gone - parent->items.data()));
  }
}

}  // namespace sandboxrun::pod::testing
