#pragma once

#include <signal.h>

#include <functional>

#include "operator/base/fd.h"

namespace sandboxrun::cli {

/// Calls back for each SIGINT, SIGTERM and SIGHUP in the thread that watches.
/// Blocks these and SIGPIPE in the thread that makes it, so make it before other threads; what was
/// blocked before is restored in the destructor. A signal that comes while nobody watches waits for
/// the next watch(), and is dropped by the destructor. Programs that are started meanwhile inherit
/// the mask and must reset it.
class SignalWatcher {
 public:
  /// `called(signal, count)`: `count` is 1 for the first signal of any of the three.
  explicit SignalWatcher(std::function<void(int signal, int count)> called);
  ~SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

  /// Calls back until `over`, a descriptor, becomes readable.
  void watch(int over);

 private:
  std::function<void(int, int)> called_;
  int count_ = 0;
  sigset_t previous_{};
  UniqueFd signals_;
};

}  // namespace sandboxrun::cli
