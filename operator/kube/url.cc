#include "operator/kube/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace sandboxrun::kube {
namespace {

bool unreserved(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    const auto* first = text.data() + i + 1;
    if (text.size() - i < 3 || std::from_chars(first, first + 2, value, 16).ptr != first + 2) {
      return std::nullopt;
    }
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

bool parse_user(std::string_view user, Url& url) {
  const auto colon = user.find(':');
  auto name = percent_decode(user.substr(0, colon));
  auto password = percent_decode(colon == std::string_view::npos ? "" : user.substr(colon + 1));
  if (!name || !password) return false;
  url.username = std::move(*name);
  url.password = std::move(*password);
  return true;
}

bool parse_port(std::string_view text, Url& url) {
  std::uint16_t port = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || rest != text.data() + text.size() || port == 0) return false;
  url.port = port;
  return true;
}

bool parse_host(std::string_view text, Url& url) {
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return false;
    url.host = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    if (!url.host.contains(':') || !is_ip_address(url.host)) return false;
    return text.empty() || (text.starts_with(':') && parse_port(text.substr(1), url));
  }
  const auto colon = text.find(':');
  url.host = text.substr(0, colon);
  if (url.host.empty() || !std::ranges::all_of(url.host, unreserved)) return false;
  return colon == std::string_view::npos || parse_port(text.substr(colon + 1), url);
}

}  // namespace

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (unreserved(byte)) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::optional<Url> parse_url(std::string_view text) {
  Url url;
  const auto mark = text.find("://");
  if (mark == std::string_view::npos || mark == 0 || text.find_first_of("?#\\ ") != text.npos) {
    return std::nullopt;
  }
  url.scheme = text.substr(0, mark);
  std::ranges::transform(url.scheme, url.scheme.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  text.remove_prefix(mark + 3);
  const auto slash = text.find('/');
  if (slash != std::string_view::npos) url.path = text.substr(slash);
  while (url.path.ends_with('/')) url.path.pop_back();
  auto host = text.substr(0, slash);
  if (const auto at = host.rfind('@'); at != std::string_view::npos) {
    if (!parse_user(host.substr(0, at), url)) return std::nullopt;
    host.remove_prefix(at + 1);
  }
  if (!parse_host(host, url)) return std::nullopt;
  return url;
}

bool is_ip_address(std::string_view host) {
  const std::string text(host);
  in6_addr address{};
  return inet_pton(AF_INET, text.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

std::string authority(std::string_view host, std::uint16_t port) {
  const std::string name(host);
  return (name.contains(':') ? "[" + name + "]" : name) + ":" + std::to_string(port);
}

}  // namespace sandboxrun::kube
