#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "operator/kube/reflector.h"
#include "operator/kube/store_gate.h"
#include "tests/support/kube/fake_clock.h"
#include "tests/support/kube/kept_metrics.h"
#include "tests/support/kube/scripted_transport.h"

namespace sandboxrun::kube {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;
using Stream = ScriptedTransport::Stream;

// The projection of these tests: how long the object's JSON is, unless it says that it is bad.
sandboxrun::Result<std::size_t> decode(const ObjectMeta&, std::string_view json) {
  if (json.find("bad") != std::string_view::npos) {
    return sandboxrun::failure(sandboxrun::ErrorKind::InvalidInput, "spec.x is bad");
  }
  return json.size();
}

std::string object(const std::string& name, const std::string& version,
                   const std::string& extra = "") {
  return R"({"metadata":{"name":")" + name + R"(","namespace":"ns","uid":"u-)" + name +
         R"(","resourceVersion":")" + version + R"("})" + extra + "}";
}
std::string event(const std::string& type, const std::string& json) {
  return R"({"type":")" + type + R"(","object":)" + json + "}";
}
std::string bookmark(const std::string& version, bool end = false) {
  return R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":")" + version + "\"" +
         (end ? R"(,"annotations":{"k8s.io/initial-events-end":"true"})" : "") + "}}}";
}
std::string list(const std::string& version, const std::vector<std::string>& items,
                 const std::string& next = "") {
  std::string body = R"({"metadata":{"resourceVersion":")" + version + R"(","continue":")" + next +
                     R"("},"items":[)";
  for (const auto& item : items) body += (body.back() == '[' ? "" : ",") + item;
  return body + "]}";
}

class ReflectorTest : public testing::Test {
 protected:
  void start(bool watch_list = true) {
    reflector = std::make_unique<Reflector<std::size_t>>(
        ReflectorOptions{.name = "runs",
                         .resource = {"sandboxrun.dev", "v1alpha1", "sandboxruns"},
                         .watch_list = watch_list},
        decode, transport, clock, metrics, [] { return 0.5; });
    reflector->start(
        [this](const StoreEvent<std::size_t>& change) { note(change); },
        {.on_problem = [this](const Error& error) { write("problem: " + error.message); },
         .on_bad_object = [this](
                              const ObjectName& name,
                              const std::string& why) { write("bad " + name.name + ": " + why); }});
  }
  void note(const StoreEvent<std::size_t>& change) {
    using Kind = StoreEvent<std::size_t>::Kind;
    const std::string verb = change.kind == Kind::Added     ? "added "
                             : change.kind == Kind::Updated ? "updated "
                                                            : "deleted ";
    write(verb + change.meta().name.name + "@" + change.meta().resource_version +
          (change.initial ? " initially" : ""));
  }
  void write(std::string line) {
    const std::lock_guard lock(mutex);
    log.push_back(std::move(line));
  }
  std::vector<std::string> seen() {
    const std::lock_guard lock(mutex);
    return log;
  }
  std::vector<std::string> seen_after(std::ptrdiff_t lines) {
    const std::lock_guard lock(mutex);
    return {log.begin() + lines, log.end()};
  }
  // Waits until the reflector has made that many calls and the last one stands open.
  void settle(std::size_t calls) { transport.wait_for_calls(calls); }

  std::mutex mutex;
  std::vector<std::string> log;
  ScriptedTransport transport;
  FakeClock clock{FakeClock::Mode::Flows};
  KeptMetrics metrics;
  std::unique_ptr<Reflector<std::size_t>> reflector;  // last: its thread uses the others
};

