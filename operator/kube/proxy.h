#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "operator/kube/config.h"

namespace sandboxrun::kube {

/// A proxy's URL: "http://user:password@host:port" or "host:port". Errors (Invalid, naming `where`)
/// for https and socks5 proxies, which are not supported; the URL is never repeated.
Result<Proxy> parse_proxy(std::string_view url, std::string_view where);

/// True if NO_PROXY exempts the host: entries are parted by commas; "*", an address, a CIDR, a
/// domain (also of its subdomains), ".domain" (only of them), each with an optional ":port". This
/// machine's own addresses are always exempt.
bool bypasses_proxy(std::string_view no_proxy, std::string_view host, std::uint16_t port);

/// The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY (or lower case) ask for, as Go reads them.
Result<std::optional<Proxy>> proxy_from_environment(const Endpoint& endpoint,
                                                    const Environment& environment);

}  // namespace sandboxrun::kube
