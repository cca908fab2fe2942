#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <iostream>
#include <latch>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "operator/kube/http_transport.h"
#include "operator/kube/watch_step.h"
#include "tests/api/http_api.h"
#include "tests/api/operator_fixture.h"
#include "tests/api/test_certificates.h"
#include "tests/support/temp_dir.h"

// The whole operator, over HTTP, against an API server that misbehaves: whatever happens, the run's
// pod is made once, and the run's end is the right one.
namespace sandboxrun::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Answer;
using test::FakeRequest;
using test::is_watch;

class FaultTest : public OperatorTest {
 protected:
  FaultTest() {
    timing.backoff = {.initial = milliseconds(20), .cap = milliseconds(200)};
    timing.reconcile = seconds(2);
    timing.min_watch = timing.max_watch = seconds(1);
  }
  void TearDown() override {
    stop();
    if (HasFailure()) std::cerr << log.str();
  }

  test::HttpApi& serve() {
    if (!http) http = std::make_unique<test::HttpApi>(api, server);
    return *http;
  }

  kube::Transport& transport() override {
    config.endpoint = {.tls = !server.certificate_pem.empty(),
                       .host = "127.0.0.1",
                       .port = serve().server().port(),
                       .path_prefix = ""};
    kube::prepare_process_for_http(2);
    auto made = kube::make_http_transport(config);
    if (!made) throw std::runtime_error(made.error().message);
    way = std::move(*made);
    return *way;
  }

  // From the run's creation to its end; `meanwhile` happens while the command runs.
  void complete(const std::function<void()>& meanwhile = {}) {
    create_run();
    ASSERT_TRUE(pod_is_let_loose());
    run_pod();
    ASSERT_TRUE(reaches("Unknown/Running"));
    if (meanwhile) meanwhile();
    end_pod(0);
    ASSERT_TRUE(reaches("True/Completed"));
    expect_one_start();
  }

  // What faults count; they may be asked for until the operator has stopped.
  int calls = 0;
  std::atomic<bool> stalls = false;
  std::string earlier;
  test::FakeApiServer::Options server;
  kube::Config config;
  std::unique_ptr<test::HttpApi> http;
  std::unique_ptr<kube::Transport> way;
};

bool is_post(const FakeRequest& request) {
  return request.method == "POST" && request.path == kPodFolder;
}
bool is_status(const FakeRequest& request) {
  return request.method == "PATCH" && request.path == kRunPath + "/status";
}
bool is_ungate(const FakeRequest& request) {
  return request.method == "PATCH" && request.path.starts_with(kPodFolder);
}

Answer no_answer() {
  Answer answer;
  answer.no_answer = true;
  return answer;
}

// This answer for the first requests of a kind.
test::HttpApi::Instead for_the_first(int times, bool (*kind)(const FakeRequest&), Answer answer) {
  return [left = times, kind, answer](const FakeRequest& request) mutable -> std::optional<Answer> {
    if (left == 0 || !kind(request)) return std::nullopt;
    --left;
    return answer;
  };
}

TEST_F(FaultTest, T39_AServerThatRefusesWatchListsIsListedAndWatched) {
  start();
  complete();
  const auto requests = serve().server().requests();
  EXPECT_TRUE(std::ranges::any_of(requests, [](const FakeRequest& request) {
    return !request.parameter("sendInitialEvents").empty();
  }));
}

TEST_F(FaultTest, T39_AVersionThatIsGoneInMidWatchLosesNothing) {
  start();
  complete([&] {
    serve().push(R"({"type":"ERROR","object":{"kind":"Status","status":"Failure",)"
                 R"("reason":"Expired","message":"too old resource version","code":410}})");
    serve().end_watches();
  });
}

