// Every reason, made to happen on a real cluster: docs/reference/reasons.md. What webhooks, forgers
// and lost nodes do is in intruders_test.cc and outage_test.cc. tests/unit/reasons_test.cc checks
// that none is left out.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "operator/pod/names.h"
#include "tests/support/served_namespace.h"
#include "tests/support/tar_builder.h"
#include "tests/support/transfer_servers.h"

namespace sandboxrun::test {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr seconds kPatience{150};
/// The operator waits five minutes for an image and two for a Secret before it gives up.
constexpr seconds kLongPatience{450};
const std::string kNoDigest = "sha256:" + std::string(64, '0');

std::string shell(const std::string& script) {
  return "  command: [/bin/sh, -c, \"" + script + "\"]\n";
}

std::string asset(const std::string& source, const std::string& more = "") {
  return "  assets: [{name: a, target: /data/a, source: {" + source + "}" + more + "}]\n";
}

std::string results(const std::string& upload, const std::string& more = "") {
  return "  results: {upload: {" + upload + "}" + more + "}\n";
}

/// PriorityClasses and the like, which have no namespace.
constexpr const char* kClasses = R"(
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: sandboxrun-test-lowest}
value: -1000
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: sandboxrun-test-low}
value: -900
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: sandboxrun-test-quota}
value: -800
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: sandboxrun-test-no-handler}
handler: no-such-runtime
)";

/// Refuses the pods of one priority class, and containers with more than 8 GiB.
constexpr const char* kLimits = R"(
apiVersion: v1
kind: ResourceQuota
metadata: {name: none-at-all}
spec:
  hard: {pods: 0}
  scopeSelector:
    matchExpressions:
    - {scopeName: PriorityClass, operator: In, values: [sandboxrun-test-quota]}
---
apiVersion: v1
kind: LimitRange
metadata: {name: at-most}
spec: {limits: [{type: Container, max: {memory: 20Gi}}]}
)";

OperatorSettings settings() {
  return {.flags = {"--allow-priority-class=sandboxrun-test-lowest",
                    "--allow-priority-class=sandboxrun-test-low",
                    "--allow-priority-class=sandboxrun-test-quota",
                    "--allow-priority-class=sandboxrun-test-missing",
                    "--allow-runtime-class=sandboxrun-test-missing",
                    "--allow-runtime-class=sandboxrun-test-no-handler"},
          .set = {}};
}

/// The world that the reasons of this file come from. Its slow runs are started with the program,
/// so that they wait while other suites work.
class World : public ::testing::Environment {
 public:
  void SetUp() override;
  void TearDown() override {
    servers_.reset();
    if (space_) space_->cluster().kubectl({"delete", "--wait=false", "-f", "-"}, kClasses);
    space_.reset();
  }
  static ServedNamespace& space() { return *space_; }
  static TransferServers& servers() { return *servers_; }

 private:
  static inline std::unique_ptr<ServedNamespace> space_;
  static inline std::unique_ptr<TransferServers> servers_;
};

void World::SetUp() {
  space_ = std::make_unique<ServedNamespace>("reasons", settings());
  space_->cluster().apply(kClasses);
  space_->output({"apply", "-f", "-"}, kLimits);
  servers_ = std::make_unique<TransferServers>(
      *space_, R"({"/slow":[{"delay":5,"body":"slow"}],"/first-no":[{"body":"no"},{"body":"yes"}],)"
               R"("/put":[{}],"/put-slowly":[{"delay":5}],"/put-denied":[{"status":403}]})");
  const std::string image = space_->cluster().image("sandbox-base");
  const std::string missing = image.substr(0, image.find('@')) + "@" + kNoDigest;
  space_->create("image-missing",
                 "  environment: {image: \"" + missing + "\"}\n" + shell("echo started"));
  space_->create("secret-missing",
                 "  env: [{name: A, valueFrom: {secretKeyRef: {name: absent, key: k}}}]\n" +
                     shell("echo started"));
  space_->create("volume-missing",
                 shell("echo started") + asset("configMap: {name: absent, key: k}"));
  space_->create("handler-missing",
                 "  runtimeClassName: sandboxrun-test-no-handler\n" + shell("echo started"));
}

const auto* const kWorld = ::testing::AddGlobalTestEnvironment(new World);