TEST_F(ReflectorTest, ListsAndThenFollows) {
  transport.then(list("7", {object("a", "3"), object("b", "5")}));
  transport.then(Stream{{event("MODIFIED", object("a", "8")), event("DELETED", object("b", "9")),
                         event("ADDED", object("c", "10"))}});
  start(/*watch_list=*/false);
  settle(3);
  EXPECT_THAT(seen(), testing::IsSupersetOf({"added a@3 initially", "added b@5 initially"}));
  EXPECT_THAT(seen_after(2), ElementsAre("updated a@8", "deleted b@9", "added c@10"));
  EXPECT_TRUE(reflector->store().is_synced());
  EXPECT_EQ(reflector->store().seen_version(), 10U);
  EXPECT_EQ(reflector->store().find({"ns", "b"}), nullptr);
  EXPECT_EQ(reflector->store().size(), 2U);
  const auto requests = transport.requests();
  EXPECT_EQ(query(requests[0], "resourceVersion"), "0");
  EXPECT_EQ(query(requests[1], "resourceVersion"), "7");
  EXPECT_EQ(query(requests[1], "timeoutSeconds"), "265");
  EXPECT_EQ(requests[1].idle_timeout, seconds(270));
  EXPECT_EQ(query(requests[2], "resourceVersion"), "10");
}

TEST_F(ReflectorTest, ReadersSeeNothingOfAListBeforeItIsWhole) {
  transport.then(list("7", {object("a", "3")}, "next"));
  start(false);
  settle(2);
  EXPECT_EQ(reflector->store().size(), 0U);
  EXPECT_FALSE(reflector->store().is_synced());
  transport.then(list("7", {object("b", "5")}));
  settle(3);
  EXPECT_EQ(reflector->store().size(), 2U);
  EXPECT_TRUE(reflector->store().is_synced());
}

TEST_F(ReflectorTest, ItsFirstCallWaitsUntilItMayBegin) {
  std::atomic<int> asked = 0;
  transport.then(list("7", {object("a", "3")}));
  Reflector<std::size_t> own({.name = "runs",
                              .resource = {"g", "v1", "runs"},
                              .watch_list = false,
                              .begin_when =
                                  [&] {
                                    EXPECT_EQ(transport.requests().size(), 0U);
                                    return ++asked == 5;
                                  }},
                             decode, transport, clock, metrics);
  own.start({}, {});
  settle(2);
  EXPECT_EQ(asked, 5);
}

TEST_F(ReflectorTest, AWatchListFillsTheStoreAndGoesOn) {
  transport.then(Stream{
      {event("ADDED", object("a", "3")), bookmark("7", true), event("MODIFIED", object("a", "8"))},
      StreamEnd::Closed});
  FakeClock standing;  // patience must not run out by itself
  Reflector<std::size_t> own({.name = "runs", .resource = {"g", "v1", "runs"}}, decode, transport,
                             standing, metrics);
  own.start([this](const auto& change) { note(change); }, {});
  settle(2);
  EXPECT_THAT(seen(), ElementsAre("added a@3 initially", "updated a@8"));
  const auto requests = transport.requests();
  EXPECT_EQ(query(requests[0], "sendInitialEvents"), "true");
  EXPECT_EQ(query(requests[0], "resourceVersionMatch"), "NotOlderThan");
  EXPECT_EQ(query(requests[1], "resourceVersion"), "8");
  EXPECT_EQ(query(requests[1], "sendInitialEvents"), "(none)");
}

TEST_F(ReflectorTest, AWatchListThatIsRefusedBecomesAList) {
  transport.then(call_error(ErrorKind::Invalid));
  transport.then(list("7", {object("a", "3")}));
  start();
  settle(3);
  EXPECT_THAT(seen(), ElementsAre("problem: Invalid", "added a@3 initially"));
}

TEST_F(ReflectorTest, AWatchListThatGivesNothingBecomesAListAfterItsPatience) {
  transport.then(Stream{{event("ADDED", object("a", "3"))}, StreamEnd::Stopped});
  transport.then(list("7", {object("b", "3")}));
  start();
  settle(3);
  EXPECT_THAT(seen(),
              ElementsAre(HasSubstr("problem: The watch ended before"), "added b@3 initially"));
}

TEST_F(ReflectorTest, AfterA410OnlyWhatChangedIsTold) {
  transport.then(list("7", {object("a", "3"), object("b", "4"), object("c", "5")}));
  transport.then(
      Stream{{event("ERROR", R"({"kind":"Status","code":410,"reason":"Expired","message":"old"})")},
             StreamEnd::Closed});
  transport.then(list("20", {object("a", "3"), object("b", "12"), object("d", "15")}));
  start(false);
  settle(4);
  EXPECT_THAT(seen_after(4), UnorderedElementsAre("updated b@12 initially", "added d@15 initially",
                                                  "deleted c@5 initially"));
  EXPECT_EQ(query(transport.requests()[2], "resourceVersion"), "7");
}

