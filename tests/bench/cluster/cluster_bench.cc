// What the operator adds to the real cluster of tests/cluster, against baselines in the same run:
//   cluster_bench latency [ROUNDS]     a run beside a bare pod and a Job, and with its steps, each
//                                      begun at another phase of the kubelet's second
//   cluster_bench throughput RUNS [ROUNDS]
//                                      runs that cannot be scheduled, against a raw client
//   cluster_bench rate RUNS            20 runs a second: create to pod, and the operator's CPU
//   cluster_bench memory RUNS          resident memory idle, with finished runs, and after a relist
// The operator is a process of this machine with the chart's rights: ServedNamespace.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "operator/base/json_writer.h"
#include "operator/kube/config.h"
#include "operator/kube/http_transport.h"
#include "operator/pod/names.h"
#include "tests/bench/cluster/watch_times.h"
#include "tests/support/https_server.h"
#include "tests/support/served_namespace.h"

namespace sandboxrun::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::ServedNamespace;

const kube::Resource kPods{"", "v1", "pods"};
const kube::Resource kJobs{"batch", "v1", "jobs"};
const kube::Resource kRuns{"sandboxrun.dev", "v1alpha1", "sandboxruns"};
const kube::Resource kEvents{"events.k8s.io", "v1", "events"};
constexpr int kWorkers = 16;  // the operator's default

/// As it is installed, where a ServedNamespace logs everything.
const test::OperatorSettings kAsInstalled{.flags = {"--log-level=info", "--log-format=json"},
                                          .set = {}};

std::unique_ptr<kube::Transport> connect_as(const std::string& kubeconfig) {
  auto config =
      kube::load_config({.kubeconfig = kubeconfig, .context = ""}, kube::process_environment());
  if (!config) fail(config.error().message);
  auto transport = kube::make_http_transport(*std::move(config));
  if (!transport) fail(transport.error().message);
  return *std::move(transport);
}

/// As the administrator.
std::unique_ptr<kube::Transport> connect(const test::Cluster& cluster) {
  return connect_as(cluster.kubeconfig());
}

std::string call(kube::Transport& transport, const kube::Request& request) {
  auto answer = transport.roundtrip(request, {});
  if (!answer) fail(answer.error().message);
  return std::move(answer->body);
}

double ms(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double p99(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() * 99 / 100];
}

void say_times(const char* what, const std::vector<double>& values) {
  std::printf("%-44s p50 %8.1f ms  min %8.1f  max %8.1f\n", what, median(values),
              *std::min_element(values.begin(), values.end()),
              *std::max_element(values.begin(), values.end()));
}

/// Runs `work` on so many threads at once. Waits for all of them, and throws what one of them
/// threw.
void on_threads(int count, const std::function<void()>& work) {
  std::vector<std::future<void>> threads;
  for (int t = 0; t < count; ++t) threads.push_back(std::async(std::launch::async, work));
  for (std::future<void>& each : threads) each.get();
}

// --- the objects -------------------------------------------------------------------------------

const std::string kSecurity =
    R"({"runAsUser":64000,"runAsGroup":64000,"runAsNonRoot":true,"allowPrivilegeEscalation":false,)"
    R"("readOnlyRootFilesystem":true,"capabilities":{"drop":["ALL"]},)"
    R"("seccompProfile":{"type":"RuntimeDefault"}})";

std::string container(const std::string& name, const std::string& image, const std::string& command,
                      const std::string& more = "") {
  return R"({"name":")" + name + R"(","image":")" + image + R"(","command":)" + command +
         R"(,"imagePullPolicy":"IfNotPresent","securityContext":)" + kSecurity + more + "}";
}

/// A restricted pod; with `steps`, it has an init container and a native sidecar too.
std::string pod_spec(const std::string& image, bool steps) {
  std::string out = R"({"restartPolicy":"Never",)"
                    R"("terminationGracePeriodSeconds":30,)";
  if (steps) {
    out +=
        R"("initContainers":[)" + container("prepare", image, R"(["/bin/true"])") + "," +
        container("collect", image, R"(["/bin/sh","-c","trap 'exit 0' TERM; sleep 1000 & wait"])",
                  R"(,"restartPolicy":"Always")") +
        "],";
  }
  return out + R"("containers":[)" + container("run", image, R"(["/bin/true"])") + "]}";
}

