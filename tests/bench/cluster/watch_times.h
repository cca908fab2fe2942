#pragma once

#include <chrono>
#include <condition_variable>
#include <ctime>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "operator/base/document.h"
#include "operator/kube/api.h"
#include "operator/kube/transport.h"

namespace sandboxrun::bench {

using Clock = std::chrono::steady_clock;

/// Notes when each object of one kind in one namespace was first seen to have reached something.
/// Watches from its construction to its destruction; assumes that no watch breaks meanwhile. If one
/// does, whoever waits is told by an exception.
class WatchTimes {
 public:
  /// `reached` gives a word for what an object has reached ("" for nothing); the first time of each
  /// word is kept. Without it, events are read and left undecoded. `transport` must outlive the
  /// object.
  WatchTimes(kube::Transport& transport, const kube::Resource& resource,
             const std::string& namespace_name, std::function<std::string(const Node&)> reached);
  ~WatchTimes();
  WatchTimes(const WatchTimes&) = delete;
  WatchTimes& operator=(const WatchTimes&) = delete;

  /// Waits until the object `name` has reached `word`; throws std::runtime_error after `patience`.
  Clock::time_point wait(const std::string& name, const std::string& word,
                         std::chrono::seconds patience = std::chrono::seconds(120));
  /// Waits until so many objects have reached it; when the last one did.
  Clock::time_point wait_count(std::size_t count, const std::string& word,
                               std::chrono::seconds patience);
  std::optional<Clock::time_point> time(const std::string& name, const std::string& word);
  /// CPU time of the watch so far, in milliseconds.
  double cpu_ms();

 private:
  void watch(const kube::Request& request, std::stop_token stop);
  bool take(std::string_view line);
  void broke(const std::string& why);

  kube::Transport& transport_;
  std::function<std::string(const Node&)> reached_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::map<std::string, Clock::time_point>> times_;  ///< by word and name
  std::string broken_;  ///< why there will be no more times
  bool ending_ = false;
  std::jthread thread_;
};

/// The text at a path of keys of an object; "" if it is not there.
std::string text_at(const Node& node, std::initializer_list<std::string_view> path);
/// The reason of a condition, if its status is `status`; else "".
std::string condition_reason(const Node& object, std::string_view type, std::string_view status);

/// What a clock shows, e.g. the CPU time of a thread, in milliseconds.
double clock_ms(clockid_t clock);

/// Throws std::runtime_error.
[[noreturn]] void fail(const std::string& message);

}  // namespace sandboxrun::bench
