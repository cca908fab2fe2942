#include "tests/bench/cluster/watch_times.h"

#include <pthread.h>

#include <array>
#include <stdexcept>

namespace sandboxrun::bench {

void fail(const std::string& message) {
  throw std::runtime_error(message);
}

std::string text_at(const Node& node, std::initializer_list<std::string_view> path) {
  const Node* here = &node;
  for (const std::string_view key : path) {
    if ((here = here->find(key)) == nullptr) return "";
  }
  return here->text;
}

std::string condition_reason(const Node& object, std::string_view type, std::string_view status) {
  const Node* part = object.find("status");
  const Node* conditions = part == nullptr ? nullptr : part->find("conditions");
  if (conditions == nullptr) return "";
  for (const Node& each : conditions->items) {
    if (text_at(each, {"type"}) == type && text_at(each, {"status"}) == status) {
      return text_at(each, {"reason"});
    }
  }
  return "";
}

WatchTimes::WatchTimes(kube::Transport& transport, const kube::Resource& resource,
                       const std::string& namespace_name,
                       std::function<std::string(const Node&)> reached)
    : transport_(transport), reached_(std::move(reached)) {
  const kube::Selection selection{
      .namespace_name = namespace_name, .label_selector = "", .field_selector = ""};
  const auto list = transport.roundtrip(kube::list_request(resource, selection, {}), {});
  if (!list) fail(list.error().message);
  const auto parsed =
      parse_json(list->body, {.max_bytes = std::size_t{512} << 20, .max_depth = 64});
  if (!parsed) fail(parsed.error().message);
  kube::WatchOptions options;
  options.resource_version = text_at(*parsed, {"metadata", "resourceVersion"});
  options.timeout = std::chrono::seconds(3000);
  const kube::Request request = kube::watch_request(resource, selection, options);
  thread_ = std::jthread([this, request](std::stop_token stop) { watch(request, stop); });
}

WatchTimes::~WatchTimes() {
  const std::lock_guard lock(mutex_);
  ending_ = true;
  thread_.request_stop();
}

void WatchTimes::watch(const kube::Request& request, std::stop_token stop) {
  const auto ended =
      transport_.stream(request, [this](std::string_view line) { return take(line); }, stop);
  broke("a watch ended" + (ended ? "" : ": " + ended.error().message));
}

void WatchTimes::broke(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (ending_ || !broken_.empty()) return;
  broken_ = why;
  changed_.notify_all();
}

bool WatchTimes::take(std::string_view line) {
  if (!reached_) return true;
  const auto now = Clock::now();
  // What is measured uses the same processors.
  constexpr std::array<std::string_view, 3> kLeftOut = {"object", "metadata", "managedFields"};
  const auto event = parse_machine_json(line, kLeftOut);
  if (!event) {
    broke("a watch event: " + event.error().message);
    return false;
  }
  const Node* object = event->find("object");
  if (object == nullptr || text_at(*event, {"type"}) == "BOOKMARK") return true;
  const std::string word = reached_(*object);
  if (word.empty()) return true;
  const std::lock_guard lock(mutex_);
  times_[word].emplace(text_at(*object, {"metadata", "name"}), now);
  changed_.notify_all();
  return true;
}

Clock::time_point WatchTimes::wait(const std::string& name, const std::string& word,
                                   std::chrono::seconds patience) {
  std::unique_lock lock(mutex_);
  const bool came = changed_.wait_for(
      lock, patience, [&] { return times_[word].contains(name) || !broken_.empty(); });
  if (!broken_.empty()) fail(broken_);
  if (!came) fail(name + " has not come to " + word);
  return times_[word].at(name);
}

Clock::time_point WatchTimes::wait_count(std::size_t count, const std::string& word,
                                         std::chrono::seconds patience) {
  std::unique_lock lock(mutex_);
  const bool came = changed_.wait_for(
      lock, patience, [&] { return times_[word].size() >= count || !broken_.empty(); });
  if (!broken_.empty()) fail(broken_);
  if (!came) {
    fail(std::to_string(times_[word].size()) + " of " + std::to_string(count) +
         " objects have come to " + word);
  }
  Clock::time_point last{};
  for (const auto& [name, time] : times_[word]) last = std::max(last, time);
  return last;
}

std::optional<Clock::time_point> WatchTimes::time(const std::string& name,
                                                  const std::string& word) {
  const std::lock_guard lock(mutex_);
  const auto found = times_[word].find(name);
  if (found == times_[word].end()) return std::nullopt;
  return found->second;
}

double WatchTimes::cpu_ms() {
  clockid_t clock{};
  if (pthread_getcpuclockid(thread_.native_handle(), &clock) != 0) {
    fail("the watch's CPU time cannot be read");
  }
  return clock_ms(clock);
}

double clock_ms(clockid_t clock) {
  timespec now{};
  if (clock_gettime(clock, &now) != 0) fail("a clock cannot be read");
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

}  // namespace sandboxrun::bench
