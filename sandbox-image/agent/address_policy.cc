#include "sandbox-image/agent/address_policy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <span>

namespace sandboxrun::agent {
namespace {

using Bytes = std::array<std::uint8_t, 16>;

struct NamedRange {
  std::string_view cidr;  ///< written as in the RFCs, so that the table can be compared with them
  std::string_view name;
};

// IANA's special-purpose registries (RFC 6890 and successors), and what clouds put beside them.
constexpr std::array kMetadata = std::to_array<std::string_view>({
    "169.254.169.254",  // most clouds
    "169.254.170.2",    // container credentials of ECS
    "169.254.170.23",   // pod identity of EKS
    "168.63.129.16",    // Azure's host
    "100.100.100.200",  // Alibaba
    "fd00:ec2::254",    // AWS
    "fd00:ec2::23",     // pod identity of EKS
    "fd20:ce::254",     // Google
});

constexpr std::array kRefusedIpv4 = std::to_array<NamedRange>({
    {"0.0.0.0/8", "an address of this network"},
    {"10.0.0.0/8", "a private address"},
    {"100.64.0.0/10", "a shared address"},
    {"127.0.0.0/8", "a loopback address"},
    {"169.254.0.0/16", "a link-local address"},
    {"172.16.0.0/12", "a private address"},
    {"192.0.0.0/24", "a protocol assignment"},
    {"192.0.2.0/24", "a documentation address"},
    {"192.88.99.0/24", "a 6to4 relay address"},
    {"192.168.0.0/16", "a private address"},
    {"198.18.0.0/15", "a benchmarking address"},
    {"198.51.100.0/24", "a documentation address"},
    {"203.0.113.0/24", "a documentation address"},
    {"224.0.0.0/4", "a multicast address"},
    {"240.0.0.0/4", "a reserved address"},
});

constexpr std::array kRefusedIpv6 = std::to_array<NamedRange>({
    {"::/128", "the unspecified address"},
    {"::1/128", "a loopback address"},
    {"64:ff9b:1::/48", "a local-use NAT64 address"},
    {"2001::/32", "a Teredo address"},
    {"2001::/23", "a protocol assignment"},
    {"2001:db8::/32", "a documentation address"},
    {"3fff::/20", "a documentation address"},
    {"fc00::/7", "a private address"},
    {"fe80::/10", "a link-local address"},
    {"fec0::/10", "a site-local address"},
    {"ff00::/8", "a multicast address"},
});

bool begins_with(const Bytes& bytes, const Bytes& network, int prefix) {
  const auto whole = static_cast<std::size_t>(prefix / 8);
  if (!std::equal(network.begin(), network.begin() + static_cast<std::ptrdiff_t>(whole),
                  bytes.begin())) {
    return false;
  }
  const int rest = prefix % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - rest));
  return (bytes[whole] & mask) == (network[whole] & mask);
}

IpAddress from_ipv4(std::span<const std::uint8_t, 4> four) {
  IpAddress out;
  out.bytes[10] = out.bytes[11] = 0xff;
  std::ranges::copy(four, out.bytes.begin() + 12);
  return out;
}

struct Cidr {
  IpAddress network;
  int prefix = 0;  ///< of 128
};

std::optional<Cidr> parse_cidr(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = parse_ip(text.substr(0, slash));
  const std::string_view digits = text.substr(slash + 1);
  if (!address || digits.empty() || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  const bool ipv4 = text.substr(0, slash).find(':') == std::string_view::npos;
  int prefix = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
  if (error != std::errc() || end != digits.data() + digits.size() || prefix < 0 ||
      prefix > (ipv4 ? 32 : 128)) {
    return std::nullopt;
  }
  return Cidr{*address, ipv4 ? prefix + 96 : prefix};
}

/// The IPv4 address that `address` stands for, when it is a form that carries one to its end.
IpAddress normalised(const IpAddress& address) {
  static constexpr Bytes kZero{};
  static constexpr Bytes kNat64 = {0, 0x64, 0xff, 0x9b};
  static constexpr Bytes k6to4 = {0x20, 0x02};
  const Bytes& b = address.bytes;
  const bool compatible = begins_with(b, kZero, 96) && !begins_with(b, kZero, 112);
  if (compatible || begins_with(b, kNat64, 96)) {
    return from_ipv4(std::span<const std::uint8_t, 4>(b.data() + 12, 4));
  }
  if (begins_with(b, k6to4, 16)) {
    return from_ipv4(std::span<const std::uint8_t, 4>(b.data() + 2, 4));
  }
  return address;
}

bool is_metadata(const IpAddress& address) {
  return std::ranges::any_of(kMetadata,
                             [&](std::string_view text) { return *parse_ip(text) == address; });
}

/// What the address is, if it is refused; empty if it belongs to the public internet.
std::string_view refused_range(const IpAddress& address) {
  const auto holds = [&](const NamedRange& range) {
    const auto cidr = parse_cidr(range.cidr);
    return begins_with(address.bytes, cidr->network.bytes, cidr->prefix);
  };
  if (address.is_ipv4()) {
    const auto* found = std::ranges::find_if(kRefusedIpv4, holds);
    return found == kRefusedIpv4.end() ? std::string_view() : found->name;
  }
  const auto* found = std::ranges::find_if(kRefusedIpv6, holds);
  if (found != kRefusedIpv6.end()) return found->name;
  // Only 2000::/3 is handed out for the internet (RFC 4291); the rest has no business here.
  return (address.bytes[0] & 0xe0) == 0x20 ? "" : "not a global unicast address";
}

}  // namespace

