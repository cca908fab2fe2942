#include <simdjson.h>

#include <charconv>
#include <span>
#include <string>

#include "operator/base/document.h"

namespace sandboxrun {
namespace {

namespace dom = simdjson::dom;

std::unexpected<Error> bad_json(std::string_view what) {
  return failure(ErrorKind::InvalidInput, "not valid JSON: " + std::string(what));
}

template <typename Number>
std::string as_text(Number number) {
  char digits[40];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), number);
  return {std::begin(digits), end.ptr};
}

Node number(double value) {
  Node node;
  node.kind = Node::Kind::Float;
  node.text = as_text(value);
  return node;
}

Node integer(std::int64_t value) {
  constexpr std::int64_t kMaxExact = std::int64_t{1} << 53;
  Node node;
  const bool exact = value >= -kMaxExact && value <= kMaxExact;
  node.kind = exact ? Node::Kind::Int : Node::Kind::Float;
  node.integer = exact ? value : 0;
  node.text = as_text(value);
  return node;
}

using Path = std::span<const std::string_view>;

/// A parser takes a dozen times the text's size, which costs more to get and to give back than the
/// parsing itself. So each thread keeps one, for texts of the usual size.
constexpr std::size_t kUsualBytes = 32 * 1024;

dom::parser& usual_parser() {
  thread_local dom::parser parser;
  return parser;
}

// The parser has bounded the depth. `left_out` leads on from here.
Node build(dom::element element, Path left_out) {
  Node node;
  switch (element.type()) {
    case dom::element_type::NULL_VALUE:
      node.text = "null";
      return node;
    case dom::element_type::BOOL:
      node.kind = Node::Kind::Bool;
      node.boolean = element.get_bool().value_unsafe();
      node.text = node.boolean ? "true" : "false";
      return node;
    case dom::element_type::INT64:
      return integer(element.get_int64().value_unsafe());
    case dom::element_type::UINT64:
      return number(static_cast<double>(element.get_uint64().value_unsafe()));
    case dom::element_type::DOUBLE:
      return number(element.get_double().value_unsafe());
    case dom::element_type::STRING:
      node.kind = Node::Kind::String;
      node.text = element.get_string().value_unsafe();
      return node;
    case dom::element_type::ARRAY: {
      node.kind = Node::Kind::List;
      const dom::array array = element.get_array().value_unsafe();
      node.items.reserve(array.size());
      for (const dom::element each : array) node.items.push_back(build(each, {}));
      return node;
    }
    case dom::element_type::OBJECT: {
      node.kind = Node::Kind::Map;
      const dom::object object = element.get_object().value_unsafe();
      node.entries.reserve(object.size());
      for (const auto& [key, value] : object) {
        const bool on_the_way = !left_out.empty() && key == left_out.front();
        if (on_the_way && left_out.size() == 1) continue;
        node.entries.push_back(
            {std::string(key), {}, build(value, on_the_way ? left_out.subspan(1) : Path())});
      }
      return node;
    }
  }
  return node;
}

}  // namespace

Result<Node> parse_machine_json(std::string_view text, Path left_out,
                                const DocumentLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return bad_json("larger than " + std::to_string(limits.max_bytes) + " bytes");
  }
  dom::parser large;
  const bool usual = text.size() <= kUsualBytes;
  dom::parser& parser = usual ? usual_parser() : large;
  const std::size_t depth = static_cast<std::size_t>(limits.max_depth) + 1;
  if (parser.capacity() < text.size() || parser.max_depth() != depth) {
    if (auto error = parser.allocate(usual ? kUsualBytes : text.size(), depth)) {
      return bad_json(simdjson::error_message(error));
    }
  }
  dom::element root;
  if (auto error = parser.parse(text.data(), text.size()).get(root)) {
    return bad_json(simdjson::error_message(error));
  }
  return build(root, left_out);
}

}  // namespace sandboxrun
