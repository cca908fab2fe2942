#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "operator/kube/reflector.h"
#include "tests/api/transport_fixture.h"
#include "tests/support/kube/kept_metrics.h"

namespace sandboxrun::kube {
namespace {

using std::chrono::milliseconds;
using test::Answer;
using test::FakeRequest;
using testing::ElementsAre;
using testing::HasSubstr;

std::string pod(const std::string& name, const std::string& version,
                const std::string& phase = "Running") {
  return R"({"metadata":{"name":")" + name + R"(","namespace":"x","uid":"u-)" + name +
         R"(","resourceVersion":")" + version + R"("},"status":{"phase":)" + phase + "}}";
}
std::string event(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}";
}
const std::string kRunning = R"("Running")";
const std::string kListed = R"({"metadata":{"resourceVersion":"7"},"items":[)" +
                            pod("a", "3", kRunning) + "," + pod("b", "5", kRunning) + "]}";

// Follows the pods of namespace x. Lists and watches come to the same path, told apart by "watch".
class ReflectorApiTest : public testing::Test {
 protected:
  void SetUp() override {
    server.always("GET", kPodsPath, [this](const FakeRequest& request) { return answer(request); });
  }
  void start(bool watch_list = false) {
    transport = transport_to(plain_config(server));
    reflector = std::make_unique<Reflector<std::string>>(
        ReflectorOptions{.name = "pods",
                         .resource = kPods,
                         .selection = {.namespace_name = "x"},
                         .watch_list = watch_list,
                         .backoff = {.initial = milliseconds(10), .cap = milliseconds(50)},
                         .initial_patience = milliseconds(200)},
        [](const ObjectMeta&, std::string_view json) -> sandboxrun::Result<std::string> {
          if (json.find(kRunning) == std::string_view::npos) {
            return sandboxrun::failure(sandboxrun::ErrorKind::InvalidInput, "status.phase");
          }
          return std::string(kRunning);
        },
        *transport, clock, metrics);
    reflector->start({}, {.on_problem = [this](const Error& error) {
                       const std::lock_guard lock(mutex);
                       problems.push_back(error.kind);
                     }});
  }
  Answer answer(const FakeRequest& request) {
    const std::lock_guard lock(mutex);
    asked.push_back((request.parameter("watch") == "1" ? "watch@" : "list@") +
                    request.parameter("resourceVersion"));
    auto& script = request.parameter("watch") == "1" ? watches : lists;
    if (script.empty()) return Answer::watch(live);
    Answer next = std::move(script.front());
    script.erase(script.begin());
    return next;
  }
  template <typename Condition>
  bool eventually(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }
  // The version of a pod in the store, or "".
  std::string version(const std::string& name) const {
    const auto found = reflector->store().find({"x", name});
    return found ? found->meta.resource_version : "";
  }
  std::vector<std::string> calls() {
    const std::lock_guard lock(mutex);
    return asked;
  }
  std::vector<ErrorKind> met() {
    const std::lock_guard lock(mutex);
    return problems;
  }

  std::mutex mutex;
  std::vector<Answer> lists;
  std::vector<Answer> watches;  // when there are no more: `live`
  std::vector<std::string> asked;
  std::vector<ErrorKind> problems;
  std::shared_ptr<test::LiveStream> live = std::make_shared<test::LiveStream>();
  test::FakeApiServer server;
  SystemClock clock;
  KeptMetrics metrics;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<Reflector<std::string>> reflector;
};

TEST_F(ReflectorApiTest, ListsWatchesAndSeesWhatHappensAsItHappens) {
  lists = {Answer::json(kListed)};
  start();
  ASSERT_TRUE(eventually([&] { return reflector->store().is_synced(); }));
  live->push(event("MODIFIED", pod("a", "8", kRunning)));
  EXPECT_TRUE(eventually([&] { return version("a") == "8"; }));
  live->push(event("DELETED", pod("b", "9", kRunning)));
  EXPECT_TRUE(eventually([&] { return version("b").empty(); }));
  EXPECT_EQ(reflector->store().seen_version(), 9U);
  EXPECT_THAT(calls(), ElementsAre("list@0", "watch@7"));
}

TEST_F(ReflectorApiTest, AWatchListIsOneCall) {
  live->push(event("ADDED", pod("a", "3", kRunning)));
  live->push(R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7",)"
             R"("annotations":{"k8s.io/initial-events-end":"true"}}}})");
  start(/*watch_list=*/true);
  ASSERT_TRUE(eventually([&] { return reflector->store().is_synced(); }));
  live->push(event("ADDED", pod("b", "8", kRunning)));
  EXPECT_TRUE(eventually([&] { return version("b") == "8"; }));
  EXPECT_EQ(server.count("GET", kPodsPath), 1U);
  EXPECT_EQ(met(), std::vector<ErrorKind>{});
}

TEST_F(ReflectorApiTest, AWatchListThatIsRefusedIsListedAndNotAskedForAgain) {
  lists = {Answer::json(kListed)};
  watches = {Answer::failure(422, "Invalid", "sendInitialEvents is forbidden")};
  start(true);
  ASSERT_TRUE(eventually([&] { return calls().size() == 3; }));
  EXPECT_THAT(calls(), ElementsAre("watch@", "list@0", "watch@7"));
  EXPECT_THAT(met(), ElementsAre(ErrorKind::Invalid));
}

TEST_F(ReflectorApiTest, AWatchListThatGivesNothingIsListed) {
  lists = {Answer::json(kListed)};
  start(true);
  ASSERT_TRUE(eventually([&] { return reflector->store().is_synced(); }));
  EXPECT_THAT(calls(), testing::Contains("list@0"));
}

