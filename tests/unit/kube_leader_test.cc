#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "operator/kube/leader.h"
#include "tests/support/kube/fake_clock.h"
#include "tests/support/kube/kept_metrics.h"
#include "tests/support/kube/lease_server.h"

namespace sandboxrun::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Fault = LeaseLine::Fault;

// A process that wants to lead, with a clock of its own that flows while it waits.
struct Contender {
  Contender(LeaseServer& server, const std::string& identity) : line(server) {
    auto made = LeaderElector::create(
        {.lease = {"ns", "lease"}, .identity = identity}, line, clock, [] { return 0.0; }, metrics);
    elector = std::move(*made);
  }
  // Counts the calls, and stops everything at the given one.
  void stop_at_call(int call) {
    line.fault = [this, call](const Request&) {
      if (++calls >= call) stop.request_stop();
      return Fault::None;
    };
  }

  FakeClock clock{FakeClock::Mode::Flows};
  KeptMetrics metrics;
  LeaseLine line;
  std::stop_source stop;
  int calls = 0;
  std::unique_ptr<LeaderElector> elector;
};

LeaseRecord held_by(const std::string& holder, int renewals = 0) {
  return {.holder = holder,
          .duration = seconds(15),
          .acquire_time = "2020-01-01T00:00:00.000000Z",
          .renew_time = "2020-01-01T00:00:0" + std::to_string(renewals % 10) + ".000000Z",
          .transitions = 4};
}

TEST(Leader, ALeaseThatIsNotThereIsCreated) {
  LeaseServer server;
  Contender a(server, "a");
  EXPECT_TRUE(a.elector->acquire(a.stop.get_token()));
  EXPECT_TRUE(a.elector->is_leader());
  EXPECT_EQ(server.record()->holder, "a");
  EXPECT_EQ(server.record()->duration, seconds(15));
  EXPECT_EQ(server.record()->transitions, 0);
  EXPECT_EQ(a.metrics.value("leader_election_master_status", "lease"), 1);
}

TEST(Leader, AReleasedLeaseIsTakenAtOnce) {
  LeaseServer server;
  server.set({.holder = "", .duration = seconds(1), .transitions = 4});
  Contender a(server, "a");
  const Instant begun = a.clock.now();
  EXPECT_TRUE(a.elector->acquire(a.stop.get_token()));
  EXPECT_EQ(a.clock.now(), begun);
  EXPECT_EQ(server.record()->transitions, 5);
}

TEST(Leader, ADeadLeadersLeaseIsTakenWhenItWasSeenUnchangedForItsWholeDuration) {
  for (const auto skew : {seconds(0), seconds(3600), seconds(-86400)}) {
    LeaseServer server;
    server.set(held_by("dead"));
    Contender b(server, "b");
    b.clock.set_wall_offset(skew);  // its time of day plays no part
    const Instant begun = b.clock.now();
    EXPECT_TRUE(b.elector->acquire(b.stop.get_token()));
    EXPECT_GE(b.clock.now() - begun, seconds(15));
    EXPECT_LE(b.clock.now() - begun, seconds(17));
    EXPECT_EQ(server.record()->holder, "b");
    EXPECT_EQ(server.record()->transitions, 5);
  }
}

TEST(Leader, ALeaseThatIsRenewedIsNeverTaken) {
  LeaseServer server;
  server.set(held_by("alive"));
  Contender b(server, "b");
  int renewals = 0;
  b.line.fault = [&](const Request&) {
    // Another clock's idea of time, far in the past; what counts is that it changes.
    if (++renewals % 5 == 0) server.set(held_by("alive", renewals / 5));
    if (renewals == 200) b.stop.request_stop();
    return Fault::None;
  };
  EXPECT_FALSE(b.elector->acquire(b.stop.get_token()));
  EXPECT_EQ(server.record()->holder, "alive");
}

TEST(Leader, TouchingTheLeaseWithoutRenewingItKeepsNobodyInOffice) {
  LeaseServer server;
  server.set(held_by("dead"));
  Contender b(server, "b");
  b.line.fault = [&](const Request& request) {
    // Somebody labels it, say: a new resourceVersion, the same record.
    if (request.method == Method::Get) server.set(*server.record());
    return Fault::None;
  };
  const Instant begun = b.clock.now();
  EXPECT_TRUE(b.elector->acquire(b.stop.get_token()));
  EXPECT_LE(b.clock.now() - begun, seconds(17));
}

