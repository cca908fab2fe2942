#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "operator/kube/events_recorder.h"
#include "tests/api/transport_fixture.h"
#include "tests/support/kube/kept_metrics.h"

namespace sandboxrun::kube {
namespace {

using test::Answer;
using testing::HasSubstr;

const std::string kEventsPath = "/apis/events.k8s.io/v1/namespaces/x/events";

TEST(EventsApi, ARepeatedEventIsOnePostAndOneMergePatch) {
  test::FakeApiServer server;
  server.fallback([](const test::FakeRequest&) { return Answer::json("{}"); });
  const auto transport = transport_to(plain_config(server));
  SystemClock clock;
  KeptMetrics metrics;
  EventRecorder recorder({.source = {"sandboxrun.dev/operator", "pod-1"}}, *transport, clock,
                         system_random(), metrics);
  recorder.start();
  for (int i = 0; i < 5; ++i) {
    recorder.record({.warning = true,
                     .reason = "PodRefused",
                     .action = "Creating",
                     .note = "The quota is used up.",
                     .regarding = {.kind = "SandboxRun", .name = {"x", "run"}, .uid = "u"}});
  }
  ASSERT_TRUE(recorder.flush(std::chrono::seconds(10)));
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_EQ(requests[0].path, kEventsPath);
  EXPECT_THAT(requests[0].body, HasSubstr(R"("type":"Warning")"));
  EXPECT_EQ(requests[1].method, "PATCH");
  EXPECT_EQ(requests[1].header("content-type"), "application/merge-patch+json");
  EXPECT_THAT(requests[0].body,
              HasSubstr(R"("name":")" + requests[1].path.substr(kEventsPath.size() + 1)));
  EXPECT_THAT(requests[1].body, HasSubstr(R"("count":2)"));
}

TEST(EventsApi, AServerThatIsNotThereHoldsNobodyUp) {
  test::FakeApiServer server;
  Answer silence;
  silence.silence = true;
  server.fallback([silence](const test::FakeRequest&) { return silence; });
  const auto transport = transport_to(plain_config(server));
  SystemClock clock;
  KeptMetrics metrics;
  const auto begun = std::chrono::steady_clock::now();
  {
    EventRecorder recorder({.source = {"c", "i"}}, *transport, clock, system_random(), metrics);
    recorder.start();
    for (int i = 0; i < 2000; ++i) {
      recorder.record({.reason = "PodCreated",
                       .action = "Creating",
                       .regarding = {.kind = "SandboxRun", .name = {"x", std::to_string(i)}}});
    }
    EXPECT_FALSE(recorder.flush(std::chrono::milliseconds(50)));
  }
  EXPECT_LT(since(begun), std::chrono::seconds(5));
  EXPECT_GE(metrics.value("events_dropped_total", "queue_full"), 990);
}

}  // namespace
}  // namespace sandboxrun::kube
