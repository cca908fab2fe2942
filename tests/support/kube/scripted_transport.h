#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "operator/kube/transport.h"

namespace sandboxrun::kube {

/// A Transport whose answers a test writes down beforehand, in the order of the calls. It is for
/// what no server can be made to do at a given moment; it keeps every request.
class ScriptedTransport final : public Transport {
 public:
  using Answer = std::function<Result<Response>(const Request&)>;
  /// Lines, then the end; `StreamEnd::Stopped` as the end: stays open until it is stopped.
  struct Stream {
    std::vector<std::string> lines;
    Result<StreamEnd> end = StreamEnd::Closed;
  };

  /// Answers all calls of roundtrip instead of the script.
  void answer_all(Answer answer) { answer_ = std::move(answer); }

  void then(std::string body) { push(Result<Response>(Response{200, std::move(body)})); }
  void then(Error error) { push(Result<Response>(std::unexpected(std::move(error)))); }
  void then(Stream stream) { push(std::move(stream)); }

  Result<Response> roundtrip(const Request& request, std::stop_token stop) override {
    keep(request);
    if (answer_) return answer_(request);
    auto next = pop(stop);
    if (!next) return failure(ErrorKind::Cancelled, "stopped");
    if (auto* response = std::get_if<Result<Response>>(&*next)) return std::move(*response);
    return failure(ErrorKind::Malformed, "the script has a stream here");
  }

  Result<StreamEnd> stream(const Request& request, const LineSink& sink,
                           std::stop_token stop) override {
    keep(request);
    auto next = pop(stop);
    if (!next) return failure(ErrorKind::Cancelled, "stopped");
    if (auto* refused = std::get_if<Result<Response>>(&*next)) {
      return std::unexpected(refused->error());
    }
    auto& script = std::get<Stream>(*next);
    for (const auto& line : script.lines) {
      if (!sink(line)) return StreamEnd::Stopped;
    }
    if (script.end && *script.end == StreamEnd::Stopped) {
      wait_for_stop(stop);
      return failure(ErrorKind::Cancelled, "stopped");
    }
    return script.end;
  }

  std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  /// Waits until that many calls were made.
  void wait_for_calls(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return requests_.size() >= count; });
  }

 private:
  using Next = std::variant<Result<Response>, Stream>;

  void push(Next next) {
    const std::lock_guard lock(mutex_);
    script_.push_back(std::move(next));
    changed_.notify_all();
  }
  void keep(const Request& request) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    changed_.notify_all();
  }
  std::optional<Next> pop(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [this] { return !script_.empty(); })) return std::nullopt;
    Next next = std::move(script_.front());
    script_.pop_front();
    return next;
  }
  void wait_for_stop(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [] { return false; });
  }

  Answer answer_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Next> script_;
  std::vector<Request> requests_;
};

/// The value of a request's query, or "(none)".
inline std::string query(const Request& request, std::string_view name) {
  for (const auto& [key, value] : request.query) {
    if (key == name) return value;
  }
  return "(none)";
}

/// An Error as a call gives it.
inline Error call_error(ErrorKind kind) {
  Error error;
  error.kind = kind;
  error.message = std::string(to_string(kind));
  return error;
}

}  // namespace sandboxrun::kube
