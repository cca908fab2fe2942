#include "operator/control/operator.h"

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "operator/base/random.h"
#include "operator/kube/discovery.h"
#include "operator/run/reasons.h"

namespace sandboxrun::control {
namespace {

constexpr std::string_view kController = "sandboxrun";
constexpr std::chrono::seconds kServerPoll{2};
// Bounds of what a server's Retry-After can make us wait.
constexpr std::chrono::seconds kShortestRetry{1};
constexpr std::chrono::seconds kLongestRetry{60};
const MetricsRegistry::Labels kLabel{std::string(kController)};

std::string random_token() {
  return random_hex(16);
}

ReconcilerOptions reconciler_options(const OperatorOptions& options, const Timing& timing) {
  ReconcilerOptions out;
  out.patience = timing.reconcile;
  out.pods = options.pods;
  out.policy = options.policy;
  out.now = time_of_day;
  out.make_token = random_token;
  return out;
}

CacheOptions cache_options(const OperatorOptions& options, const Timing& timing) {
  CacheOptions out{.namespaces = options.watch_namespaces, .policy = options.policy};
  out.reflector.backoff = timing.backoff;
  out.reflector.min_watch = timing.min_watch;
  out.reflector.max_watch = timing.max_watch;
  return out;
}

kube::EventRecorderOptions event_options(const OperatorOptions& options) {
  kube::EventRecorderOptions out;
  out.source = {.controller = "sandboxrun.dev/operator", .instance = options.instance};
  return out;
}

}  // namespace

TimePoint time_of_day() {
  return std::chrono::floor<Milliseconds>(std::chrono::system_clock::now());
}

Operator::Operator(const OperatorOptions& options, Parts parts, Timing timing)
    : options_(options),
      parts_(parts),
      timing_(timing),
      queue_({.name = std::string(kController)}, parts.clock, parts.metrics),
      gate_(parts.clock),
      events_(event_options(options), parts.transport, parts.clock, kube::system_random(),
              parts.metrics),
      caches_(cache_options(options, timing), parts.transport, parts.clock, parts.metrics,
              parts.log),
      policies_(options.pods, caches_),
      isolation_(options.isolation),
      reconciler_(reconciler_options(options, timing), {.caches = caches_,
                                                        .policies = policies_,
                                                        .isolation = isolation_,
                                                        .transport = parts.transport,
                                                        .gate = gate_,
                                                        .events = events_,
                                                        .metrics = parts.metrics,
                                                        .clock = parts.clock}) {
  for (const std::string_view result : {"success", "requeue_after", "error"}) {
    parts_.metrics.add(metric::kReconciles,
                       MetricsRegistry::Labels{std::string(kController), std::string(result)}, 0);
  }
  for (const std::string_view each :
       {metric::kReconcileErrors, metric::kReconcilePanics, metric::kReconcileTimeouts}) {
    parts_.metrics.add(each, kLabel, 0);
  }
  publish_isolation();
  parts_.metrics.set(metric::kMaxWorkers, kLabel, options_.max_concurrent_reconciles);
}

Result<void> Operator::run(const std::stop_token& stop) {
  std::unique_ptr<kube::LeaderElector> elector;
  if (options_.leader_elect) {
    kube::LeaderOptions leader;
    leader.lease = {options_.leader_election_namespace, "sandboxrun-operator"};
    leader.identity = kube::make_identity(options_.instance);
    auto made = kube::LeaderElector::create(std::move(leader), parts_.transport, parts_.clock,
                                            kube::system_random(), parts_.metrics);
    if (!made) return failure(ErrorKind::InvalidInput, made.error().message);
    elector = std::move(*made);
    elector->on_problem([this](const kube::Error& error) {
      parts_.log.warn("leader election has a problem", {{"error", error.message}});
    });
  }
  events_.on_problem([this](const kube::Error& error) {
    parts_.log.warn("an Event was not written", {{"error", error.message}});
  });
  events_.start();
  caches_.start(
      [this](const kube::ObjectName& key, bool initial) {
        if (!initial && reconciler_.is_at_rest(key)) return;  // mostly what we wrote ourselves
        queue_.add(key, initial ? kube::Lane::Background : kube::Lane::Live);
      },
      [this](const kube::Error& error) {
        if (error.kind == kube::ErrorKind::Unreachable) parts_.health.heard(false);
      });
  if (!wait_for_caches(stop)) return {};
  parts_.health.set_synced(true);
  parts_.log.info("the caches are filled", {{"runs", caches_.count_runs()}});

  if (elector && !elector->acquire(stop)) return {};
  const bool lost = !lead(elector.get(), stop);
  parts_.health.set_synced(false);
  caches_.stop();
  if (lost) return failure(ErrorKind::Unavailable, "leader election lost");
  events_.flush(timing_.flush);
  if (elector) {
    if (const auto released = elector->release(); !released) {
      parts_.log.warn("the lease could not be given up; it runs out by itself",
                      {{"error", released.error().message}});
    }
  }
  return {};
}

bool Operator::wait_for_caches(const std::stop_token& stop) {
  while (!caches_.is_synced()) {
    if (!parts_.clock.sleep(std::chrono::milliseconds(20), stop)) return false;
  }
  return true;
}

// True: stopped in order. False: leadership was lost, and calls under way were cut off.
bool Operator::lead(kube::LeaderElector* elector, const std::stop_token& stop) {
  parts_.log.info("this process serves runs now", {{"instance", options_.instance}});
  std::stop_source calls;
  std::vector<std::jthread> workers;
  workers.reserve(static_cast<std::size_t>(options_.max_concurrent_reconciles) + 2);
  for (int i = 0; i < options_.max_concurrent_reconciles; ++i) {
    workers.emplace_back([this, token = calls.get_token()] { work(token); });
  }
  workers.emplace_back([this, token = calls.get_token()] { sweep(token); });
  if (options_.probe) {
    workers.emplace_back([this, token = calls.get_token()] { probe(token); });
  }
  bool leads = true;
  if (elector != nullptr) {
    leads = elector->hold(stop);
  } else {
    watch_server(stop);
  }
  parts_.health.set_synced(false);
  queue_.shut_down();
  if (leads && !queue_.drain(timing_.drain)) {
    parts_.log.warn("some work was not done in time and is cut off");
  }
  calls.request_stop();
  workers.clear();
  return leads;
}

// An elector calls all the time; without one, nothing else would notice that the server is back
// while a watch is quiet.
void Operator::watch_server(const std::stop_token& stop) {
  while (parts_.clock.sleep(kServerPoll, stop)) {
    if (parts_.health.is_reachable()) continue;
    if (kube::discover(parts_.transport, stop)) parts_.health.heard(true);
  }
}

void Operator::sweep(const std::stop_token& stop) {
  while (parts_.clock.sleep(timing_.sweep, stop)) {
    Cluster cluster(parts_.transport, parts_.clock, parts_.clock.now() + timing_.reconcile, stop);
    without_exceptions("sweep", [&] { policies_.sweep(cluster, parts_.log); });
  }
}

void Operator::probe(const std::stop_token& stop) {
  IsolationProbe probe(*options_.probe, parts_.transport, parts_.clock, random_token);
  auto pause = timing_.probe_backoff;
  do {
    bool answered = false;
    without_exceptions("probe", [&] { answered = probe_once(probe, stop); });
    if (!answered) {
      pause = std::min(2 * pause, timing_.probe);
      continue;
    }
    pause = timing_.probe_backoff;
    parts_.clock.sleep(timing_.probe - pause, stop);
  } while (parts_.clock.sleep(pause, stop));
}

// True: it gave a definite answer.
bool Operator::probe_once(IsolationProbe& probe, const std::stop_token& stop) {
  const Isolation found = probe.ask(stop);
  if (stop.stop_requested()) return false;
  const bool definite = found.state != run::Isolation::Unknown;
  const auto fields = {LogField("state", to_string(found.state)),
                       LogField("message", found.message)};
  if (found.state == run::Isolation::Enforced) {
    parts_.log.info("network isolation was probed", fields);
  } else {
    parts_.log.warn("network isolation was probed", fields);
  }
  if (!isolation_.take(found)) return definite;
  publish_isolation();
  for (const FoundRun& run : caches_.active_runs()) {
    queue_.add(run.meta.name, kube::Lane::Background);
  }
  return definite;
}

void Operator::publish_isolation() {
  const run::Isolation now = isolation_.get().state;
  using enum run::Isolation;
  for (const run::Isolation each : {Unknown, Enforced, NotEnforced, Waived}) {
    parts_.metrics.set(metric::kIsolation, MetricsRegistry::Labels{std::string(to_string(each))},
                       each == now ? 1 : 0);
  }
}

void Operator::without_exceptions(std::string_view what, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& error) {
    parts_.log.error("an exception; the work is tried again later",
                     {{"work", what}, {"error", error.what()}});
  }
}