std::string bare_pod(const std::string& name, const std::string& image, bool steps) {
  return R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")" + name + R"("},"spec":)" +
         pod_spec(image, steps) + "}";
}

std::string job(const std::string& name, const std::string& image) {
  return R"({"apiVersion":"batch/v1","kind":"Job","metadata":{"name":")" + name +
         R"("},"spec":{"backoffLimit":0,"template":{"spec":)" + pod_spec(image, false) + "}}}";
}

std::string run_object(const std::string& name, const std::string& image,
                       const std::string& more = "") {
  return R"({"apiVersion":"sandboxrun.dev/v1alpha1","kind":"SandboxRun","metadata":{"name":")" +
         name + R"("},"spec":{"environment":{"image":")" + image + R"("},"command":["/bin/true"])" +
         more + "}}";
}

const std::string kNowhere = R"(,"nodeSelector":{"kubernetes.io/arch":"none"})";

// --- latency -----------------------------------------------------------------------------------

std::string pod_reached(const Node& pod) {
  const std::string phase = text_at(pod, {"status", "phase"});
  return phase == "Succeeded" || phase == "Failed" ? phase : "";
}

std::string run_reached(const Node& run) {
  const std::string done = condition_reason(run, "Succeeded", "True");
  return done.empty() ? condition_reason(run, "Succeeded", "False") : done;
}

std::string job_reached(const Node& job) {
  return condition_reason(job, "Complete", "True").empty() ? "" : "Complete";
}

void latency(int rounds) {
  ServedNamespace space("bench", kAsInstalled);
  const auto transport = connect(space.cluster());
  const std::string image = space.cluster().image("sandbox-tiny");
  const test::CertificateAuthority authority;
  const test::HttpsServer server(authority, R"({"/put": [{}]})",
                                 test::HttpsServer::Certificate::Good, test::Cluster::kNodeAddress);
  space.output({"create", "configmap", "ca", "--from-file=ca.crt=" + authority.file()});
  space.make_secret("put", {{"url", server.url("/put")}});
  const std::string steps =
      R"(,"assets":[{"name":"a","target":"/work/a","source":{"inline":"x"}}],)"
      R"("results":{"path":"/results","upload":{"https":{"urlFrom":{"secretKeyRef":)"
      R"({"name":"put","key":"url"}},"caConfigMapRef":{"name":"ca","key":"ca.crt"}}}})";

  WatchTimes pods(*transport, kPods, space.name(), pod_reached);
  WatchTimes runs(*transport, kRuns, space.name(), run_reached);
  WatchTimes jobs(*transport, kJobs, space.name(), job_reached);
  std::vector<double> bare, run, job_times, bare_steps, run_steps, lag;
  // The kubelet looks at its containers once a second, and so does much else. What begins right
  // after the end of something else would always meet the same moment of that second.
  std::minstd_rand random(1);
  std::uniform_int_distribution<int> phase(0, 999);
  const auto timed = [&](const kube::Resource& resource, std::string object, WatchTimes& watch,
                         const std::string& name, const char* word) {
    std::this_thread::sleep_for(milliseconds(phase(random)));
    const auto begun = Clock::now();
    call(*transport, kube::create_request(resource, space.name(), std::move(object)));
    return ms(watch.wait(name, word) - begun);
  };
  // The first of each kind pulls images and makes policies.
  for (int i = -1; i < rounds; ++i) {
    const std::string n = std::to_string(i + 1);
    const double results[] = {
        timed(kPods, bare_pod("bare-" + n, image, false), pods, "bare-" + n, "Succeeded"),
        timed(kRuns, run_object("run-" + n, image), runs, "run-" + n, "Completed"),
        timed(kJobs, job("job-" + n, image), jobs, "job-" + n, "Complete"),
        timed(kPods, bare_pod("steps-" + n, image, true), pods, "steps-" + n, "Succeeded"),
        timed(kRuns, run_object("all-" + n, image, steps), runs, "all-" + n, "Completed")};
    if (i < 0) continue;
    bare.push_back(results[0]);
    run.push_back(results[1]);
    job_times.push_back(results[2]);
    bare_steps.push_back(results[3]);
    run_steps.push_back(results[4]);
    const std::string pod = test::at(space.status("run-" + n), "attempts.0.podName");
    lag.push_back(ms(*runs.time("run-" + n, "Completed") - *pods.time(pod, "Succeeded")));
  }
  say_times("bare restricted pod", bare);
  say_times("run", run);
  say_times("batch/v1 Job", job_times);
  say_times("bare pod with init container and sidecar", bare_steps);
  say_times("run with prepare and collect", run_steps);
  say_times("pod's end seen to run's end seen", lag);
  std::printf("run / bare pod %.3f (aim: at most 1.05)\n", median(run) / median(bare));
  std::printf("run / Job %.3f (aim: at most 0.7)\n", median(run) / median(job_times));
  std::printf("run with steps / bare pod with steps %.3f (aim: at most 1.05)\n",
              median(run_steps) / median(bare_steps));
  std::printf("lag p50 %.1f ms (aim: at most 30)\n", median(lag));
}

