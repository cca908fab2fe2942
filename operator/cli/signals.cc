#include "operator/cli/signals.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

namespace sandboxrun::cli {
namespace {

constexpr int kLookMilliseconds = 50;

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
  thread_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

SignalWatcher::~SignalWatcher() {
  thread_.request_stop();
  thread_.join();
  // A SIGPIPE that is still pending would end us as soon as it is let through.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  const timespec now{};
  while (sigtimedwait(&pipe, nullptr, &now) == SIGPIPE) {
  }
  pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
}

void SignalWatcher::watch(const std::stop_token& stop) {
  int count = 0;
  while (!stop.stop_requested()) {
    pollfd waited{signals_.get(), POLLIN, 0};
    if (poll(&waited, 1, kLookMilliseconds) <= 0) continue;
    signalfd_siginfo info{};
    if (read(signals_.get(), &info, sizeof info) == sizeof info) {
      called_(static_cast<int>(info.ssi_signo), ++count);
    }
  }
}

}  // namespace sandboxrun::cli
