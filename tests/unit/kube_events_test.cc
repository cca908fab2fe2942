#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "operator/base/document.h"
#include "operator/kube/events.h"
#include "operator/kube/events_recorder.h"
#include "tests/support/kube/fake_clock.h"
#include "tests/support/kube/kept_metrics.h"
#include "tests/support/kube/scripted_transport.h"

namespace sandboxrun::kube {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;

EventFacts event(const std::string& reason, const std::string& name = "run") {
  return {.reason = reason,
          .action = "Creating",
          .note = "Pod run-1 was created.",
          .regarding = {.api_version = "sandboxrun.dev/v1alpha1",
                        .kind = "SandboxRun",
                        .name = {"ns", name},
                        .uid = "u-" + name}};
}

class EventSeriesTest : public testing::Test {
 protected:
  std::optional<EventWrite> observe(const EventFacts& facts) {
    return series.observe(facts, clock.now(), clock.wall());
  }
  FakeClock clock;
  EventSeries series{{.controller = "sandboxrun.dev/operator", .instance = "pod-1"}};
};

TEST_F(EventSeriesTest, TheFirstIsCreatedWithEveryFieldThatTheServerAsksFor) {
  const auto write = observe(event("PodCreated"));
  ASSERT_TRUE(write && write->is_create());
  const auto body = parse_json(write->create_body);
  ASSERT_TRUE(body.has_value()) << body.error().message;
  const auto text = [&](std::string_view key) { return body->find(key)->text; };
  EXPECT_EQ(text("apiVersion"), "events.k8s.io/v1");
  EXPECT_EQ(text("kind"), "Event");
  EXPECT_EQ(text("type"), "Normal");
  EXPECT_EQ(text("reason"), "PodCreated");
  EXPECT_EQ(text("action"), "Creating");
  EXPECT_EQ(text("note"), "Pod run-1 was created.");
  EXPECT_EQ(text("reportingController"), "sandboxrun.dev/operator");
  EXPECT_EQ(text("reportingInstance"), "pod-1");
  EXPECT_EQ(text("eventTime"), format_micro_time(clock.wall()));
  EXPECT_EQ(body->find("metadata")->find("namespace")->text, "ns");
  EXPECT_THAT(body->find("metadata")->find("name")->text,
              testing::MatchesRegex("run\\.[0-9a-f]+\\.1"));
  EXPECT_EQ(body->find("regarding")->find("uid")->text, "u-run");
  EXPECT_EQ(body->find("series"), nullptr);
}

TEST_F(EventSeriesTest, TheSecondMakesASeriesAndFurtherOnesAreOnlyCounted) {
  const auto first = observe(event("PodCreated"));
  clock.advance(seconds(2));
  const auto second = observe(event("PodCreated"));
  ASSERT_TRUE(second && !second->is_create());
  EXPECT_EQ(second->name, first->name);
  EXPECT_EQ(second->patch_body, R"({"series":{"count":2,"lastObservedTime":")" +
                                    format_micro_time(clock.wall()) + R"("}})");
  EXPECT_EQ(observe(event("PodCreated")), std::nullopt);
}

TEST_F(EventSeriesTest, WhatDiffersIsAnEventOfItsOwn) {
  observe(event("PodCreated"));
  EventFacts related = event("PodCreated");
  related.related = ObjectReference{.kind = "Pod", .name = {"ns", "p"}};
  EventFacts warning = event("PodCreated");
  warning.warning = true;
  EventFacts action = event("PodCreated");
  action.action = "Deleting";
  for (const auto& other :
       {event("Other"), event("PodCreated", "run2"), related, warning, action}) {
    const auto write = observe(other);
    EXPECT_TRUE(write && write->is_create());
  }
}

TEST_F(EventSeriesTest, AnotherNoteIsTheSameSeries) {
  observe(event("PodCreated"));
  EventFacts other = event("PodCreated");
  other.note = "Pod run-2 was created.";
  EXPECT_FALSE(observe(other)->is_create());
}

TEST_F(EventSeriesTest, ACountIsWrittenEveryThirtyMinutes) {
  observe(event("PodCreated"));
  int count = 1;
  std::vector<EventWrite> writes;
  for (int minute = 0; minute < 61; ++minute) {
    clock.advance(minutes(1));
    observe(event("PodCreated"));
    ++count;
    for (auto& write : series.due(clock.now())) writes.push_back(std::move(write));
  }
  ASSERT_EQ(writes.size(), 2U);
  EXPECT_THAT(writes[0].patch_body, HasSubstr(R"("count":32,)"));
  EXPECT_THAT(writes[1].patch_body, HasSubstr(R"("count":62,)"));
  EXPECT_EQ(count, 62);
}

TEST_F(EventSeriesTest, ASeriesIsFinishedAfterSixMinutesOfSilence) {
  observe(event("PodCreated"));
  observe(event("PodCreated"));
  observe(event("PodCreated"));
  clock.advance(minutes(6) - seconds(1));
  EXPECT_TRUE(series.due(clock.now()).empty());
  clock.advance(seconds(1));
  const auto writes = series.due(clock.now());
  ASSERT_EQ(writes.size(), 1U);
  EXPECT_THAT(writes[0].patch_body, HasSubstr(R"("count":3,)"));
  EXPECT_EQ(series.size(), 0U);
  EXPECT_TRUE(observe(event("PodCreated"))->is_create());
}

TEST_F(EventSeriesTest, AnEventThatStayedAloneIsForgottenWithoutAWrite) {
  observe(event("PodCreated"));
  clock.advance(minutes(6));
  EXPECT_TRUE(series.due(clock.now()).empty());
  EXPECT_EQ(series.size(), 0U);
}