// --- the operator's own use --------------------------------------------------------------------

/// CPU of a process so far, in milliseconds.
double cpu_ms(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat((std::istreambuf_iterator<char>(file)), {});
  stat = stat.substr(stat.rfind(')') + 2);
  char state = 0;
  long skipped = 0;
  unsigned long user = 0;
  unsigned long system = 0;
  std::sscanf(stat.c_str(), "%c %ld %ld %ld %ld %ld %ld %ld %ld %ld %ld %lu %lu", &state, &skipped,
              &skipped, &skipped, &skipped, &skipped, &skipped, &skipped, &skipped, &skipped,
              &skipped, &user, &system);
  return 1000.0 * static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// A line of /proc/PID/status, in MiB.
double memory_mib(pid_t pid, const std::string& field) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field + ":")) return std::atof(line.c_str() + field.size() + 1) / 1024;
  }
  return 0;
}

// --- throughput --------------------------------------------------------------------------------

/// Creates runs from `threads` threads as fast as the API server takes them. `created` is called on
/// those threads with each run as the server answered it.
void load_runs(
    kube::Transport& transport, const std::string& name_space, const std::string& image, int count,
    int threads,
    const std::function<void(const std::string& name, const std::string& object)>& created) {
  std::atomic<int> next{0};
  on_threads(threads, [&] {
    for (int i = next++; i < count; i = next++) {
      const std::string name = "r-" + std::to_string(i);
      created(name, call(transport, kube::create_request(kRuns, name_space,
                                                         run_object(name, image, kNowhere))));
    }
  });
}

