#include "operator/run/yaml_scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

namespace sandboxrun::run {
namespace {

constexpr std::array<std::string_view, 11> kTrue = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                                    "True", "TRUE", "on",  "On",  "ON"};
constexpr std::array<std::string_view, 11> kFalse = {"n",     "N",     "no",  "No",  "NO", "false",
                                                     "False", "FALSE", "off", "Off", "OFF"};
constexpr std::array<std::string_view, 5> kNull = {"", "~", "null", "Null", "NULL"};
constexpr std::array<std::string_view, 12> kNotFinite = {".nan",  ".NaN",  ".NAN",  ".inf",
                                                         ".Inf",  ".INF",  "+.inf", "+.Inf",
                                                         "+.INF", "-.inf", "-.Inf", "-.INF"};

constexpr double kMaxExact = 9007199254740992.0;  // 2^53

template <std::size_t size>
bool among(const std::array<std::string_view, size>& words, std::string_view text) {
  return std::ranges::find(words, text) != words.end();
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// A decimal float: sign, digits with at most one point, exponent.
bool looks_like_float(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  std::size_t digits = 0;
  bool point = false;
  while (!text.empty() && (is_digit(text.front()) || (text.front() == '.' && !point))) {
    if (text.front() == '.') {
      point = true;
    } else {
      ++digits;
    }
    text.remove_prefix(1);
  }
  if (digits == 0) return false;
  if (text.empty()) return true;
  if (text.front() != 'e' && text.front() != 'E') return false;
  text.remove_prefix(1);
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return !text.empty() && std::ranges::all_of(text, is_digit);
}

struct Integer {
  bool fits = false;
  std::int64_t value = 0;
};

/// A Go integer literal: 12, 0x1f, 0b11, 0o17, 017, with a sign. Nothing: it is none.
std::optional<Integer> parse_integer(std::string_view text) {
  bool negative = false;
  if (text.front() == '-' || text.front() == '+') {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  int base = 10;
  if (text.size() > 1 && text.front() == '0') {
    const char marker = static_cast<char>(text[1] | 0x20);
    base = marker == 'x' ? 16 : marker == 'b' ? 2 : 8;
    text.remove_prefix(marker == 'x' || marker == 'b' || marker == 'o' ? 2 : 1);
  }
  if (text.empty()) return std::nullopt;
  std::uint64_t value = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value, base);
  if (end != last || error == std::errc::invalid_argument) return std::nullopt;
  constexpr std::uint64_t kMax = 9223372036854775807ULL;
  if (error == std::errc::result_out_of_range || value > kMax) return Integer{};
  const auto whole = static_cast<std::int64_t>(value);
  return Integer{true, negative ? -whole : whole};
}

Node scalar(Node::Kind kind, std::string_view text) {
  Node node;
  node.kind = kind;
  node.text = text;
  return node;
}

std::optional<Node> parse_number(std::string_view text) {
  std::string plain(text);
  std::erase(plain, '_');
  if (plain.empty() || plain == "-" || plain == "+") return std::nullopt;
  if (const auto integer = parse_integer(plain)) {
    Node node = scalar(integer->fits ? Node::Kind::Int : Node::Kind::Float, text);
    node.integer = integer->value;
    return node;
  }
  if (!looks_like_float(plain)) return std::nullopt;
  const char* first = plain.data() + (plain.front() == '+' ? 1 : 0);
  double value = 0;
  const auto [end, error] = std::from_chars(first, plain.data() + plain.size(), value);
  // Too large for a double: go-yaml leaves it a string. Too small: it rounds to zero.
  const bool tiny = plain.find("e-") != std::string::npos || plain.find("E-") != std::string::npos;
  if (error != std::errc{} && !tiny) return std::nullopt;
  if (std::trunc(value) == value && std::abs(value) <= kMaxExact) {
    Node node = scalar(Node::Kind::Int, text);
    node.integer = static_cast<std::int64_t>(value);
    return node;
  }
  return scalar(Node::Kind::Float, text);
}

}  // namespace

Result<Node> type_plain_scalar(std::string_view text) {
  if (among(kNull, text)) return scalar(Node::Kind::Null, text);
  if (among(kTrue, text) || among(kFalse, text)) {
    Node node = scalar(Node::Kind::Bool, text);
    node.boolean = among(kTrue, text);
    return node;
  }
  if (among(kNotFinite, text)) {
    return failure(ErrorKind::InvalidInput, std::string(text) +
                                                " is not a number that JSON can hold; put it in "
                                                "quotes if it is meant as text");
  }
  const char first = text.front();
  const bool numeric = is_digit(first) || first == '-' || first == '+';
  // After a leading point go-yaml takes no underscores.
  if (numeric || (first == '.' && text.find('_') == std::string_view::npos)) {
    if (auto number = parse_number(text)) return *number;
  }
  return scalar(Node::Kind::String, text);
}

}  // namespace sandboxrun::run
