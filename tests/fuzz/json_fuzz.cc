// Feeds bytes to the JSON reader. What is accepted keeps to the limits and, written again, reads as
// the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "operator/base/document.h"
#include "operator/base/json_writer.h"

namespace {

using sandboxrun::JsonWriter;
using sandboxrun::Node;

void write(JsonWriter& writer, const Node& node) {
  switch (node.kind) {
    case Node::Kind::Null:
    case Node::Kind::Bool:
    case Node::Kind::Int:
    case Node::Kind::Float:
      writer.raw(node.text);
      break;
    case Node::Kind::String:
      writer.string(node.text);
      break;
    case Node::Kind::List:
      writer.begin_array();
      for (const Node& item : node.items) write(writer, item);
      writer.end_array();
      break;
    case Node::Kind::Map:
      writer.begin_object();
      for (const auto& entry : node.entries) {
        writer.key(entry.key);
        write(writer, entry.value);
      }
      writer.end_object();
      break;
  }
}

/// 0 for a scalar.
int depth_of(const Node& node) {
  int deepest = 0;
  for (const Node& item : node.items) deepest = std::max(deepest, depth_of(item));
  for (const auto& entry : node.entries) deepest = std::max(deepest, depth_of(entry.value));
  const bool nests = node.kind == Node::Kind::List || node.kind == Node::Kind::Map;
  return deepest + (nests ? 1 : 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const sandboxrun::DocumentLimits limits{.max_bytes = 64 << 10, .max_depth = 8};
  const auto node = sandboxrun::parse_json({reinterpret_cast<const char*>(data), size}, limits);
  if (!node) {
    if (node.error().kind != sandboxrun::ErrorKind::InvalidInput) std::abort();
    return 0;
  }
  if (size > limits.max_bytes || depth_of(*node) > limits.max_depth) std::abort();
  JsonWriter first;
  write(first, *node);
  const auto again = sandboxrun::parse_json(first.text());
  if (!again) std::abort();
  JsonWriter second;
  write(second, *again);
  if (first.text() != second.text()) std::abort();
  return 0;
}