std::string replaced_all(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

/// A pod as it could be POSTed again.
std::string pod_to_post(const ServedNamespace& space, const std::string& name) {
  return space.output(
      {"get", "pod", name, "--output",
       "jsonpath={\"{\"}\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"{\"}\"name\":\"" +
           name +
           "\",\"labels\":{.metadata.labels},\"annotations\":{.metadata.annotations},"
           "\"ownerReferences\":{.metadata.ownerReferences}},\"spec\":{.spec}{\"}\"}"});
}

/// What the operator writes for one run that waits for a node, as bodies with the names of one run
/// in them: learned from a run that it served.
struct Writes {
  std::string run, uid, pod_name, pod_uid;
  std::string pod;           ///< to be POSTed
  std::string status_first;  ///< to be applied
  std::string status_last;
  std::string event;  ///< to be POSTed
};

/// The Event that the operator wrote about a run; it does so beside its other work.
std::string learn_event(const ServedNamespace& space, const std::string& run) {
  const auto until = Clock::now() + seconds(30);
  for (;;) {
    const auto list = parse_json(space.output({"get", "events.events.k8s.io", "--output", "json"}));
    if (!list) fail(list.error().message);
    for (const Node& event : list->find("items")->items) {
      if (text_at(event, {"regarding", "name"}) != run) continue;
      JsonWriter json;
      json.begin_object().member("apiVersion", "events.k8s.io/v1").member("kind", "Event");
      json.key("metadata").begin_object();
      json.member("name", text_at(event, {"metadata", "name"})).end_object();
      for (const char* field : {"eventTime", "reportingController", "reportingInstance", "action",
                                "reason", "type", "note"}) {
        json.member(field, text_at(event, {field}));
      }
      json.key("regarding").begin_object();
      for (const char* field : {"apiVersion", "kind", "name", "namespace", "uid"}) {
        json.member(field, text_at(event, {"regarding", field}));
      }
      return json.end_object().end_object().take();
    }
    if (Clock::now() > until) fail("there is no Event about " + run);
  }
}

Writes learn_writes(const ServedNamespace& space, kube::Transport& transport,
                    const std::string& image) {
  Writes out;
  out.run = "r-learn";
  call(transport, kube::create_request(kRuns, space.name(), run_object(out.run, image, kNowhere)));
  space.wait_for_reason(out.run, "Unschedulable");
  const std::string run = space.output({"get", "sandboxrun", out.run, "--output", "json"});
  out.uid = test::at(*parse_json(run), "metadata.uid");
  out.pod_name = test::at(*parse_json(run), "status.attempts.0.podName");
  out.pod_uid = test::at(*parse_json(run), "status.attempts.0.podUID");
  out.pod = pod_to_post(space, out.pod_name);
  out.pod.insert(out.pod.rfind("\"spec\":{") + 8,
                 R"("schedulingGates":[{"name":"sandboxrun.dev/admission"}],)");
  const std::string status =
      space.output({"get", "sandboxrun", out.run, "--output", "jsonpath={.status}"});
  out.status_last = R"({"apiVersion":"sandboxrun.dev/v1alpha1","kind":"SandboxRun",)"
                    R"("metadata":{"name":")" +
                    out.run + R"("},"status":)" + status + "}";
  out.status_first = replaced_all(out.status_last, "\"Unschedulable\"", "\"Pending\"");
  out.event = learn_event(space, out.run);
  return out;
}

/// The same writes for another run by a client that does nothing else.
void write_raw(kube::Transport& transport, const std::string& name_space, const Writes& writes,
               const std::string& name, const std::string& uid) {
  const std::string pod_name = name + writes.pod_name.substr(writes.run.size());
  const auto for_this = [&](const std::string& body) {
    return replaced_all(replaced_all(replaced_all(body, writes.pod_name, pod_name),
                                     '"' + writes.run + '"', '"' + name + '"'),
                        writes.uid, uid);
  };
  const std::string pod =
      call(transport, kube::create_request(kPods, name_space, for_this(writes.pod)));
  const std::string pod_uid = text_at(*parse_json(pod), {"metadata", "uid"});
  const auto apply = [&](const std::string& body) {
    call(transport,
         kube::apply_request(kRuns, {name_space, name},
                             replaced_all(for_this(body), writes.pod_uid, pod_uid),
                             {.field_manager = "bench", .force = true, .subresource = "status"}));
  };
  apply(writes.status_first);
  call(transport, kube::merge_patch_request(kPods, {name_space, pod_name},
                                            R"({"metadata":{"uid":")" + pod_uid +
                                                R"("},"spec":{"schedulingGates":null}})"));
  apply(writes.status_last);
  // Its name begins with the run's and ends in something of its own.
  call(transport, kube::create_request(kEvents, name_space,
                                       replaced_all(for_this(writes.event), '"' + writes.run + '.',
                                                    '"' + name + '.')));
}

