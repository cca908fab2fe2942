#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "operator/base/error.h"

namespace sandboxrun::agent {

/// An http or https URL in one normal form: the only form that leaves this parser, so that whoever
/// checks a URL and whoever connects to it cannot read it differently.
struct Url {
  std::string scheme;  ///< "http" or "https"
  std::string host;    ///< lower-case name, dotted IPv4, or compressed IPv6 without brackets
  std::uint16_t port = 0;
  std::string path;  ///< begins with '/'; percent-encoding and dot segments kept as written
  std::optional<std::string> query;  ///< without '?'

  bool is_ipv6() const { return host.find(':') != std::string::npos; }
  /// "host" or "host:port" if the port isn't the scheme's own: the Host header's value.
  std::string authority() const;
  /// The whole URL, for the transport only: it may hold a signature.
  std::string text() const;
  /// "scheme://authority/path" for messages: no query, at most 200 characters of path.
  std::string shown() const;

  friend bool operator==(const Url&, const Url&) = default;
};

/// Same scheme, host and port (RFC 6454): credentials go no further than this.
bool same_origin(const Url& a, const Url& b);

/// Parses an absolute URL (RFC 3986, http and https only), stricter than the RFC: printable ASCII
/// without the characters that RFC 3986 leaves out, whole percent triplets, no userinfo, no
/// backslash, an IPv4 host as four decimal numbers only, no IPv6 zone. A fragment is dropped.
/// Errors: InvalidInput. The message names the rule and never quotes the URL.
Result<Url> parse_url(std::string_view text);

/// The URL that a Location header means at `base` (RFC 3986 section 5). Errors as parse_url.
Result<Url> resolve_reference(const Url& base, std::string_view reference);

}  // namespace sandboxrun::agent
