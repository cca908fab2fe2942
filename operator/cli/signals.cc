#include "operator/cli/signals.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace sandboxrun::cli {
namespace {

sigset_t stopping_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

}  // namespace

SignalWatcher::SignalWatcher(std::function<void(int, int)> called) : called_(std::move(called)) {
  const sigset_t stopping = stopping_signals();
  sigset_t blocked = stopping;
  sigaddset(&blocked, SIGPIPE);  // a reader that went away is an error of write(), not our end
  pthread_sigmask(SIG_BLOCK, &blocked, &previous_);
  signals_ = UniqueFd(signalfd(-1, &stopping, SFD_CLOEXEC | SFD_NONBLOCK));
}

SignalWatcher::~SignalWatcher() {
  // One that is still pending would end us as soon as it is let through.
  sigset_t pending = stopping_signals();
  sigaddset(&pending, SIGPIPE);
  const timespec now{};
  while (sigtimedwait(&pending, nullptr, &now) > 0) {
  }
  pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
}

void SignalWatcher::watch(int over) {
  std::array<pollfd, 2> waited{{{signals_.get(), POLLIN, 0}, {over, POLLIN, 0}}};
  for (;;) {
    if (poll(waited.data(), waited.size(), -1) < 0) continue;
    if (waited[1].revents != 0) return;
    signalfd_siginfo info{};
    if (read(signals_.get(), &info, sizeof info) == sizeof info) {
      called_(static_cast<int>(info.ssi_signo), ++count_);
    }
  }
}

}  // namespace sandboxrun::cli