class Reasons : public ::testing::Test {
 protected:
  static ServedNamespace& space() { return World::space(); }
  static TransferServers& servers() { return World::servers(); }

  /// The end of a run of this spec, after checking what holds for every failure.
  static Node failure(const std::string& run, const std::string& spec) {
    space().create(run, spec);
    return failure(run);
  }
  static Node failure(const std::string& run) {
    Node status = space().wait_for_end(run, kLongPatience);
    const std::string reason = at_reason(status);
    EXPECT_EQ(condition(status, "Reconciling"), "False Finished");
    EXPECT_EQ(condition(status, "Stalled"), "True " + reason);
    EXPECT_EQ(condition_message(status, "Stalled"), condition_message(status));
    // Read them aloud: a run of this suite prints every sentence that a person may get to see.
    std::printf("%-28s %s\n", reason.c_str(), condition_message(status).c_str());
    return status;
  }
  static std::string at_reason(const Node& status) {
    const std::string both = condition(status, "Succeeded");
    return both.substr(both.find(' ') + 1);
  }
  static Node stage(const std::string& run, const std::string& reason) {
    Node status = space().wait_for_reason(run, reason, kPatience);
    EXPECT_EQ(condition(status, "Succeeded"), "Unknown " + reason);
    EXPECT_THAT(condition(status, "Reconciling"), HasSubstr("True"));
    EXPECT_THAT(condition(status, "Stalled"), HasSubstr("False"));
    std::printf("%-28s %s\n", reason.c_str(), condition_message(status).c_str());
    return status;
  }
  /// Nothing of the command has run.
  static void expect_not_run(const Node& status) {
    EXPECT_EQ(at(status, "run.startTime"), "");
    EXPECT_EQ(at(status, "run.exitCode"), "");
  }
  static void change(const std::string& run, const std::string& patch) {
    space().output({"patch", "sandboxrun", run, "--type=merge", "--patch", patch});
  }
  /// Waits for the run's command, then gives its pod's name.
  static std::string running_pod(const std::string& run) {
    space().wait_for_reason(run, "Running", kPatience);
    return at(space().pod_of(run), "metadata.name");
  }
  static std::string pod_path(const std::string& pod, const std::string& subresource) {
    return "/api/v1/namespaces/" + space().name() + "/pods/" + pod + "/" + subresource;
  }
};

// --- stages

TEST_F(Reasons, Pending_FromTheFirstMoment) {
  const std::string created = space().output(
      {"create", "--output", "json", "-f", "-"},
      "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: first-moment}\n"
      "spec: {suspend: true, command: [/bin/true], environment: {image: \"" +
          space().cluster().image("sandbox-base") + "\"}}\n");
  const Node object = parse_json(created).value();
  EXPECT_EQ(condition(*object.find("status"), "Succeeded"), "Unknown Pending");
  EXPECT_EQ(condition(*object.find("status"), "Reconciling"), "True Pending");
}

