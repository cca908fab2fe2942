// What a call to an API server costs the caller, over TLS: by the client of calls and watches
// (libcurl) and by that of lists (cpprestsdk), interleaved.
//   kube_calls_bench [CALLS [THREADS]]     default: 4000 calls of each from 4 threads
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "operator/kube/api.h"
#include "operator/kube/http_transport.h"
#include "tests/api/fake_api_server.h"
#include "tests/api/test_certificates.h"

namespace {

using namespace sandboxrun;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kSent = 5000;      // about a pod as it is created
constexpr std::size_t kAnswered = 9000;  // and as the API server answers
const kube::Resource kPods{"", "v1", "pods"};

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "kube_calls_bench: %s\n", why.c_str());
  std::_Exit(1);
}

/// The server is a process of its own, so that its work is not counted. Ends with its parent.
std::string start_server() {
  int ends[2];
  if (pipe(ends) != 0) fail("no pipe");
  const pid_t child = fork();
  if (child < 0) fail("no process");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const test::TestAuthority authority;
    const auto certificate = authority.issue({"IP:127.0.0.1"});
    test::FakeApiServer::Options options;
    options.certificate_pem = certificate.certificate_pem;
    options.key_pem = certificate.key_pem;
    test::FakeApiServer server(options);
    server.fallback([](const test::FakeRequest&) {
      return test::Answer::json("{\"data\":\"" + std::string(kAnswered, 'x') + "\"}", 201);
    });
    const std::string told = std::to_string(server.port()) + "\n" + authority.pem();
    if (write(ends[1], told.data(), told.size()) < 0) std::_Exit(1);
    close(ends[1]);
    for (;;) pause();
  }
  close(ends[1]);
  std::string told;
  char buffer[4096];
  for (ssize_t got = 0; (got = read(ends[0], buffer, sizeof buffer)) > 0;) {
    told.append(buffer, static_cast<std::size_t>(got));
  }
  close(ends[0]);
  return told;
}

double cpu_microseconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& time) {
    return 1e6 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec);
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

struct Figures {
  double cpu = 0;
  std::vector<double> wall;
  int calls = 0;

  void say(const char* what) {
    std::sort(wall.begin(), wall.end());
    std::printf("%-28s %7.1f us of processor a call, p50 %7.1f us\n", what, per_call(),
                wall[wall.size() / 2]);
  }
  double per_call() const { return cpu / calls; }
};

void measure(Figures& figures, int calls, int threads, const std::function<bool()>& call) {
  const double before = cpu_microseconds();
  std::atomic<int> next{0};
  std::vector<std::vector<double>> wall(static_cast<std::size_t>(threads));
  {
    std::vector<std::jthread> callers;
    for (auto& mine : wall) {
      callers.emplace_back([&] {
        while (next++ < calls) {
          const auto begun = Clock::now();
          if (!call()) fail("a call failed");
          mine.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begun).count());
        }
      });
    }
  }
  figures.cpu += cpu_microseconds() - before;
  figures.calls += calls;
  for (const auto& mine : wall) figures.wall.insert(figures.wall.end(), mine.begin(), mine.end());
}

}  // namespace

int main(int argc, char** argv) {
  const int calls = argc > 1 ? std::atoi(argv[1]) : 4000;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 4;
  if (calls < 10 || threads < 1) fail("say how many calls, at least 10, from how many threads");
  const std::string told = start_server();
  kube::prepare_process_for_http();
  const std::size_t line = told.find('\n');
  if (line == std::string::npos) fail("the server does not start");
  kube::Config config;
  config.endpoint = {.tls = true,
                     .host = "127.0.0.1",
                     .port = static_cast<std::uint16_t>(std::stoi(told.substr(0, line))),
                     .path_prefix = ""};
  config.certificate_authority.data = Secret(told.substr(line + 1));
  config.credentials = kube::StaticToken{Secret("token")};
  const auto transport = kube::make_http_transport(config);
  if (!transport) fail(transport.error().message);

  const auto request = kube::create_request(kPods, "x", std::string(kSent, 'x'));
  const auto call = [&] { return (*transport)->roundtrip(request, {}).has_value(); };
  const auto list = [&] {
    return (*transport)->download(request, [](std::string_view) { return true; }, {}).has_value();
  };
  constexpr int kRounds = 10;
  Figures curl;
  Figures cpprest;
  for (int round = -1; round < kRounds; ++round) {
    Figures warm_up[2];
    measure(round < 0 ? warm_up[0] : curl, calls / kRounds, threads, call);
    measure(round < 0 ? warm_up[1] : cpprest, calls / kRounds, threads, list);
  }
  curl.say("CallClient (libcurl)");
  cpprest.say("ListClient (cpprestsdk)");
  std::printf("ListClient / CallClient %.2f\n", cpprest.per_call() / curl.per_call());
  return 0;
}