TEST_F(ReflectorApiTest, A410InMidWatchIsARelistFromTheCache) {
  lists = {Answer::json(kListed), Answer::json(R"({"metadata":{"resourceVersion":"30"},"items":[)" +
                                               pod("c", "20", kRunning) + "]}")};
  watches = {Answer::stream(
      {{event("MODIFIED", pod("a", "8", kRunning)) + "\n"},
       {event("ERROR", R"({"kind":"Status","code":410,"reason":"Expired","message":"too old"})") +
        "\n"}})};
  start();
  ASSERT_TRUE(eventually([&] { return version("c") == "20"; }));
  EXPECT_EQ(reflector->store().size(), 1U);
  ASSERT_TRUE(eventually([&] { return calls().size() == 4; }));
  EXPECT_THAT(calls(), ElementsAre("list@0", "watch@7", "list@8", "watch@30"));
  EXPECT_THAT(met(), ElementsAre(ErrorKind::Gone));
}

TEST_F(ReflectorApiTest, ABrokenConnectionIsResumedWithoutARelist) {
  lists = {Answer::json(kListed)};
  watches = {
      Answer::stream({{event("MODIFIED", pod("a", "8", kRunning)) + "\n"}}, Answer::End::Drop),
      Answer::stream({{event("MODIFIED", pod("a", "9", kRunning)) + "\n"},
                      {R"({"type":"MODIFIED","object":{"metada)"}},
                     Answer::End::HalfChunk)};
  start();
  ASSERT_TRUE(eventually([&] { return calls().size() == 4; }));
  EXPECT_THAT(calls(), ElementsAre("list@0", "watch@7", "watch@8", "watch@9"));
  EXPECT_EQ(version("a"), "9");
}

TEST_F(ReflectorApiTest, A429AtTheStartOfAWatchIsWaitedForAndResumed) {
  lists = {Answer::json(kListed)};
  watches = {Answer::failure(429, "TooManyRequests", "slow down").with_header("Retry-After", "1")};
  start();
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(eventually([&] { return calls().size() == 3; }));
  EXPECT_THAT(calls(), ElementsAre("list@0", "watch@7", "watch@7"));
  EXPECT_GE(since(begun), milliseconds(1000));
  EXPECT_THAT(met(), ElementsAre(ErrorKind::TooManyRequests));
}

TEST_F(ReflectorApiTest, ServerErrorsAndExpiredTokensOfAListAreGotOver) {
  lists = {Answer::failure(500, "InternalError", "etcd is away"),
           Answer::failure(503, "ServiceUnavailable", "starting"),
           Answer::json(R"({"metadata":{"resourceVersion":"6","continue":"next"},"items":[)" +
                        pod("z", "2", kRunning) + "]}"),
           Answer::failure(410, "Expired", "the continue token is too old"), Answer::json(kListed)};
  start();
  ASSERT_TRUE(eventually([&] { return reflector->store().is_synced(); }));
  EXPECT_EQ(version("z"), "");
  EXPECT_EQ(version("a"), "3");
  EXPECT_THAT(met(), ElementsAre(ErrorKind::ServerError, ErrorKind::ServerError, ErrorKind::Gone));
}

TEST_F(ReflectorApiTest, AListThatBreaksOffAmongItsItemsLeavesNothingBehind) {
  lists = {Answer::stream({{R"({"metadata":{"resourceVersion":"6"},"items":[)" +
                            pod("z", "2", kRunning) + "," + pod("a", "1", kRunning).substr(0, 9)}},
                          Answer::End::Drop),
           Answer::json(kListed)};
  start();
  ASSERT_TRUE(eventually([&] { return reflector->store().is_synced(); }));
  EXPECT_EQ(version("z"), "");
  EXPECT_EQ(version("a"), "3");
  EXPECT_THAT(calls(), testing::Contains("list@0").Times(2));
  EXPECT_THAT(met(), ElementsAre(ErrorKind::Unreachable));
}

TEST_F(ReflectorApiTest, RepeatedAndLateEventsChangeNothing) {
  lists = {Answer::json(kListed)};
  start();
  for (const char* version : {"9", "9", "8"}) {
    live->push(event("MODIFIED", pod("a", version, kRunning)));
  }
  live->push(event("ADDED", pod("b", "4", kRunning)));
  live->push(event("ADDED", pod("end", "10", kRunning)));
  ASSERT_TRUE(eventually([&] { return version("end") == "10"; }));
  EXPECT_EQ(version("a"), "9");
  EXPECT_EQ(version("b"), "5");
}

TEST_F(ReflectorApiTest, AMalformedObjectStopsNoOther) {
  lists = {Answer::json(kListed)};
  start();
  live->push(event("MODIFIED", pod("a", "8", "17")));
  live->push(event("MODIFIED", pod("b", "9", kRunning)));
  ASSERT_TRUE(eventually([&] { return version("b") == "9"; }));
  const auto a = reflector->store().find({"x", "a"});
  EXPECT_EQ(a->meta.resource_version, "8");
  EXPECT_EQ(a->value, std::nullopt);
  EXPECT_EQ(a->error, "status.phase");
  EXPECT_THAT(calls(), ElementsAre("list@0", "watch@7"));
}

TEST_F(ReflectorApiTest, StopsWhileNothingHappens) {
  lists = {Answer::json(kListed)};
  start();
  ASSERT_TRUE(eventually([&] { return calls().size() == 2; }));
  const auto begun = std::chrono::steady_clock::now();
  reflector.reset();
  EXPECT_LT(since(begun), std::chrono::seconds(5));
}

}  // namespace
}  // namespace sandboxrun::kube
