#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/base/error.h"

namespace sandboxrun::agent {

/// Whether an address answers from here: what the operator asks of two pods, one whose network is
/// closed, to see whether network policies are enforced.
struct ProbeOrder {
  std::string address;  ///< IPv4 or IPv6, no name: DNS proves nothing
  std::uint16_t port = 0;
  std::chrono::milliseconds patience{10000};  ///< how long it is tried; policies may come late
  std::chrono::milliseconds pause{500};       ///< between two tries
};

struct ProbeReport {
  int attempts = 0;
  int answers = 0;
  std::string last;    ///< "answered", or what the last try came to: "Connection refused", ...
  std::string answer;  ///< the body of the latest answer, at most 128 bytes
};

/// "ADDRESS:PORT", an IPv6 address in brackets. Errors: InvalidInput.
Result<ProbeOrder> parse_probe_address(std::string_view text);

/// Asks over HTTP again and again, until the patience is over; the last try counts.
ProbeReport probe(const ProbeOrder& order, const std::stop_token& stop);

/// {"version":1,"attempts":20,"answers":0,"last":"...","answer":"..."}
std::string encode(const ProbeReport& report);

}  // namespace sandboxrun::agent
