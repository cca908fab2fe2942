#include "operator/control/metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <utility>

namespace sandboxrun::control {
namespace {

using enum MetricType;

// client-go's work queue: from 10 ns to 1000 s.
std::vector<double> queue_buckets() {
  std::vector<double> out;
  for (int i = 0; i < 12; ++i) out.push_back(1e-8 * std::pow(10, i));
  return out;
}

std::vector<double> second_buckets() {
  return {0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5,  1,    2.5,   5,
          10,    30,    60,   120,  300,  600, 1800, 3600, 7200, 21600, 86400};
}

std::vector<double> count_buckets() {
  return {1, 10, 100, 500, 1000, 5000, 10000, 50000};
}

void append_labels(std::string& out, const std::vector<std::string_view>& names,
                   const std::vector<std::string>& values, std::string_view more = "") {
  if (names.empty() && more.empty()) return;
  out += '{';
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += ',';
    out += names[i];
    out += "=\"";
    for (const char c : values[i]) {
      if (c == '\\' || c == '"') out += '\\';
      if (c == '\n') {
        out += "\\n";
      } else {
        out += c;
      }
    }
    out += '"';
  }
  if (!more.empty()) {
    if (!names.empty()) out += ',';
    out += more;
  }
  out += '}';
}

std::string_view type_name(MetricType type) {
  switch (type) {
    case Counter:
      return "counter";
    case Gauge:
      return "gauge";
    case Histogram:
      break;
  }
  return "histogram";
}

}  // namespace

std::vector<MetricFamily> operator_metrics() {
  namespace kube_metric = kube::metric;
  return {
      {metric::kRuns,
       Gauge,
       "Runs that have not ended, by the stage that they are in.",
       {"reason"},
       {}},
      {metric::kRunsEnded,
       Counter,
       "Runs that ended while this process led, by reason.",
       {"reason"},
       {}},
      {metric::kAttempts, Counter, "Pods that were created.", {}, {}},
      {metric::kRefusals,
       Counter,
       "Pods that the API server did not accept, by kind of refusal.",
       {"kind"},
       {}},
      {metric::kIsolation,
       Gauge,
       "What is known of the enforcement of network policies: 1 for the state that holds.",
       {"state"},
       {}},
      {metric::kRunStart,
       Histogram,
       "From a run's creation to the start of its command.",
       {},
       second_buckets()},
      {metric::kRunDuration,
       Histogram,
       "From the command's start to its end, by final reason.",
       {"reason"},
       second_buckets()},
      {metric::kReconciles, Counter, "Reconciles, by what came out.", {"controller", "result"}, {}},
      {metric::kReconcileErrors, Counter, "Reconciles that failed.", {"controller"}, {}},
      {metric::kReconcilePanics,
       Counter,
       "Reconciles that ended with an exception.",
       {"controller"},
       {}},
      {metric::kReconcileTimeouts,
       Counter,
       "Reconciles that took too long and were cut off.",
       {"controller"},
       {}},
      {metric::kReconcileTime,
       Histogram,
       "Duration of a reconcile.",
       {"controller"},
       second_buckets()},
      {metric::kActiveWorkers, Gauge, "Workers that reconcile now.", {"controller"}, {}},
      {metric::kMaxWorkers, Gauge, "Workers in all.", {"controller"}, {}},
      {metric::kRestRequests,
       Counter,
       "Calls to the API server, by HTTP status and method.",
       {"code", "method"},
       {}},
      {kube_metric::kQueueDepth, Gauge, "Keys that wait.", {"name"}, {}},
      {kube_metric::kQueueAdds, Counter, "Keys that were added.", {"name"}, {}},
      {kube_metric::kQueueRetries,
       Counter,
       "Keys that were added again after a failure.",
       {"name"},
       {}},
      {kube_metric::kQueueDuration, Histogram, "How long keys waited.", {"name"}, queue_buckets()},
      {kube_metric::kWorkDuration,
       Histogram,
       "How long keys were worked on.",
       {"name"},
       queue_buckets()},
      {kube_metric::kUnfinishedWork, Gauge, "Time spent on keys that are not done.", {"name"}, {}},
      {kube_metric::kLongestRunning, Gauge, "Age of the oldest work under way.", {"name"}, {}},
      {kube_metric::kReflectorLists, Counter, "Lists that were asked for.", {"name"}, {}},
      {kube_metric::kReflectorListDuration,
       Histogram,
       "Duration of a list.",
       {"name"},
       second_buckets()},
      {kube_metric::kReflectorItemsPerList,
       Histogram,
       "Objects of a list.",
       {"name"},
       count_buckets()},
      {kube_metric::kReflectorWatches, Counter, "Watches that were begun.", {"name"}, {}},
      {kube_metric::kReflectorShortWatches, Counter, "Watches that ended at once.", {"name"}, {}},
      {kube_metric::kReflectorWatchDuration,
       Histogram,
       "Duration of a watch.",
       {"name"},
       second_buckets()},
      {kube_metric::kReflectorItemsPerWatch,
       Histogram,
       "Events of a watch.",
       {"name"},
       count_buckets()},
      {kube_metric::kReflectorVersion, Gauge, "The last resource version seen.", {"name"}, {}},
      {kube_metric::kLeaderStatus, Gauge, "1 if this process leads.", {"name"}, {}},
      {kube_metric::kEventsSent, Counter, "Events that were written.", {"name"}, {}},
      {kube_metric::kEventsDropped, Counter, "Events that were given up.", {"name"}, {}},
      {metric::kMemory, Gauge, "Resident memory.", {}, {}},
      {metric::kCpu, Counter, "CPU time, user and system.", {}, {}},
  };
}

