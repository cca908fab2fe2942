#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/error.h"

namespace sandboxrun::agent {

/// An IP address, as 16 bytes; IPv4 lies in ::ffff:0:0/96 (RFC 4291 2.5.5.2).
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};

  bool is_ipv4() const;
  std::string text() const;  ///< dotted for IPv4
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

/// A decimal dotted IPv4 or an RFC 4291 IPv6 address. Errors: InvalidInput.
Result<IpAddress> parse_ip(std::string_view text);

/// Decides to which addresses a transfer may connect, each time that a socket is opened.
///
/// Refused unless an exception names it: everything that is not the public internet (RFC 6890
/// and successors): loopback, private, shared, link-local, multicast, reserved, documentation,
/// and the cloud metadata addresses; also when written as IPv4-mapped, IPv4-compatible, NAT64
/// (RFC 6052) or 6to4 address, and all of Teredo and local-use NAT64.
///
/// An exception is "CIDR" or "CIDR:port", with the port of an IPv6 range after brackets:
/// "10.1.0.0/16", "127.0.0.1/32:8443", "fd00::/8", "[fd00::]/8:443". Without a port it names
/// all ports. A metadata address is opened only by an exception for that one address (/32, /128):
/// nobody who writes "0.0.0.0/0" means the node's own credentials.
class AddressPolicy {
 public:
  /// Errors: InvalidInput, naming the exception and what is wrong with it.
  static Result<AddressPolicy> parse(const std::vector<std::string>& exceptions);

  /// Whether a connection is allowed. Errors: Denied, e.g. "169.254.169.254 is a cloud metadata
  /// address; it is refused unless ...".
  Result<void> check(const IpAddress& address, std::uint16_t port) const;
  /// The same for what a resolver gave; families other than IPv4 and IPv6 are refused.
  Result<void> check(const sockaddr* address, std::size_t length) const;

 private:
  struct Range {
    IpAddress network;
    int prefix = 0;          ///< of 128
    std::uint16_t port = 0;  ///< 0: all
  };
  static Result<Range> parse_exception(std::string_view text);
  bool named(const IpAddress& address, std::uint16_t port, int at_least) const;

  std::vector<Range> exceptions_;
};

}  // namespace sandboxrun::agent
