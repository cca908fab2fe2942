#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "operator/base/document.h"

namespace sandboxrun {
namespace {

namespace sj = simdjson;
using sj::ondemand::json_type;

constexpr std::int64_t kMaxExactInteger = (std::int64_t{1} << 53);

// Turns byte offsets into lines and columns; offsets must be asked for in rising order.
class Positions {
 public:
  explicit Positions(std::string_view text) : text_(text) {}

  Mark at(std::size_t offset) {
    for (; offset_ < offset && offset_ < text_.size(); ++offset_) {
      if (text_[offset_] == '\n') {
        ++line_;
        line_start_ = offset_ + 1;
      }
    }
    return {line_, static_cast<int>(offset - line_start_) + 1};
  }

 private:
  std::string_view text_;
  std::size_t offset_ = 0;
  std::size_t line_start_ = 0;
  int line_ = 1;
};

std::unexpected<Error> bad_json(Mark mark, std::string_view what) {
  return failure(
      ErrorKind::InvalidInput,
      std::to_string(mark.line) + ":" + std::to_string(mark.column) + ": " + std::string(what));
}

class Reader {
 public:
  Reader(const char* base, std::string_view text, const DocumentLimits& limits)
      : base_(base), positions_(text), limits_(limits) {}

  // `Value` is an ondemand::document (the root) or an ondemand::value: their readers have the
  // same names.
  template <typename Value>
  Result<Node> read(Value&& value, int depth) {
    Node node;
    node.mark = here(value);
    if (depth > limits_.max_depth) {
      return bad_json(node.mark,
                      "nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    }
    json_type type;
    if (auto error = value.type().get(type)) return broken(node.mark, error);
    switch (type) {
      case json_type::null:
        return read_null(value, std::move(node));
      case json_type::boolean:
        return read_bool(value, std::move(node));
      case json_type::number:
        return read_number(value, std::move(node));
      case json_type::string:
        return read_string(value, std::move(node));
      case json_type::array:
        return read_list(value, std::move(node), depth);
      case json_type::object:
        return read_map(value, std::move(node), depth);
    }
    return bad_json(node.mark, "not a JSON value");
  }

 private:
  template <typename Value>
  Mark here(Value& value) {
    const char* location = nullptr;
    if (value.current_location().get(location)) return mark_;
    return mark_ = positions_.at(static_cast<std::size_t>(location - base_));
  }

  static std::unexpected<Error> broken(Mark mark, sj::error_code error) {
    return bad_json(mark, std::string("not valid JSON: ") + sj::error_message(error));
  }

  template <typename Value>
  Result<Node> read_null(Value& value, Node node) {
    // simdjson 3.0's is_null() only looks at the first letter; the raw token says it all.
    auto token = raw(value);
    if (token != "null") return bad_json(node.mark, "not valid JSON: expected null");
    node.kind = Node::Kind::Null;
    node.text = "null";
    value.is_null();
    return node;
  }

  template <typename Value>
  Result<Node> read_bool(Value& value, Node node) {
    if (auto error = value.get_bool().get(node.boolean)) return broken(node.mark, error);
    node.kind = Node::Kind::Bool;
    node.text = node.boolean ? "true" : "false";
    return node;
  }

  template <typename Value>
  Result<Node> read_number(Value& value, Node node) {
    const std::string token = raw(value);
    node.text = token;
    sj::ondemand::number number;
    if (auto error = value.get_number().get(number)) return broken(node.mark, error);
    if (!number.is_int64() || token.find_first_of(".eE") != std::string::npos) {
      node.kind = Node::Kind::Float;
      return node;
    }
    node.kind = Node::Kind::Int;
    node.integer = number.get_int64();
    if (node.integer > kMaxExactInteger || node.integer < -kMaxExactInteger) {
      return bad_json(node.mark, "the number " + token + " is beyond 2^53");
    }
    return node;
  }

  template <typename Value>
  Result<Node> read_string(Value& value, Node node) {
    std::string_view text;
    if (auto error = value.get_string().get(text)) return broken(node.mark, error);
    node.kind = Node::Kind::String;
    node.text = text;
    return node;
  }

  template <typename Value>
  Result<Node> read_list(Value& value, Node node, int depth) {
    node.kind = Node::Kind::List;
    sj::ondemand::array array;
    if (auto error = value.get_array().get(array)) return broken(node.mark, error);
    for (auto element : array) {
      sj::ondemand::value item;
      if (auto error = element.get(item)) return broken(mark_, error);
      auto child = read(item, depth + 1);
      if (!child) return child;
      node.items.push_back(std::move(*child));
    }
    return node;
  }

  template <typename Value>
  Result<Node> read_map(Value& value, Node node, int depth) {
    node.kind = Node::Kind::Map;
    sj::ondemand::object object;
    if (auto error = value.get_object().get(object)) return broken(node.mark, error);
    for (auto member : object) {
      sj::ondemand::field field;
      if (auto error = std::move(member).get(field)) return broken(mark_, error);
      const char* key_at = field.key().raw() - 1;
      const Mark key_mark = mark_ = positions_.at(static_cast<std::size_t>(key_at - base_));
      std::string_view key_view;
      if (auto error = field.unescaped_key().get(key_view)) return broken(key_mark, error);
      std::string key(key_view);
      if (node.find(key) != nullptr) {
        return bad_json(key_mark, "the key \"" + key + "\" stands twice in one object");
      }
      auto child = read(field.value(), depth + 1);
      if (!child) return child;
      node.entries.push_back({std::move(key), key_mark, std::move(*child)});
    }
    return node;
  }

  template <typename Value>
  static std::string raw(Value& value) {
    std::string_view token;
    if (sj::simdjson_result<std::string_view> result = value.raw_json_token(); result.error()) {
      return {};
    } else {
      token = result.value_unsafe();
    }
    while (!token.empty() && (token.back() == ' ' || token.back() == '\n' || token.back() == '\r' ||
                              token.back() == '\t')) {
      token.remove_suffix(1);
    }
    return std::string(token);
  }

  const char* base_;
  Positions positions_;
  const DocumentLimits& limits_;
  Mark mark_{1, 1};
};

}  // namespace

const Node* Node::find(std::string_view key) const {
  const auto found = std::ranges::find(entries, key, &Entry::key);
  return found == entries.end() ? nullptr : &found->value;
}

std::string_view describe(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::Null:
      return "nothing";
    case Node::Kind::Bool:
      return "a boolean";
    case Node::Kind::Int:
      return "an integer";
    case Node::Kind::Float:
      return "a decimal number";
    case Node::Kind::String:
      return "a string";
    case Node::Kind::List:
      return "a list";
    case Node::Kind::Map:
      return "a map";
  }
  return "a value";
}

Result<Node> parse_json(std::string_view text, const DocumentLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return bad_json({1, 1}, "larger than " + std::to_string(limits.max_bytes) + " bytes");
  }
  const sj::padded_string padded(text);
  sj::ondemand::parser parser;
  sj::ondemand::document document;
  if (auto error = parser.iterate(padded).get(document)) {
    return bad_json({1, 1}, std::string("not valid JSON: ") + sj::error_message(error));
  }
  Reader reader(padded.data(), std::string_view(padded), limits);
  auto node = reader.read(document, 0);
  if (!node) return node;
  // On-Demand only checks what it walks over; the DOM parser checks the text as a whole.
  sj::dom::parser whole;
  if (auto error = whole.parse(padded).error()) {
    return bad_json(node->mark, std::string("not valid JSON: ") + sj::error_message(error));
  }
  return node;
}

}  // namespace sandboxrun
