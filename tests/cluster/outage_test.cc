// Programs of the cluster that fail under a run: API server, etcd, kubelet, and a node that is
// gone.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "tests/support/child_process.h"
#include "tests/support/served_namespace.h"

namespace sandboxrun::test {
namespace {

using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::HasSubstr;

void restart(const std::string& program, int seconds_away) {
  run_program(
      {SANDBOXRUN_SOURCE_DIR "/tests/cluster/restart.sh", program, std::to_string(seconds_away)});
}

pid_t pid_of(const Cluster& cluster, const std::string& program) {
  return std::stoi(read_file(cluster.folder() + "/run/" + program + ".pid"));
}

/// The kubelet stands still until the object is gone.
class PausedKubelet {
 public:
  explicit PausedKubelet(const Cluster& cluster) : pid_(pid_of(cluster, "kubelet")) {
    ::kill(pid_, SIGSTOP);
  }
  ~PausedKubelet() { ::kill(pid_, SIGCONT); }
  PausedKubelet(const PausedKubelet&) = delete;
  PausedKubelet& operator=(const PausedKubelet&) = delete;

 private:
  pid_t pid_;
};

/// The cluster has no such node until the object is gone; then it has it again, ready.
class DeletedNode {
 public:
  DeletedNode(const Cluster& cluster, std::string node)
      : cluster_(cluster), node_(std::move(node)) {
    cluster_.kubectl_output({"delete", "node", node_});
  }
  ~DeletedNode() {
    // The kubelet registers its node when it starts.
    restart("kubelet", 0);
    cluster_.kubectl({"wait", "--for=create", "node/" + node_, "--timeout=60s"});
    cluster_.kubectl({"wait", "--for=condition=Ready", "node/" + node_, "--timeout=60s"});
  }
  DeletedNode(const DeletedNode&) = delete;
  DeletedNode& operator=(const DeletedNode&) = delete;

 private:
  const Cluster& cluster_;
  const std::string node_;
};

class Outage : public ::testing::Test {
 protected:
  Outage() : space_("outage") {}

  void expect_completed_once(const std::string& run) {
    const Node status = space_.wait_for_end(run, seconds(120));
    EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
    EXPECT_EQ(at(status, "attempts.1.podName"), "");
    EXPECT_EQ(space_.log_of(run), "started\n");
  }

  ServedNamespace space_;
};

TEST_F(Outage, S5_TheApiServerIsAwayWhileARunEnds) {
  space_.create("r", "  command: [sh, -c, 'echo started; sleep 3']\n");
  space_.wait_for_reason("r", "Running");
  restart("kube-apiserver", 6);
  expect_completed_once("r");
  EXPECT_TRUE(space_.op().is_running());
}

TEST_F(Outage, S5_EtcdIsAwayWhileRunsAreCreated) {
  space_.create("before", "  command: [sh, -c, 'echo started; sleep 3']\n");
  restart("etcd", 4);
  space_.create("after", "  command: [sh, -c, 'echo started']\n");
  expect_completed_once("before");
  expect_completed_once("after");
}

TEST_F(Outage, S6_TheKubeletStartsAgainUnderARun) {
  space_.create("r", "  command: [sh, -c, 'echo started; sleep 6']\n");
  space_.wait_for_reason("r", "Running");
  restart("kubelet", 1);
  expect_completed_once("r");
}

TEST_F(Outage, S6_ANodeThatIsSilentForAMinuteAndComesBack) {
  space_.create("r", "  command: [sh, -c, 'echo started; sleep 3; exit 4']\n");
  space_.wait_for_reason("r", "Running");
  {
    const PausedKubelet paused(space_.cluster());
    const Node status = space_.wait_for_reason("r", "NodeLost", seconds(120));
    // No end, and no next attempt, as long as it may come back.
    EXPECT_THAT(condition(status, "Reconciling"), HasSubstr("True"));
    EXPECT_THAT(condition_message(status), HasSubstr("does not answer"));
  }
  const Node status = space_.wait_for_end("r", seconds(90));
  EXPECT_EQ(condition(status, "Succeeded"), "False NonZeroExit");
  EXPECT_EQ(at(status, "run.exitCode"), "4");
  EXPECT_EQ(at(status, "attempts.1.podName"), "");
}

TEST_F(Outage, S5_ANodeThatIsSilentAndThenDeletedEndsTheRunWithoutAnotherStart) {
  space_.create("r", "  command: [sleep, '600']\n  backoffLimit: 3\n");
  space_.wait_for_reason("r", "Running");
  const std::string node = at(space_.pod_of("r"), "spec.nodeName");
  const DeletedNode deleted(space_.cluster(), node);
  const PausedKubelet paused(space_.cluster());
  // The garbage collector of pods waits 40 s before it believes that a node is gone.
  const Node status = space_.wait_for_end("r", seconds(180));
  EXPECT_THAT(condition(status, "Succeeded"), AnyOf("False NodeLost", "False PodLost"));
  EXPECT_EQ(at(status, "attempts.1.podName"), "");
  EXPECT_EQ(at(status, "run.exitCode"), "");
}

}  // namespace
}  // namespace sandboxrun::test