TEST_F(Reasons, Preparing_Running_Collecting_InThisOrder) {
  space().create("slow", shell("sleep 3; echo done") + asset(servers().by_url("/slow")) +
                             results(servers().by_url("/put-slowly")));
  stage("slow", "Preparing");
  stage("slow", "Running");
  stage("slow", "Collecting");
  const Node status = space().wait_for_end("slow", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  EXPECT_EQ(condition(status, "Stalled"), "False Finished");
}

TEST_F(Reasons, Suspended_UntilCancelled) {
  space().create("suspended", "  suspend: true\n" + shell("echo started"));
  stage("suspended", "Suspended");
  change("suspended", R"({"spec":{"cancel":true}})");
  const Node status = failure("suspended");
  EXPECT_EQ(condition(status, "Succeeded"), "False Cancelled");
  expect_not_run(status);
}

TEST_F(Reasons, Retrying_ForReal_WithAnAttemptThatFailsAndOneThatSucceeds) {
  space().create("twice", "  backoffLimit: 1\n" + shell("grep yes /data/a || exit 9") +
                              asset(servers().by_url("/first-no")));
  const Node waiting = stage("twice", "Retrying");
  EXPECT_THAT(condition_message(waiting), HasSubstr("exit code 9"));
  const Node status = space().wait_for_end("twice", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  EXPECT_EQ(at(status, "attempts.0.reason"), "NonZeroExit");
  EXPECT_EQ(at(status, "attempts.0.exitCode"), "9");
  EXPECT_EQ(at(status, "attempts.1.reason"), "Completed");
  EXPECT_EQ(at(status, "attempts.2.podName"), "");
  EXPECT_EQ(at(status, "run.exitCode"), "0");
}

// --- what the manifest asks for

TEST_F(Reasons, InvalidSpec_NamesEveryFieldThatTheSchemaLetsThrough) {
  const Node status =
      failure("invalid",
              "  resources: {requests: {cpu: 2}, limits: {cpu: 1, memory: 1Mi}}\n" + shell("true"));
  EXPECT_EQ(condition(status, "Succeeded"), "False InvalidSpec");
  EXPECT_THAT(condition_message(status), AllOf(HasSubstr("spec.resources.requests.cpu"),
                                               HasSubstr("spec.resources.limits.memory")));
  EXPECT_EQ(at(status, "attempts.0.podName"), "");
}

TEST_F(Reasons, PolicyDenied_NamesTheValueThatIsNotAllowed) {
  const Node status = failure("denied", "  priorityClassName: royal\n" + shell("true"));
  EXPECT_EQ(condition(status, "Succeeded"), "False PolicyDenied");
  EXPECT_THAT(condition_message(status),
              AllOf(HasSubstr("spec.priorityClassName"), HasSubstr("royal")));
  EXPECT_EQ(at(status, "attempts.0.podName"), "");
}

// --- what the cluster refuses

TEST_F(Reasons, PodRefused_ByAQuotaUntilThereIsRoom) {
  space().create("quota", "  priorityClassName: sandboxrun-test-quota\n" + shell("echo started"));
  const Node status = stage("quota", "PodRefused");
  EXPECT_THAT(condition_message(status), HasSubstr("none-at-all"));
  change("quota", R"({"spec":{"cancel":true}})");
  EXPECT_EQ(condition(failure("quota"), "Succeeded"), "False Cancelled");
}

TEST_F(Reasons, PodRefused_ByALimitRangeAtTheStartDeadline) {
  const Node status = failure("too-big",
                              "  startDeadlineSeconds: 3\n"
                              "  resources: {limits: {memory: 21Gi}, requests: {memory: 1Gi}}\n" +
                                  shell("echo started"));
  EXPECT_EQ(condition(status, "Succeeded"), "False PodRefused");
  EXPECT_THAT(condition_message(status), HasSubstr("maximum memory usage per Container is 20Gi"));
  EXPECT_EQ(at(status, "attempts.0.podName"), "");
}

TEST_F(Reasons, ReferenceMissing_APriorityClassAtOnce) {
  const Node status = failure(
      "class-missing", "  priorityClassName: sandboxrun-test-missing\n" + shell("echo started"));
  EXPECT_EQ(condition(status, "Succeeded"), "False ReferenceMissing");
  EXPECT_THAT(condition_message(status), HasSubstr("sandboxrun-test-missing"));
}

TEST_F(Reasons, RuntimeClassUnavailable_AClassThatDoesNotExistAtOnce) {
  const Node status = failure(
      "runtime-missing", "  runtimeClassName: sandboxrun-test-missing\n" + shell("echo started"));
  EXPECT_EQ(condition(status, "Succeeded"), "False RuntimeClassUnavailable");
  EXPECT_THAT(condition_message(status), HasSubstr("sandboxrun-test-missing"));
}

// --- where no node takes it

TEST_F(Reasons, Unschedulable_ThenStartDeadlineExceeded) {
  space().create("too-wide",
                 "  startDeadlineSeconds: 6\n"
                 "  resources: {limits: {cpu: 100}, requests: {cpu: 100}}\n" +
                     shell("echo started"));
  EXPECT_THAT(condition_message(stage("too-wide", "Unschedulable")), HasSubstr("Insufficient cpu"));
  const Node status = failure("too-wide");
  EXPECT_EQ(condition(status, "Succeeded"), "False StartDeadlineExceeded");
  EXPECT_THAT(condition_message(status), AllOf(HasSubstr("6s"), HasSubstr("Insufficient cpu")));
  expect_not_run(status);
}

TEST_F(Reasons, NodeRejected_ByAKubeletThatHasNoRoom) {
  space().create("overfull", "  resources: {limits: {cpu: 100}, requests: {cpu: 100}}\n" +
                                 shell("echo started"));
  stage("overfull", "Unschedulable");
  // As a scheduler does that knows less than the kubelet.
  const Node nodes = space().cluster().get("nodes", "default");
  space().output({"create", "--raw",
                  pod_path(at(space().pod_of("overfull"), "metadata.name"), "binding"), "-f", "-"},
                 R"({"apiVersion":"v1","kind":"Binding","metadata":{"name":")" +
                     at(space().pod_of("overfull"), "metadata.name") +
                     R"("},"target":{"apiVersion":"v1","kind":"Node","name":")" +
                     at(nodes, "items.0.metadata.name") + R"("}})");
  const Node status = failure("overfull");
  EXPECT_EQ(condition(status, "Succeeded"), "False NodeRejected");
  EXPECT_THAT(condition_message(status), HasSubstr("OutOfcpu"));
  expect_not_run(status);
}

