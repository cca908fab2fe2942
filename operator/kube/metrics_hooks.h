#pragma once

#include <string_view>

namespace sandboxrun::kube {

/// Where this folder's numbers go. All metrics have one label, `name`: which queue, reflector,
/// lease or recorder it is. The names are client-go's, so that existing dashboards fit.
/// Guarantees asked of an implementation: thread safe, quick, never throws.
class Metrics {
 public:
  virtual ~Metrics() = default;
  virtual void add(std::string_view metric, std::string_view name, double by) = 0;     ///< counter
  virtual void set(std::string_view metric, std::string_view name, double value) = 0;  ///< gauge
  virtual void observe(std::string_view metric, std::string_view name,
                       double value) = 0;  ///< histogram
};

/// Counts nothing.
class NoMetrics final : public Metrics {
 public:
  void add(std::string_view, std::string_view, double) override {}
  void set(std::string_view, std::string_view, double) override {}
  void observe(std::string_view, std::string_view, double) override {}
};

namespace metric {
inline constexpr std::string_view kQueueDepth = "workqueue_depth";            // gauge
inline constexpr std::string_view kQueueAdds = "workqueue_adds_total";        // counter
inline constexpr std::string_view kQueueRetries = "workqueue_retries_total";  // counter
/// Histograms, in seconds; client-go's buckets are 10e-9 * 10^i, i = 0..11.
inline constexpr std::string_view kQueueDuration = "workqueue_queue_duration_seconds";
inline constexpr std::string_view kWorkDuration = "workqueue_work_duration_seconds";
/// Gauges that only WorkQueue::publish_metrics brings up to date.
inline constexpr std::string_view kUnfinishedWork = "workqueue_unfinished_work_seconds";
inline constexpr std::string_view kLongestRunning = "workqueue_longest_running_processor_seconds";

inline constexpr std::string_view kReflectorLists = "reflector_lists_total";
inline constexpr std::string_view kReflectorListDuration = "reflector_list_duration_seconds";
inline constexpr std::string_view kReflectorItemsPerList = "reflector_items_per_list";
inline constexpr std::string_view kReflectorWatches = "reflector_watches_total";
inline constexpr std::string_view kReflectorShortWatches = "reflector_short_watches_total";
inline constexpr std::string_view kReflectorWatchDuration = "reflector_watch_duration_seconds";
inline constexpr std::string_view kReflectorItemsPerWatch = "reflector_items_per_watch";
inline constexpr std::string_view kReflectorVersion = "reflector_last_resource_version";

inline constexpr std::string_view kLeaderStatus = "leader_election_master_status";  // gauge, 0 or 1

/// Events that were given up: the queue was full, the object had too many, or sending failed.
inline constexpr std::string_view kEventsDropped = "events_dropped_total";
inline constexpr std::string_view kEventsSent = "events_sent_total";
}  // namespace metric

}  // namespace sandboxrun::kube
