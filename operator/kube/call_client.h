#pragma once

#include <memory>
#include <stop_token>

#include "operator/kube/wire.h"

namespace sandboxrun::kube {

/// Calls and watches: libcurl, run by the calling thread, and the kept connections to one endpoint.
/// Everything of libcurl stays behind this border.
/// Guarantees: thread safe; `exchange` gives the body to `sink` on the caller's thread, and reads
/// on when the sink is done; it keeps its times whatever the peer or a name server does; a request
/// that may not be replayed is begun on a second connection only if nothing of it was sent on the
/// first. A dead peer is noticed by TCP, also through a proxy. No redirects, no compression,
/// nothing from the environment.
/// Assumptions: `prepare_calls` ran before.
/// Caveats: one connection per exchange under way; those that were not used for a minute are
/// closed at the next exchange.
class CallClient {
 public:
  explicit CallClient(const WireSettings& settings);
  ~CallClient();
  CallClient(const CallClient&) = delete;
  CallClient& operator=(const CallClient&) = delete;

  WireOutcome exchange(const WireRequest& request, const BodySink& sink,
                       const std::stop_token& stop);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Sets up libcurl for the process, before there are other threads; only the first call counts.
void prepare_calls();

}  // namespace sandboxrun::kube