TEST_F(Reasons, SchedulingGated_ByAQueueThatHoldsThePodBack) {
  const std::string name = space().name();
  space().cluster().apply(
      "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicy\n"
      "metadata: {name: " +
      name +
      "}\n"
      "spec:\n  failurePolicy: Fail\n  reinvocationPolicy: Never\n"
      "  matchConstraints:\n    resourceRules:\n"
      "    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}\n"
      "  matchConditions: [{name: one, expression: \"request.namespace == '" +
      name +
      "' && object.metadata.?labels['sandboxrun.dev/run'].orValue('') == 'queued'\"}]\n"
      "  mutations:\n  - patchType: JSONPatch\n    jsonPatch: {expression: \"[JSONPatch{op: 'add', "
      "path: '/spec/schedulingGates/-', value: Object.spec.schedulingGates{name: "
      "'example.com/queue'}}]\"}\n"
      "---\napiVersion: admissionregistration.k8s.io/v1\n"
      "kind: MutatingAdmissionPolicyBinding\nmetadata: {name: " +
      name +
      "}\n"
      "spec: {policyName: " +
      name + "}\n");
  std::this_thread::sleep_for(seconds(2));  // The API server follows policies by a watch.
  space().create("queued", shell("echo started"));
  EXPECT_THAT(condition_message(stage("queued", "SchedulingGated")),
              HasSubstr("example.com/queue"));
  space().cluster().kubectl(
      {"delete", "mutatingadmissionpolicy,mutatingadmissionpolicybinding", name});
  change("queued", R"({"spec":{"cancel":true}})");
  const Node status = failure("queued");
  EXPECT_EQ(condition(status, "Succeeded"), "False Cancelled");
  expect_not_run(status);
}

// --- before the command

TEST_F(Reasons, NameConflict_WithAPodOfSomebodyElse) {
  space().create("squatted", "  suspend: true\n" + shell("echo started"));
  const std::string uid =
      space().output({"get", "sandboxrun", "squatted", "--output", "jsonpath={.metadata.uid}"});
  const std::string name = pod::pod_name(space().name(), "squatted", uid, 1);
  space().output({"create", "-f", "-"},
                 "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
                     "}\nspec:\n  securityContext: {runAsNonRoot: true, runAsUser: 1, "
                     "seccompProfile: {type: RuntimeDefault}}\n  schedulingGates: [{name: "
                     "example.com/never}]\n  containers: [{name: c, image: none, securityContext: "
                     "{allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]\n");
  change("squatted", R"({"spec":{"suspend":false}})");
  const Node status = failure("squatted");
  EXPECT_EQ(condition(status, "Succeeded"), "False NameConflict");
  EXPECT_THAT(condition_message(status), HasSubstr(name));
  // It is not ours to delete.
  EXPECT_EQ(space().kubectl({"get", "pod", name}).exit_code, 0);
}

TEST_F(Reasons, SandboxStartFailed_InAFolderThatIsAFile) {
  const Node status = failure("no-folder", "  workingDir: /etc/passwd\n" + shell("echo started"));
  EXPECT_EQ(condition(status, "Succeeded"), "False SandboxStartFailed");
  EXPECT_THAT(condition_message(status), HasSubstr("/etc/passwd"));
  EXPECT_EQ(at(status, "run.exitCode"), "");
}

