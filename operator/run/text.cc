#include "operator/run/text.h"

#include <algorithm>
#include <array>

#include "operator/base/json_writer.h"

namespace sandboxrun::run {
namespace {

constexpr std::string_view kCut = "...";

bool ends_url(char c) {
  return static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '\'' || c == '<' || c == '>' ||
         c == '`';
}

bool starts_scheme(std::string_view text) {
  const auto is_prefix = [&](std::string_view scheme) {
    return text.size() >= scheme.size() &&
           std::ranges::equal(text.substr(0, scheme.size()), scheme, [](char a, char b) {
             return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
           });
  };
  return is_prefix("http://") || is_prefix("https://") || is_prefix("s3://");
}

// One URL without what may be a secret.
std::string redact_url(std::string_view url) {
  std::string out;
  const std::size_t authority = url.find("://") + 3;
  out += url.substr(0, authority);
  std::string_view rest = url.substr(authority);
  const std::string_view host = rest.substr(0, rest.find_first_of("/?#"));
  if (const auto at = host.rfind('@'); at != std::string_view::npos) {
    out += "...@";
    rest.remove_prefix(at + 1);
  }
  const std::size_t query = rest.find_first_of("?#");
  out += rest.substr(0, query);
  if (query != std::string_view::npos) {
    out += rest[query];
    out += kCut;
  }
  return out;
}

std::string redact_urls(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (!starts_scheme(text)) {
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    const auto end = std::ranges::find_if(text, ends_url);
    const auto length = static_cast<std::size_t>(end - text.begin());
    out += redact_url(text.substr(0, length));
    text.remove_prefix(length);
  }
  return out;
}

void append_escaped(std::string& out, unsigned char c) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  if (c == '\n') {
    out += "\\n";
  } else if (c == '\t') {
    out += "\\t";
  } else {
    out += "\\x";
    out += kHex[c >> 4];
    out += kHex[c & 0xF];
  }
}

std::string escape_controls(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (c < 0x20 || c == 0x7F) {
      append_escaped(out, c);
    } else if (c == 0xC2 && next >= 0x80 && next < 0xA0) {
      // U+0080 to U+009F: terminals take them for control sequences too.
      append_escaped(out, static_cast<unsigned char>(next));
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::string clean_text(std::string_view text, std::size_t max_bytes) {
  std::string clean = escape_controls(redact_urls(to_valid_utf8(text)));
  if (clean.size() <= max_bytes) return clean;
  std::size_t end = max_bytes - std::min(kCut.size(), max_bytes);
  while (end > 0 && (static_cast<unsigned char>(clean[end]) & 0xC0) == 0x80) --end;
  clean.resize(end);
  return clean.append(kCut);
}

}  // namespace sandboxrun::run
