// What a run does when all is well, on a real kubelet: the examples, every kind of source and of
// upload, setup, suspend, cancel and the time to live.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/support/kstatus.h"
#include "tests/support/served_namespace.h"

namespace sandboxrun::test {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

class Runs : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { space_ = std::make_unique<ServedNamespace>("runs"); }
  static void TearDownTestSuite() { space_.reset(); }
  static ServedNamespace& space() { return *space_; }

 private:
  static inline std::unique_ptr<ServedNamespace> space_;
};

/// An example as publish.sh filled it.
Node run_example(const ServedNamespace& space, const std::string& name) {
  space.output({"create", "-f", space.cluster().folder() + "/examples/" + name + ".yaml"});
  return space.wait_for_end(name);
}

TEST_F(Runs, TheHelloExample) {
  const Node status = run_example(space(), "hello");
  EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  EXPECT_EQ(space().log_of("hello"), "hello from the sandbox\n");
  EXPECT_EQ(at(status, "run.exitCode"), "0");
  EXPECT_EQ(at(status, "environment.image.imageID"), space().cluster().image("sandbox-base"));
}

TEST_F(Runs, S3_TheSixLanguagesExampleRunsSealedInAUserNamespace) {
  const Node status = run_example(space(), "six-languages");
  EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  const std::string log = space().log_of("six-languages");
  for (const char* language :
       {"Python", "NumPy", "Node", "Bun JavaScript", "Bun TypeScript", "Bash"}) {
    EXPECT_THAT(log, HasSubstr(language));
  }
  EXPECT_EQ(at(space().pod_of("six-languages"), "spec.hostUsers"), "false");
}

/// What Flux makes of a run as it is now.
std::string flux(const ServedNamespace& space, const std::string& name) {
  const std::string all = kstatus(
      space.output({"get", "sandboxrun", name, "--output", "json", "--show-managed-fields"}));
  return all.substr(0, all.find(':'));
}

TEST_F(Runs, FluxSeesProgressThenTheEndAndSeesThroughAnEditOfWhatHasEnded) {
  space().create("good", "  command: [/bin/true]\n  suspend: true\n");
  EXPECT_EQ(flux(space(), "good"), "InProgress");
  space().output({"patch", "sandboxrun", "good", "--type", "merge", "--patch",
                  R"({"spec":{"suspend":false}})"});
  EXPECT_EQ(flux(space(), "good"), "InProgress");
  space().wait_for_end("good");
  EXPECT_EQ(flux(space(), "good"), "Current");

  space().output({"patch", "sandboxrun", "good", "--type", "merge", "--patch",
                  R"({"spec":{"ttlSecondsAfterFinished":3600}})"});
  space().output({"wait", "sandboxrun/good", "--for=jsonpath={.status.observedGeneration}=3",
                  "--timeout=30s"});
  EXPECT_EQ(flux(space(), "good"), "Current");

  space().create("bad", "  command: [/bin/false]\n");
  space().wait_for_end("bad");
  EXPECT_EQ(flux(space(), "bad"), "Failed");
}

}  // namespace
}  // namespace sandboxrun::test
