#include <malloc.h>
#include <pthread.h>
#include <signal.h>

#include <iostream>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "operator/control/flags.h"
#include "operator/control/http_server.h"
#include "operator/control/metrics.h"
#include "operator/control/operator.h"
#include "operator/kube/config.h"
#include "operator/kube/discovery.h"
#include "operator/kube/http_transport.h"

namespace {

using namespace sandboxrun;

constexpr int kFailed = 1;
constexpr int kBadUse = 2;

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

/// Requests a stop at the first SIGTERM or SIGINT. Assumes that all threads block both.
class SignalWatch {
 public:
  std::stop_token token() const { return stop_.get_token(); }

 private:
  void watch(const std::stop_token& over) {
    const sigset_t set = ending_signals();
    const timespec tick{.tv_sec = 0, .tv_nsec = 100'000'000};
    while (!over.stop_requested()) {
      if (sigtimedwait(&set, nullptr, &tick) > 0) stop_.request_stop();
    }
  }

  std::stop_source stop_;
  std::jthread thread_{[this](const std::stop_token& over) { watch(over); }};
};

using Server = std::unique_ptr<control::HttpServer>;

Result<Server> serve(const std::string& address, control::HttpServer::Handler handler) {
  if (address == "0") return Server();
  return control::HttpServer::start(address, std::move(handler));
}

control::HttpAnswer answer_probe(std::string_view path, const control::Health& health) {
  if (path == "/healthz") return {.body = "ok\n"};
  if (path != "/readyz") return {.status = 404, .body = "try /healthz or /readyz\n"};
  if (health.is_ready()) return {.body = "ok\n"};
  return {.status = 503, .body = "not ready\n"};
}

control::HttpAnswer answer_metrics(std::string_view path, control::Operator& served,
                                   const control::MetricsRegistry& metrics) {
  if (path != "/metrics") return {.status = 404, .body = "try /metrics\n"};
  served.measure();
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics.expose()};
}

kube::HttpTransportOptions transport_options(control::MetricsRegistry& metrics,
                                             control::Health& health) {
  kube::HttpTransportOptions out;
  out.user_agent = "sandboxrun-operator";
  out.on_call = [&metrics, &health](const kube::CallOutcome& call) {
    if (call.status != 0) health.heard(true);
    metrics.add(
        control::metric::kRestRequests,
        control::MetricsRegistry::Labels{call.status == 0 ? "<error>" : std::to_string(call.status),
                                         std::string(kube::to_string(call.method))},
        1);
  };
  return out;
}

// A list of all pods is the largest thing in memory, and soon gone. glibc learns from it to keep
// such blocks in heaps of their own; told otherwise it gives them back.
void give_large_blocks_back() {
  constexpr int kLarge = 1 << 20;
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, kLarge);
  mallopt(M_TRIM_THRESHOLD, kLarge);
}

int fail(const Log& log, std::string_view what, const std::string& why) {
  log.error(what, {{"error", why}});
  return kFailed;
}

int run_operator(const control::OperatorOptions& options) {
  const Log log(options.log_level, options.log_format, std::cerr);
  control::MetricsRegistry metrics(control::operator_metrics());
  control::Health health;
  const SignalWatch signals;

  auto config = kube::load_config({.kubeconfig = options.kubeconfig, .context = ""},
                                  kube::process_environment());
  if (!config) return fail(log, "there is no way to the API server", config.error().message);
  log.info("starting", {{"version", SANDBOXRUN_VERSION}, {"configuration", config->source}});
  auto transport =
      kube::make_http_transport(std::move(*config), transport_options(metrics, health));
  if (!transport) return fail(log, "the API server cannot be called", transport.error().message);

  kube::SystemClock clock;
  control::Operator served(
      options,
      {.transport = **transport, .clock = clock, .metrics = metrics, .log = log, .health = health});
  const auto probes = serve(options.probe_address,
                            [&](std::string_view path) { return answer_probe(path, health); });
  if (!probes) return fail(log, "probes cannot be served", probes.error().message);
  const auto numbers = serve(options.metrics_address, [&](std::string_view path) {
    return answer_metrics(path, served, metrics);
  });
  if (!numbers) return fail(log, "metrics cannot be served", numbers.error().message);

  const auto ended = served.run(signals.token());
  if (!ended) return fail(log, "ending", ended.error().message);
  log.info("stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const sigset_t signals = ending_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  give_large_blocks_back();
  kube::prepare_process_for_http();
  const auto line =
      control::read_flags(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc),
                          kube::process_environment());
  if (!line) {
    std::cerr << line.error().message << '\n';
    return kBadUse;
  }
  if (!line->print.empty()) {
    std::cout << line->print;
    return 0;
  }
  return run_operator(line->options);
}
