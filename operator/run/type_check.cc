#include "operator/run/type_check.h"

#include <algorithm>

#include "operator/run/wording.h"

namespace sandboxrun::run {
namespace {

using Errors = std::vector<FieldError>;

std::string_view expected(FieldKind kind) {
  switch (kind) {
    case FieldKind::String:
    case FieldKind::Enum:
      return "a string";
    case FieldKind::Integer:
      return "a whole number";
    case FieldKind::Boolean:
      return "true or false";
    case FieldKind::Quantity:
      return "an amount such as 500m or 1Gi";
    case FieldKind::StringList:
    case FieldKind::ObjectList:
      return "a list";
    case FieldKind::StringMap:
    case FieldKind::Object:
      return "a map";
    case FieldKind::Any:
      return "anything";
  }
  return "anything";
}

bool is_scalar(const Node& node) {
  return node.kind != Node::Kind::List && node.kind != Node::Kind::Map;
}

/// "must be a string, found a whole number (0444); put it in quotes: \"0444\""
std::string wrong_type(const Node& node, std::string_view wanted) {
  std::string out =
      "must be " + std::string(wanted) + ", found " + std::string(describe(node.kind));
  const bool unquoted = is_scalar(node) && node.kind != Node::Kind::String;
  if (unquoted && !node.text.empty() && node.text.size() <= 64) {
    out += " (" + node.text + ")";
    if (wanted == "a string" || wanted.starts_with("an amount")) {
      out += "; put it in quotes: " + quoted(node.text);
    }
  }
  const bool number_as_text =
      node.kind == Node::Kind::String && (wanted == "a whole number" || wanted == "true or false");
  if (number_as_text) out += "; remove the quotes if there are any";
  if (wanted == "a list" && is_scalar(node)) out += "; write it as [ ... ]";
  return out;
}

void check_string(const Node& node, const std::string& path, Errors& errors) {
  if (node.kind != Node::Kind::String) {
    errors.push_back({path, node.mark, wrong_type(node, "a string")});
  }
}

void check_enum(const Node& node, const Field& field, const std::string& path, Errors& errors) {
  if (node.kind != Node::Kind::String) return check_string(node, path, errors);
  if (std::ranges::find(field.values, node.text) != field.values.end()) return;
  std::string message = quoted(node.text) + " is not a value of this field";
  if (const auto near = nearest(node.text, field.values); !near.empty()) {
    message += "; did you mean " + std::string(near) + "?";
  }
  errors.push_back({path, node.mark, message + " (it takes " + listed(field.values) + ")"});
}

void check_list(const Node& node, const Field& field, const std::string& path, Errors& errors) {
  if (node.kind != Node::Kind::List) {
    errors.push_back({path, node.mark, wrong_type(node, "a list")});
    return;
  }
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const std::string item = item_path(path, i);
    if (field.kind == FieldKind::ObjectList) {
      check_types(node.items[i], *field.object, item, errors);
    } else {
      check_string(node.items[i], item, errors);
    }
  }
}

void check_string_map(const Node& node, const std::string& path, Errors& errors) {
  if (node.kind != Node::Kind::Map) {
    errors.push_back({path, node.mark, wrong_type(node, "a map")});
    return;
  }
  for (const Node::Entry& entry : node.entries) {
    check_string(entry.value, member_path(path, entry.key), errors);
  }
}

void check_scalar(const Node& node, FieldKind kind, const std::string& path, Errors& errors) {
  const bool fits = [&] {
    switch (kind) {
      case FieldKind::Integer:
        return node.kind == Node::Kind::Int;
      case FieldKind::Boolean:
        return node.kind == Node::Kind::Bool;
      default:  // Quantity
        return node.kind == Node::Kind::Int || node.kind == Node::Kind::String;
    }
  }();
  if (!fits) errors.push_back({path, node.mark, wrong_type(node, expected(kind))});
}

void check_field(const Node& node, const Field& field, const std::string& path, Errors& errors) {
  switch (field.kind) {
    case FieldKind::String:
      return check_string(node, path, errors);
    case FieldKind::Enum:
      return check_enum(node, field, path, errors);
    case FieldKind::Integer:
    case FieldKind::Boolean:
    case FieldKind::Quantity:
      return check_scalar(node, field.kind, path, errors);
    case FieldKind::StringList:
    case FieldKind::ObjectList:
      return check_list(node, field, path, errors);
    case FieldKind::StringMap:
      return check_string_map(node, path, errors);
    case FieldKind::Object:
      return check_types(node, *field.object, path, errors);
    case FieldKind::Any:
      return;
  }
}

std::vector<std::string_view> names_of(const ObjectType& type) {
  std::vector<std::string_view> names;
  for (const Field& field : type.fields) names.push_back(field.name);
  return names;
}

std::string unknown_field(std::string_view name, const ObjectType& type) {
  const std::vector<std::string_view> names = names_of(type);
  std::string out = "no such field in " + std::string(type.name);
  const std::string_view near = nearest(name, names);
  if (!near.empty()) return out + "; did you mean " + std::string(near) + "?";
  return out + ", which has " + listed(names);
}

/// A key as it may be shown in a path: short, without control characters.
std::string shown(const std::string& key) {
  const bool plain = key.size() <= 64 && std::ranges::all_of(key, [](char c) {
                       return c > ' ' && c < 0x7F && c != '"';
                     });
  return plain && !key.empty() ? key : quoted(key);
}

}  // namespace

void check_types(const Node& node, const ObjectType& type, const std::string& path,
                 Errors& errors) {
  if (node.kind != Node::Kind::Map) {
    errors.push_back({path, node.mark, wrong_type(node, "a map")});
    return;
  }
  for (const Node::Entry& entry : node.entries) {
    const auto field = std::ranges::find(type.fields, entry.key, &Field::name);
    const std::string at = member_path(path, shown(entry.key));
    if (field == type.fields.end()) {
      errors.push_back({at, entry.key_mark, unknown_field(entry.key, type)});
    } else if (entry.value.kind != Node::Kind::Null) {
      check_field(entry.value, *field, at, errors);
    }
  }
  const auto is_set = [](const Node::Entry& entry) { return entry.value.kind != Node::Kind::Null; };
  if (type.needs_one && std::ranges::none_of(node.entries, is_set)) {
    errors.push_back({path, node.mark, "needs one of " + listed(names_of(type))});
  }
  for (const Field& field : type.fields) {
    const Node* value = field.required ? node.find(field.name) : nullptr;
    if (!field.required || (value != nullptr && value->kind != Node::Kind::Null)) continue;
    const Mark mark = value != nullptr ? value->mark : node.mark;
    errors.push_back({member_path(path, field.name), mark, "is required and missing"});
  }
}

}  // namespace sandboxrun::run
