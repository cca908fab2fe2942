#include "sandbox-image/agent/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

namespace sandboxrun::agent {
namespace {

constexpr std::size_t kMaxUrlBytes = 8192;
constexpr std::size_t kMaxShownPath = 200;
constexpr std::size_t kMaxHostBytes = 253;
constexpr std::size_t kMaxLabelBytes = 63;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::unexpected<Error> refuse(std::string_view rule) {
  return failure(ErrorKind::InvalidInput, std::string(rule));
}

Result<void> check_characters(std::string_view text) {
  if (text.empty()) return refuse("the URL is empty");
  if (text.size() > kMaxUrlBytes) return refuse("the URL is longer than 8192 bytes");
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) > 0x7f) {
      return refuse("the URL holds a character that is not ASCII; percent-encode it");
    }
    if (c <= 0x20 || c == 0x7f) {
      return refuse("the URL holds a space or a control character; percent-encode it");
    }
    if (c == '\\') return refuse("the URL holds a backslash; percent-encode it");
    if (std::string_view("\"<>^`{|}").contains(c)) {
      return refuse("the URL holds one of \"<>^`{|}; percent-encode it");
    }
    if (c == '%' && (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2]))) {
      return refuse("the URL holds a % that two hex digits do not follow");
    }
  }
  return {};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

/// Whether a resolver could take the name for a number (inet_aton reads "127.1", "0x7f.1", "017").
bool ends_in_number(std::string_view last_label) {
  if (std::ranges::all_of(last_label, is_digit)) return true;
  if (!last_label.starts_with("0x")) return false;
  return std::ranges::all_of(last_label.substr(2), is_hex);
}

bool is_dotted_quad(const std::vector<std::string_view>& labels) {
  if (labels.size() != 4) return false;
  return std::ranges::all_of(labels, [](std::string_view label) {
    if (label.empty() || label.size() > 3 || !std::ranges::all_of(label, is_digit)) return false;
    if (label.size() > 1 && label[0] == '0') return false;
    int value = 0;
    std::from_chars(label.data(), label.data() + label.size(), value);
    return value <= 255;
  });
}

Result<std::string> parse_name_or_ipv4(std::string_view text) {
  if (text.empty()) return refuse("the URL has no host");
  if (text.size() > kMaxHostBytes) return refuse("the URL's host is longer than 253 bytes");
  std::string host = lower(text);
  const auto labels = split(host, '.');
  for (std::string_view label : labels) {
    if (label.empty()) return refuse("the URL's host has an empty label");
    if (label.size() > kMaxLabelBytes) return refuse("the URL's host has a label over 63 bytes");
    const bool clean = std::ranges::all_of(
        label, [](char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '_'; });
    if (!clean || label.front() == '-' || label.back() == '-') {
      return refuse("the URL's host is not a DNS name (letters, digits, '-', '_' and dots)");
    }
  }
  if (ends_in_number(labels.back()) && !is_dotted_quad(labels)) {
    return refuse("the URL's host is a number that is not written as four decimal numbers");
  }
  return host;
}

Result<std::string> parse_ipv6(std::string_view text) {
  const std::string address(text);
  in6_addr parsed{};
  if (text.contains('%') || ::inet_pton(AF_INET6, address.c_str(), &parsed) != 1) {
    return refuse("the URL's host is in brackets but is not an IPv6 address");
  }
  std::array<char, INET6_ADDRSTRLEN> normal{};
  ::inet_ntop(AF_INET6, &parsed, normal.data(), normal.size());
  return std::string(normal.data());
}

Result<std::uint16_t> parse_port(std::string_view text) {
  int value = 0;
  if (text.empty() || text.size() > 5 || !std::ranges::all_of(text, is_digit)) {
    return refuse("the URL's port is not a number from 1 to 65535");
  }
  std::from_chars(text.data(), text.data() + text.size(), value);
  if (value < 1 || value > 65535) return refuse("the URL's port is not a number from 1 to 65535");
  return static_cast<std::uint16_t>(value);
}

std::uint16_t default_port(std::string_view scheme) {
  return scheme == "https" ? 443 : 80;
}

