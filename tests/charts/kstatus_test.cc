// What Flux makes of a run: kstatus, the library that it uses, on statuses that the operator
// writes.

#include <gtest/gtest.h>

#include <string>

#include "operator/run/status.h"
#include "tests/support/kstatus.h"
#include "tests/support/run/world.h"

namespace sandboxrun::run {
namespace {

using test::kstatus;
using testing::World;

std::string object(const std::string& generation, const std::string& status) {
  return R"({"apiVersion":"sandboxrun.dev/v1alpha1","kind":"SandboxRun",)"
         R"("metadata":{"name":"r","namespace":"x","generation":)" +
         generation + "}" + (status.empty() ? "" : R"(,"status":)" + status) + "}";
}

/// The first word, for the status that is decided for `world`.
std::string verdict(const World& world, const std::string& generation = "1") {
  const std::string all = kstatus(object(generation, encode_status(world.decide().status)));
  return all.substr(0, all.find(':'));
}

TEST(Flux, ARunThatWentWellIsCurrent) {
  EXPECT_EQ(verdict(World()), "Current");
}

TEST(Flux, ARunThatFailedIsFailedWithItsMessage) {
  World world;
  world.exits(3);
  const Status status = world.decide().status;
  const std::string all = kstatus(object("1", encode_status(status)));
  EXPECT_TRUE(all.starts_with("Failed: ")) << all;
  EXPECT_NE(all.find(status.find(ConditionType::Stalled)->message), std::string::npos) << all;
}

TEST(Flux, EveryStageIsInProgress) {
  World world;
  world.running();
  EXPECT_EQ(verdict(world), "InProgress");
  world.preparing();
  EXPECT_EQ(verdict(world), "InProgress");
  world.collecting();
  EXPECT_EQ(verdict(world), "InProgress");
  world.not_scheduled();
  EXPECT_EQ(verdict(world), "InProgress");
}

TEST(Flux, ASuspendedRunIsInProgress) {
  World world;
  world.not_created();
  world.seen.wishes.suspend = true;
  EXPECT_EQ(verdict(world), "InProgress");
}

TEST(Flux, AnEndThatIsAboutAnEarlierGenerationIsInProgress) {
  EXPECT_EQ(verdict(World(), "2"), "InProgress");
}

// What the schema's default is for: without it, a run would be ready before anybody saw it.
TEST(Flux, ARunIsInProgressByTheSchemasDefaultAndWouldBeCurrentWithoutIt) {
  const std::string by_schema = kstatus(object("1", R"({"conditions":[
      {"type":"Succeeded","status":"Unknown","reason":"Pending","message":"",
       "lastTransitionTime":"1970-01-01T00:00:00Z"},
      {"type":"Reconciling","status":"True","reason":"Pending","message":"",
       "lastTransitionTime":"1970-01-01T00:00:00Z"}]})"));
  EXPECT_TRUE(by_schema.starts_with("InProgress: ")) << by_schema;
  EXPECT_TRUE(kstatus(object("1", "")).starts_with("Current: "));
}

}  // namespace
}  // namespace sandboxrun::run
