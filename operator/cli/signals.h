#pragma once

#include <signal.h>

#include <functional>
#include <thread>

#include "operator/base/fd.h"

namespace sandboxrun::cli {

/// Calls back for each SIGINT, SIGTERM and SIGHUP from a thread of its own while it lives.
/// Blocks these and SIGPIPE in the calling thread, so create it before other threads; what was
/// blocked before is restored in the destructor. Programs that are started meanwhile inherit the
/// mask and must reset it.
class SignalWatcher {
 public:
  /// `called(signal, count)`: `count` is 1 for the first signal of any of the three.
  explicit SignalWatcher(std::function<void(int signal, int count)> called);
  ~SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  void watch();

  std::function<void(int, int)> called_;
  sigset_t previous_{};
  UniqueFd signals_;
  UniqueFd over_;  ///< readable when the watch is to end
  std::thread thread_;
};

}  // namespace sandboxrun::cli
