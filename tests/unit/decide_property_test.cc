#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/run/world.h"

// Random worlds: a success is never invented, and deciding twice changes nothing.
namespace sandboxrun::run {
namespace {

using protocol::Step;
using protocol::Subject;
using testing::at;
using testing::World;

/// What was done to a world, kept apart from its facts: the other half of the proof.
struct Spoiled {
  bool record = false;
  bool prepare = false;
  bool collect = false;
  bool exit = false;
  bool tampered = false;
  bool oom = false;
  bool stopped_before_end = false;
  bool not_over = false;
  bool not_there = false;

  bool any() const {
    return record || prepare || collect || exit || tampered || oom || stopped_before_end ||
           not_over || not_there;
  }
};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  bool one_in(int n) { return below(n) == 0; }
  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(engine_); }

 private:
  std::mt19937 engine_;
};

void spoil_run(Random& random, World& world, Spoiled& spoiled) {
  if (random.one_in(8)) {
    static const int kCodes[] = {1, 123, 124, 125, 126, 127, 128, 137, 139, 143, 255};
    world.exits(kCodes[random.below(11)]);
    spoiled.exit = true;
  }
  if (random.one_in(8)) {
    const testing::Record records[] = {
        {.token = "dead"},
        {.token = ""},
        {.cause = "deadline", .code = 124, .child_code = -1},
        {.cause = "stopped", .code = 143},
        {.stage = "setup", .cause = "setup-failed", .code = 123, .started = false, .step = 0},
        {.cause = "exited", .code = 1, .child_code = 1},
        {.cause = "exited", .code = 0, .started = false},
    };
    const int choice = random.below(9);
    world.run().termination_message = choice == 7   ? ""
                                      : choice == 8 ? "{\"v\":1}garbage\xff"
                                                    : testing::write(records[choice]);
    spoiled.record = true;
  }
  if (random.one_in(10)) {
    static const char* kWords[] = {"Error", "ContainerStatusUnknown", "StartError"};
    world.run().runtime_reason = kWords[random.below(3)];
    spoiled.exit = true;
  }
  if (random.one_in(10)) {
    random.one_in(2) ? void(world.pod().run.oom = true)
                     : void(world.run().runtime_reason = "OOMKilled");
    spoiled.oom = true;
  }
  if (random.one_in(12)) {
    const int choice = random.below(3);
    if (choice == 0) world.pod().run.image_differs = true;
    if (choice == 1) world.pod().run.restarts = 2;
    if (choice == 2) world.pod().mutations = {"spec.containers[0].image"};
    spoiled.tampered = true;
  }
}

void spoil_agents(Random& random, World& world, Spoiled& spoiled) {
  if (random.one_in(8)) {
    const int choice = random.below(5);
    if (choice == 0) {
      world.prepare().termination_message =
          testing::failed_prepare_report(Subject::Asset, Step::Verify, ErrorKind::DigestMismatch);
    }
    if (choice == 1) world.prepare().termination_message = "";
    if (choice == 2) world.prepare().exit_code = 1;
    if (choice == 3) world.plan.archive->digest = testing::kOtherDigest;
    if (choice == 4) world.pod().prepare = {};
    spoiled.prepare = true;
  }
  if (random.one_in(8)) {
    const int choice = random.below(5);
    if (choice == 0) {
      world.collect().termination_message =
          testing::failed_collect_report(Step::Upload, ErrorKind::Rejected);
    }
    if (choice == 1) world.collect().termination_message = "no";
    if (choice == 2) world.collect().exit_code = 9;
    if (choice == 3) world.collect().runtime_reason = "ContainerStatusUnknown";
    if (choice == 4) world.pod().collect.state = Started{at(3)};
    spoiled.collect = true;
  }
}

// The command ends at 20; only what was asked for at 21 or later came after it.
void spoil_stops(Random& random, World& world, Spoiled& spoiled) {
  const auto when = [&]() -> std::optional<double> {
    const int second = 16 + random.below(9);
    if (second == 24 || second <= 20) spoiled.stopped_before_end = true;
    return second == 24 ? std::nullopt : std::optional<double>(second);
  };
  bool deadline_of_unknown_time = false;
  if (random.one_in(6)) {
    static const InterruptionKind kKinds[] = {
        InterruptionKind::Deleted,   InterruptionKind::Evicted,   InterruptionKind::StorageExceeded,
        InterruptionKind::Preempted, InterruptionKind::Disrupted, InterruptionKind::Deadline};
    const InterruptionKind kind = kKinds[random.below(6)];
    const bool spoiled_before = spoiled.stopped_before_end;
    const auto second = when();
    deadline_of_unknown_time = kind == InterruptionKind::Deadline && !second;
    if (deadline_of_unknown_time) spoiled.stopped_before_end = spoiled_before;
    world.interrupted(kind, second);
  }
  if (random.one_in(6)) {
    static const Reason kStops[] = {Reason::Cancelled, Reason::DeadlineExceeded,
                                    Reason::AgentReportInvalid};
    const auto at_second = when();
    world.pod().stop = StopRequest{kStops[random.below(3)], std::nullopt};
    if (at_second) world.pod().stop->at = at(*at_second);
    // The object's own deadline is how we stop it: its unknown time is then no cause of its own.
    deadline_of_unknown_time = false;
  } else if (random.one_in(10)) {
    world.previous.attempts[0].reason = Reason::Cancelled;
    spoiled.stopped_before_end = true;
  }
  if (deadline_of_unknown_time) spoiled.stopped_before_end = true;
}