/// How many runs a second get to wait for a node, as seen on watches, from the first POST on until
/// the last run's status and its pod's say so. The pods count too, because the scheduler's writes
/// are part of the load: a client that need not wait for them would leave half of them for later.
/// `load` creates the runs.
double rate_of_waiting(kube::Transport& transport, const std::string& name_space, int count,
                       const std::function<void()>& load) {
  WatchTimes runs(transport, kRuns, name_space,
                  [](const Node& run) { return condition_reason(run, "Succeeded", "Unknown"); });
  WatchTimes pods(transport, kPods, name_space,
                  [](const Node& pod) { return condition_reason(pod, "PodScheduled", "False"); });
  const auto begun = Clock::now();
  load();
  Clock::time_point last = begun;
  for (WatchTimes* watch : {&runs, &pods}) {
    last = std::max(
        last, watch->wait_count(static_cast<std::size_t>(count), "Unschedulable", seconds(1800)));
  }
  return count / std::chrono::duration<double>(last - begun).count();
}

/// Creates runs, for which a client with the operator's account makes the operator's writes.
void load_and_write_raw(kube::Transport& loader, kube::Transport& writer,
                        const std::string& name_space, const Writes& writes,
                        const std::string& image, int count) {
  std::mutex mutex;
  std::condition_variable more;
  std::deque<std::pair<std::string, std::string>> queue;
  bool all = false;
  const auto write = [&] {
    for (;;) {
      std::unique_lock lock(mutex);
      more.wait(lock, [&] { return all || !queue.empty(); });
      if (queue.empty()) return;
      const auto [name, uid] = queue.front();
      queue.pop_front();
      lock.unlock();
      write_raw(writer, name_space, writes, name, uid);
    }
  };
  auto writers = std::async(std::launch::async, [&] { on_threads(kWorkers, write); });
  auto loaded = std::async(std::launch::async, [&] {
    load_runs(loader, name_space, image, count, 2,
              [&](const std::string& name, const std::string& object) {
                const std::string uid = text_at(*parse_json(object), {"metadata", "uid"});
                const std::lock_guard lock(mutex);
                queue.emplace_back(name, uid);
                more.notify_one();
              });
  });
  loaded.wait();
  {
    const std::lock_guard lock(mutex);
    all = true;
    more.notify_all();
  }
  loaded.get();
  writers.get();
}

/// Deletes every object of a kind, and waits until they are gone.
void delete_all(kube::Transport& transport, const kube::Resource& resource,
                const std::string& name_space) {
  kube::Request request;
  request.method = kube::Method::Delete;
  request.path = kube::collection_path(resource, name_space);
  request.query = {{"propagationPolicy", "Background"}};
  request.deadline = seconds(300);
  const kube::Selection all{
      .namespace_name = name_space, .label_selector = "", .field_selector = ""};
  for (;;) {
    // The answer holds all that was deleted.
    const auto deleted = transport.download(request, [](std::string_view) { return true; }, {});
    if (!deleted) fail(deleted.error().message);
    const auto left = parse_json(
        call(transport, kube::list_request(resource, all, {.resource_version = "", .limit = 1})));
    if (left && left->find("items")->items.empty()) return;
    std::this_thread::sleep_for(seconds(1));
  }
}

void throughput(int count, int rounds) {
  ServedNamespace space("bench", kAsInstalled);
  const auto transport = connect(space.cluster());
  const auto account = connect_as(space.account_kubeconfig());
  const std::string image = space.cluster().image("sandbox-tiny");
  const Writes writes = learn_writes(space, *transport, image);
  std::vector<double> raw, ours, ratios, cpu, memory;
  for (int round = 0; round < rounds; ++round) {
    space.kill_operator();
    raw.push_back(rate_of_waiting(*transport, space.name(), count, [&] {
      load_and_write_raw(*transport, *account, space.name(), writes, image, count);
    }));
    for (const auto& resource : {kRuns, kPods, kEvents}) {
      delete_all(*transport, resource, space.name());
    }
    space.start_operator();
    const double used = cpu_ms(space.op().pid());
    ours.push_back(rate_of_waiting(*transport, space.name(), count, [&] {
      load_runs(*transport, space.name(), image, count, 2, [](const auto&, const auto&) {});
    }));
    ratios.push_back(ours.back() / raw.back());
    cpu.push_back((cpu_ms(space.op().pid()) - used) / count);
    memory.push_back(memory_mib(space.op().pid(), "VmRSS"));
    for (const auto& resource : {kRuns, kPods, kEvents}) {
      delete_all(*transport, resource, space.name());
    }
  }
  std::printf(
      "%d runs that cannot be scheduled, median of %d rounds: raw client %.1f/s, operator %.1f/s, "
      "ratio %.2f (aim: at least 0.8); operator CPU %.2f ms a run (aim: at most 1.5), RSS %.1f "
      "MiB\n",
      count, rounds, median(raw), median(ours), median(ratios), median(cpu), median(memory));
}