TEST_F(Reasons, EnvironmentFetchFailed_NamesTheHostAndTheAnswer) {
  const Node status = failure(
      "env-absent", "  environment:\n    image: \"" + space().cluster().image("sandbox-base") +
                        "\"\n    archive: {source: {" + servers().by_url("/absent") +
                        "}, digest: \"" + kNoDigest + "\"}\n" + shell("echo started"));
  EXPECT_EQ(condition(status, "Succeeded"), "False EnvironmentFetchFailed");
  EXPECT_EQ(condition(status, "EnvironmentVerified"), "False EnvironmentFetchFailed");
  EXPECT_THAT(condition_message(status), AllOf(HasSubstr("environment.archive"),
                                               HasSubstr(Cluster::kNodeAddress), HasSubstr("404")));
  expect_not_run(status);
}

TEST_F(Reasons, EnvironmentDigestMismatch_S1_UnpacksRunsAndUploadsNothing) {
  servers().s3().put("inputs", "other", gzip(TarBuilder().file("a", "b").finish()));
  const std::string found = digest_of_file(servers().s3().file("inputs", "other"));
  const Node status = failure(
      "env-other", "  environment:\n    image: \"" + space().cluster().image("sandbox-base") +
                       "\"\n    archive: {source: {" + servers().object("other") + "}, digest: \"" +
                       kNoDigest + "\"}\n" + shell("echo started") +
                       results(servers().object("never-stored")));
  EXPECT_EQ(condition(status, "Succeeded"), "False EnvironmentDigestMismatch");
  EXPECT_EQ(condition(status, "EnvironmentVerified"), "False EnvironmentDigestMismatch");
  EXPECT_EQ(condition(status, "ResultsStored"), "False NotReached");
  EXPECT_THAT(condition_message(status), AllOf(HasSubstr(kNoDigest), HasSubstr(found)));
  expect_not_run(status);
  EXPECT_FALSE(std::filesystem::exists(servers().s3().file("inputs", "never-stored")));
}

TEST_F(Reasons, EnvironmentUnpackFailed_NamesTheEntryAndTheRule) {
  servers().s3().put("inputs", "hostile", TarBuilder().file("../escaped", "x").finish());
  const std::string digest = digest_of_file(servers().s3().file("inputs", "hostile"));
  const Node status = failure(
      "env-hostile", "  environment:\n    image: \"" + space().cluster().image("sandbox-base") +
                         "\"\n    archive: {source: {" + servers().object("hostile") +
                         "}, digest: \"" + digest + "\"}\n" + shell("echo started"));
  EXPECT_EQ(condition(status, "Succeeded"), "False EnvironmentUnpackFailed");
  EXPECT_THAT(condition_message(status), HasSubstr("../escaped"));
  expect_not_run(status);
}

TEST_F(Reasons, AssetFetchFailed_NamesTheAssetAndTheAnswer) {
  const Node status =
      failure("asset-absent", shell("echo started") + asset(servers().by_url("/absent")));
  EXPECT_EQ(condition(status, "Succeeded"), "False AssetFetchFailed");
  EXPECT_EQ(condition(status, "AssetsPlaced"), "False AssetFetchFailed");
  EXPECT_THAT(condition_message(status), AllOf(HasSubstr("asset a"), HasSubstr("404")));
  expect_not_run(status);
}

TEST_F(Reasons, AssetDigestMismatch_S1_RunsAndUploadsNothing) {
  const Node status =
      failure("asset-other", shell("echo started") +
                                 asset("inline: \"x\"", ", digest: \"" + kNoDigest + "\"") +
                                 results(servers().object("never-stored-either")));
  EXPECT_EQ(condition(status, "Succeeded"), "False AssetDigestMismatch");
  EXPECT_EQ(condition(status, "AssetsPlaced"), "False AssetDigestMismatch");
  // sha256 of "x"
  EXPECT_THAT(
      condition_message(status),
      AllOf(HasSubstr(kNoDigest), HasSubstr("sha256:2d711642b726b04401627ca9fbac32f5c8530fb1"
                                            "903cc4db02258717921a4881")));
  expect_not_run(status);
  EXPECT_FALSE(std::filesystem::exists(servers().s3().file("inputs", "never-stored-either")));
}

