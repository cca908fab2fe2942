#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/base/error.h"

namespace sandboxrun {

/// Where something stands in a text; both count from 1, columns in bytes. 0 means unknown.
struct Mark {
  int line = 0;
  int column = 0;

  friend bool operator==(const Mark&, const Mark&) = default;
};

/// A parsed YAML or JSON value with the place where it was written: the one form from which
/// manifests, work orders, reports and records are decoded.
struct Node {
  enum class Kind { Null, Bool, Int, Float, String, List, Map };
  struct Entry;

  Kind kind = Kind::Null;
  Mark mark;
  bool boolean = false;
  std::int64_t integer = 0;    ///< Kind::Int
  std::string text;            ///< Kind::String: the value. Other scalars: as they were written
  std::vector<Node> items;     ///< Kind::List
  std::vector<Entry> entries;  ///< Kind::Map, in the order written, keys unique

  /// The value under `key` of a map, or nullptr.
  const Node* find(std::string_view key) const;
};

struct Node::Entry {
  std::string key;
  Mark key_mark;
  Node value;
};

/// What the kind is called in an error message: "a string", "a list", ...
std::string_view describe(Node::Kind kind);

/// Bounds on what a parser accepts.
struct DocumentLimits {
  std::size_t max_bytes = 1536 * 1024;  ///< etcd's request limit: no larger manifest can exist
  int max_depth = 64;
};

/// Strict JSON (RFC 8259): one value, UTF-8, no duplicate keys, integers within +-2^53, depth and
/// size bounded. Errors are InvalidInput and begin with "line:column".
Result<Node> parse_json(std::string_view text, const DocumentLimits& limits = {});

/// JSON that a program wrote, such as an API server: the same values and bounds as parse_json,
/// several times as fast. What is at `left_out`, a path of keys from the root, is passed over.
/// Caveats: no marks; keys that stand twice are not looked for; the text of a number is in its
/// shortest form, not as it was written.
Result<Node> parse_machine_json(std::string_view text,
                                std::span<const std::string_view> left_out = {},
                                const DocumentLimits& limits = {});

}  // namespace sandboxrun