// For a while nothing of ours happens, and the server forgets the versions before its last
// bookmark.
TEST_F(FaultTest, T39_AfterNothingButBookmarksAWatchGoesOnFromTheLast) {
  std::promise<std::string> given;
  const std::shared_future<std::string> version = given.get_future();
  std::latch told(2);  // on the watch of runs and on that of pods
  std::set<bool> watches;
  serve().rewrite([&, version](const std::string& line) {
    std::vector<std::string> lines{line};
    const bool of_pods = line.contains("\"containers\"");
    if (!line.contains("the-last-event") || !watches.insert(of_pods).second) return lines;
    lines.insert(lines.end(), 3,
                 R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":")" + version.get() +
                     R"("}}})");
    told.count_down();
    return lines;
  });
  start();
  std::size_t lists = 0;
  complete([&] {
    for (const std::string& path : {kRunPath, pod_path()}) {
      api.change(path, [](Node& object) {
        test::put(object, {"metadata", "annotations", "the-last-event"}, test::text_node("x"));
      });
    }
    const std::string others = "/api/v1/namespaces/elsewhere/configmaps";
    api.create(others, R"({"metadata":{"name":"other"}})");
    given.set_value(test::text_at(*api.find(others + "/other"), {"metadata", "resourceVersion"}));
    told.wait();
    lists = api.reads().size();
    serve().instead([version](const FakeRequest& request) -> std::optional<Answer> {
      const auto from = kube::version_number(request.parameter("resourceVersion"));
      const bool is_old = from < kube::version_number(version.get());
      if (!is_watch(request) || request.path.contains("networkpolicies") || !is_old) {
        return std::nullopt;
      }
      return Answer::failure(410, "Expired", "too old resource version");
    });
    serve().end_watches();
  });
  EXPECT_EQ(api.reads().size(), lists);
  stop();  // before what the server was told here is gone
}

TEST_F(FaultTest, T39_AWatchThatStallsIsLeftAndBegunAgain) {
  stalls = true;
  serve().rewrite([this](const std::string& line) {
    return stalls ? std::vector<std::string>{} : std::vector{line};
  });
  start();
  ASSERT_TRUE(api.wait_for([&] { return process->is_ready(); }));
  create_run();
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_FALSE(api.find(pod_path()));
  stalls = false;
  ASSERT_TRUE(pod_is_let_loose());
  expect_one_start();
}

TEST_F(FaultTest, T39_HalfAChunkIsNoEvent) {
  const Answer half = Answer::stream(
      {{.text = R"({"type":"ADDED","object":{"metadata":{"name":"x)"}, {.text = R"("}}})"}},
      Answer::End::HalfChunk);
  serve().instead(for_the_first(6, is_watch, half));
  start();
  complete();
}

TEST_F(FaultTest, T39_ConnectionsThatBreakLoseNothing) {
  start();
  complete([&] { serve().server().drop_connections(); });
}

TEST_F(FaultTest, T39_ABusyServerIsAskedAgainWhenItSays) {
  serve().instead(for_the_first(
      1, is_post, Answer::failure(429, "TooManyRequests", "busy").with_header("Retry-After", "1")));
  start();
  const auto begin = std::chrono::steady_clock::now();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, seconds(1));
  expect_one_start();
}

TEST_F(FaultTest, T39_EveryThirdCallMayFail) {
  serve().instead([this](const FakeRequest& request) -> std::optional<Answer> {
    if (is_watch(request) || ++calls % 3 != 0) return std::nullopt;
    return Answer::failure(500, "InternalError", "etcd is away");
  });
  start();
  complete();
}

TEST_F(FaultTest, S5_AnAnswerToThePostThatIsLostMakesNoSecondPod) {
  serve().afterwards([this](const FakeRequest& request) -> std::optional<Answer> {
    if (!is_post(request) || calls++ > 0) return std::nullopt;
    return no_answer();
  });
  start();
  complete();
  EXPECT_EQ(calls, 2);
}

TEST_F(FaultTest, S5_APostThatArrivesTwiceMakesNoSecondPod) {
  // Something in between sent it before; the operator hears of the second time only.
  serve().instead([this](const FakeRequest& request) -> std::optional<Answer> {
    if (is_post(request) && calls++ == 0) api.create(kPodFolder, request.body);
    return std::nullopt;
  });
  start();
  complete();
  EXPECT_EQ(posts(), 1U);  // that is, besides the other one
}

TEST_F(FaultTest, S5_AnAnswerToTheUngateThatIsLostIsNoSecondStart) {
  serve().afterwards([this](const FakeRequest& request) -> std::optional<Answer> {
    if (!is_ungate(request) || calls++ > 1) return std::nullopt;
    return no_answer();
  });
  start();
  complete();
}

TEST_F(FaultTest, T39_AServerThatNeverAnswersACallHoldsNoWorkerForEver) {
  Answer silence;
  silence.silence = true;
  options.max_concurrent_reconciles = 1;
  serve().instead(for_the_first(1, is_status, silence));
  start();
  complete();
  EXPECT_TRUE(
      has_metric("controller_runtime_reconcile_timeouts_total{controller=\"sandboxrun\"} 1"));
}

TEST_F(FaultTest, T39_AConflictAboutTheStatusIsDecidedAnew) {
  serve().instead(
      for_the_first(3, is_status, Answer::failure(409, "Conflict", "the object has changed")));
  start();
  complete();
}

