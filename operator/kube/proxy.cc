#include "operator/kube/proxy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "operator/kube/url.h"

namespace sandboxrun::kube {
namespace {

/// An address as 16 bytes, IPv4 mapped, so that both kinds compare alike.
std::optional<std::array<unsigned char, 16>> address_bytes(std::string_view text) {
  const std::string copy(text);
  std::array<unsigned char, 16> bytes{};
  if (inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1) return bytes;
  in_addr v4{};
  if (inet_pton(AF_INET, copy.c_str(), &v4) != 1) return std::nullopt;
  bytes = {};
  bytes[10] = bytes[11] = 0xff;
  std::copy_n(reinterpret_cast<const unsigned char*>(&v4), 4, bytes.begin() + 12);
  return bytes;
}

bool in_cidr(std::string_view cidr, std::string_view host) {
  const auto slash = cidr.find('/');
  const auto network = address_bytes(cidr.substr(0, slash));
  const auto address = address_bytes(host);
  const auto digits = cidr.substr(slash + 1);
  unsigned bits = 0;
  if (!network || !address ||
      std::from_chars(digits.data(), digits.data() + digits.size(), bits).ec != std::errc()) {
    return false;
  }
  if (!cidr.substr(0, slash).contains(':')) bits += 96;
  for (unsigned i = 0; i < std::min(bits, 128u); ++i) {
    if ((((*network)[i / 8] ^ (*address)[i / 8]) >> (7 - i % 8) & 1) != 0) return false;
  }
  return bits <= 128;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

/// Takes a ":port" off the entry; false if it names another port than ours.
bool port_fits(std::string_view& entry, std::uint16_t port) {
  const auto colon = entry.rfind(':');
  if (colon == std::string_view::npos) return true;
  const bool bare_v6 = !entry.starts_with('[') && entry.find(':') != colon;
  if (bare_v6) return true;
  const auto digits = entry.substr(colon + 1);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return true;
  entry = entry.substr(0, colon);
  return number == port;
}

bool entry_exempts(std::string_view entry, std::string_view host, std::uint16_t port) {
  if (entry == "*") return true;
  if (!port_fits(entry, port)) return false;
  if (entry.starts_with('[') && entry.ends_with(']')) entry = entry.substr(1, entry.size() - 2);
  if (entry.contains('/')) return in_cidr(entry, host);
  if (const auto address = address_bytes(entry)) return address == address_bytes(host);
  if (entry.starts_with("*.")) entry.remove_prefix(1);
  if (entry.starts_with('.')) return host.size() > entry.size() && host.ends_with(entry);
  return host == entry || (host.ends_with(entry) && host.size() > entry.size() &&
                           host[host.size() - entry.size() - 1] == '.');
}

bool own_machine(std::string_view host) {
  return host == "localhost" || in_cidr("127.0.0.0/8", host) || in_cidr("::1/128", host);
}

std::pair<std::string, std::string> variable(const Environment& environment,
                                             std::initializer_list<std::string_view> names) {
  for (const auto name : names) {
    if (auto value = environment(name); value && !value->empty())
      return {*value, std::string(name)};
  }
  return {};
}

}  // namespace

Result<Proxy> parse_proxy(std::string_view url, std::string_view where) {
  const std::string full = url.contains("://") ? std::string(url) : "http://" + std::string(url);
  auto parsed = parse_url(full);
  if (!parsed) {
    return failure(ErrorKind::Invalid,
                   std::string(where) + " is no proxy URL; give http://host:port");
  }
  if (parsed->scheme != "http") {
    return failure(ErrorKind::Invalid, std::string(where) + ": a proxy of the scheme " +
                                           parsed->scheme +
                                           " is not supported; give http://host:port");
  }
  Proxy proxy;
  proxy.host = std::move(parsed->host);
  proxy.port = parsed->port.value_or(80);
  proxy.username = std::move(parsed->username);
  proxy.password = Secret(std::move(parsed->password));
  return proxy;
}

bool bypasses_proxy(std::string_view no_proxy, std::string_view host_given, std::uint16_t port) {
  const std::string host = lower(host_given);
  if (own_machine(host)) return true;
  while (!no_proxy.empty()) {
    const auto comma = no_proxy.find(',');
    auto entry = no_proxy.substr(0, comma);
    no_proxy.remove_prefix(comma == std::string_view::npos ? no_proxy.size() : comma + 1);
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    while (entry.ends_with(' ')) entry.remove_suffix(1);
    if (!entry.empty() && entry_exempts(lower(entry), host, port)) return true;
  }
  return false;
}

Result<std::optional<Proxy>> proxy_from_environment(const Endpoint& endpoint,
                                                    const Environment& environment) {
  const auto [url, name] = endpoint.tls ? variable(environment, {"HTTPS_PROXY", "https_proxy"})
                                        : variable(environment, {"HTTP_PROXY", "http_proxy"});
  const auto no_proxy = variable(environment, {"NO_PROXY", "no_proxy"}).first;
  if (url.empty() || bypasses_proxy(no_proxy, endpoint.host, endpoint.port)) return std::nullopt;
  auto proxy = parse_proxy(url, name);
  if (!proxy) return std::unexpected(proxy.error());
  return std::move(*proxy);
}

}  // namespace sandboxrun::kube