Result<void> parse_authority(std::string_view text, Url& url) {
  if (text.contains('@')) {
    return refuse("the URL holds a user name or password; use a header from a Secret instead");
  }
  std::string_view port;
  Result<std::string> host;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return refuse("the URL's host has no closing bracket");
    host = parse_ipv6(text.substr(1, end - 1));
    port = text.substr(end + 1);
    if (!port.empty() && port[0] != ':') return refuse("the URL has text after the host's bracket");
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    host = parse_name_or_ipv4(text.substr(0, colon));
    port = text.substr(colon);
  }
  if (!host) return std::unexpected(host.error());
  url.host = std::move(*host);
  url.port = default_port(url.scheme);
  if (port.empty()) return {};
  auto number = parse_port(port.substr(1));
  if (!number) return std::unexpected(number.error());
  url.port = *number;
  return {};
}

/// The scheme that the reference begins with, or nothing if it is relative (RFC 3986 3.1).
std::optional<std::string_view> scheme_of(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || !is_alpha(text[0])) return std::nullopt;
  const std::string_view scheme = text.substr(0, colon);
  const bool clean = std::ranges::all_of(scheme, [](char c) {
    return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  });
  if (!clean) return std::nullopt;
  return scheme;
}

void set_path_and_query(std::string_view rest, Url& url) {
  rest = rest.substr(0, rest.find('#'));
  const std::size_t mark = rest.find('?');
  url.path = std::string(rest.substr(0, mark));
  url.query.reset();
  if (mark != std::string_view::npos) url.query = std::string(rest.substr(mark + 1));
}

/// RFC 3986 5.2.4 for an absolute path.
std::string remove_dot_segments(std::string_view path) {
  std::vector<std::string_view> kept;
  const auto segments = split(path.substr(1), '/');
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    if (segments[i] == "..") {
      if (!kept.empty()) kept.pop_back();
      if (last) kept.push_back("");
    } else if (segments[i] == ".") {
      if (last) kept.push_back("");
    } else {
      kept.push_back(segments[i]);
    }
  }
  std::string out;
  for (std::string_view segment : kept) out.append("/").append(segment);
  return out.empty() ? "/" : out;
}

}  // namespace

std::string Url::authority() const {
  std::string out = is_ipv6() ? "[" + host + "]" : host;
  if (port != default_port(scheme)) out += ":" + std::to_string(port);
  return out;
}

std::string Url::text() const {
  return scheme + "://" + authority() + path + (query ? "?" + *query : "");
}

std::string Url::shown() const {
  std::string out = scheme + "://" + authority();
  if (path.size() <= kMaxShownPath) return out + path;
  return out + path.substr(0, kMaxShownPath) + "...";
}

bool same_origin(const Url& a, const Url& b) {
  return a.scheme == b.scheme && a.host == b.host && a.port == b.port;
}

Result<Url> parse_url(std::string_view text) {
  if (auto clean = check_characters(text); !clean) return std::unexpected(clean.error());
  const auto scheme = scheme_of(text);
  if (!scheme) return refuse("the URL does not begin with https://");
  Url url;
  url.scheme = lower(*scheme);
  if (url.scheme != "https" && url.scheme != "http") {
    return refuse("the URL's scheme is not https (or http, where that is allowed)");
  }
  text.remove_prefix(scheme->size() + 1);
  if (!text.starts_with("//")) return refuse("the URL's scheme is not followed by //");
  text.remove_prefix(2);
  const std::size_t end = std::min(text.find_first_of("/?#"), text.size());
  if (auto parsed = parse_authority(text.substr(0, end), url); !parsed) {
    return std::unexpected(parsed.error());
  }
  set_path_and_query(text.substr(end), url);
  if (url.path.empty()) url.path = "/";
  return url;
}

Result<Url> resolve_reference(const Url& base, std::string_view reference) {
  if (auto clean = check_characters(reference); !clean) return std::unexpected(clean.error());
  if (scheme_of(reference)) return parse_url(reference);
  if (reference.starts_with("//")) return parse_url(base.scheme + ":" + std::string(reference));
  Url url = base;
  if (reference.starts_with('#')) return url;
  if (reference.starts_with('?')) {
    set_path_and_query(base.path + std::string(reference), url);
    return url;
  }
  std::string path(reference);
  if (!reference.starts_with('/')) path = base.path.substr(0, base.path.rfind('/') + 1) + path;
  set_path_and_query(path, url);
  url.path = remove_dot_segments(url.path);
  return url;
}

}  // namespace sandboxrun::agent
