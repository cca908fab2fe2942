#pragma once

#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "operator/kube/metrics_hooks.h"

namespace sandboxrun::control {

enum class MetricType { Counter, Gauge, Histogram };

/// A metric as docs/reference/metrics.md lists it.
struct MetricFamily {
  std::string_view name;
  MetricType type = MetricType::Counter;
  std::string_view help;
  std::vector<std::string_view> labels;
  std::vector<double> buckets;  ///< upper bounds, rising; of histograms only
};

/// Every metric of the operator.
std::vector<MetricFamily> operator_metrics();

namespace metric {
inline constexpr std::string_view kReconciles = "controller_runtime_reconcile_total";
inline constexpr std::string_view kReconcileErrors = "controller_runtime_reconcile_errors_total";
inline constexpr std::string_view kReconcilePanics = "controller_runtime_reconcile_panics_total";
inline constexpr std::string_view kReconcileTimeouts =
    "controller_runtime_reconcile_timeouts_total";
inline constexpr std::string_view kReconcileTime = "controller_runtime_reconcile_time_seconds";
inline constexpr std::string_view kActiveWorkers = "controller_runtime_active_workers";
inline constexpr std::string_view kMaxWorkers = "controller_runtime_max_concurrent_reconciles";
inline constexpr std::string_view kRestRequests = "rest_client_requests_total";
inline constexpr std::string_view kRuns = "sandboxrun_runs";
inline constexpr std::string_view kRunsEnded = "sandboxrun_runs_ended_total";
inline constexpr std::string_view kAttempts = "sandboxrun_attempts_created_total";
inline constexpr std::string_view kIsolation = "sandboxrun_network_isolation";
inline constexpr std::string_view kRefusals = "sandboxrun_pod_refusals_total";
inline constexpr std::string_view kRunStart = "sandboxrun_run_start_seconds";
inline constexpr std::string_view kRunDuration = "sandboxrun_run_duration_seconds";
inline constexpr std::string_view kMemory = "process_resident_memory_bytes";
inline constexpr std::string_view kCpu = "process_cpu_seconds_total";
}  // namespace metric

/// Keeps numbers and shows them in Prometheus' text format, version 0.0.4.
/// Guarantees: thread safe; label values are escaped; families come in the order they were given,
/// series in the order of their labels.
/// Caveats: a metric that is no family, or has another number of labels, is left out.
class MetricsRegistry final : public kube::Metrics {
 public:
  explicit MetricsRegistry(std::vector<MetricFamily> families);

  void add(std::string_view metric, std::string_view name, double by) override;
  void set(std::string_view metric, std::string_view name, double value) override;
  void observe(std::string_view metric, std::string_view name, double value) override;

  using Labels = std::vector<std::string>;  ///< values, in the order of the family's labels
  void add(std::string_view metric, const Labels& labels, double by);
  void set(std::string_view metric, const Labels& labels, double value);
  void observe(std::string_view metric, const Labels& labels, double value);
  /// Forgets all series of a metric: for gauges that are counted anew each time.
  void clear(std::string_view metric);

  std::string expose() const;

 private:
  struct Series {
    double value = 0;                   // counters and gauges; the sum of a histogram
    std::vector<std::uint64_t> counts;  // by bucket, not added up; one more for what is over all
  };
  struct Family {
    MetricFamily description;
    std::map<Labels, Series> series;
  };

  Series* find(std::string_view metric, const Labels& labels);
  static void write(const Family& family, std::string& out);

  mutable std::mutex mutex_;
  std::vector<Family> families_;
  std::map<std::string_view, std::size_t> by_name_;
};

/// What /proc says of this process, as kMemory and kCpu.
void measure_process(MetricsRegistry& metrics);

}  // namespace sandboxrun::control
