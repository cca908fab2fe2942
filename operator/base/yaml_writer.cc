#include "operator/base/yaml_writer.h"

#include <algorithm>
#include <array>

#include "operator/base/json_writer.h"

namespace sandboxrun {
namespace {

constexpr std::string_view kIndent = "  ";

bool is_word(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

// Words that YAML 1.1 or 1.2 reads as null or a boolean.
bool is_reserved(std::string_view text) {
  static constexpr std::array<std::string_view, 11> kWords = {
      "null", "~", "true", "false", "yes", "no", "on", "off", "y", "n", "<<"};
  return std::ranges::any_of(kWords, [&](std::string_view word) { return is_word(text, word); });
}

// May begin a number, a time or a special float of YAML 1.1; quoting one too many does no harm.
bool looks_like_a_number(std::string_view text) {
  const char first = text.front();
  if (first >= '0' && first <= '9') return true;
  if (first != '.' && first != '-' && first != '+') return false;
  if (text.size() == 1) return true;
  const char second = text[1];
  return (second >= '0' && second <= '9') || second == '.' || second == 'i' || second == 'I' ||
         second == 'n' || second == 'N';
}

bool is_plain(std::string_view text) {
  if (text.empty() || is_reserved(text) || looks_like_a_number(text)) return false;
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`= ").contains(text.front())) return false;
  if (text.back() == ' ' || text.back() == ':') return false;
  if (text.contains(": ") || text.contains(" #")) return false;
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7F; });
}

// Whether a literal block gives the text back exactly. Only printable ASCII and newlines: anything
// else is escaped in quotes.
bool fits_block(std::string_view text) {
  if (!text.contains('\n') || text.front() == ' ' || text.front() == '\n') return false;
  if (text.contains(" \n") || text.back() == ' ') return false;
  return std::ranges::all_of(text, [](char c) { return c == '\n' || (c >= 0x20 && c < 0x7F); });
}

// Double-quoted YAML accepts JSON's escapes. Characters that JSON leaves as they are but YAML or a
// terminal doesn't take as text (U+0080 to U+009F, U+2028, U+2029, U+FEFF) are escaped here.
std::string quoted(std::string_view text) {
  std::string json;
  append_json_string(json, text);
  std::string out;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const std::string_view rest = std::string_view(json).substr(i);
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(rest[at]); };
    if (byte(0) == 0xC2 && byte(1) < 0xA0) {
      static constexpr std::string_view kHex = "0123456789abcdef";
      out += "\\u00";
      out += kHex[byte(1) >> 4];
      out += kHex[byte(1) & 0xF];
      i += 1;
    } else if (rest.starts_with("\xE2\x80\xA8") || rest.starts_with("\xE2\x80\xA9")) {
      out += byte(2) == 0xA8 ? "\\u2028" : "\\u2029";
      i += 2;
    } else if (rest.starts_with("\xEF\xBB\xBF")) {
      out += "\\ufeff";
      i += 2;
    } else {
      out += json[i];
    }
  }
  return out;
}

void indent(std::string& out, int level) {
  for (int i = 0; i < level; ++i) out += kIndent;
}

void append_block(std::string& out, std::string_view text, int level) {
  const std::size_t last = text.find_last_not_of('\n');
  const std::size_t newlines = text.size() - last - 1;
  out += newlines == 0 ? "|-" : newlines == 1 ? "|" : "|+";
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    out += '\n';
    if (end != 0) indent(out, level);
    out += text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

void append_scalar(std::string& out, const Node& node, int level) {
  switch (node.kind) {
    case Node::Kind::Null:
      out += "null";
      return;
    case Node::Kind::Bool:
      out += node.boolean ? "true" : "false";
      return;
    case Node::Kind::Int:
      out += std::to_string(node.integer);
      return;
    case Node::Kind::Float:
      out += node.text;
      return;
    default:
      break;
  }
  if (fits_block(node.text)) {
    append_block(out, node.text, level);
  } else {
    out += is_plain(node.text) ? node.text : quoted(node.text);
  }
}

bool is_empty(const Node& node) {
  return node.kind == Node::Kind::Map ? node.entries.empty() : node.items.empty();
}

// Appends lines that begin at `level`. `inside_line`: the first line is indented already.
void append_node(std::string& out, const Node& node, int level, bool inside_line);

// What stands behind "key:" or a dash.
void append_value(std::string& out, const Node& node, int level, bool in_list) {
  const bool is_map = node.kind == Node::Kind::Map;
  const bool is_list = node.kind == Node::Kind::List;
  if (!is_map && !is_list) {
    out += ' ';
    append_scalar(out, node, level + 1);
    out += '\n';
  } else if (is_empty(node)) {
    out += is_map ? " {}\n" : " []\n";
  } else if (in_list) {
    out += ' ';
    append_node(out, node, level + 1, true);
  } else {
    out += '\n';
    append_node(out, node, is_list ? level : level + 1, false);
  }
}

void append_node(std::string& out, const Node& node, int level, bool inside_line) {
  const auto begin_line = [&] {
    if (!inside_line) indent(out, level);
    inside_line = false;
  };
  if (node.kind == Node::Kind::List) {
    for (const Node& item : node.items) {
      begin_line();
      out += '-';
      append_value(out, item, level, true);
    }
    return;
  }
  for (const Node::Entry& entry : node.entries) {
    begin_line();
    out += is_plain(entry.key) ? entry.key : quoted(entry.key);
    out += ':';
    append_value(out, entry.value, level, false);
  }
}

}  // namespace

std::string to_yaml(const Node& node) {
  std::string out;
  const bool is_collection = node.kind == Node::Kind::Map || node.kind == Node::Kind::List;
  if (is_collection && !is_empty(node)) {
    append_node(out, node, 0, false);
  } else {
    append_value(out, node, -1, false);
    out.erase(0, 1);
  }
  return out;
}

Result<std::string> json_to_yaml(std::string_view json) {
  const auto node = parse_json(json);
  if (!node) return std::unexpected(node.error());
  return to_yaml(*node);
}

}  // namespace sandboxrun