TEST_F(Reasons, AssetPlaceFailed_NamesWhatIsWrongWithIt) {
  servers().s3().put("inputs", "letter", "no archive\n");
  const Node status =
      failure("asset-no-archive",
              shell("echo started") + asset(servers().object("letter"), ", unpack: true"));
  EXPECT_EQ(condition(status, "Succeeded"), "False AssetPlaceFailed");
  EXPECT_THAT(condition_message(status), HasSubstr("asset a"));
  expect_not_run(status);
}

// --- the command

TEST_F(Reasons, SetupFailed_NamesTheStepAndItsExitCode) {
  const Node status =
      failure("setup", "  setup: [{name: compile, command: [/bin/sh, -c, exit 4]}]\n" +
                           shell("echo started"));
  EXPECT_EQ(condition(status, "Succeeded"), "False SetupFailed");
  EXPECT_THAT(condition_message(status), AllOf(HasSubstr("compile"), HasSubstr("exit code 4")));
  EXPECT_EQ(space().log_of("setup"), "");
}

TEST_F(Reasons, StartFailed_NamesTheProgram) {
  const Node status = failure("no-program", "  command: [no-such-program]\n");
  EXPECT_EQ(condition(status, "Succeeded"), "False StartFailed");
  EXPECT_THAT(condition_message(status), HasSubstr("no-such-program"));
  EXPECT_EQ(at(status, "run.exitCode"), "127");
}

TEST_F(Reasons, NonZeroExit_WithCodesThatLookLikeOurs) {
  for (const char* code : {"1", "124", "125", "137"}) {
    space().create("exit-" + std::string(code), shell("exit " + std::string(code)));
  }
  for (const char* code : {"1", "124", "125", "137"}) {
    const Node status = failure("exit-" + std::string(code));
    EXPECT_EQ(condition(status, "Succeeded"), "False NonZeroExit");
    EXPECT_EQ(at(status, "run.exitCode"), code);
  }
}

TEST_F(Reasons, Signaled_NamesTheSignal) {
  const Node status = failure("crash", shell("kill -SEGV $$"));
  EXPECT_EQ(condition(status, "Succeeded"), "False Signaled");
  EXPECT_EQ(at(status, "run.signal"), "11");
  EXPECT_EQ(at(status, "run.exitCode"), "139");
}

TEST_F(Reasons, OOMKilled_EvenIfAChildDiesAndTheCommandExitsWith0) {
  const Node status = failure("greedy", "  resources: {limits: {memory: 64Mi}}\n" +
                                            shell("head -c 600M /dev/zero | tail; exit 0"));
  EXPECT_EQ(condition(status, "Succeeded"), "False OOMKilled");
  EXPECT_EQ(at(status, "run.exitCode"), "0");
}

TEST_F(Reasons, DeadlineExceeded_NamesTheDeadline) {
  const Node status = failure("endless", "  activeDeadlineSeconds: 1\n" +
                                             shell("trap '' TERM; while :; do sleep 0.1; done"));
  EXPECT_EQ(condition(status, "Succeeded"), "False DeadlineExceeded");
  EXPECT_THAT(condition_message(status), HasSubstr("1s"));
  EXPECT_EQ(at(status, "run.exitCode"), "124");
}

TEST_F(Reasons, Cancelled_WhileItRuns) {
  space().create("cancelled", shell("trap 'exit 0' TERM; while :; do sleep 0.1; done"));
  running_pod("cancelled");
  change("cancelled", R"({"spec":{"cancel":true}})");
  const Node status = failure("cancelled");
  EXPECT_EQ(condition(status, "Succeeded"), "False Cancelled");
}

// --- what others do to it

/// A command that ends in good order when it is asked to, which proves nothing.
const std::string kPolite = shell("trap 'exit 0' TERM; while :; do sleep 0.1; done");

TEST_F(Reasons, Disrupted_S6_ByADeletionThatTheCommandEndsWith0) {
  space().create("deleted", kPolite);
  const std::string pod = running_pod("deleted");
  space().output({"delete", "pod", pod, "--wait=false"});
  EXPECT_EQ(condition(failure("deleted"), "Succeeded"), "False Disrupted");
}

