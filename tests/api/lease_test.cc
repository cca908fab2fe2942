#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "operator/kube/leader.h"
#include "tests/api/transport_fixture.h"
#include "tests/support/kube/kept_metrics.h"
#include "tests/support/kube/lease_server.h"

namespace sandboxrun::kube {
namespace {

using std::chrono::seconds;
using test::Answer;
using test::FakeRequest;

const std::string kLeasesPath = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";

// The rules of one Lease, behind HTTP.
class LeaseApiTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto serve = [this](const FakeRequest& request) { return answer(request); };
    server.always("POST", kLeasesPath, serve);
    server.always("GET", kLeasesPath + "/lease", serve);
    server.always("PUT", kLeasesPath + "/lease", serve);
    transport = transport_to(plain_config(server));
  }
  Answer answer(const FakeRequest& request) {
    const Method method = request.method == "GET"    ? Method::Get
                          : request.method == "POST" ? Method::Post
                                                     : Method::Put;
    const auto answered = lease.answer({.method = method, .body = request.body});
    // The server has done it, and breaks before it says so.
    if (method == Method::Put && break_puts.exchange(false)) {
      Answer nothing;
      nothing.no_answer = true;
      return nothing;
    }
    if (answered) return Answer::json(answered->body);
    switch (answered.error().kind) {
      case ErrorKind::NotFound:
        return Answer::failure(404, "NotFound", "no lease");
      case ErrorKind::AlreadyExists:
        return Answer::failure(409, "AlreadyExists", "there is one");
      default:
        return Answer::failure(409, "Conflict", "it has changed");
    }
  }
  std::unique_ptr<LeaderElector> elector(const std::string& identity) {
    return std::move(*LeaderElector::create(
        {.lease = {"ns", "lease"},
         .identity = identity,
         .lease_duration = seconds(4),
         .renew_deadline = seconds(3),
         .retry_period = seconds(1)},
        *transport, clock, [] { return 0.0; }, metrics));
  }

  LeaseServer lease;
  std::atomic<bool> break_puts = false;
  test::FakeApiServer server;
  SystemClock clock;
  NoMetrics metrics;
  std::unique_ptr<Transport> transport;
};

TEST_F(LeaseApiTest, TheSecondOneLeadsWhenTheFirstLeaves) {
  auto first = elector("first");
  auto second = elector("second");
  std::stop_source first_stop;
  ASSERT_TRUE(first->acquire(first_stop.get_token()));
  std::atomic<bool> second_leads = false;
  std::jthread waiting([&](const std::stop_token& stop) { second_leads = second->acquire(stop); });
  std::jthread holding([&] { EXPECT_TRUE(first->hold(first_stop.get_token())); });
  std::this_thread::sleep_for(seconds(5));  // longer than the lease: it is renewed
  EXPECT_FALSE(second_leads);
  EXPECT_TRUE(first->is_leader());
  first_stop.request_stop();
  holding.join();
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(first->release().has_value());
  waiting.join();
  EXPECT_TRUE(second_leads);
  EXPECT_LT(since(begun), seconds(3));
  EXPECT_EQ(lease.record()->holder, "second");
  EXPECT_EQ(lease.record()->transitions, 1);
}

TEST_F(LeaseApiTest, APutThatTheConnectionBrokeUnderIsNoLoss) {
  auto leader = elector("leader");
  std::stop_source stop;
  ASSERT_TRUE(leader->acquire(stop.get_token()));
  break_puts = true;  // the transport sends it again, and that one conflicts with the first
  std::jthread stopper([&] {
    std::this_thread::sleep_for(seconds(3));
    stop.request_stop();
  });
  EXPECT_TRUE(leader->hold(stop.get_token()));
  EXPECT_FALSE(break_puts);
  EXPECT_TRUE(leader->is_leader());
}

TEST_F(LeaseApiTest, AServerThatGoesAwayEndsTheTermAtTheDeadline) {
  auto leader = elector("leader");
  const std::stop_token never;
  ASSERT_TRUE(leader->acquire(never));
  const auto begun = std::chrono::steady_clock::now();
  Answer silence;
  silence.silence = true;
  server.always("PUT", kLeasesPath + "/lease", silence);
  server.always("GET", kLeasesPath + "/lease", silence);
  EXPECT_FALSE(leader->hold(never));
  EXPECT_FALSE(leader->is_leader());
  EXPECT_LT(since(begun), seconds(4));  // before anybody else may lead
}

}  // namespace
}  // namespace sandboxrun::kube
