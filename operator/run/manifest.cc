#include "operator/run/manifest.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "operator/run/yaml_reader.h"

namespace sandboxrun::run {
namespace {

/// "spec.assets" is an ancestor of "spec.assets[1].name"; the whole spec is nobody's.
bool is_ancestor(std::string_view outer, std::string_view inner) {
  if (outer == inner) return true;
  if (outer.empty() || outer == "spec" || outer == "metadata") return false;
  if (!inner.starts_with(outer)) return false;
  const char next = inner[outer.size()];
  return next == '.' || next == '[';
}

/// The error of a parser, whose place is the beginning of its text.
FieldError from_parser(const Error& error) {
  FieldError out{.path = "", .mark = {}, .message = error.message};
  const std::string& text = error.message;
  const char* last = text.data() + text.size();
  Mark mark;
  const auto line = std::from_chars(text.data(), last, mark.line);
  if (line.ec != std::errc{} || line.ptr == last || *line.ptr != ':') return out;
  const auto column = std::from_chars(line.ptr + 1, last, mark.column);
  if (column.ec != std::errc{} || column.ptr == last || *column.ptr != ':') return out;
  out.mark = mark;
  out.message = text.substr(static_cast<std::size_t>(column.ptr - text.data()) + 1);
  if (out.message.starts_with(' ')) out.message.erase(0, 1);
  return out;
}

}  // namespace

Result<Node> parse_manifest(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') {
    if (auto json = parse_json(text)) return json;
  }
  // What is no JSON may be YAML in braces; if it is neither, YAML's message has the place.
  return parse_yaml(text);
}

CheckedManifest check_manifest(std::string_view text, const Policy& policy, Where where) {
  const auto document = parse_manifest(text);
  if (document) return check_document(*document, policy, where);
  return {.run = {}, .errors = {from_parser(document.error())}};
}

CheckedManifest check_document(const Node& document, const Policy& policy, Where where) {
  CheckedManifest out;
  Decoded decoded = decode(document);
  out.run = std::move(decoded.run);
  out.errors = std::move(decoded.errors);
  // Nothing was read if it is another kind of object.
  const bool readable = std::ranges::none_of(out.errors, [](const FieldError& error) {
    return error.path.empty() || error.path == "kind" || error.path == "apiVersion" ||
           error.path == "spec";
  });
  if (readable) {
    const std::vector<FieldError> found = out.errors;
    for (FieldError& error : validate(out.run, policy, where)) {
      const bool known = std::ranges::any_of(found, [&](const FieldError& other) {
        return is_ancestor(other.path, error.path) || is_ancestor(error.path, other.path);
      });
      if (!known) out.errors.push_back(std::move(error));
    }
  }
  locate(out.errors, document);
  std::ranges::stable_sort(out.errors, {}, [](const FieldError& error) {
    return std::tuple(error.mark.line, error.mark.column);
  });
  return out;
}

}  // namespace sandboxrun::run