TEST_F(ReflectorTest, AnObjectThatDidNotChangeKeepsItsProjectionThroughARelist) {
  transport.then(list("7", {object("a", "3")}));
  start(false);
  settle(2);
  const auto before = reflector->store().find({"ns", "a"});
  transport.then(Stream{{event("MODIFIED", object("x", ""))}, StreamEnd::Closed});
  transport.then(list("9", {object("a", "3")}));
  settle(4);
  EXPECT_EQ(reflector->store().find({"ns", "a"}), before);
}

TEST_F(ReflectorTest, AnotherObjectOfTheSameNameIsADeletionAndAnAddition) {
  transport.then(list("7", {object("a", "3")}));
  transport.then(Stream{{event("MODIFIED", object("x", ""))}, StreamEnd::Closed});
  std::string other = object("a", "8");
  other.replace(other.find("u-a"), 3, "u-z");
  transport.then(list("9", {other}));
  start(false);
  settle(4);
  EXPECT_THAT(seen_after(2), ElementsAre("deleted a@3 initially", "added a@8 initially"));
}

TEST_F(ReflectorTest, AnObjectThatCannotBeDecodedKeepsItsKeyAndStopsNoOther) {
  transport.then(list("7", {object("a", "3", R"(,"spec":"bad")"), object("b", "5")}));
  start(false);
  settle(2);
  EXPECT_EQ(seen().front(), "bad a: spec.x is bad");
  const auto a = reflector->store().find({"ns", "a"});
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->value, std::nullopt);
  EXPECT_EQ(a->error, "spec.x is bad");
  EXPECT_EQ(a->meta.uid, "u-a");
  EXPECT_TRUE(reflector->store().find({"ns", "b"})->value.has_value());
}

TEST_F(ReflectorTest, TheLastStateOfADeletedObjectIsTold) {
  transport.then(list("7", {object("a", "3")}));
  start(false);
  settle(2);
  transport.then(Stream{{event("DELETED", object("a", "8", R"(,"status":"ended")"))}});
  settle(3);
  EXPECT_EQ(seen().back(), "deleted a@8");
}

TEST_F(ReflectorTest, FailuresAreWaitedForLongerAndLonger) {
  for (int i = 0; i < 3; ++i) transport.then(call_error(ErrorKind::Unreachable));
  const Instant begun = clock.now();
  start(false);
  settle(4);
  // 800, 1600 and 3200 ms, each half as long again by the jitter.
  EXPECT_EQ(clock.now() - begun, std::chrono::milliseconds(8400));
}

TEST_F(ReflectorTest, RetryAfterIsKept) {
  Error error = call_error(ErrorKind::TooManyRequests);
  error.retry_after = seconds(40);
  transport.then(error);
  const Instant begun = clock.now();
  start(false);
  settle(2);
  EXPECT_EQ(clock.now() - begun, seconds(40));
}

TEST_F(ReflectorTest, BookmarksMoveWhatWasSeen) {
  transport.then(list("7", {}));
  transport.then(Stream{{bookmark("30")}});
  start(false);
  settle(3);
  EXPECT_EQ(reflector->store().seen_version(), 30U);
  EXPECT_EQ(metrics.value("reflector_last_resource_version", "runs"), 30);
}

TEST_F(ReflectorTest, CountsListsAndWatches) {
  transport.then(list("7", {object("a", "3")}));
  transport.then(Stream{{bookmark("30")}});
  transport.then(Stream{});
  start(false);
  settle(4);
  EXPECT_EQ(metrics.value("reflector_lists_total", "runs"), 1);
  EXPECT_EQ(metrics.value("reflector_watches_total", "runs"), 2);
  EXPECT_EQ(metrics.value("reflector_short_watches_total", "runs"), 1);
  EXPECT_EQ(metrics.observed("reflector_items_per_list", "runs"), std::vector<double>{1});
}

