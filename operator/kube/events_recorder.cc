#include "operator/kube/events_recorder.h"

#include <algorithm>
#include <utility>

namespace sandboxrun::kube {
namespace {

const Resource kEvents{.group = "events.k8s.io", .version = "v1", .plural = "events"};
constexpr std::chrono::minutes kTick{1};

bool is_worth_another_try(const Error& error) {
  return error.is_transient() || error.kind == ErrorKind::Unauthorized;
}

}  // namespace

EventRecorder::EventRecorder(EventRecorderOptions options, Transport& transport, Clock& clock,
                             Random random, Metrics& metrics)
    : options_(std::move(options)),
      transport_(transport),
      clock_(clock),
      random_(std::move(random)),
      metrics_(metrics),
      series_(options_.source),
      next_tick_(clock.now() + kTick) {}

EventRecorder::~EventRecorder() = default;

void EventRecorder::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void EventRecorder::record(const EventFacts& facts) {
  const std::lock_guard lock(mutex_);
  const auto dropped = series_.dropped();
  auto write = series_.observe(facts, clock_.now(), clock_.wall());
  if (series_.dropped() != dropped) metrics_.add(metric::kEventsDropped, "spam", 1);
  if (write) push(std::move(*write), clock_.now());
}

void EventRecorder::push(EventWrite write, Instant due) {
  if (pending_.size() >= options_.capacity) {
    metrics_.add(metric::kEventsDropped, "queue_full", 1);
    return;
  }
  pending_.push_back({.write = std::move(write), .due = due});
  wake_.notify_one();
}

void EventRecorder::run(const std::stop_token& stop) {
  Pending next;
  while (take_next(next, stop)) {
    const auto result = send(next.write, stop);
    finish(std::move(next), result);
  }
}

// Waits for a write that is due, and takes it out.
bool EventRecorder::take_next(Pending& next, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const Instant now = clock_.now();
    if (now >= next_tick_) {
      next_tick_ = now + kTick;
      for (auto& write : series_.due(now)) push(std::move(write), now);
    }
    const auto first = std::ranges::min_element(pending_, {}, &Pending::due);
    if (first != pending_.end() && (first->due <= now || flushing_)) {
      next = std::move(*first);
      pending_.erase(first);
      sending_ = true;
      return true;
    }
    const Instant until = first == pending_.end() ? next_tick_ : std::min(first->due, next_tick_);
    clock_.wait(wake_, lock, stop, until);
  }
  return false;
}

void EventRecorder::finish(Pending pending, const Result<Response>& result) {
  const bool sent = result.has_value();
  {
    const std::lock_guard lock(mutex_);
    sending_ = false;
    ++pending.tried;
    const bool again = !sent && !flushing_ && pending.tried < options_.tries &&
                       is_worth_another_try(result.error());
    if (again) {
      const auto pause =
          std::chrono::duration<double, std::milli>(options_.pause) * (1.0 + 0.25 * random_());
      pending.due = clock_.now() + std::chrono::duration_cast<std::chrono::nanoseconds>(pause);
      pending_.push_back(std::move(pending));
    } else {
      metrics_.add(sent ? metric::kEventsSent : metric::kEventsDropped, sent ? "sent" : "refused",
                   1);
    }
    if (pending_.empty()) idle_.notify_all();
  }
  if (!sent && on_problem_) on_problem_(result.error());
}

Result<Response> EventRecorder::send(const EventWrite& write, const std::stop_token& stop) {
  const auto create = [&]() -> Result<Response> {
    auto created = transport_.roundtrip(
        create_request(kEvents, write.name.namespace_name, write.create_body), stop);
    // An earlier try had arrived after all.
    if (!created && created.error().kind == ErrorKind::AlreadyExists) return Response{};
    return created;
  };
  if (write.is_create()) return create();
  auto patched =
      transport_.roundtrip(merge_patch_request(kEvents, write.name, write.patch_body), stop);
  if (!patched && patched.error().kind == ErrorKind::NotFound) return create();
  return patched;
}

bool EventRecorder::flush(std::chrono::nanoseconds patience) {
  std::unique_lock lock(mutex_);
  const Instant until = clock_.now() + patience;
  flushing_ = true;
  wake_.notify_all();
  while (!pending_.empty() || sending_) {
    if (clock_.now() >= until) break;
    clock_.wait(idle_, lock, {}, until);
  }
  flushing_ = false;
  return pending_.empty() && !sending_;
}

}  // namespace sandboxrun::kube