TEST(Leader, RenewingIsOnePutEveryTwoSeconds) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  const Instant begun = a.clock.now();
  int puts = 0;
  a.line.fault = [&](const Request& request) {
    if (request.method == Method::Put && ++puts == 10) a.stop.request_stop();
    EXPECT_EQ(request.method, Method::Put);
    return Fault::None;
  };
  EXPECT_TRUE(a.elector->hold(a.stop.get_token()));
  EXPECT_EQ(a.clock.now() - begun, seconds(20));
  EXPECT_EQ(server.record()->transitions, 0);
}

TEST(Leader, APutThatArrivesTwiceIsStillASuccess) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  int puts = 0;
  a.line.fault = [&](const Request& request) {
    if (request.method != Method::Put) return Fault::None;
    if (++puts == 3) a.stop.request_stop();
    return Fault::Replay;
  };
  EXPECT_TRUE(a.elector->hold(a.stop.get_token()));
  EXPECT_TRUE(a.elector->is_leader());
  EXPECT_EQ(puts, 3);  // none had to be sent again
  EXPECT_EQ(server.writes(), 1 + 3);
}

TEST(Leader, APutWhoseReplyIsLostDoesNotLoseTheLease) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  int puts = 0;
  a.line.fault = [&](const Request& request) {
    if (request.method != Method::Put) return Fault::None;
    if (++puts == 12) a.stop.request_stop();
    return puts % 3 == 1 ? Fault::LostReply : Fault::None;
  };
  EXPECT_TRUE(a.elector->hold(a.stop.get_token()));
  EXPECT_TRUE(a.elector->is_leader());
}

TEST(Leader, WithoutANetworkItStepsDownAtTheRenewDeadline) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  const Instant begun = a.clock.now();
  a.line.fault = [](const Request&) { return Fault::Cut; };
  EXPECT_FALSE(a.elector->hold(a.stop.get_token()));
  EXPECT_FALSE(a.elector->is_leader());
  EXPECT_EQ(a.clock.now() - begun, seconds(10));
  EXPECT_EQ(a.metrics.value("leader_election_master_status", "lease"), 0);
}

TEST(Leader, ItCountsItselfOutAtTheDeadlineEvenWhileACallHangs) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  a.clock.advance(seconds(10) - milliseconds(1));
  EXPECT_TRUE(a.elector->is_leader());
  a.clock.advance(milliseconds(1));
  EXPECT_FALSE(a.elector->is_leader());
}

TEST(Leader, NoCallMayLastLongerThanItsOfficeNorThanHalfTheDeadline) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  const Instant begun = a.clock.now();
  a.line.fault = [&](const Request& request) {
    EXPECT_LE(request.deadline, seconds(5));
    EXPECT_LE(a.clock.now() + request.deadline, begun + seconds(10));
    return Fault::Cut;
  };
  EXPECT_FALSE(a.elector->hold(a.stop.get_token()));
}

TEST(Leader, AnotherHolderMeansThatItIsLostAtOnce) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  server.set(held_by("b"));
  const Instant begun = a.clock.now();
  EXPECT_FALSE(a.elector->hold(a.stop.get_token()));
  EXPECT_EQ(a.clock.now() - begun, seconds(2));
  EXPECT_EQ(server.record()->holder, "b");
}

TEST(Leader, ALeaseThatWasDeletedIsCreatedAgain) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  server.remove();
  a.stop_at_call(5);
  EXPECT_TRUE(a.elector->hold(a.stop.get_token()));
  EXPECT_EQ(server.record()->holder, "a");
}

TEST(Leader, ReleasingLetsTheNextOneInAtOnce) {
  LeaseServer server;
  Contender a(server, "a");
  Contender b(server, "b");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  ASSERT_TRUE(a.elector->release().has_value());
  EXPECT_FALSE(a.elector->is_leader());
  EXPECT_EQ(server.record()->holder, "");
  EXPECT_EQ(server.record()->duration, seconds(1));
  const Instant begun = b.clock.now();
  EXPECT_TRUE(b.elector->acquire(b.stop.get_token()));
  EXPECT_EQ(b.clock.now(), begun);
}

TEST(Leader, AReleaseThatArrivesTwiceIsDone) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  a.line.fault = [](const Request&) { return Fault::Replay; };
  EXPECT_TRUE(a.elector->release().has_value());
  EXPECT_EQ(server.record()->holder, "");
}

TEST(Leader, AReleaseIsTriedAgainAfterAConflict) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  server.set(*server.record());  // a label, say
  EXPECT_TRUE(a.elector->release().has_value());
  EXPECT_EQ(server.record()->holder, "");
}

TEST(Leader, AReleaseTakesNothingFromAnother) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  server.set(held_by("b"));
  EXPECT_TRUE(a.elector->release().has_value());
  EXPECT_EQ(server.record()->holder, "b");
}