/// Calls `begin` with the number of each run at its moment, 20 a second.
void pace(int count, const std::function<void(int)>& begin) {
  const auto begun = Clock::now();
  for (int i = 0; i < count; ++i) {
    std::this_thread::sleep_until(begun + milliseconds(50) * i);
    begin(i);
  }
}

void rate(int count) {
  ServedNamespace space("bench", kAsInstalled);
  const auto transport = connect(space.cluster());
  const auto account = connect_as(space.account_kubeconfig());
  const std::string image = space.cluster().image("sandbox-tiny");
  const Writes writes = learn_writes(space, *transport, image);
  const auto create = [&](const std::string& name) {
    return call(*transport,
                kube::create_request(kRuns, space.name(), run_object(name, image, kNowhere)));
  };
  // By the label that names its run, a pod is the run's.
  WatchTimes pods(*transport, kPods, space.name(), [](const Node& pod) {
    const Node* owners = pod.find("metadata")->find("ownerReferences");
    return owners == nullptr ? "" : text_at(owners->items.at(0), {"name"});
  });
  std::vector<std::pair<std::string, Clock::time_point>> created;
  const double cpu = cpu_ms(space.op().pid());
  pace(count, [&](int i) {
    created.emplace_back("r-" + std::to_string(i), Clock::now());
    create(created.back().first);
  });
  std::vector<double> times;
  for (const auto& [name, at] : created) {
    times.push_back(ms(pods.wait_count(1, name, seconds(60)) - at));
  }
  std::this_thread::sleep_for(seconds(2));
  const double used = (cpu_ms(space.op().pid()) - cpu) / count;
  // A client that makes the same writes, at the same rate, reads the same watches, and neither
  // decodes an event nor decides anything.
  space.kill_operator();
  WatchTimes run_bytes(*account, kRuns, space.name(), {});
  WatchTimes pod_bytes(*account, kPods, space.name(), {});
  const double before_watches = run_bytes.cpu_ms() + pod_bytes.cpu_ms();
  double raw = 0;
  pace(count, [&](int i) {
    const std::string name = "raw-" + std::to_string(i);
    const std::string uid = text_at(*parse_json(create(name)), {"metadata", "uid"});
    const double before = clock_ms(CLOCK_THREAD_CPUTIME_ID);
    write_raw(*account, space.name(), writes, name, uid);
    raw += clock_ms(CLOCK_THREAD_CPUTIME_ID) - before;
  });
  std::this_thread::sleep_for(seconds(2));
  const double watches = run_bytes.cpu_ms() + pod_bytes.cpu_ms() - before_watches;
  std::printf(
      "20 runs a second, %d runs: create to pod p50 %.1f ms (aim: at most 20), p99 %.1f ms; "
      "operator CPU %.2f ms a run (aim: at most 1.5), of a client that makes the same writes and "
      "nothing else %.2f ms, and that reads the same watches and leaves them undecoded %.2f ms\n",
      count, median(times), p99(times), used, raw / count, (raw + watches) / count);
}

// --- memory ------------------------------------------------------------------------------------

