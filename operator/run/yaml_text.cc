#include "operator/run/yaml_text.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace sandboxrun::run {
namespace {

struct Character {
  char32_t value = 0;
  std::size_t bytes = 0;  ///< 0: not UTF-8
};

/// The character at the beginning of `text` (RFC 3629: shortest form, no surrogates).
Character next_character(std::string_view text) {
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first >= 0xC2 && first <= 0xDF && follows(1)) {
    return {((first & 0x1FU) << 6) | (byte(1) & 0x3FU), 2};
  }
  if (first >= 0xE0 && first <= 0xEF && follows(1) && follows(2)) {
    const char32_t value = ((first & 0x0FU) << 12) | ((byte(1) & 0x3FU) << 6) | (byte(2) & 0x3FU);
    if (value < 0x800 || (value >= 0xD800 && value <= 0xDFFF)) return {};
    return {value, 3};
  }
  if (first >= 0xF0 && first <= 0xF4 && follows(1) && follows(2) && follows(3)) {
    const char32_t value = ((first & 0x07U) << 18) | ((byte(1) & 0x3FU) << 12) |
                           ((byte(2) & 0x3FU) << 6) | (byte(3) & 0x3FU);
    if (value < 0x10000 || value > 0x10FFFF) return {};
    return {value, 4};
  }
  return {};
}

/// Why a character may not stand in a manifest, or nullptr.
const char* objection(char32_t c) {
  if (c == '\t') return nullptr;
  if (c == 0xFEFF) return "a byte order mark; save the file as UTF-8 without one";
  if (c == '\r') return "a carriage return without a line feed";
  if (c < 0x20 || c == 0x7F || (c >= 0x80 && c <= 0x9F)) {
    return "a control character; write it as an escape (\\x1b) in double quotes";
  }
  if (c == 0x2028 || c == 0x2029) {
    return "a Unicode line separator; write it as an escape (\\u2028) in double quotes";
  }
  return nullptr;
}

/// The line opens a block scalar (`key: |`, `- >-`), whose text may begin with tabs.
bool opens_block(std::string_view line) {
  if (const std::size_t comment = line.find(" #"); comment != std::string_view::npos) {
    line = line.substr(0, comment);
  }
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  while (!line.empty() &&
         (line.back() == '+' || line.back() == '-' || (line.back() >= '1' && line.back() <= '9'))) {
    line.remove_suffix(1);
  }
  if (line.empty() || (line.back() != '|' && line.back() != '>')) return false;
  return line.size() == 1 || line[line.size() - 2] == ' ';
}

class LineCheck {
 public:
  Result<void> check(std::string_view line, int number) {
    const std::size_t spaces = std::min(line.find_first_not_of(' '), line.size());
    if (spaces == line.size()) return {};
    if (in_block_ && spaces > block_indent_) return check_characters(line, number);
    in_block_ = false;
    if (line[spaces] == '\t' && line.find_first_not_of(" \t") != std::string_view::npos) {
      return bad(number, spaces, "a tab in the indentation; YAML indents with spaces");
    }
    if (line.front() == '%') return bad(number, 0, "a YAML directive; remove the line");
    if (opens_block(line)) {
      in_block_ = true;
      block_indent_ = spaces;
    }
    return check_characters(line, number);
  }

 private:
  static std::unexpected<Error> bad(int line, std::size_t offset, std::string_view what) {
    return failure(
        ErrorKind::InvalidInput,
        std::to_string(line) + ":" + std::to_string(offset + 1) + ": " + std::string(what));
  }

  static Result<void> check_characters(std::string_view line, int number) {
    for (std::size_t i = 0; i < line.size();) {
      const Character c = next_character(line.substr(i));
      if (c.bytes == 0) return bad(number, i, "bytes that are not UTF-8");
      if (const char* why = objection(c.value)) return bad(number, i, why);
      i += c.bytes;
    }
    return {};
  }

  bool in_block_ = false;
  std::size_t block_indent_ = 0;
};

}  // namespace

Result<void> check_yaml_text(std::string_view text) {
  LineCheck lines;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (auto checked = lines.check(line, number); !checked) return checked;
  }
  return {};
}

}  // namespace sandboxrun::run
