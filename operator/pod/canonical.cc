#include "operator/pod/canonical.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "operator/base/json_writer.h"
#include "operator/run/quantity.h"

namespace sandboxrun::pod {
namespace {

constexpr std::array<std::string_view, 5> kMetadata = {"name", "namespace", "labels", "annotations",
                                                       "ownerReferences"};

bool is_empty(const Node& node) {
  return node.kind == Node::Kind::Null || (node.kind == Node::Kind::List && node.items.empty());
}

/// An amount in its one form; any other text as it is.
Node whole_amount(const Node& node, std::string_view name) {
  const auto value = name == "cpu" ? run::parse_millicores(node.text) : run::parse_bytes(node.text);
  if (!value) return node;
  Node out;
  out.kind = Node::Kind::String;
  out.text = std::to_string(*value);
  return out;
}

bool is_amount(std::string_view parent, std::string_view name) {
  return name == "sizeLimit" || parent == "requests" || parent == "limits" || parent == "overhead";
}

Node without_empty(const Node& node, std::string_view parent, std::string_view name) {
  const bool scalar = node.kind == Node::Kind::String || node.kind == Node::Kind::Int;
  if (scalar) return is_amount(parent, name) ? whole_amount(node, name) : node;
  Node out;
  out.kind = node.kind;
  out.boolean = node.boolean;
  out.text = node.text;
  for (const Node& item : node.items) out.items.push_back(without_empty(item, parent, name));
  for (const Node::Entry& entry : node.entries) {
    if (is_empty(entry.value)) continue;
    out.entries.push_back({entry.key, {}, without_empty(entry.value, name, entry.key)});
  }
  return out;
}

/// A map's members in the order of their names, `append` for each value.
template <typename Wanted, typename Append>
void append_members(std::string& out, const Node& map, Wanted wanted, Append append) {
  std::vector<const Node::Entry*> entries;
  entries.reserve(map.entries.size());
  for (const Node::Entry& entry : map.entries) {
    if (wanted(entry)) entries.push_back(&entry);
  }
  std::ranges::sort(entries, {}, &Node::Entry::key);
  out += '{';
  for (const Node::Entry* entry : entries) {
    if (out.back() != '{') out += ',';
    append_json_string(out, entry->key);
    out += ':';
    append(*entry);
  }
  out += '}';
}

void append_without_empty(std::string& out, const Node& node, std::string_view parent,
                          std::string_view name, LeavesOut leaves_out) {
  switch (node.kind) {
    case Node::Kind::Map:
      return append_members(
          out, node,
          [&](const Node::Entry& entry) {
            return !is_empty(entry.value) && !leaves_out(parent, name, entry.key);
          },
          [&](const Node::Entry& entry) {
            append_without_empty(out, entry.value, name, entry.key, leaves_out);
          });
    case Node::Kind::List:
      out += '[';
      for (const Node& item : node.items) {
        if (out.back() != '[') out += ',';
        append_without_empty(out, item, parent, name, leaves_out);
      }
      out += ']';
      return;
    case Node::Kind::String:
    case Node::Kind::Int:
      if (is_amount(parent, name)) return append_sorted(out, whole_amount(node, name));
      [[fallthrough]];
    default:
      append_sorted(out, node);
  }
}

}  // namespace

Node canonical_pod(const Node& pod) {
  Node out;
  out.kind = Node::Kind::Map;
  if (const Node* metadata = pod.find("metadata")) {
    Node kept;
    kept.kind = Node::Kind::Map;
    for (const Node::Entry& entry : metadata->entries) {
      if (std::ranges::find(kMetadata, entry.key) == kMetadata.end()) continue;
      kept.entries.push_back({entry.key, {}, without_empty(entry.value, "metadata", entry.key)});
    }
    out.entries.push_back({"metadata", {}, std::move(kept)});
  }
  if (const Node* spec = pod.find("spec")) {
    out.entries.push_back({"spec", {}, without_empty(*spec, "", "spec")});
  }
  return out;
}

void append_canonical(std::string& out, const Node& pod, LeavesOut leaves_out) {
  out += '{';
  if (const Node* metadata = pod.find("metadata")) {
    out += R"("metadata":)";
    append_members(
        out, *metadata,
        [](const Node::Entry& entry) {
          return std::ranges::find(kMetadata, entry.key) != kMetadata.end();
        },
        [&](const Node::Entry& entry) {
          append_without_empty(out, entry.value, "metadata", entry.key, leaves_out);
        });
  }
  if (const Node* spec = pod.find("spec")) {
    if (out.back() != '{') out += ',';
    out += R"("spec":)";
    append_without_empty(out, *spec, "", "spec", leaves_out);
  }
  out += '}';
}

void append_sorted(std::string& out, const Node& node) {
  switch (node.kind) {
    case Node::Kind::Map:
      return append_members(
          out, node, [](const Node::Entry&) { return true; },
          [&](const Node::Entry& entry) { append_sorted(out, entry.value); });
    case Node::Kind::List:
      out += '[';
      for (const Node& item : node.items) {
        if (out.back() != '[') out += ',';
        append_sorted(out, item);
      }
      out += ']';
      return;
    case Node::Kind::String:
      return append_json_string(out, node.text);
    default:
      out += node.text;
  }
}

}  // namespace sandboxrun::pod
