#pragma once

#include <cpprest/astreambuf.h>
#include <pplx/pplxtasks.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/kube/wire.h"

namespace sandboxrun::kube {

/// What the library's threads and the waiting caller share during one exchange: one piece of the
/// body at a time, which is the back-pressure.
/// Guarantees: thread safe. The library may call after the caller has gone (`abandon`).
class ExchangeState {
 public:
  // From the library's threads.
  void set_head(WireHead head);
  void set_failed(std::string what);
  void set_complete();
  /// The task ends when the caller has dealt with the piece; it fails if the caller has gone.
  pplx::task<std::size_t> offer(const std::uint8_t* data, std::size_t size);

  /// From the caller: waits for the exchange and passes the pieces on.
  WireOutcome wait(const WireRequest& request, const BodySink& sink, std::stop_token stop);

 private:
  using Lock = std::unique_lock<std::mutex>;
  using End = WireOutcome::End;
  End pass_body(Lock& lock, const WireRequest& request, const BodySink& sink,
                const std::stop_token& stop);
  bool deliver(Lock& lock, const BodySink& sink);
  void abandon(Lock& lock);

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<WireHead> head_;
  std::string_view piece_;
  std::optional<pplx::task_completion_event<std::size_t>> piece_taken_;
  bool done_ = false;
  bool failed_ = false;
  bool abandoned_ = false;
  std::string failure_;
};

/// A stream buffer for the library to write the body into; it passes each piece to the state.
concurrency::streams::streambuf<std::uint8_t> make_body_buffer(
    std::shared_ptr<ExchangeState> state);

}  // namespace sandboxrun::kube
