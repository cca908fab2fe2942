#include "operator/cli/pretty_json.h"

#include <string_view>

#include "operator/base/json_writer.h"

namespace sandboxrun::cli {
namespace {

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string scalar(const Node& node) {
  switch (node.kind) {
    case Node::Kind::Null:
      return "null";
    case Node::Kind::Bool:
      return node.boolean ? "true" : "false";
    case Node::Kind::Int:
      return std::to_string(node.integer);
    case Node::Kind::Float:
      return node.text;
    case Node::Kind::String:
      return quoted(node.text);
    case Node::Kind::List:
      return "[]";
    case Node::Kind::Map:
      return "{}";
  }
  return "null";
}

void append_json(std::string& out, const Node& node, std::size_t depth) {
  const bool list = node.kind == Node::Kind::List && !node.items.empty();
  const bool map = node.kind == Node::Kind::Map && !node.entries.empty();
  if (!list && !map) {
    out += scalar(node);
    return;
  }
  const std::string indent((depth + 1) * 2, ' ');
  std::string_view separator = "\n";
  out += list ? '[' : '{';
  for (const Node& item : node.items) {
    out.append(separator).append(indent);
    append_json(out, item, depth + 1);
    separator = ",\n";
  }
  for (const auto& [key, mark, value] : node.entries) {
    out.append(separator).append(indent).append(quoted(key)).append(": ");
    append_json(out, value, depth + 1);
    separator = ",\n";
  }
  out.append("\n").append(depth * 2, ' ');
  out += list ? ']' : '}';
}

}  // namespace

std::string pretty_json(const Node& node) {
  std::string out;
  append_json(out, node, 0);
  out += '\n';
  return out;
}

}  // namespace sandboxrun::cli
