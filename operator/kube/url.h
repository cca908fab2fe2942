#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sandboxrun::kube {

/// `text` with every byte but RFC 3986's unreserved ones as %XX.
std::string percent_encode(std::string_view text);

/// The parts of "scheme://user:password@host:port/path", user and password decoded. `host` has no
/// brackets; the path has no trailing slash.
struct Url {
  std::string scheme;  ///< lower case
  std::string username;
  std::string password;
  std::string host;
  std::optional<std::uint16_t> port;
  std::string path;
};

/// Nothing for anything else: another shape, a query, a fragment, an impossible port or host.
std::optional<Url> parse_url(std::string_view text);

/// True for "10.0.0.1" and "::1", false for names.
bool is_ip_address(std::string_view host);

/// "host:port", with brackets around IPv6.
std::string authority(std::string_view host, std::uint16_t port);

}  // namespace sandboxrun::kube
