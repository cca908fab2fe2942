#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sandboxrun::run {

/// An IP range. IPv4 and IPv6 are kept apart, as in a NetworkPolicy.
struct Cidr {
  bool ipv6 = false;
  std::array<std::uint8_t, 16> bytes{};  ///< IPv4 in the first four
  int prefix = 0;
  friend bool operator==(const Cidr&, const Cidr&) = default;
};

/// "10.0.0.0/8" or "fd00::/8" (RFC 4632, RFC 4291), with no bit set behind the prefix. Nothing for
/// any other text; a single address needs its /32 or /128.
std::optional<Cidr> parse_cidr(std::string_view text);

/// A single address: its /32 or /128.
std::optional<Cidr> parse_address(std::string_view text);

/// Every address of `inner` is one of `outer`.
bool contains(const Cidr& outer, const Cidr& inner);

}  // namespace sandboxrun::run