void Operator::work(const std::stop_token& calls) {
  while (const auto key = queue_.get(calls)) {
    parts_.metrics.add(metric::kActiveWorkers, kLabel, 1);
    work_on(*key, calls);
    queue_.done(*key);
    parts_.metrics.add(metric::kActiveWorkers, kLabel, -1);
  }
}

// The border that no exception crosses: a bug that one run finds must not take the others away.
kube::Result<Reconciler::Outcome> Operator::reconcile(const kube::ObjectName& key,
                                                      const ScopedLog& log,
                                                      const std::stop_token& calls) {
  const auto caught = [&](std::string_view what) {
    parts_.metrics.add(metric::kReconcilePanics, kLabel, 1);
    return kube::failure(kube::ErrorKind::Malformed, "exception: " + std::string(what));
  };
  try {
    return reconciler_.reconcile(key, log, calls);
  } catch (const std::exception& error) {
    return caught(error.what());
  } catch (...) {
    return caught("of unknown type");
  }
}

void Operator::work_on(const kube::ObjectName& key, const std::stop_token& calls) {
  const auto count = [this](std::string_view result) {
    parts_.metrics.add(metric::kReconciles,
                       MetricsRegistry::Labels{std::string(kController), std::string(result)}, 1);
  };
  const ScopedLog log(parts_.log, {{"controller", kController},
                                   {"namespace", key.namespace_name},
                                   {"name", key.name},
                                   {"reconcileID", random_token()}});
  const kube::Instant begin = parts_.clock.now();
  const auto outcome = reconcile(key, log, calls);
  const auto took = parts_.clock.now() - begin;
  parts_.metrics.observe(metric::kReconcileTime, kLabel,
                         std::chrono::duration<double>(took).count());
  if (!outcome) {
    count("error");
    parts_.metrics.add(metric::kReconcileErrors, kLabel, 1);
    if (took >= timing_.reconcile) parts_.metrics.add(metric::kReconcileTimeouts, kLabel, 1);
    log.warn("a run could not be served; it is tried again", {{"error", outcome.error().message}});
    if (const auto& after = outcome.error().retry_after) {
      queue_.add_after(key, std::clamp(*after, kShortestRetry, kLongestRetry));
    } else {
      queue_.add_rate_limited(key);
    }
    return;
  }
  queue_.forget(key);
  if (outcome->requeue_after) {
    count("requeue_after");
    queue_.add_after(key, *outcome->requeue_after);
  } else {
    count("success");
  }
}

void Operator::measure() {
  queue_.publish_metrics();
  std::map<run::Reason, double> stages;
  for (const FoundRun& run : caches_.active_runs()) stages[run.value->status.reason()] += 1;
  parts_.metrics.clear(metric::kRuns);
  for (const auto& [reason, number] : stages) {
    parts_.metrics.set(metric::kRuns, MetricsRegistry::Labels{std::string(run::to_string(reason))},
                       number);
  }
  measure_process(parts_.metrics);
}

}  // namespace sandboxrun::control