MetricsRegistry::MetricsRegistry(std::vector<MetricFamily> families) {
  families_.reserve(families.size());
  for (MetricFamily& family : families) {
    by_name_.emplace(family.name, families_.size());
    families_.push_back({std::move(family), {}});
  }
}

MetricsRegistry::Series* MetricsRegistry::find(std::string_view metric, const Labels& labels) {
  const auto found = by_name_.find(metric);
  if (found == by_name_.end()) return nullptr;
  Family& family = families_[found->second];
  if (labels.size() != family.description.labels.size()) return nullptr;
  return &family.series[labels];
}

void MetricsRegistry::add(std::string_view metric, const Labels& labels, double by) {
  const std::lock_guard lock(mutex_);
  if (Series* series = find(metric, labels)) series->value += by;
}

void MetricsRegistry::set(std::string_view metric, const Labels& labels, double value) {
  const std::lock_guard lock(mutex_);
  if (Series* series = find(metric, labels)) series->value = value;
}

void MetricsRegistry::observe(std::string_view metric, const Labels& labels, double value) {
  const std::lock_guard lock(mutex_);
  Series* series = find(metric, labels);
  if (series == nullptr) return;
  const auto& buckets = families_[by_name_.find(metric)->second].description.buckets;
  series->counts.resize(buckets.size() + 1);
  const auto bucket = std::ranges::lower_bound(buckets, value) - buckets.begin();
  ++series->counts[static_cast<std::size_t>(bucket)];
  series->value += value;
}

void MetricsRegistry::add(std::string_view metric, std::string_view name, double by) {
  add(metric, Labels{std::string(name)}, by);
}
void MetricsRegistry::set(std::string_view metric, std::string_view name, double value) {
  set(metric, Labels{std::string(name)}, value);
}
void MetricsRegistry::observe(std::string_view metric, std::string_view name, double value) {
  observe(metric, Labels{std::string(name)}, value);
}

void MetricsRegistry::clear(std::string_view metric) {
  const std::lock_guard lock(mutex_);
  if (const auto found = by_name_.find(metric); found != by_name_.end()) {
    families_[found->second].series.clear();
  }
}

void MetricsRegistry::write(const Family& family, std::string& out) {
  const MetricFamily& info = family.description;
  for (const auto& [labels, series] : family.series) {
    if (info.type != Histogram) {
      out += info.name;
      append_labels(out, info.labels, labels);
      out += fmt::format(" {}\n", series.value);
      continue;
    }
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < series.counts.size(); ++i) {
      below += series.counts[i];
      out += info.name;
      out += "_bucket";
      const std::string bound =
          i < info.buckets.size() ? fmt::format("{}", info.buckets[i]) : std::string("+Inf");
      append_labels(out, info.labels, labels, "le=\"" + bound + "\"");
      out += fmt::format(" {}\n", below);
    }
    for (const auto& [suffix, value] :
         {std::pair("_sum", fmt::format("{}", series.value)), {"_count", std::to_string(below)}}) {
      out += info.name;
      out += suffix;
      append_labels(out, info.labels, labels);
      out += " " + value + "\n";
    }
  }
}

std::string MetricsRegistry::expose() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const Family& family : families_) {
    if (family.series.empty()) continue;
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family.description.name,
                       family.description.help, family.description.name,
                       type_name(family.description.type));
    write(family, out);
  }
  return out;
}

void measure_process(MetricsRegistry& metrics) {
  std::ifstream statm("/proc/self/statm");
  std::int64_t pages = 0;
  std::int64_t resident = 0;
  if (statm >> pages >> resident) {
    metrics.set(metric::kMemory, MetricsRegistry::Labels{},
                static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  }
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    metrics.set(metric::kCpu, MetricsRegistry::Labels{},
                seconds(usage.ru_utime) + seconds(usage.ru_stime));
  }
}

}  // namespace sandboxrun::control