TEST(Store, ReplacesWhatItStillHolds) {
  Store<int> store;
  const auto put = [&](const std::string& version, int value) {
    store.apply(std::make_shared<Cached<int>>(
        Cached<int>{.meta = {{"ns", "a"}, "u", version, ""}, .value = value}));
    return store.find({"ns", "a"});
  };
  const auto smaller =
      std::make_shared<Cached<int>>(Cached<int>{.meta = {{"ns", "a"}, "u", "1", ""}, .value = 0});
  const auto first = put("1", 7);
  EXPECT_TRUE(store.replace(first, smaller));
  EXPECT_EQ(store.find({"ns", "a"}), smaller);
  const auto second = put("2", 8);
  EXPECT_FALSE(store.replace(first, smaller));
  EXPECT_EQ(store.find({"ns", "a"}), second);
  store.remove(second);
  EXPECT_FALSE(store.replace(second, smaller));
  EXPECT_EQ(store.size(), 0U);
}

TEST(Store, IsReadWhileItIsWritten) {
  Store<int> store;
  const auto object_of = [](int at, std::uint64_t version) {
    return std::make_shared<Cached<int>>(Cached<int>{
        .meta = {{"ns", std::to_string(at)}, "u", std::to_string(version), "owner"}, .value = at});
  };
  std::jthread writer([&] {
    std::uint64_t version = 0;
    for (int round = 0; round < 200; ++round) {
      store.begin();
      for (int at = 0; at < 20; ++at) store.stage(object_of(at, ++version));
      store.commit(std::to_string(version));
      store.apply(object_of(round % 20, ++version));
    }
  });
  std::uint64_t last = 0;
  while (last < 200 * 21) {
    const std::size_t size = store.size();
    EXPECT_TRUE(size == 0 || size == 20) << size;
    EXPECT_GE(store.seen_version(), last);
    last = store.seen_version();
  }
}

TEST(WriteGate, HoldsBackUntilTheStoreHasSeenTheWrite) {
  FakeClock clock;
  WriteGate gate(clock);
  const ObjectName key{"ns", "a"};
  EXPECT_FALSE(gate.is_behind(key, "pods", 0));
  gate.wrote(key, "pods", "12");
  EXPECT_TRUE(gate.is_behind(key, "pods", 11));
  EXPECT_FALSE(gate.is_behind({"ns", "b"}, "pods", 11));
  EXPECT_FALSE(gate.is_behind(key, "runs", 11));
  EXPECT_FALSE(gate.is_behind(key, "pods", 12));
  EXPECT_EQ(gate.size(), 0U);
}

TEST(WriteGate, TheNewestWriteOfAKindCounts) {
  FakeClock clock;
  WriteGate gate(clock);
  const ObjectName key{"ns", "a"};
  gate.wrote(key, "pods", "12");
  gate.wrote(key, "pods", "10");
  EXPECT_TRUE(gate.is_behind(key, "pods", 11));
  gate.wrote(key, "pods", "15");
  EXPECT_TRUE(gate.is_behind(key, "pods", 12));
  EXPECT_FALSE(gate.is_behind(key, "pods", 15));
}

TEST(WriteGate, AWriteThatIsNeverSeenIsForgottenAfterFiveMinutes) {
  FakeClock clock;
  WriteGate gate(clock);
  const ObjectName key{"ns", "a"};
  gate.wrote(key, "pods", "12");
  clock.advance(seconds(299));
  EXPECT_TRUE(gate.is_behind(key, "pods", 1));
  clock.advance(seconds(1));
  EXPECT_FALSE(gate.is_behind(key, "pods", 1));
}

TEST(Backoff, GrowsToItsCapAndBeginsAnewAfterPeace) {
  FakeClock clock;
  Backoff backoff({}, [] { return 0.0; });
  std::vector<long> delays;
  for (int i = 0; i < 8; ++i) delays.push_back(backoff.next(clock.now()).count());
  EXPECT_THAT(delays, ElementsAre(800, 1600, 3200, 6400, 12800, 25600, 30000, 30000));
  clock.advance(seconds(30 + 119));
  EXPECT_EQ(backoff.next(clock.now()).count(), 30000);
  clock.advance(seconds(30 + 120));
  EXPECT_EQ(backoff.next(clock.now()).count(), 800);
}

}  // namespace
}  // namespace sandboxrun::kube
