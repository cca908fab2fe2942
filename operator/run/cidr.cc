#include "operator/run/cidr.h"

#include <arpa/inet.h>

#include <charconv>
#include <string>

namespace sandboxrun::run {
namespace {

bool bit(const Cidr& cidr, int index) {
  const auto byte = cidr.bytes[static_cast<std::size_t>(index / 8)];
  return ((byte >> (7 - index % 8)) & 1) != 0;
}

int width(const Cidr& cidr) {
  return cidr.ipv6 ? 128 : 32;
}

}  // namespace

std::optional<Cidr> parse_address(std::string_view text) {
  const std::string address(text);
  if (address.find('\0') != std::string::npos) return std::nullopt;
  Cidr out;
  if (::inet_pton(AF_INET, address.c_str(), out.bytes.data()) == 1) {
    out.prefix = 32;
    return out;
  }
  if (::inet_pton(AF_INET6, address.c_str(), out.bytes.data()) == 1) {
    out.ipv6 = true;
    out.prefix = 128;
    return out;
  }
  return std::nullopt;
}

std::optional<Cidr> parse_cidr(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  auto out = parse_address(text.substr(0, slash));
  const std::string_view digits = text.substr(slash + 1);
  int prefix = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
  const bool leading_zero = digits.size() > 1 && digits.front() == '0';
  if (!out || error != std::errc{} || end != digits.data() + digits.size() || leading_zero ||
      prefix < 0 || prefix > width(*out)) {
    return std::nullopt;
  }
  out->prefix = prefix;
  for (int i = prefix; i < width(*out); ++i) {
    if (bit(*out, i)) return std::nullopt;
  }
  return out;
}

bool contains(const Cidr& outer, const Cidr& inner) {
  if (outer.ipv6 != inner.ipv6 || inner.prefix < outer.prefix) return false;
  for (int i = 0; i < outer.prefix; ++i) {
    if (bit(outer, i) != bit(inner, i)) return false;
  }
  return true;
}

}  // namespace sandboxrun::run
