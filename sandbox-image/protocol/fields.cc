#include "sandbox-image/protocol/fields.h"

#include <algorithm>
#include <limits>

namespace sandboxrun::protocol {

Fields::Fields(const Node& node, std::string path, std::string& error)
    : node_(node), path_(std::move(path)), error_(error) {
  if (node.kind != Node::Kind::Map && error_.empty()) {
    error_ = (path_.empty() ? "the message" : path_) + ": expected a map, found " +
             std::string(describe(node.kind));
  }
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

void Fields::fail(std::string_view name, std::string_view what) {
  if (error_.empty()) error_ = path_of(name) + ": " + std::string(what);
}

const Node* Fields::take(std::string_view name) {
  known_.emplace_back(name);
  return failed() ? nullptr : node_.find(name);
}

Fields& Fields::text(std::string_view name, std::string& out) {
  if (const Node* node = take(name)) {
    if (node->kind != Node::Kind::String) {
      fail(name, "expected a string");
    } else {
      out = node->text;
    }
  }
  return *this;
}

Fields& Fields::integer(std::string_view name, std::int64_t& out) {
  if (const Node* node = take(name)) {
    if (node->kind != Node::Kind::Int) {
      fail(name, "expected an integer");
    } else {
      out = node->integer;
    }
  }
  return *this;
}

Fields& Fields::integer(std::string_view name, int& out) {
  std::int64_t wide = out;
  integer(name, wide);
  if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
    fail(name, "out of range");
    return *this;
  }
  out = static_cast<int>(wide);
  return *this;
}

Fields& Fields::mode(std::string_view name, std::uint32_t& out) {
  std::int64_t wide = out;
  integer(name, wide);
  if (wide < 0 || wide > 0777) {
    fail(name, "permission bits must be within 0 to 0777");
    return *this;
  }
  out = static_cast<std::uint32_t>(wide);
  return *this;
}

Fields& Fields::boolean(std::string_view name, bool& out) {
  if (const Node* node = take(name)) {
    if (node->kind != Node::Kind::Bool) {
      fail(name, "expected a boolean");
    } else {
      out = node->boolean;
    }
  }
  return *this;
}

Fields& Fields::texts(std::string_view name, std::vector<std::string>& out) {
  return each(name, [&](const Node& node, const std::string&) {
    if (node.kind != Node::Kind::String) {
      fail(name, "expected strings");
    } else {
      out.push_back(node.text);
    }
  });
}

Fields& Fields::with(std::string_view name,
                     const std::function<void(const Node&, const std::string&)>& read) {
  if (const Node* node = take(name)) read(*node, path_of(name));
  return *this;
}

Fields& Fields::each(std::string_view name,
                     const std::function<void(const Node&, const std::string&)>& read) {
  const Node* node = take(name);
  if (node == nullptr) return *this;
  if (node->kind != Node::Kind::List) {
    fail(name, "expected a list");
    return *this;
  }
  for (std::size_t i = 0; i < node->items.size() && !failed(); ++i) {
    read(node->items[i], path_of(name) + "[" + std::to_string(i) + "]");
  }
  return *this;
}

void Fields::finish() {
  if (failed()) return;
  for (const Node::Entry& entry : node_.entries) {
    if (std::ranges::find(known_, entry.key) == known_.end()) {
      fail(entry.key, "unknown member");
      return;
    }
  }
}

Result<Node> parse_message(std::string_view json, std::string_view what, int version,
                           std::size_t max_bytes) {
  auto node = parse_json(json, DocumentLimits{.max_bytes = max_bytes, .max_depth = 16});
  if (!node) return failure_within(what, node.error());
  const Node* found = node->find("v");
  if (found == nullptr || found->kind != Node::Kind::Int || found->integer != version) {
    return failure(ErrorKind::InvalidInput,
                   std::string(what) + ": version " +
                       (found == nullptr ? "missing" : "\"" + found->text + "\" not known") +
                       ", this program reads version " + std::to_string(version));
  }
  return node;
}

}  // namespace sandboxrun::protocol
