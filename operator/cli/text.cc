#include "operator/cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "operator/base/time.h"

namespace sandboxrun::cli {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// One step of UTF-8 decoding (RFC 3629): a code point and its length, or the number of bytes that
// can belong to none (`valid` false), or nothing if the bytes may still become one.
struct Decoded {
  char32_t code = 0;
  std::size_t length = 1;
  bool valid = false;
};

std::optional<Decoded> decode_one(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return Decoded{first, 1, true};
  if (first < 0xc2 || first > 0xf4) return Decoded{};
  const std::size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  char32_t code = first & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= bytes.size()) return std::nullopt;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    if (i == 1) {  // overlong forms, surrogates, beyond U+10FFFF
      if (first == 0xe0) low = 0xa0;
      if (first == 0xed) high = 0x9f;
      if (first == 0xf0) low = 0x90;
      if (first == 0xf4) high = 0x8f;
    }
    if (byte(i) < low || byte(i) > high) return Decoded{0, i, false};
    code = (code << 6) | (byte(i) & 0x3fU);
  }
  return Decoded{code, length, true};
}

bool reorders_or_breaks_lines(char32_t code) {
  return code == 0x061c || code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069);
}

void append_harmless(std::string& out, char32_t code, std::string_view bytes) {
  const auto number = static_cast<unsigned>(code);
  if (code == '\n' || code == '\t') {
    out += static_cast<char>(code);
  } else if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) {
    out += fmt::format("\\x{:02x}", number);
  } else if (reorders_or_breaks_lines(code)) {
    out += fmt::format("\\u{:04x}", number);
  } else {
    out += bytes;
  }
}

}  // namespace

std::string human_bytes(std::int64_t bytes) {
  constexpr std::array<std::string_view, 6> kUnits = {"B", "kB", "MB", "GB", "TB", "PB"};
  auto value = static_cast<double>(std::max<std::int64_t>(bytes, 0));
  std::size_t unit = 0;
  // 999.5 of a unit would be printed as 1000.
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  const bool whole = unit == 0 || value >= 99.95;
  return fmt::format("{:.{}f} {}", value, whole ? 0 : 1, kUnits[unit]);
}

std::string human_count(std::int64_t count) {
  std::string digits = std::to_string(count);
  const std::size_t first = count < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3;) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits;
}

std::string human_duration(std::chrono::milliseconds duration) {
  const auto ms = std::max<std::int64_t>(duration.count(), 0);
  if (ms < 59'950) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000);
  return format_duration(Milliseconds((ms + 500) / 1000 * 1000));
}

std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string shell_words(const std::vector<std::string>& words) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ' ';
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
      out += word;
      continue;
    }
    out += '\'';
    for (const char c : word) {
      if (c == '\'') {
        out += "'\\''";
      } else {
        out += c;
      }
    }
    out += '\'';
  }
  return out;
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string fit(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::size_t end = 0;
  for (std::size_t used = 0; end < text.size(); ++end) {
    const bool starts = (static_cast<unsigned char>(text[end]) & 0xc0U) != 0x80U;
    if (starts && ++used == columns) break;
  }
  return std::string(text.substr(0, end)) + "~";
}

std::string Neutralizer::feed(std::string_view bytes) {
  std::string joined;
  if (!pending_.empty()) {
    joined = std::exchange(pending_, {}) + std::string(bytes);
    bytes = joined;
  }
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    if (bytes[0] == '\r' && bytes.size() == 1) break;
    if (bytes.starts_with("\r\n")) bytes.remove_prefix(1);
    const auto one = decode_one(bytes);
    if (!one) break;
    if (one->valid) {
      append_harmless(out, one->code, bytes.substr(0, one->length));
    } else {
      out += kReplacement;
    }
    bytes.remove_prefix(one->length);
  }
  pending_ = bytes;
  return out;
}

std::string Neutralizer::finish() {
  if (pending_.empty()) return {};
  const bool carriage_return = pending_ == "\r";
  pending_.clear();
  return carriage_return ? "\\x0d" : std::string(kReplacement);
}

std::string one_line(std::string_view text) {
  Neutralizer neutralizer;
  std::string out = neutralizer.feed(text);
  out += neutralizer.finish();
  std::ranges::replace_if(out, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return out;
}

}  // namespace sandboxrun::cli