void spoil_presence(Random& random, World& world, Spoiled& spoiled) {
  if (random.one_in(10)) {
    world.pod().over = false;
    spoiled.not_over = true;
  }
  if (random.one_in(12)) {
    const int choice = random.below(4);
    if (choice == 0) world.pod().presence = Presence::Unseen;
    if (choice == 1) world.pod().presence = Presence::Foreign;
    if (choice == 2) world.pod().uid = "uid-2";
    if (choice == 3) world.pod().number = 2;
    spoiled.not_there = true;
  }
  // A crash before anything was written: a stop on record would have been.
  if (random.one_in(10) && !spoiled.not_there && !world.previous.attempts[0].reason) {
    world.previous = {};
  }
  world.seen.wishes.cancel = random.one_in(10);
  world.seen.wishes.suspend = random.one_in(10);
  world.plan.backoff_limit = random.below(3);
  world.now = at(20 + random.below(2000));
  if (random.one_in(15)) world.pod().node_lost = at(14);
}

World random_world(unsigned seed, Spoiled& spoiled) {
  Random random(seed);
  World world;
  spoil_run(random, world, spoiled);
  spoil_agents(random, world, spoiled);
  spoil_stops(random, world, spoiled);
  spoil_presence(random, world, spoiled);
  return world;
}

constexpr unsigned kWorlds = 20'000;

TEST(DecideProperty, S6_ASuccessIsNeverInventedNorLost) {
  int successes = 0;
  for (unsigned seed = 0; seed < kWorlds; ++seed) {
    Spoiled spoiled;
    const World world = random_world(seed, spoiled);
    const bool success = world.decide().status.succeeded();
    ASSERT_FALSE(success && spoiled.any()) << "seed " << seed;
    if (!spoiled.any()) {
      ASSERT_TRUE(success) << "seed " << seed;
    }
    successes += success ? 1 : 0;
  }
  EXPECT_GT(successes, 500);
}

std::size_t index_of_other_than_asking_again(const std::vector<Action>& actions,
                                             const std::vector<Action>& before) {
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const bool again = std::ranges::find(before, actions[i]) != before.end();
    if (!again) return i;
  }
  return actions.size();
}

TEST(DecideProperty, S5_DecidingAgainOnTheSameFactsSettles) {
  for (unsigned seed = 0; seed < kWorlds; ++seed) {
    Spoiled spoiled;
    World world = random_world(seed, spoiled);
    const Decision first = world.step();
    const Decision second = world.step();
    const Decision third = world.step();
    ASSERT_EQ(second.status, third.status) << "seed " << seed;
    ASSERT_EQ(index_of_other_than_asking_again(third.actions, second.actions), third.actions.size())
        << "seed " << seed;
    if (!first.status.ended()) continue;
    ASSERT_EQ(first.status, second.status) << "seed " << seed;
    for (const Action& action : second.actions) {
      ASSERT_TRUE(std::holds_alternative<DeleteAttempt>(action)) << "seed " << seed;
    }
  }
}

TEST(DecideProperty, S5_AnAttemptThatWasRecordedIsNeverCreatedAgain) {
  for (unsigned seed = 0; seed < kWorlds; ++seed) {
    Spoiled spoiled;
    World world = random_world(seed, spoiled);
    for (int step = 0; step < 3; ++step) {
      const std::size_t recorded = world.previous.attempts.size();
      for (const Action& action : world.step().actions) {
        const auto* create = std::get_if<CreateAttempt>(&action);
        if (create == nullptr) continue;
        ASSERT_EQ(static_cast<std::size_t>(create->number), recorded + 1) << "seed " << seed;
        ASSERT_LE(create->number, world.plan.backoff_limit + 1) << "seed " << seed;
      }
    }
  }
}

TEST(DecideProperty, EveryStatusHasAllConditionsAndSurvivesItsEncoding) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    Spoiled spoiled;
    const Status status = random_world(seed, spoiled).decide().status;
    ASSERT_EQ(status.conditions.size(), static_cast<std::size_t>(kConditionCount));
    const auto node = parse_json(encode_status(status));
    ASSERT_TRUE(node) << node.error().message;
    const auto again = decode_status(*node);
    ASSERT_TRUE(again) << again.error().message;
    ASSERT_EQ(encode_status(*again), encode_status(status)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace sandboxrun::run