TEST_F(Reasons, Evicted_S6_ByADrainThatTheCommandEndsWith0) {
  space().create("drained", kPolite);
  const std::string pod = running_pod("drained");
  space().output(
      {"create", "--raw", pod_path(pod, "eviction"), "-f", "-"},
      R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":")" + pod + R"("}})");
  EXPECT_EQ(condition(failure("drained"), "Succeeded"), "False Evicted");
}

TEST_F(Reasons, Preempted_S6_ByAHigherPriorityThoughTheCommandEndsWith0) {
  const std::string half = "  resources: {limits: {memory: 13Gi}, requests: {memory: 13Gi}}\n";
  space().create("humble", "  priorityClassName: sandboxrun-test-lowest\n" + half + kPolite);
  running_pod("humble");
  space().create("proud", "  priorityClassName: sandboxrun-test-low\n" + half + shell("true"));
  EXPECT_EQ(condition(failure("humble"), "Succeeded"), "False Preempted");
  EXPECT_EQ(condition(space().wait_for_end("proud", kPatience), "Succeeded"), "True Completed");
}

TEST_F(Reasons, PodLost_WhenItIsTakenAwayByForce) {
  space().create("forced", kPolite);
  const std::string pod = running_pod("forced");
  space().output({"delete", "pod", pod, "--force", "--grace-period=0", "--wait=false"});
  const Node status = failure("forced");
  EXPECT_EQ(condition(status, "Succeeded"), "False PodLost");
  EXPECT_EQ(at(status, "run.exitCode"), "");
  EXPECT_EQ(at(status, "attempts.1.podName"), "");
}

TEST_F(Reasons, EphemeralStorageExceeded_ByMoreThanItsScratchHolds) {
  const Node status = failure("writer", "  scratch: {sizeLimit: 1Mi}\n" +
                                            shell("head -c 30M /dev/zero >/work/big; sleep 300"));
  EXPECT_EQ(condition(status, "Succeeded"), "False EphemeralStorageExceeded");
}

// --- results

TEST_F(Reasons, ResultsRejected_NamesTheEntryAndStoresNothing) {
  const Node status =
      failure("pipe", shell("mkfifo /results/pipe") + results(servers().object("with-a-pipe")));
  EXPECT_EQ(condition(status, "Succeeded"), "False ResultsRejected");
  EXPECT_EQ(condition(status, "ResultsStored"), "False ResultsRejected");
  EXPECT_THAT(condition_message(status), HasSubstr("pipe"));
  EXPECT_EQ(at(status, "run.exitCode"), "0");
  EXPECT_FALSE(std::filesystem::exists(servers().s3().file("inputs", "with-a-pipe")));
}

TEST_F(Reasons, ResultsUploadFailed_KeepsTheExitCode) {
  const Node status =
      failure("no-upload", shell("true") + results(servers().by_url("/put-denied")));
  EXPECT_EQ(condition(status, "Succeeded"), "False ResultsUploadFailed");
  EXPECT_EQ(condition(status, "ResultsStored"), "False ResultsUploadFailed");
  EXPECT_THAT(condition_message(status), HasSubstr("403"));
  EXPECT_EQ(at(status, "run.exitCode"), "0");
}

TEST_F(Reasons, CollectorFailed_OutOfTime) {
  const Node status =
      failure("slow-to-pack", shell("head -c 150M /dev/urandom >/results/noise") +
                                  "  scratch: {sizeLimit: 1Gi}\n" +
                                  results(servers().object("never-packed"), ", timeoutSeconds: 1"));
  EXPECT_EQ(condition(status, "Succeeded"), "False CollectorFailed");
  EXPECT_EQ(condition(status, "ResultsStored"), "False CollectorFailed");
  EXPECT_EQ(at(status, "run.exitCode"), "0");
  EXPECT_FALSE(std::filesystem::exists(servers().s3().file("inputs", "never-packed")));
}

// --- parts of another release, or of somebody else

