#include "operator/run/field_error.h"

#include <charconv>

namespace sandboxrun::run {
namespace {

/// Takes the next step off a path: ".name", "name" or "[3]".
/// Map keys with dots (node selectors) are matched greedily by the caller.
struct Found {
  const Node* node;
  Mark mark;
};

bool step_into_list(std::string_view& rest, Found& at) {
  const std::size_t close = rest.find(']');
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + close, index);
  if (close == std::string_view::npos || error != std::errc{} || end != rest.data() + close) {
    return false;
  }
  if (at.node->kind != Node::Kind::List || index >= at.node->items.size()) return false;
  at = {&at.node->items[index], at.node->items[index].mark};
  rest.remove_prefix(close + 1);
  return true;
}

bool step_into_map(std::string_view& rest, Found& at) {
  if (rest.starts_with('.')) rest.remove_prefix(1);
  if (at.node->kind != Node::Kind::Map) return false;
  const Node::Entry* best = nullptr;
  for (const Node::Entry& entry : at.node->entries) {
    if (!rest.starts_with(entry.key)) continue;
    const std::string_view after = rest.substr(entry.key.size());
    if (!after.empty() && after.front() != '.' && after.front() != '[') continue;
    if (best == nullptr || entry.key.size() > best->key.size()) best = &entry;
  }
  if (best == nullptr) return false;
  rest.remove_prefix(best->key.size());
  at = {&best->value, best->value.mark.line > 0 ? best->value.mark : best->key_mark};
  return true;
}

}  // namespace

std::string_view to_string(Rule rule) {
  return rule == Rule::InvalidSpec ? "InvalidSpec" : "PolicyDenied";
}

std::string format(const FieldError& error) {
  std::string out;
  if (error.mark.line > 0) {
    out = std::to_string(error.mark.line) + ":" + std::to_string(error.mark.column) + "  ";
  }
  if (!error.path.empty()) out += error.path + ": ";
  return out + error.message;
}

void locate(std::vector<FieldError>& errors, const Node& document) {
  for (FieldError& error : errors) {
    if (error.mark.line > 0) continue;
    Found at{&document, document.mark};
    std::string_view rest = error.path;
    while (!rest.empty()) {
      const bool stepped =
          rest.starts_with('[') ? step_into_list(rest, at) : step_into_map(rest, at);
      if (!stepped) break;
    }
    error.mark = at.mark;
  }
}

}  // namespace sandboxrun::run