TEST_F(FaultTest, T39_EventsThatComeTwiceAndOutOfOrderChangeNothing) {
  serve().rewrite([this](const std::string& line) {
    const std::string late = std::exchange(earlier, line);
    return std::vector{line, line, late.empty() ? line : late};
  });
  start();
  complete();
}

TEST_F(FaultTest, T42_MalformedObjectsStopNoOthers) {
  api.create(kRunFolder, R"({"metadata":{"name":"odd"},"spec":7,"status":[]})");
  api.create(kRunFolder, R"({"metadata":{"name":"odder"},"spec":{"environment":[],"command":{}}})");
  api.create(kPodFolder, R"({"metadata":{"name":"odd","labels":{"sandboxrun.dev/run-uid":"x"}},)"
                         R"("spec":"none","status":{"containerStatuses":{"a":[1,2]}}})");
  start();
  create_run();
  ASSERT_TRUE(pod_is_let_loose());
  for (const char* line : {"no json", "{", R"({"type":"ADDED","object":{"kind":"Pod"}})",
                           R"({"type":"NEWS","object":{"metadata":{"name":"x"}}})", "[[[[[[["}) {
    serve().push(line);
  }
  run_pod();
  end_pod(0);
  ASSERT_TRUE(reaches("True/Completed"));
}

TEST_F(FaultTest, T45_ATokenThatWasRotatedIsReadAgain) {
  const test::TempDir folder;
  const std::string file = folder / "token";
  test::write_file(file, "one");
  config.credentials = kube::TokenFile{file};
  serve().server().require_token("one");
  start();
  complete([&] {
    test::write_file(file, "two");
    serve().server().require_token("two");
    serve().server().drop_connections();
  });
}

TEST_F(FaultTest, T39_SlowHandshakesOnlyTakeTheirTime) {
  const test::TestAuthority authority;
  const auto certificate = authority.issue({"IP:127.0.0.1"});
  server.certificate_pem = certificate.certificate_pem;
  server.key_pem = certificate.key_pem;
  server.handshake_delay = milliseconds(300);
  config.certificate_authority.data = Secret(authority.pem());
  start();
  complete();
}

// The operator dies at one of its writes, before the write reaches the server (false) or after it
// was done (true), and another one takes over.
class CrashTest : public OperatorTest, public testing::WithParamInterface<std::tuple<int, bool>> {
 protected:
  void die_at(int write, bool done) {
    const auto gone = error_of(kube::ErrorKind::Unreachable, 0, "the process is gone");
    api.fail_before([=, this](const kube::Request& request) -> std::optional<kube::Error> {
      if (counts(request) && !dead && ++writes_seen == write && !done) dead = true;
      return dead ? std::optional(gone) : std::nullopt;
    });
    api.fail_after([=, this](const kube::Request& request) -> std::optional<kube::Error> {
      if (!dead && counts(request) && writes_seen == write) dead = true;
      return dead ? std::optional(gone) : std::nullopt;
    });
  }

  // The kubelet, until the run has ended or the operator is dead.
  void serve_pod() {
    api.wait_for([&] {
      const std::string now = verdict();
      if (!runs && is_ungated(pod_path())) {
        run_pod();
        runs = true;
      } else if (runs && now == "Unknown/Running") {
        end_pod(0);
      }
      return dead || now == "True/Completed";
    });
  }

  std::atomic<bool> dead = false;
  bool runs = false;

 private:
  static bool counts(const kube::Request& request) {
    return request.method != kube::Method::Get && !request.path.contains("/events");
  }
  int writes_seen = 0;
};

TEST_P(CrashTest, S5_T39_AnotherOperatorEndsTheRunAndStartsNothingTwice) {
  const auto [write, done] = GetParam();
  die_at(write, done);
  start();
  create_run();
  serve_pod();
  EXPECT_TRUE(dead);
  stop();
  api.fail_before({});
  api.fail_after({});
  dead = false;
  start();
  serve_pod();
  EXPECT_EQ(verdict(), "True/Completed");
  expect_one_start();
}

// A policy, the pod, its record, the ungating, the running, the end.
INSTANTIATE_TEST_SUITE_P(AtEveryWrite, CrashTest,
                         testing::Combine(testing::Range(1, 7), testing::Bool()),
                         [](const auto& each) {
                           return std::to_string(std::get<0>(each.param)) +
                                  (std::get<1>(each.param) ? "Done" : "NotDone");
                         });

}  // namespace
}  // namespace sandboxrun::control
