// Others who lay hands on the pods of runs: webhooks that change them, people who forge or patch
// them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "tests/support/child_process.h"
#include "tests/support/https_server.h"
#include "tests/support/served_namespace.h"

namespace sandboxrun::test {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

/// A mutating webhook for the pods of one namespace, until the object is gone.
class Webhook {
 public:
  Webhook(const ServedNamespace& space, const std::string& patch) : space_(space) {
    const auto pair = authority_.issue(std::string("IP:") + Cluster::kNodeAddress);
    process_ = std::make_unique<ChildProcess>(std::vector<std::string>{
        "/usr/bin/python3", SANDBOXRUN_SOURCE_DIR "/tests/support/admission_webhook.py",
        "--address", Cluster::kNodeAddress, "--cert", pair.certificate, "--key", pair.key,
        "--patch", patch});
    const std::string line = process_->read_line();
    if (!line.starts_with("ready ")) throw std::runtime_error("webhook: " + line);
    std::string ca = run_program({"/usr/bin/base64", "--wrap=0", authority_.file()});
    space_.cluster().apply(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\n"
        "metadata: {name: " +
        space_.name() +
        "}\nwebhooks:\n- name: mutate.example.com\n  admissionReviewVersions: [v1]\n"
        "  sideEffects: None\n  failurePolicy: Fail\n  reinvocationPolicy: IfNeeded\n"
        "  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: " +
        space_.name() +
        "}}\n  rules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: "
        "[pods]}]\n  clientConfig: {url: 'https://" +
        Cluster::kNodeAddress + ":" + line.substr(6) + "/', caBundle: " + ca + "}\n");
    // The API server follows the configurations by a watch.
    std::this_thread::sleep_for(seconds(2));
  }
  ~Webhook() {
    space_.cluster().kubectl({"delete", "mutatingwebhookconfiguration", space_.name()});
  }
  Webhook(const Webhook&) = delete;
  Webhook& operator=(const Webhook&) = delete;

 private:
  const ServedNamespace& space_;
  const CertificateAuthority authority_;
  std::unique_ptr<ChildProcess> process_;
};

const std::string kHello = "  command: [echo, hello]\n";
const OperatorSettings kWithoutPolicies = {
    .flags = {},
    .set = {"admissionPolicies.operatorAccount.enabled=false",
            "admissionPolicies.runPods.enabled=false"}};

constexpr const char* kSidecar =
    R"([{"op": "add", "path": "/spec/containers/-", "value": {"name": "mesh", "image": "mesh",
         "resources": {"limits": {"cpu": "1", "memory": "1Mi"}},
         "securityContext": {"runAsNonRoot": true, "runAsUser": 1, "allowPrivilegeEscalation": false,
                             "capabilities": {"drop": ["ALL"]},
                             "seccompProfile": {"type": "RuntimeDefault"}}}}])";

/// The run ended before anything of it started, and its pod is gone.
void expect_never_started(const ServedNamespace& space, const std::string& run) {
  EXPECT_EQ(at(space.status(run), "run.startTime"), "");
  EXPECT_EQ(at(space.status(run), "run.exitCode"), "");
  for (const Node& pod : space.pods()) {
    EXPECT_EQ(at(pod, "status.containerStatuses.0.containerID"), "");
    EXPECT_NE(at(pod, "metadata.deletionTimestamp"), "") << at(pod, "metadata.name");
  }
}

TEST(Webhooks, S2_ASidecarThatAWebhookAddsKeepsTheRunFromStarting) {
  const ServedNamespace space("webhook", kWithoutPolicies);
  const Webhook webhook(space, kSidecar);
  space.create("r", kHello);
  const Node status = space.wait_for_end("r");
  EXPECT_EQ(condition(status, "Succeeded"), "False PodMutated");
  EXPECT_THAT(condition_message(status), HasSubstr("spec.containers"));
  expect_never_started(space, "r");
}

TEST(Webhooks, S1_AnImageThatAWebhookRewritesKeepsTheRunFromStarting) {
  const ServedNamespace space("webhook", kWithoutPolicies);
  const Webhook webhook(
      space, R"([{"op": "replace", "path": "/spec/containers/0/image", "value": "other:latest"}])");
  space.create("r", kHello);
  const Node status = space.wait_for_end("r");
  EXPECT_EQ(condition(status, "Succeeded"), "False PodMutated");
  EXPECT_THAT(condition_message(status), HasSubstr("image"));
  expect_never_started(space, "r");
}