TEST_F(EventSeriesTest, AnObjectGetsTwentyFiveWritesAndThenOneInFiveMinutes) {
  int written = 0;
  for (int i = 0; i < 40; ++i) written += observe(event("R" + std::to_string(i))).has_value();
  EXPECT_EQ(written, 25);
  EXPECT_EQ(series.dropped(), 15U);
  EXPECT_TRUE(observe(event("R1", "another")).has_value());
  clock.advance(minutes(5));
  EXPECT_TRUE(observe(event("Later1")).has_value());
  EXPECT_FALSE(observe(event("Later2")).has_value());
}

TEST_F(EventSeriesTest, RemembersOnlySoMuch) {
  for (int i = 0; i < 5000; ++i) observe(event("PodCreated", "run" + std::to_string(i)));
  EXPECT_EQ(series.size(), EventSeries::kMaxSeries);
}

TEST_F(EventSeriesTest, ANoteIsCutBetweenCharacters) {
  EventFacts facts = event("PodCreated");
  facts.note.clear();
  for (int i = 0; i < 600; ++i) facts.note += "\xC3\xA9";
  const auto body = parse_json(observe(facts)->create_body);
  ASSERT_TRUE(body.has_value());
  const std::string note = body->find("note")->text;
  EXPECT_LE(note.size(), 1024U);
  EXPECT_GE(note.size(), 1022U);
  EXPECT_TRUE(note.ends_with("\xC3\xA9..."));
}

TEST_F(EventSeriesTest, AnObjectOfNoNamespaceHasItsEventsInDefault) {
  EventFacts facts = event("PodCreated");
  facts.regarding.name.namespace_name.clear();
  EXPECT_EQ(observe(facts)->name.namespace_name, "default");
}

class EventRecorderTest : public testing::Test {
 protected:
  ScriptedTransport transport;
  FakeClock clock;
  KeptMetrics metrics;
  EventRecorder recorder{{.source = {"sandboxrun.dev/operator", "pod-1"}, .capacity = 3},
                         transport,
                         clock,
                         [] { return 0.0; },
                         metrics};

  /// Lets time go on until so many calls were made: a call that failed is put back some time after
  /// it was made, for ten seconds after that.
  void advance_until_calls(std::size_t count) {
    const Instant begun = clock.now();
    for (; transport.requests().size() < count; std::this_thread::yield()) {
      clock.advance(seconds(1));
    }
    EXPECT_GE(clock.now() - begun, seconds(10));
  }
};

TEST_F(EventRecorderTest, SendsThemToTheirNamespace) {
  transport.then("{}");
  recorder.start();
  recorder.record(event("PodCreated"));
  EXPECT_TRUE(recorder.flush(seconds(30)));
  ASSERT_EQ(transport.requests().size(), 1U);
  EXPECT_EQ(transport.requests()[0].path, "/apis/events.k8s.io/v1/namespaces/ns/events");
  EXPECT_EQ(metrics.value("events_sent_total", "sent"), 1);
}

TEST_F(EventRecorderTest, ASeriesWhoseEventIsGoneIsCreatedAnew) {
  transport.then("{}");
  transport.then(call_error(ErrorKind::NotFound));
  transport.then("{}");
  recorder.start();
  recorder.record(event("PodCreated"));
  recorder.record(event("PodCreated"));
  EXPECT_TRUE(recorder.flush(seconds(30)));
  const auto requests = transport.requests();
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(requests[1].method, Method::Patch);
  EXPECT_EQ(requests[2].method, Method::Post);
  EXPECT_THAT(requests[2].body, HasSubstr(R"("series":{"count":2)"));
}

TEST_F(EventRecorderTest, WhatCannotBeSentIsTriedAgainAfterTenSecondsAndHoldsUpNoOther) {
  transport.then(call_error(ErrorKind::Unreachable));
  transport.then("{}");
  recorder.start();
  recorder.record(event("First"));
  recorder.record(event("Second"));
  transport.wait_for_calls(2);
  EXPECT_THAT(transport.requests()[1].body, HasSubstr(R"("reason":"Second")"));
  transport.then("{}");
  advance_until_calls(3);
  EXPECT_THAT(transport.requests()[2].body, HasSubstr(R"("reason":"First")"));
  EXPECT_TRUE(recorder.flush(seconds(30)));
  EXPECT_EQ(metrics.value("events_sent_total", "sent"), 2);
}

TEST_F(EventRecorderTest, AnEventThatHadArrivedBeforeIsSent) {
  transport.then(call_error(ErrorKind::Timeout));
  transport.then(call_error(ErrorKind::AlreadyExists));
  recorder.start();
  recorder.record(event("First"));
  transport.wait_for_calls(1);
  advance_until_calls(2);
  EXPECT_TRUE(recorder.flush(seconds(30)));
  EXPECT_EQ(metrics.value("events_sent_total", "sent"), 1);
}

TEST_F(EventRecorderTest, WhatIsRefusedIsGivenUpAndTold) {
  std::vector<std::string> problems;
  recorder.on_problem([&](const Error& error) { problems.push_back(error.message); });
  transport.then(call_error(ErrorKind::Forbidden));
  transport.then("{}");
  recorder.start();
  recorder.record(event("First"));
  recorder.record(event("Second"));
  transport.wait_for_calls(2);
  EXPECT_TRUE(recorder.flush(seconds(30)));
  EXPECT_EQ(problems, std::vector<std::string>{"Forbidden"});
  EXPECT_EQ(metrics.value("events_dropped_total", "refused"), 1);
}

TEST_F(EventRecorderTest, MoreThanTheQueueHoldsIsDropped) {
  for (int i = 0; i < 5; ++i) recorder.record(event("R" + std::to_string(i)));
  EXPECT_EQ(metrics.value("events_dropped_total", "queue_full"), 2);
}

}  // namespace
}  // namespace sandboxrun::kube