TEST(ForeignImage, AgentReportInvalid_WhenTheSandboxImageHasAnotherAgent) {
  const Cluster cluster;
  const std::string busybox = read_file("/bin/busybox");
  const std::string image = cluster.with_layer(
      "sandbox", TarBuilder().file("usr/libexec/sandboxrun/agent", busybox, 0555).finish());
  const ServedNamespace space(
      "agent", {.flags = {"--sandbox-image=" + image},
                .set = {"images.sandbox.repository=" + image.substr(0, image.find('@'))}});
  space.create("r", shell("echo started") + asset("inline: x"));
  const Node status = space.wait_for_end("r", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "False AgentReportInvalid")
      << condition_message(status);
  EXPECT_EQ(at(status, "run.startTime"), "");
  // The collector of that image ends at once, again and again, which does not hold the command
  // back.
  space.output({"create", "secret", "generic", "url", "--from-literal=u=https://192.0.2.1/"});
  space.create(
      "collected",
      shell("true") +
          "  results: {upload: {https: {urlFrom: {secretKeyRef: {name: url, key: u}}}}}\n");
  const Node collected = space.wait_for_end("collected", kPatience);
  EXPECT_EQ(condition(collected, "Succeeded"), "False CollectorFailed")
      << condition_message(collected);
  EXPECT_EQ(at(collected, "run.exitCode"), "0");
}

TEST(ForeignImage, GuardFailed_S6_WhenSomethingElseExitsWith0InTheGuardsPlace) {
  const Cluster cluster;
  const std::string image = cluster.with_layer(
      "sandbox",
      TarBuilder().file("usr/libexec/sandboxrun/guard", "#!/bin/sh\nexit 0\n", 0555).finish());
  const ServedNamespace space(
      "guard", {.flags = {"--sandbox-image=" + image},
                .set = {"images.sandbox.repository=" + image.substr(0, image.find('@'))}});
  space.create("r", shell("echo started"));
  const Node status = space.wait_for_end("r", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "False GuardFailed") << condition_message(status);
  EXPECT_EQ(at(status, "run.exitCode"), "0");
}

TEST(Isolation, NetworkIsolationUnavailable_WhereAProbeFoundPoliciesNotEnforced) {
  ServedNamespace space("isolation");
  space.kill_operator();
  ::setenv("POD_IP", Cluster::kNodeAddress, 1);
  ::setenv("POD_NAMESPACE", space.name().c_str(), 1);
  const auto prober =
      space.another({"--network-isolation=Probe", "--network-isolation-port=18082"});
  ::unsetenv("POD_IP");
  ::unsetenv("POD_NAMESPACE");
  space.create("r",
               shell("echo started") +
                   "  network: {mode: Egress, egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}], "
                   "ports: [{port: 443}]}]}\n");
  const Node status = space.wait_for_end("r", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "False NetworkIsolationUnavailable")
      << condition_message(status);
  EXPECT_EQ(condition(status, "NetworkIsolated"), "False NotEnforced");
  EXPECT_EQ(at(status, "attempts.0.podName"), "");
}

// --- the slow ones: a suite of its own, so that it comes last

class SlowReasons : public Reasons {};

TEST_F(SlowReasons, ReferenceMissing_ASecretOfTheEnvironment) {
  const Node status = failure("secret-missing");
  EXPECT_EQ(condition(status, "Succeeded"), "False ReferenceMissing");
  EXPECT_THAT(condition_message(status), AllOf(HasSubstr("absent"), HasSubstr("not found")));
  expect_not_run(status);
}

TEST_F(SlowReasons, ReferenceMissing_AConfigMapThatOnlyEventsTell) {
  const Node status = failure("volume-missing");
  EXPECT_EQ(condition(status, "Succeeded"), "False ReferenceMissing");
  EXPECT_THAT(condition_message(status), AllOf(HasSubstr("absent"), HasSubstr("not found")));
  expect_not_run(status);
}

TEST_F(SlowReasons, RuntimeClassUnavailable_AHandlerThatTheNodeLacks) {
  const Node status = failure("handler-missing");
  EXPECT_EQ(condition(status, "Succeeded"), "False RuntimeClassUnavailable");
  EXPECT_THAT(condition_message(status), HasSubstr("no-such-runtime"));
  expect_not_run(status);
}

TEST_F(SlowReasons, ImagePullFailed_AfterFiveMinutesWithAnImageThatIsNotThere) {
  const Node status = failure("image-missing");
  EXPECT_EQ(condition(status, "Succeeded"), "False ImagePullFailed");
  EXPECT_THAT(condition_message(status), HasSubstr(kNoDigest));
  expect_not_run(status);
}

}  // namespace
}  // namespace sandboxrun::test