TEST(Webhooks, S2_WithTheChartsPoliciesTheApiServerRefusesWhatAWebhookMadeOfThePod) {
  const ServedNamespace space("webhook");
  const Webhook webhook(space, kSidecar);
  space.create("r", kHello + "  startDeadlineSeconds: 5\n");
  const Node status = space.wait_for_end("r");
  EXPECT_EQ(condition(status, "Succeeded"), "False PodRefused");
  EXPECT_THAT(condition_message(status), HasSubstr("denied"));
  EXPECT_EQ(space.pods().size(), 0u);
}

/// The pod of the run's first attempt as YAML that can be created again, with changes.
std::string copy_of(const ServedNamespace& space, const std::string& run, const std::string& name,
                    const std::string& filter) {
  const std::string pod =
      space.output({"get", "pod", at(space.pod_of(run), "metadata.name"), "--output", "json"});
  const TempDir work;
  write_file(work / "pod", pod);
  return run_program(
      {"/usr/bin/python3", "-c",
       "import json, sys\npod = json.load(open(sys.argv[1]))\n"
       "del pod['status']\n"
       "for key in ('uid', 'resourceVersion', 'creationTimestamp', 'managedFields'):\n"
       "    pod['metadata'].pop(key, None)\n"
       "pod['spec'].pop('nodeName', None)\n"
       "pod['metadata']['name'] = sys.argv[2]\n"
       "exec(sys.argv[3])\nprint(json.dumps(pod))\n",
       work / "pod", name, filter});
}

TEST(ForgedPods, T18_APodWithOurLabelsAndOwnerChangesNoStatus) {
  const ServedNamespace space("forged", kWithoutPolicies);
  space.create("r", "  command: [sh, -c, 'sleep 6; exit 3']\n");
  space.wait_for_reason("r", "Running");
  // Whole but for its name, and with a program that succeeds at once.
  space.output({"create", "-f", "-"},
               copy_of(space, "r", "r-aaaaaaaaaaaa-2",
                       "pod['spec']['containers'][0]['args'] = ['--', '/bin/true']"));
  const Node status = space.wait_for_end("r");
  EXPECT_EQ(condition(status, "Succeeded"), "False NonZeroExit");
  EXPECT_EQ(at(status, "run.exitCode"), "3");
  EXPECT_EQ(at(status, "attempts.1.podName"), "");
}

TEST(ForgedPods, T18_APodThatHasTheNameAlreadyIsNotTakenForOurs) {
  ServedNamespace space("forged", kWithoutPolicies);
  space.create("r", "  command: [sh, -c, 'exit 3']\n");
  space.wait_for_end("r");
  const std::string name = at(space.pod_of("r"), "metadata.name");
  // What the operator would find if somebody had been faster than it: all is ours but the command.
  const std::string forged =
      copy_of(space, "r", name, "pod['spec']['containers'][0]['args'] = ['--', '/bin/true']");
  space.kill_operator();
  space.output({"delete", "pod", name});
  space.output({"patch", "sandboxrun", "r", "--subresource", "status", "--type", "merge", "--patch",
                R"({"status":null})"});
  space.output({"create", "-f", "-"}, forged);
  space.start_operator();
  const Node status = space.wait_for_end("r");
  EXPECT_EQ(condition(status, "Succeeded"), "False NameConflict");
  EXPECT_THAT(condition_message(status), HasSubstr(name));
}

TEST(ForgedPods, T17_PatchingTheImageOfARunningPodIsTampering) {
  const ServedNamespace space("tampered", kWithoutPolicies);
  space.create("r", "  command: [sleep, '30']\n");
  space.wait_for_reason("r", "Running");
  const std::string pod = at(space.pod_of("r"), "metadata.name");
  space.output({"set", "image", "pod/" + pod, "run=" + space.cluster().image("sandbox-tiny")});
  const Node status = space.wait_for_end("r");
  EXPECT_EQ(condition(status, "Succeeded"), "False PodTampered");
}

}  // namespace
}  // namespace sandboxrun::test