bool IpAddress::is_ipv4() const {
  static constexpr Bytes kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return begins_with(bytes, kMapped, 96);
}

std::string IpAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> out{};
  if (is_ipv4()) {
    ::inet_ntop(AF_INET, bytes.data() + 12, out.data(), out.size());
  } else {
    ::inet_ntop(AF_INET6, bytes.data(), out.data(), out.size());
  }
  return out.data();
}

Result<IpAddress> parse_ip(std::string_view text) {
  const std::string copy(text);
  std::array<std::uint8_t, 4> four{};
  IpAddress out;
  const bool whole = !text.contains('\0');
  if (whole && ::inet_pton(AF_INET, copy.c_str(), four.data()) == 1) return from_ipv4(four);
  if (whole && ::inet_pton(AF_INET6, copy.c_str(), out.bytes.data()) == 1) return out;
  return failure(ErrorKind::InvalidInput, "not an IP address");
}

Result<AddressPolicy::Range> AddressPolicy::parse_exception(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return failure(ErrorKind::InvalidInput,
                   "allowed address \"" + std::string(text) + "\" " + std::string(why));
  };
  constexpr std::string_view kForms =
      "is not of the form 10.0.0.0/8, 10.0.0.0/8:443, fd00::/8 or [fd00::]/8:443";
  std::string range(text);
  std::string port;
  const std::size_t slash = range.find('/');
  if (slash == std::string::npos) return refuse(kForms);
  if (const std::size_t colon = range.find(':', slash); colon != std::string::npos) {
    port = range.substr(colon + 1);
    range.resize(colon);
    if (port.empty()) return refuse(kForms);
  }
  const bool brackets = range.starts_with('[') && range[slash - 1] == ']';
  if (brackets) range = range.substr(1, slash - 2) + range.substr(slash);
  const bool ipv6 = range.contains(':');
  if (brackets ? !ipv6 : ipv6 && !port.empty()) return refuse(kForms);
  const auto cidr = parse_cidr(range);
  if (!cidr) return refuse(kForms);
  Range out{cidr->network, cidr->prefix, 0};
  for (int bit = cidr->prefix; bit < 128; ++bit) {
    if ((cidr->network.bytes[static_cast<std::size_t>(bit / 8)] & (0x80 >> (bit % 8))) != 0) {
      return refuse("has address bits beyond its prefix");
    }
  }
  if (port.empty()) return out;
  int number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number < 1 || number > 65535) {
    return refuse("has a port that is not a number from 1 to 65535");
  }
  out.port = static_cast<std::uint16_t>(number);
  return out;
}

Result<AddressPolicy> AddressPolicy::parse(const std::vector<std::string>& exceptions) {
  AddressPolicy policy;
  for (const std::string& text : exceptions) {
    auto range = parse_exception(text);
    if (!range) return std::unexpected(range.error());
    policy.exceptions_.push_back(*range);
  }
  return policy;
}

bool AddressPolicy::named(const IpAddress& address, std::uint16_t port, int at_least) const {
  return std::ranges::any_of(exceptions_, [&](const Range& range) {
    return range.prefix >= at_least && (range.port == 0 || range.port == port) &&
           begins_with(address.bytes, range.network.bytes, range.prefix);
  });
}

Result<void> AddressPolicy::check(const IpAddress& address, std::uint16_t port) const {
  const IpAddress meant = normalised(address);
  const bool metadata = is_metadata(meant) || is_metadata(address);
  const std::string_view range = metadata ? "a cloud metadata address" : refused_range(meant);
  if (range.empty()) return {};
  const int at_least = metadata ? 128 : 0;
  if (named(meant, port, at_least) || named(address, port, at_least)) return {};
  std::string shown = address.text();
  if (meant != address) shown += " (" + meant.text() + ")";
  return failure(ErrorKind::Denied, "its address " + shown + " is " + std::string(range) +
                                        ", and no allowed address range names it (port " +
                                        std::to_string(port) + ")");
}

Result<void> AddressPolicy::check(const sockaddr* address, std::size_t length) const {
  IpAddress ip;
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof(in));
    std::array<std::uint8_t, 4> four{};
    std::memcpy(four.data(), &in.sin_addr, four.size());
    return check(from_ipv4(four), ntohs(in.sin_port));
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, address, sizeof(in6));
    std::memcpy(ip.bytes.data(), &in6.sin6_addr, ip.bytes.size());
    return check(ip, ntohs(in6.sin6_port));
  }
  return failure(ErrorKind::Denied, "its address is neither IPv4 nor IPv6");
}

}  // namespace sandboxrun::agent
