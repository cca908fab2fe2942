// What Argo CD makes of a run: the script of the chart, under a real Lua, on statuses that the
// operator writes.

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "operator/base/document.h"
#include "operator/run/status.h"
#include "tests/support/child_process.h"
#include "tests/support/run/world.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::run {
namespace {

using test::TempDir;
using testing::World;

constexpr std::string_view kScript = "/charts/sandboxrun/files/argo-cd-health.lua";

/// A value as a Lua expression.
std::string lua(const Node& node) {
  switch (node.kind) {
    case Node::Kind::Null:
      return "nil";
    case Node::Kind::Bool:
      return node.boolean ? "true" : "false";
    case Node::Kind::Int:
    case Node::Kind::Float:
      return node.text.empty() ? std::to_string(node.integer) : node.text;
    case Node::Kind::String:
      return "[==[" + node.text + "]==]";
    case Node::Kind::List: {
      std::string out = "{";
      for (const Node& item : node.items) out += lua(item) + ",";
      return out + "}";
    }
    case Node::Kind::Map: {
      std::string out = "{";
      for (const Node::Entry& entry : node.entries) {
        // The blank: "[[" would begin a text.
        out += "[ " + lua({.kind = Node::Kind::String, .text = entry.key}) + "] = ";
        out += lua(entry.value) + ",";
      }
      return out + "}";
    }
  }
  return "nil";
}

/// "Health: message" of an object. As in Argo CD, the script has no library but the base one.
std::string health_of(const std::string& object) {
  const auto node = parse_json(object);
  if (!node) return "the object is no JSON: " + node.error().message;
  const TempDir work;
  test::write_file(
      work / "run.lua",
      "local scope = {ipairs = ipairs, pairs = pairs, type = type, obj = " + lua(*node) + "}\n" +
          "local check = assert(loadfile('" + SANDBOXRUN_SOURCE_DIR + std::string(kScript) +
          "', 't', scope))\n" + "local health = check()\n" +
          "io.write(health.status, ': ', health.message)\n");
  return test::run_program({"/usr/bin/lua5.4", work / "run.lua"});
}

/// The object with the status that is decided for `world`.
std::string object(const World& world, int generation = 1) {
  return "{\"metadata\":{\"generation\":" + std::to_string(generation) +
         "},\"status\":" + encode_status(world.decide().status) + "}";
}

TEST(ArgoCd, ARunThatWentWellIsHealthy) {
  EXPECT_EQ(health_of(object(World())).substr(0, 18), "Healthy: Completed");
}

TEST(ArgoCd, ARunThatFailedIsDegradedWithItsReason) {
  World world;
  world.exits(3);
  EXPECT_EQ(health_of(object(world)).substr(0, 21), "Degraded: NonZeroExit");
}

TEST(ArgoCd, StagesAreProgress) {
  World world;
  world.running();
  EXPECT_EQ(health_of(object(world)).substr(0, 20), "Progressing: Running");
  world.preparing();
  EXPECT_EQ(health_of(object(world)).substr(0, 22), "Progressing: Preparing");
}

TEST(ArgoCd, ASuspendedRunIsSuspended) {
  World world;
  world.not_created();
  world.seen.wishes.suspend = true;
  EXPECT_EQ(health_of(object(world)), "Suspended: Suspended: spec.suspend is true");
}

TEST(ArgoCd, AnEndThatIsAboutAnEarlierGenerationIsProgress) {
  EXPECT_EQ(health_of(object(World(), 2)), "Progressing: The operator has not seen this run yet");
}

TEST(ArgoCd, WhatTheSchemaWritesByItselfIsProgress) {
  EXPECT_EQ(health_of(R"({"metadata":{"generation":1},"status":{"conditions":[
      {"type":"Succeeded","status":"Unknown","reason":"Pending"},
      {"type":"Reconciling","status":"True","reason":"Pending"}]}})"),
            "Progressing: The operator has not seen this run yet");
  EXPECT_EQ(health_of(R"({"metadata":{"generation":1}})"),
            "Progressing: The operator has not seen this run yet");
}

TEST(ArgoCd, ThePageShowsTheScriptAsItIs) {
  const std::string root = SANDBOXRUN_SOURCE_DIR;
  const std::string page = test::read_file(root + "/docs/guide/argo-cd.md");
  std::string indented;
  bool at_line_start = true;
  for (const char c : test::read_file(root + std::string(kScript))) {
    // A code block of the page, and in it a block of the ConfigMap's data.
    if (at_line_start && c != '\n') indented += "          ";
    indented += c;
    at_line_start = c == '\n';
  }
  EXPECT_NE(page.find(indented), std::string::npos);
}

}  // namespace
}  // namespace sandboxrun::run