/// `count` copies of a run and of its pod that have ended.
void make_finished(const ServedNamespace& space, kube::Transport& transport,
                   const std::string& image, int count) {
  call(transport, kube::create_request(kRuns, space.name(), run_object("r-first", image)));
  space.wait_for_end("r-first");
  const Node status = space.status("r-first");
  const std::string uid =
      test::at(*parse_json(space.output({"get", "sandboxrun", "r-first", "--output", "json"})),
               "metadata.uid");
  const std::string pod_name = test::at(status, "attempts.0.podName");
  const std::string pod_uid = test::at(status, "attempts.0.podUID");
  const std::string run_status =
      space.output({"get", "sandboxrun", "r-first", "--output", "jsonpath={.status}"});
  const std::string pod_status =
      space.output({"get", "pod", pod_name, "--output", "jsonpath={.status}"});
  // Nobody shall start it: neither the scheduler nor the kubelet of its node.
  std::string pod =
      replaced_all(pod_to_post(space, pod_name), R"("default-scheduler")", R"("none")");
  pod =
      replaced_all(pod, R"("nodeName":")" + test::at(status, "attempts.0.nodeName") + R"(",)", "");
  std::atomic<int> next{0};
  on_threads(kWorkers, [&] {
    for (int i = next++; i < count; i = next++) {
      const std::string name = "r-" + std::to_string(i);
      const std::string answer = call(
          transport,
          kube::create_request(kRuns, space.name(), run_object(name, image, R"(,"suspend":true)")));
      const std::string copy_uid = text_at(*parse_json(answer), {"metadata", "uid"});
      const std::string copy_name = pod::pod_name(space.name(), name, copy_uid, 1);
      const auto for_this = [&](const std::string& body) {
        return replaced_all(
            replaced_all(replaced_all(body, pod_name, copy_name), "\"r-first\"", '"' + name + '"'),
            uid, copy_uid);
      };
      const std::string made =
          call(transport, kube::create_request(kPods, space.name(), for_this(pod)));
      const std::string made_uid = text_at(*parse_json(made), {"metadata", "uid"});
      call(transport, kube::merge_patch_request(kPods, {space.name(), copy_name},
                                                R"({"status":)" + pod_status + "}", "status"));
      call(transport,
           kube::merge_patch_request(
               kRuns, {space.name(), name},
               R"({"status":)" + replaced_all(for_this(run_status), pod_uid, made_uid) + "}",
               "status"));
    }
  });
}

void memory(int count) {
  ServedNamespace space("bench", {.flags = kAsInstalled.flags,
                                  .set = {"admissionPolicies.operatorAccount.enabled=false",
                                          "admissionPolicies.runPods.enabled=false"}});
  const auto transport = connect(space.cluster());
  std::this_thread::sleep_for(seconds(5));
  const double idle = memory_mib(space.op().pid(), "VmRSS");
  make_finished(space, *transport, space.cluster().image("sandbox-tiny"), count);
  std::this_thread::sleep_for(seconds(10));
  const double full = memory_mib(space.op().pid(), "VmRSS");
  space.kill_operator();
  space.start_operator();
  std::this_thread::sleep_for(seconds(5));
  const double peak = memory_mib(space.op().pid(), "VmHWM");
  const double listed = memory_mib(space.op().pid(), "VmRSS");
  std::printf(
      "resident memory: idle %.1f MiB (aim: at most 30), with %d finished runs and pods "
      "%.1f MiB (aim: at most 60); started on them: %.1f MiB, peak %.1f MiB, ratio %.2f "
      "(aim: at most 1.5)\n",
      idle, count, full, listed, peak, peak / listed);
}

}  // namespace
}  // namespace sandboxrun::bench

int main(int argc, char** argv) {
  using namespace sandboxrun;
  kube::prepare_process_for_http();
  const std::string what = argc > 1 ? argv[1] : "";
  const int count = argc > 2 ? std::atoi(argv[2]) : 30;
  try {
    if (what == "latency") {
      bench::latency(count);
    } else if (what == "throughput") {
      bench::throughput(count, argc > 3 ? std::atoi(argv[3]) : 1);
    } else if (what == "rate") {
      bench::rate(count);
    } else if (what == "memory") {
      bench::memory(count);
    } else {
      bench::fail("say latency, throughput, rate or memory, and a number");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cluster_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