TEST(Leader, AReleaseWithoutANetworkGivesUp) {
  LeaseServer server;
  Contender a(server, "a");
  ASSERT_TRUE(a.elector->acquire(a.stop.get_token()));
  a.line.fault = [](const Request&) { return Fault::Cut; };
  const Instant begun = a.clock.now();
  EXPECT_FALSE(a.elector->release().has_value());
  EXPECT_LE(a.clock.now() - begun, seconds(11));
}

TEST(Leader, OptionsThatContradictEachOtherAreRefused) {
  LeaseServer server;
  LeaseLine line(server);
  FakeClock clock;
  NoMetrics metrics;
  struct Case {
    int lease, renew, retry;
  };
  for (const Case bad : {Case{10, 10, 2}, Case{15, 2, 2}, Case{15, 10, 9}, Case{15, 10, 0}}) {
    const auto made = LeaderElector::create(
        {.lease = {"ns", "lease"},
         .identity = "a",
         .lease_duration = seconds(bad.lease),
         .renew_deadline = seconds(bad.renew),
         .retry_period = seconds(bad.retry)},
        line, clock, [] { return 0.0; }, metrics);
    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().kind, ErrorKind::Invalid);
  }
}

TEST(Leader, IdentitiesDiffer) {
  EXPECT_THAT(make_identity("host"), testing::MatchesRegex("host_[0-9a-f]{32}"));
  EXPECT_NE(make_identity("host"), make_identity("host"));
}

// The machine's clock, but faster; each contender's has a rate of its own.
class FastClock final : public Clock {
 public:
  explicit FastClock(double rate) : rate_(rate) {}
  Instant now() const override {
    const auto passed = std::chrono::steady_clock::now() - begun_;
    return begun_ + std::chrono::duration_cast<std::chrono::nanoseconds>(passed * rate_);
  }
  WallTime wall() const override {
    return WallTime(
        std::chrono::duration_cast<std::chrono::microseconds>(now().time_since_epoch() * rate_));
  }
  void wait(std::condition_variable_any& wake, std::unique_lock<std::mutex>& lock,
            const std::stop_token& stop, Instant until) override {
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>((until - now()) / rate_);
    bool woken = false;
    wake.wait_for(lock, stop, left, [&woken] { return std::exchange(woken, true); });
  }

 private:
  const double rate_;
  const Instant begun_ = std::chrono::steady_clock::now();
};

// Three processes whose clocks run at different rates and whose networks come and go: somebody
// leads most of the time, and never two at once.
TEST(LeaderProperty, NeverDoTwoLeadAtOnce) {
  LeaseServer server;
  struct Process {
    Process(LeaseServer& on, const std::string& identity, double rate) : clock(rate), line(on) {
      line.fault = [this](const Request&) { return fault.load(); };
      elector = std::move(*LeaderElector::create({.lease = {"ns", "lease"}, .identity = identity},
                                                 line, clock, system_random(), metrics));
    }
    FastClock clock;
    NoMetrics metrics;
    std::atomic<Fault> fault = Fault::None;
    LeaseLine line;
    std::unique_ptr<LeaderElector> elector;
  };
  std::array<std::unique_ptr<Process>, 3> processes{std::make_unique<Process>(server, "a", 100.0),
                                                    std::make_unique<Process>(server, "b", 120.0),
                                                    std::make_unique<Process>(server, "c", 140.0)};
  std::vector<std::jthread> threads;
  for (auto& process : processes) {
    threads.emplace_back([&process](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        if (process->elector->acquire(stop) && process->elector->hold(stop)) break;
      }
    });
  }
  std::minstd_rand random(7);
  int terms = 0;
  std::string leader;
  const auto end = std::chrono::steady_clock::now() + seconds(4);
  for (int round = 0; std::chrono::steady_clock::now() < end; ++round) {
    if (round % 100 == 0) {
      constexpr std::array kFaults{Fault::None, Fault::None, Fault::Cut, Fault::LostReply,
                                   Fault::Replay};
      for (auto& process : processes) process->fault = kFaults[random() % kFaults.size()];
    }
    for (std::size_t i = 0; i < processes.size(); ++i) {
      if (!processes[i]->elector->is_leader()) continue;
      const std::string name(1, static_cast<char>('a' + static_cast<char>(i)));
      if (name != leader) ++terms;
      leader = name;
      for (std::size_t j = 0; j < processes.size(); ++j) {
        const bool other = j != i && processes[j]->elector->is_leader();
        // Still, after the other was asked: otherwise it was a change in between.
        EXPECT_FALSE(other && processes[i]->elector->is_leader()) << i << " and " << j;
      }
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_GE(terms, 1);
}

}  // namespace
}  // namespace sandboxrun::kube
