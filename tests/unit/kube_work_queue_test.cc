#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "operator/kube/work_queue.h"
#include "tests/support/kube/fake_clock.h"
#include "tests/support/kube/kept_metrics.h"

namespace sandboxrun::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

ObjectName key(const std::string& name) {
  return {"ns", name};
}

class WorkQueueTest : public testing::Test {
 protected:
  // The key that a worker gets without having to wait, or "".
  std::string ready() {
    std::atomic<bool> over = false;
    std::optional<ObjectName> found;
    const int waits = clock.waits();
    std::jthread worker([&](const std::stop_token& stop) {
      found = queue.get(stop);
      over = true;
    });
    while (!over && clock.waits() == waits) std::this_thread::yield();
    worker.request_stop();
    worker.join();
    return found ? found->name : "";
  }

  FakeClock clock;
  KeptMetrics metrics;
  WorkQueue queue{{.name = "runs"}, clock, metrics};
};

TEST_F(WorkQueueTest, GivesKeysInTheOrderTheyCame) {
  queue.add(key("a"));
  queue.add(key("b"));
  EXPECT_EQ(ready(), "a");
  EXPECT_EQ(ready(), "b");
}

TEST_F(WorkQueueTest, AKeyAddedTwiceIsGivenOnce) {
  queue.add(key("a"));
  queue.add(key("a"));
  EXPECT_EQ(queue.depth(), 1U);
  EXPECT_EQ(ready(), "a");
  queue.done(key("a"));
  EXPECT_EQ(ready(), "");
}

TEST_F(WorkQueueTest, AKeyAddedWhileItIsWorkedOnIsGivenAgainAfterwards) {
  queue.add(key("a"));
  EXPECT_EQ(ready(), "a");
  queue.add(key("a"));
  EXPECT_EQ(queue.depth(), 0U);
  queue.done(key("a"));
  EXPECT_EQ(ready(), "a");
}

TEST_F(WorkQueueTest, LiveKeysPassThoseOfTheInitialList) {
  queue.add(key("old-1"), Lane::Background);
  queue.add(key("old-2"), Lane::Background);
  queue.add(key("live"));
  EXPECT_EQ(ready(), "live");
  EXPECT_EQ(ready(), "old-1");
}

TEST_F(WorkQueueTest, ALiveEventLiftsAKeyOfTheInitialListAndItIsGivenOnce) {
  queue.add(key("old-1"), Lane::Background);
  queue.add(key("old-2"), Lane::Background);
  queue.add(key("old-2"));
  EXPECT_EQ(queue.depth(), 2U);
  EXPECT_EQ(ready(), "old-2");
  EXPECT_EQ(ready(), "old-1");
  queue.done(key("old-1"));
  queue.done(key("old-2"));
  EXPECT_EQ(ready(), "");
}

TEST_F(WorkQueueTest, ALiveKeyIsNotLowered) {
  queue.add(key("a"));
  queue.add(key("a"), Lane::Background);
  queue.add(key("b"));
  EXPECT_EQ(ready(), "a");
}

TEST_F(WorkQueueTest, ADelayedKeyComesWhenItIsDue) {
  queue.add_after(key("a"), seconds(5));
  clock.advance(milliseconds(4999));
  EXPECT_EQ(ready(), "");
  clock.advance(milliseconds(1));
  EXPECT_EQ(ready(), "a");
}

TEST_F(WorkQueueTest, OfTwoDelaysTheEarlierCounts) {
  queue.add_after(key("a"), seconds(5));
  queue.add_after(key("a"), seconds(2));
  queue.add_after(key("a"), seconds(9));
  clock.advance(seconds(2));
  EXPECT_EQ(ready(), "a");
  queue.done(key("a"));
  clock.advance(seconds(60));
  EXPECT_EQ(ready(), "");
}

TEST_F(WorkQueueTest, ADelayOfNothingIsAnAdd) {
  queue.add_after(key("a"), seconds(0));
  EXPECT_EQ(queue.depth(), 1U);
}

