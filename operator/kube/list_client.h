#pragma once

#include <cstddef>
#include <memory>
#include <stop_token>

#include "operator/kube/wire.h"

namespace sandboxrun::kube {

/// Lists, which are long and come at once: one cpprestsdk http_client and its kept connections to
/// one endpoint. Everything of cpprestsdk stays behind this border. Guarantees: thread safe;
/// `exchange` blocks the caller only, keeps its times by its own clock (a hung DNS query cannot
/// hold it), and gives the body to `sink` on the caller's thread; the next piece is read from the
/// connection when the sink is done. No redirects, no compression. Caveats: an exchange given up
/// goes on in the background until its socket is closed. Dead peers are noticed by TCP (keepalive,
/// user timeout) only where the endpoint, or the proxy if there is one, is an IP address, and not
/// through a proxy's tunnel: for names the library chooses the socket's family itself.
class ListClient {
 public:
  explicit ListClient(WireSettings settings);
  ~ListClient();
  ListClient(const ListClient&) = delete;
  ListClient& operator=(const ListClient&) = delete;

  WireOutcome exchange(const WireRequest& request, const BodySink& sink, std::stop_token stop);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Starts the library's threads; only the first call in a process counts.
void start_list_threads(std::size_t count);

}  // namespace sandboxrun::kube
