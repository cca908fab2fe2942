// What observe() makes of pods that a real kubelet wrote: tests/cluster/record_pods.py made them
// end, and kept them in tests/unit/pods/recorded. Their containers have a run's names; their specs
// are simpler than a rendered one.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "operator/pod/observe.h"

namespace sandboxrun::pod {
namespace {

namespace fs = std::filesystem;
using run::InterruptionKind;

const fs::path kFolder = fs::path(SANDBOXRUN_SOURCE_DIR) / "tests/unit/pods/recorded";

/// "-", "waits for REASON", "runs", or "CODE REASON", and what the runtime counted beside it.
std::string describe(const run::StepFacts& step) {
  std::string out = "-";
  if (const auto* waiting = step.waiting()) out = "waits for " + waiting->reason;
  if (step.started() != nullptr) out = "runs";
  if (const auto* ended = step.ended()) {
    out = std::to_string(ended->exit_code) + " " + ended->runtime_reason;
    if (!ended->start) out += ", never started";
  }
  if (step.earlier) out += ", before that " + std::to_string(step.earlier->exit_code);
  if (step.restarts > 0) out += ", restarts " + std::to_string(step.restarts);
  return out;
}

std::string describe(InterruptionKind kind) {
  switch (kind) {
    case InterruptionKind::Deleted:
      return "Deleted";
    case InterruptionKind::Evicted:
      return "Evicted";
    case InterruptionKind::StorageExceeded:
      return "StorageExceeded";
    case InterruptionKind::Preempted:
      return "Preempted";
    case InterruptionKind::Disrupted:
      return "Disrupted";
    case InterruptionKind::NodeGone:
      return "NodeGone";
    case InterruptionKind::Deadline:
      return "Deadline";
  }
  return "?";
}

struct Recorded {
  const char* pod;
  const char* over;  ///< "no", "yes", or the pod's own word for it
  const char* prepare;
  const char* run;
  const char* collect;
  std::set<std::string> interruptions;
};

const Recorded kRecorded[] = {
    {"succeeded", "yes", "0 Completed", "0 Completed", "0 Completed", {}},
    {"exit-3", "yes", "0 Completed", "3 Error", "0 Completed", {}},
    {"prepare-failed",
     "yes",
     "1 Error",
     "waits for PodInitializing",
     "waits for PodInitializing",
     {}},
    {"deadline-while-preparing",
     "DeadlineExceeded",
     "1 Error",
     "waits for PodInitializing",
     "waits for PodInitializing",
     {"Deadline"}},
    {"deadline-while-running",
     "DeadlineExceeded",
     "0 Completed",
     "5 Error",
     "0 Completed",
     {"Deadline"}},
    {"deadline-while-collecting",
     "DeadlineExceeded",
     "0 Completed",
     "0 Completed",
     "0 Completed",
     {"Deadline"}},
    {"run-ignores-term",
     "DeadlineExceeded",
     "0 Completed",
     "137 Error",
     "0 Completed",
     {"Deadline"}},
    {"oom-killed", "yes", "0 Completed", "137 OOMKilled", "0 Completed", {}},
    {"oom-killed-child", "yes", "0 Completed", "0 OOMKilled", "0 Completed", {}},
    {"deleted-and-exits-0", "yes", "0 Completed", "0 Completed", "0 Completed", {"Deleted"}},
    {"evicted-by-api-and-exits-0",
     "yes",
     "0 Completed",
     "0 Completed",
     "0 Completed",
     {"Deleted", "Evicted"}},
    {"evicted-for-disk",
     "Evicted",
     "0 Completed",
     "137 Error",
     "waits for PodInitializing, before that 137, restarts 1",
     {"StorageExceeded"}},
    {"collector-exits-7-at-once",
     "yes",
     "0 Completed",
     "0 Completed",
     "137 ContainerStatusUnknown, never started, before that 7, restarts 1",
     {}},
    {"collector-exits-9", "yes", "0 Completed", "0 Completed", "9 Error", {}},
    {"collector-out-of-time", "yes", "0 Completed", "0 Completed", "137 Error", {}},
    {"no-such-program", "yes", "0 Completed", "128 StartError, never started", "0 Completed", {}},
    {"argument-too-long", "yes", "0 Completed", "255 Error", "0 Completed", {}},
    {"rejected-by-kubelet", "OutOfcpu", "-", "-", "-", {}},
    {"image-patched",
     "yes",
     "0 Completed",
     "0 Completed, before that 0, restarts 1",
     "0 Completed",
     {"Deleted"}},
    {"sandbox-killed", "yes", "0 Completed", "137 Error", "0 Completed", {}},
    {"image-missing", "no", "0 Completed", "waits for ImagePullBackOff", "runs", {}},
    {"image-volume-missing", "no", "0 Completed", "waits for ImagePullBackOff", "runs", {}},
    {"secret-key-missing", "no", "0 Completed", "waits for CreateContainerConfigError", "runs", {}},
    {"secret-volume-missing",
     "no",
     "waits for PodInitializing",
     "waits for PodInitializing",
     "waits for PodInitializing",
     {}},
    {"runtime-handler-missing",
     "no",
     "waits for PodInitializing",
     "waits for PodInitializing",
     "waits for PodInitializing",
     {}},
    {"sidecar-never-started", "no", "0 Completed", "waits for PodInitializing", "runs", {}},
    {"unschedulable", "no", "-", "-", "-", {}},
    {"gated", "no", "-", "-", "-", {}},
    {"running", "no", "0 Completed", "runs", "runs", {}},
};

std::ostream& operator<<(std::ostream& out, const Recorded& recorded) {
  return out << recorded.pod;
}

run::AttemptFacts facts_of(const std::string& name) {
  std::ifstream file(kFolder / (name + ".json"), std::ios::binary);
  const Result<Node> pod = parse_json(std::string(std::istreambuf_iterator<char>(file), {}));
  if (!pod) {
    ADD_FAILURE() << name << ": " << pod.error().message;
    return {};
  }
  Result<PodView> view = observe(*pod);
  if (!view) {
    ADD_FAILURE() << name << ": " << view.error().message;
    return {};
  }
  return std::move(view->facts);
}

class RecordedPod : public testing::TestWithParam<Recorded> {};

TEST_P(RecordedPod, IsReadAsTheKubeletMeantIt) {
  const run::AttemptFacts facts = facts_of(GetParam().pod);
  const std::string over = !facts.over                 ? "no"
                           : facts.over_reason.empty() ? "yes"
                                                       : facts.over_reason;
  EXPECT_EQ(over, GetParam().over);
  EXPECT_EQ(describe(facts.prepare), GetParam().prepare);
  EXPECT_EQ(describe(facts.run), GetParam().run);
  EXPECT_EQ(describe(facts.collect), GetParam().collect);
  std::set<std::string> interruptions;
  for (const run::Interruption& each : facts.interruptions) {
    interruptions.insert(describe(each.kind));
  }
  EXPECT_EQ(interruptions, GetParam().interruptions);
}

INSTANTIATE_TEST_SUITE_P(Kubelet, RecordedPod, testing::ValuesIn(kRecorded), [](const auto& each) {
  std::string name = each.param.pod;
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST(RecordedPods, AreAllInTheTable) {
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(kFolder)) files.insert(entry.path().stem());
  std::set<std::string> rows;
  for (const Recorded& each : kRecorded) rows.insert(each.pod);
  EXPECT_EQ(files, rows);
}

TEST(RecordedPods, ThatCannotBeScheduledOrAreGatedSaySo) {
  EXPECT_TRUE(facts_of("unschedulable").unschedulable);
  EXPECT_FALSE(facts_of("gated").unschedulable);
  EXPECT_EQ(facts_of("gated").gate, run::Gate::Ours);
  EXPECT_EQ(facts_of("unschedulable").gate, run::Gate::None);
}

TEST(RecordedPods, KeepTheMessagesOfTheirSteps) {
  EXPECT_EQ(facts_of("prepare-failed").prepare.ended()->termination_message, "why\n");
  EXPECT_EQ(facts_of("exit-3").run.ended()->termination_message, "three\n");
  EXPECT_EQ(facts_of("deadline-while-collecting").collect.ended()->termination_message, "report\n");
}

}  // namespace
}  // namespace sandboxrun::pod