TEST_F(WorkQueueTest, FailuresDoubleAKeysDelay) {
  for (const auto delay : {milliseconds(5), milliseconds(10), milliseconds(20)}) {
    queue.add_rate_limited(key("a"));
    clock.advance(delay - milliseconds(1));
    EXPECT_EQ(ready(), "");
    clock.advance(milliseconds(1));
    EXPECT_EQ(ready(), "a");
    queue.done(key("a"));
  }
  EXPECT_EQ(queue.failures(key("a")), 3);
}

TEST_F(WorkQueueTest, TheDelayEndsAtItsCap) {
  for (int i = 0; i < 80; ++i) queue.add_rate_limited(key("a"));
  queue.shut_down();  // what was added is of no interest
  WorkQueue other({.name = "runs"}, clock, metrics);
  for (int i = 0; i < 70; ++i) {
    other.add_rate_limited(key("a"));
    clock.advance(seconds(1001));
    std::stop_source source;
    ASSERT_EQ(other.get(source.get_token())->name, "a") << i;
    other.done(key("a"));
  }
}

TEST_F(WorkQueueTest, SuccessForgetsFailures) {
  queue.add_rate_limited(key("a"));
  queue.forget(key("a"));
  EXPECT_EQ(queue.failures(key("a")), 0);
}

TEST_F(WorkQueueTest, AllKeysTogetherAreHeldToTheBucket) {
  for (int i = 0; i < 110; ++i) queue.add_rate_limited(key("k" + std::to_string(i)));
  clock.advance(milliseconds(50));
  EXPECT_NE(ready(), "");
  EXPECT_EQ(queue.depth() + queue.processing(), 100U);
  clock.advance(milliseconds(450));  // one more for each 100 ms
  EXPECT_NE(ready(), "");
  EXPECT_EQ(queue.depth() + queue.processing(), 105U);
}

TEST_F(WorkQueueTest, AWorkerThatWaitsIsWokenByAnAdd) {
  std::optional<ObjectName> found;
  std::jthread worker([&](const std::stop_token& stop) { found = queue.get(stop); });
  queue.add(key("a"));
  worker.join();
  EXPECT_EQ(found, key("a"));
}

TEST_F(WorkQueueTest, ShuttingDownSendsWorkersAwayAndTakesNothingMore) {
  std::optional<ObjectName> found = key("unchanged");
  std::jthread worker([&](const std::stop_token& stop) { found = queue.get(stop); });
  queue.shut_down();
  worker.join();
  EXPECT_EQ(found, std::nullopt);
  queue.add(key("a"));
  queue.add_after(key("a"), seconds(1));
  queue.add_rate_limited(key("a"));
  EXPECT_EQ(queue.depth(), 0U);
}

TEST_F(WorkQueueTest, DrainWaitsForWhatIsWorkedOn) {
  queue.add(key("a"));
  ASSERT_EQ(ready(), "a");
  queue.shut_down();
  std::atomic<bool> drained = false;
  std::jthread waiter([&] { drained = queue.drain(seconds(30)); });
  std::this_thread::sleep_for(milliseconds(5));
  EXPECT_FALSE(drained);
  queue.done(key("a"));
  waiter.join();
  EXPECT_TRUE(drained);
}

TEST_F(WorkQueueTest, DrainGivesUpAfterItsPatience) {
  queue.add(key("a"));
  ASSERT_EQ(ready(), "a");
  queue.shut_down();
  // Until it has given up: nobody knows when it begins to wait.
  const std::jthread turner([&](const std::stop_token& stop) {
    for (; !stop.stop_requested(); std::this_thread::yield()) clock.advance(seconds(1));
  });
  EXPECT_FALSE(queue.drain(seconds(30)));
}

