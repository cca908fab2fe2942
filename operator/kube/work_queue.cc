#include "operator/kube/work_queue.h"

#include <algorithm>

namespace sandboxrun::kube {
namespace {

// How long a worker sleeps at most; it is woken for everything anyway.
constexpr std::chrono::seconds kHeartbeat{10};

double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

WorkQueue::WorkQueue(WorkQueueOptions options, Clock& clock, Metrics& metrics)
    : options_(std::move(options)),
      clock_(clock),
      metrics_(metrics),
      bucket_(options_.burst, options_.interval) {}

void WorkQueue::add(const ObjectName& key, Lane lane) {
  const std::lock_guard lock(mutex_);
  add_locked(key, lane);
}

void WorkQueue::add_locked(const ObjectName& key, Lane lane) {
  if (!open_) return;
  const auto [entry, fresh] = dirty_.try_emplace(key, Waiting{lane, clock_.now()});
  const bool working = processing_.contains(key);
  if (fresh) {
    metrics_.add(metric::kQueueAdds, options_.name, 1);
    if (!working) enqueue(key, lane);
  } else if (entry->second.lane == Lane::Background && lane == Lane::Live) {
    entry->second.lane = Lane::Live;
    if (!working) {
      live_.push_back(key);  // its place among the others becomes a leftover
      wake_one();
    }
  }
}

void WorkQueue::enqueue(const ObjectName& key, Lane lane) {
  (lane == Lane::Live ? live_ : background_).push_back(key);
  ++queued_;
  publish_depth();
  wake_one();
}

void WorkQueue::add_after(const ObjectName& key, std::chrono::nanoseconds delay, Lane lane) {
  const std::lock_guard lock(mutex_);
  add_after_locked(key, delay, lane);
}

void WorkQueue::add_after_locked(const ObjectName& key, std::chrono::nanoseconds delay, Lane lane) {
  if (!open_) return;
  if (delay <= std::chrono::nanoseconds(0)) return add_locked(key, lane);
  const Instant due = clock_.now() + delay;
  const auto [entry, fresh] = delayed_.try_emplace(key, Delayed{due, lane});
  if (fresh) {
    schedule_.emplace(due, key);
  } else {
    entry->second.lane = std::min(entry->second.lane, lane);
    if (entry->second.due <= due) return;
    schedule_.erase({entry->second.due, key});
    entry->second.due = due;
    schedule_.emplace(due, key);
  }
  if (due < kept_until_) wake_one();
}

void WorkQueue::add_rate_limited(const ObjectName& key, Lane lane) {
  const std::lock_guard lock(mutex_);
  if (!open_) return;
  metrics_.add(metric::kQueueRetries, options_.name, 1);
  const int failed = failures_[key]++;
  // 2^40 base delays are over every cap.
  const auto grown = options_.base_delay * (std::int64_t{1} << std::min(failed, 40));
  const std::chrono::nanoseconds own = std::min(grown, options_.max_delay);
  add_after_locked(key, std::max(own, bucket_.reserve(clock_.now())), lane);
}

void WorkQueue::forget(const ObjectName& key) {
  const std::lock_guard lock(mutex_);
  failures_.erase(key);
}

int WorkQueue::failures(const ObjectName& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = failures_.find(key);
  return found == failures_.end() ? 0 : found->second;
}

std::optional<ObjectName> WorkQueue::get(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (open_ && !stop.stop_requested()) {
    const Instant now = clock_.now();
    move_due(now);
    const Instant due = next_due();
    if (auto key = pop()) {
      // Somebody else must look after what is scheduled, unless somebody does.
      if (due < kept_until_) wake_one();
      return key;
    }
    wait(lock, stop, now);
  }
  return std::nullopt;
}

void WorkQueue::wait(std::unique_lock<std::mutex>& lock, const std::stop_token& stop, Instant now) {
  std::condition_variable_any wake;
  const Instant due = next_due();
  const bool keeps = due < kept_until_;
  if (keeps) kept_until_ = due;
  waiting_.insert(keeps ? waiting_.begin() : waiting_.end(), &wake);
  clock_.wait(wake, lock, stop, keeps ? due : now + kHeartbeat);
  std::erase(waiting_, &wake);
  if (keeps && kept_until_ == due) kept_until_ = Instant::max();
}

void WorkQueue::wake_one() {
  if (waiting_.empty()) return;
  waiting_.back()->notify_one();
  waiting_.pop_back();
}

Instant WorkQueue::next_due() const {
  return schedule_.empty() ? Instant::max() : schedule_.begin()->first;
}

void WorkQueue::move_due(Instant now) {
  while (!schedule_.empty() && schedule_.begin()->first <= now) {
    const ObjectName key = schedule_.begin()->second;
    schedule_.erase(schedule_.begin());
    const Lane lane = delayed_.at(key).lane;
    delayed_.erase(key);
    add_locked(key, lane);
  }
}

std::optional<ObjectName> WorkQueue::pop() {
  for (const Lane lane : {Lane::Live, Lane::Background}) {
    auto& queue = lane == Lane::Live ? live_ : background_;
    while (!queue.empty()) {
      ObjectName key = std::move(queue.front());
      queue.pop_front();
      const auto waiting = dirty_.find(key);
      if (waiting == dirty_.end() || waiting->second.lane != lane || processing_.contains(key)) {
        continue;
      }
      const Instant now = clock_.now();
      metrics_.observe(metric::kQueueDuration, options_.name, seconds(now - waiting->second.since));
      dirty_.erase(waiting);
      processing_.emplace(key, now);
      --queued_;
      publish_depth();
      return key;
    }
  }
  return std::nullopt;
}

void WorkQueue::done(const ObjectName& key) {
  const std::lock_guard lock(mutex_);
  const auto found = processing_.find(key);
  if (found == processing_.end()) return;
  metrics_.observe(metric::kWorkDuration, options_.name, seconds(clock_.now() - found->second));
  processing_.erase(found);
  if (const auto again = dirty_.find(key); again != dirty_.end()) {
    enqueue(key, again->second.lane);
  }
  if (processing_.empty()) idle_.notify_all();
}

void WorkQueue::shut_down() {
  const std::lock_guard lock(mutex_);
  open_ = false;
  dirty_.clear();
  live_.clear();
  background_.clear();
  delayed_.clear();
  schedule_.clear();
  queued_ = 0;
  publish_depth();
  while (!waiting_.empty()) wake_one();
}

bool WorkQueue::drain(std::chrono::nanoseconds patience) {
  std::unique_lock lock(mutex_);
  const Instant until = clock_.now() + patience;
  while (!processing_.empty()) {
    if (clock_.now() >= until) return false;
    clock_.wait(idle_, lock, {}, until);
  }
  return true;
}

std::size_t WorkQueue::depth() const {
  const std::lock_guard lock(mutex_);
  return queued_;
}

std::size_t WorkQueue::processing() const {
  const std::lock_guard lock(mutex_);
  return processing_.size();
}

void WorkQueue::publish_metrics() {
  const std::lock_guard lock(mutex_);
  const Instant now = clock_.now();
  double sum = 0;
  double longest = 0;
  for (const auto& [key, since] : processing_) {
    sum += seconds(now - since);
    longest = std::max(longest, seconds(now - since));
  }
  metrics_.set(metric::kUnfinishedWork, options_.name, sum);
  metrics_.set(metric::kLongestRunning, options_.name, longest);
  publish_depth();
}

void WorkQueue::publish_depth() {
  metrics_.set(metric::kQueueDepth, options_.name, static_cast<double>(queued_));
}

}  // namespace sandboxrun::kube
