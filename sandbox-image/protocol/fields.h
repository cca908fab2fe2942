#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/document.h"

namespace sandboxrun::protocol {

/// Reads the members of one JSON object into a struct, strictly: a member of another type or of
/// an unknown name is an error; a missing one leaves the default.
/// The first error is kept and everything after it is skipped, so callers read straight on and ask
/// once at the end.
class Fields {
 public:
  /// `path` is where the object stands, e.g. "assets[2]"; empty for the root.
  Fields(const Node& node, std::string path, std::string& error);

  Fields& text(std::string_view name, std::string& out);
  Fields& integer(std::string_view name, std::int64_t& out);
  Fields& integer(std::string_view name, int& out);
  Fields& mode(std::string_view name, std::uint32_t& out);
  Fields& boolean(std::string_view name, bool& out);
  Fields& texts(std::string_view name, std::vector<std::string>& out);
  /// Calls `read(node, path)` if the member is there.
  Fields& with(std::string_view name,
               const std::function<void(const Node&, const std::string&)>& read);
  /// Calls `read(node, path)` for each item of a list member.
  Fields& each(std::string_view name,
               const std::function<void(const Node&, const std::string&)>& read);
  /// Reports a member that nobody asked for. Call last.
  void finish();

  /// Records an error at member `name` unless there is one already.
  void fail(std::string_view name, std::string_view what);
  bool failed() const { return !error_.empty(); }
  std::string path_of(std::string_view name) const;

 private:
  const Node* take(std::string_view name);

  const Node& node_;
  std::string path_;
  std::string& error_;
  std::vector<std::string> known_;
};

/// Checks the "v" member of a message against the one version that is known.
/// Errors: InvalidInput.
Result<Node> parse_message(std::string_view json, std::string_view what, int version,
                           std::size_t max_bytes);

/// The name of `value` in a table of {value, name} pairs, or "".
template <typename Table, typename Value>
std::string_view name_in(const Table& table, Value value) {
  for (const auto& [known, name] : table) {
    if (known == value) return name;
  }
  return "";
}

/// Reads a required member whose text must be one of the table's names.
template <typename Table, typename Value>
void read_name(Fields& fields, const Table& table, std::string_view name, Value& out) {
  std::string text;
  fields.text(name, text);
  for (const auto& [value, known] : table) {
    if (known == text) {
      out = value;
      return;
    }
  }
  fields.fail(name, "unknown value \"" + text + "\"");
}

}  // namespace sandboxrun::protocol