TEST_F(WorkQueueTest, CountsAsClientGoDoes) {
  queue.add(key("a"));
  queue.add(key("a"));
  queue.add(key("b"));
  EXPECT_EQ(metrics.value("workqueue_depth", "runs"), 2);
  EXPECT_EQ(metrics.value("workqueue_adds_total", "runs"), 2);
  clock.advance(seconds(3));
  ASSERT_EQ(ready(), "a");
  EXPECT_EQ(metrics.observed("workqueue_queue_duration_seconds", "runs"), std::vector<double>{3});
  clock.advance(seconds(4));
  queue.publish_metrics();
  EXPECT_EQ(metrics.value("workqueue_unfinished_work_seconds", "runs"), 4);
  EXPECT_EQ(metrics.value("workqueue_longest_running_processor_seconds", "runs"), 4);
  queue.done(key("a"));
  EXPECT_EQ(metrics.observed("workqueue_work_duration_seconds", "runs"), std::vector<double>{4});
  queue.add_rate_limited(key("a"));
  EXPECT_EQ(metrics.value("workqueue_retries_total", "runs"), 1);
}

// Any mixture of adds, delays, failures and lanes by several threads: each change of a key is seen
// by a worker that took the key after it, and never two have the same key.
TEST(WorkQueueProperty, NoKeyIsWorkedOnTwiceAtOnceAndNoneIsLost) {
  constexpr int kKeys = 12;
  constexpr int kAdders = 3;
  constexpr int kWorkers = 4;
  SystemClock clock;
  NoMetrics metrics;
  WorkQueue queue({.name = "runs", .base_delay = milliseconds(1), .burst = 1e6}, clock, metrics);
  std::vector<std::atomic<int>> wanted(kKeys);  // changes so far
  std::vector<std::atomic<int>> seen(kKeys);    // changes that a worker has taken notice of
  std::vector<std::atomic<int>> workers_on(kKeys);
  std::atomic<int> collisions = 0;

  std::vector<std::jthread> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.emplace_back([&, w](const std::stop_token& stop) {
      std::minstd_rand random(static_cast<unsigned>(w + 100));
      while (const auto found = queue.get(stop)) {
        const auto at = static_cast<std::size_t>(std::stoi(found->name));
        if (++workers_on[at] != 1) ++collisions;
        seen[at] = wanted[at].load();
        if (random() % 5 == 0) queue.add_rate_limited(*found);
        if (random() % 7 == 0) std::this_thread::yield();
        --workers_on[at];
        queue.done(*found);
      }
    });
  }
  std::vector<std::jthread> adders;
  for (int a = 0; a < kAdders; ++a) {
    adders.emplace_back([&, a] {
      std::minstd_rand random(static_cast<unsigned>(a + 1));
      for (int i = 0; i < 2000; ++i) {
        const auto at = random() % kKeys;
        const Lane lane = random() % 2 == 0 ? Lane::Live : Lane::Background;
        ++wanted[at];
        if (random() % 4 == 0) {
          queue.add_after(key(std::to_string(at)), std::chrono::microseconds(random() % 900), lane);
        } else {
          queue.add(key(std::to_string(at)), lane);
        }
      }
    });
  }
  adders.clear();
  const auto all_seen = [&] {
    for (std::size_t at = 0; at < kKeys; ++at) {
      if (seen[at] != wanted[at]) return false;
    }
    return true;
  };
  for (int i = 0; i < 5000 && !all_seen(); ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_TRUE(all_seen());
  EXPECT_EQ(collisions, 0);
  queue.shut_down();
  EXPECT_TRUE(queue.drain(seconds(5)));
}

// A worker that takes a key must not leave a scheduled one without anybody who waits for it.
TEST(WorkQueueProperty, AScheduledKeyIsNotLateBecauseItsWaiterGotBusy) {
  SystemClock clock;
  NoMetrics metrics;
  WorkQueue queue({.name = "runs"}, clock, metrics);
  std::atomic<bool> came = false;
  const auto work = [&](const std::stop_token& stop) {
    while (const auto found = queue.get(stop)) {
      if (found->name == "late") {
        came = true;
      } else {
        while (!came && !stop.stop_requested()) std::this_thread::sleep_for(milliseconds(1));
      }
      queue.done(*found);
    }
  };
  std::jthread first(work);
  std::jthread second(work);
  std::this_thread::sleep_for(milliseconds(20));
  queue.add_after(key("late"), milliseconds(60));
  queue.add(key("long"));
  for (int i = 0; i < 3000 && !came; ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_TRUE(came);
  queue.shut_down();
}

}  // namespace
}  // namespace sandboxrun::kube
