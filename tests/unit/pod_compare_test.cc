#include "operator/pod/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "operator/pod/canonical.h"
#include "operator/pod/render.h"
#include "tests/support/pod/plans.h"

// S2, T13, T18: whatever is added to a pod, taken away or changed is found and named.
namespace sandboxrun::pod {
namespace {

using namespace testing;  // NOLINT: the helpers' names say what they are
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// What an API server makes of a pod that it accepts.
Node admitted(Node pod) {
  put(pod, "metadata.uid", "\"c0ffee00-0000-4000-8000-000000000001\"");
  put(pod, "metadata.resourceVersion", "\"17\"");
  put(pod, "metadata.generation", "1");
  put(pod, "metadata.creationTimestamp", "\"2026-05-01T08:00:01Z\"");
  put(pod, "metadata.managedFields", R"([{"manager":"sandboxrun","operation":"Update"}])");
  put(pod, "spec.serviceAccount", "\"default\"");
  put(pod, "spec.priority", "0");
  put(pod, "spec.preemptionPolicy", "\"PreemptLowerPriority\"");
  put(pod, "status", R"({"phase":"Pending"})");
  return pod;
}

/// The same pod while it runs.
Node live(Node pod) {
  pod = admitted(std::move(pod));
  drop(pod, "spec.schedulingGates");
  put(pod, "spec.nodeName", "\"node-1\"");
  put(pod, "metadata.labels.[topology.kubernetes.io/zone]", "\"a\"");
  put(pod, "metadata.annotations.[cni.projectcalico.org/podIP]", "\"10.88.0.7/32\"");
  return pod;
}

std::vector<std::string> at_admission(const Node& found, const run::Plan& plan = full_plan()) {
  return differences(rendered(plan), found, Stage::Admitted);
}

std::vector<std::string> while_live(const Node& found, const run::Plan& plan = full_plan()) {
  return differences(rendered(plan), found, Stage::Live);
}

TEST(Compare, ARenderIsLikeItself) {
  EXPECT_THAT(at_admission(rendered(full_plan())), IsEmpty());
}

TEST(Compare, WhatAnApiServerAddsIsNoDifference) {
  EXPECT_THAT(at_admission(admitted(rendered(full_plan()))), IsEmpty());
}

TEST(Compare, WhatSchedulerAndNetworkPluginsAddIsNoDifferenceLater) {
  EXPECT_THAT(while_live(live(rendered(full_plan()))), IsEmpty());
}

TEST(Compare, AmountsMayBeWrittenOtherwise) {
  Node pod = admitted(rendered(full_plan()));
  put(pod, "spec.containers[run].resources.limits.cpu", "\"1\"");
  put(pod, "spec.volumes[work].emptyDir.sizeLimit", "\"1Gi\"");
  EXPECT_THAT(at_admission(pod), IsEmpty());
}

TEST(Compare, AnotherAmountIsADifference) {
  Node pod = admitted(rendered(full_plan()));
  put(pod, "spec.containers[run].resources.limits.cpu", "\"2\"");
  EXPECT_THAT(at_admission(pod),
              ElementsAre("spec.containers[run].resources.limits.cpu was changed"));
}

TEST(Compare, OrderOfMembersIsNoDifference) {
  Node pod = admitted(rendered(full_plan()));
  auto& spec = find(pod, "spec")->entries;
  std::reverse(spec.begin(), spec.end());
  EXPECT_THAT(at_admission(pod), IsEmpty());
}

struct Mutation {
  const char* name;
  const char* path;
  const char* value;  ///< nullptr: the field is removed
  const char* expected;
};

std::ostream& operator<<(std::ostream& out, const Mutation& mutation) {
  return out << mutation.name;
}

class Mutated : public ::testing::TestWithParam<Mutation> {
 protected:
  static void change(Node& pod) {
    if (GetParam().value == nullptr) {
      drop(pod, GetParam().path);
    } else {
      put(pod, GetParam().path, GetParam().value);
    }
  }
};

TEST_P(Mutated, S2_T18_IsFoundAtAdmission) {
  Node pod = admitted(rendered(full_plan()));
  change(pod);
  EXPECT_THAT(at_admission(pod), ElementsAre(GetParam().expected));
}

TEST_P(Mutated, S2_T18_IsFoundLater) {
  Node pod = live(rendered(full_plan()));
  change(pod);
  EXPECT_THAT(while_live(pod), ElementsAre(GetParam().expected));
}

TEST_P(Mutated, S2_T18_IsFoundByThePodsOwnHash) {
  Node pod = live(rendered(full_plan()));
  ASSERT_TRUE(is_intact(pod));
  change(pod);
  // A label of others cannot be told from those that a node hands on: the render can.
  if (std::string_view(GetParam().name) == "ALabelOfOthers") return;
  EXPECT_FALSE(is_intact(pod));
}

constexpr const char* kSidecar = R"({"name":"proxy","image":"mesh/proxy:latest"})";

INSTANTIATE_TEST_SUITE_P(
    Compare, Mutated,
    ::testing::Values(
        Mutation{"AnAddedContainer", "spec.containers[+]", kSidecar,
                 "spec.containers[proxy] was added"},
        Mutation{"AnAddedInitContainer", "spec.initContainers[+]", kSidecar,
                 "spec.initContainers[proxy] was added"},
        Mutation{"AnEphemeralContainer", "spec.ephemeralContainers", R"([{"name":"debug"}])",
                 "spec.ephemeralContainers was added"},
        Mutation{"ARemovedCollector", "spec.initContainers[collect]", nullptr,
                 "spec.initContainers[collect] was removed"},
        Mutation{"AnotherImage", "spec.containers[run].image", "\"mirror.example/x:latest\"",
                 "spec.containers[run].image was changed"},
        Mutation{"AnotherSandboxImage", "spec.initContainers[prepare].image", "\"x:latest\"",
                 "spec.initContainers[prepare].image was changed"},
        Mutation{"AnotherImageVolume", "spec.volumes[guard].image.reference", "\"x:latest\"",
                 "spec.volumes[guard].image.reference was changed"},
        Mutation{"AnAddedVariable", "spec.containers[run].env[+]",
                 R"({"name":"LD_PRELOAD","value":"/x.so"})",
                 "spec.containers[run].env[LD_PRELOAD] was added"},
        Mutation{"ASecondVariableOfAName", "spec.containers[run].env[+]",
                 R"({"name":"HOME","value":"/x"})", "spec.containers[run].env[HOME] was added"},
        Mutation{"AChangedVariable", "spec.containers[run].env[HOME].value", "\"/x\"",
                 "spec.containers[run].env[HOME].value was changed"},
        Mutation{"VariablesFromAnObject", "spec.containers[run].envFrom",
                 R"([{"secretRef":{"name":"x"}}])", "spec.containers[run].envFrom was added"},
        Mutation{"ARemovedSecurityContext", "spec.containers[run].securityContext", nullptr,
                 "spec.containers[run].securityContext was removed"},
        Mutation{"APrivilegedContainer", "spec.containers[run].securityContext.privileged", "true",
                 "spec.containers[run].securityContext.privileged was changed"},
        Mutation{"AnAddedCapability", "spec.containers[run].securityContext.capabilities.add",
                 R"(["NET_ADMIN"])",
                 "spec.containers[run].securityContext.capabilities.add was added"},
        Mutation{"ASeccompProfileOfOthers",
                 "spec.containers[run].securityContext.seccompProfile.type", "\"Unconfined\"",
                 "spec.containers[run].securityContext.seccompProfile.type was changed"},
        Mutation{"UnmaskedProc", "spec.containers[run].securityContext.procMount", "\"Unmasked\"",
                 "spec.containers[run].securityContext.procMount was added"},
        Mutation{"APodWithHostUsers", "spec.hostUsers", "true", "spec.hostUsers was changed"},
        Mutation{"APodWhoseServerDroppedHostUsers", "spec.hostUsers", nullptr,
                 "spec.hostUsers was removed"},
        Mutation{"HostNetwork", "spec.hostNetwork", "true", "spec.hostNetwork was added"},
        Mutation{"AServiceAccount", "spec.serviceAccountName", "\"admin\"",
                 "spec.serviceAccountName was changed"},
        Mutation{"AMountedToken", "spec.automountServiceAccountToken", "true",
                 "spec.automountServiceAccountToken was changed"},
        Mutation{"AHostPath", "spec.volumes[+]", R"({"name":"host","hostPath":{"path":"/"}})",
                 "spec.volumes[host] was added"},
        Mutation{"AnAddedMount", "spec.containers[run].volumeMounts[+]",
                 R"({"name":"secret-prepare-0","mountPath":"/stolen"})",
                 "spec.containers[run].volumeMounts[/stolen] was added"},
        Mutation{"AWritableMount", "spec.containers[run].volumeMounts[/env].readOnly", nullptr,
                 "spec.containers[run].volumeMounts[/env].readOnly was removed"},
        Mutation{"AnotherCommand", "spec.containers[run].command[0]", "\"/bin/sh\"",
                 "spec.containers[run].command[0] was changed"},
        Mutation{"AHook", "spec.containers[run].lifecycle", R"({"postStart":{}})",
                 "spec.containers[run].lifecycle was added"},
        Mutation{"AnOpenPort", "spec.containers[run].ports", R"([{"containerPort":80}])",
                 "spec.containers[run].ports was added"},
        Mutation{"AnFsGroup", "spec.securityContext.fsGroup", "1000",
                 "spec.securityContext.fsGroup was added"},
        Mutation{"AnotherRuntimeClass", "spec.runtimeClassName", "\"runc\"",
                 "spec.runtimeClassName was added"},
        Mutation{"AnotherResolver", "spec.dnsConfig", R"({"nameservers":["203.0.113.1"]})",
                 "spec.dnsConfig was added"},
        Mutation{"AnotherOwner", "metadata.ownerReferences[weather].uid", "\"x\"",
                 "metadata.ownerReferences[weather].uid was changed"},
        Mutation{"AnotherNetworkClass", "metadata.labels.[sandboxrun.dev/network]", "\"open\"",
                 "metadata.labels[sandboxrun.dev/network] was changed"},
        Mutation{"ALabelOfOthers", "metadata.labels.app", "\"web\"",
                 "metadata.labels[app] was added"},
        Mutation{"AnotherWorkOrder", "metadata.annotations.[sandboxrun.dev/prepare-order]",
                 "\"{}\"", "metadata.annotations[sandboxrun.dev/prepare-order] was changed"}),
    [](const auto& each) { return each.param.name; });

TEST(Compare, T18_AnAnnotationOfAWebhookIsADifferenceAtAdmission) {
  Node pod = admitted(rendered(full_plan()));
  put(pod, "metadata.annotations.[io.kubernetes.cri-o.Devices]", "\"/dev/kvm\"");
  EXPECT_THAT(at_admission(pod),
              ElementsAre("metadata.annotations[io.kubernetes.cri-o.Devices] was added"));
}

TEST(Compare, T17_ANodeChosenAtAdmissionIsADifference) {
  Node pod = admitted(rendered(full_plan()));
  put(pod, "spec.nodeName", "\"node-1\"");
  EXPECT_THAT(at_admission(pod), ElementsAre("spec.nodeName was added"));
}

TEST(Compare, OurGateMustBeThereAtAdmission) {
  Node pod = admitted(rendered(full_plan()));
  drop(pod, "spec.schedulingGates");
  EXPECT_THAT(at_admission(pod), ElementsAre("spec.schedulingGates was removed"));
}

TEST(Compare, AGateOfAQueueIsNoDifference) {
  Node pod = admitted(rendered(full_plan()));
  put(pod, "spec.schedulingGates[+]", R"({"name":"kueue.x-k8s.io/admission"})");
  EXPECT_THAT(at_admission(pod), IsEmpty());
}

TEST(Compare, ASystemPriorityIsADifference) {
  Node pod = admitted(rendered(full_plan()));
  put(pod, "spec.priorityClassName", "\"system-node-critical\"");
  put(pod, "spec.priority", "2000001000");
  EXPECT_THAT(at_admission(pod),
              ElementsAre("spec.priority was added", "spec.priorityClassName was added"));
}

TEST(Compare, PullSecretsOfTheNamespacesAccountAreNoDifference) {
  Node pod = admitted(rendered(full_plan()));
  put(pod, "spec.imagePullSecrets", R"([{"name":"registry"}])");
  EXPECT_THAT(at_admission(pod), IsEmpty());
}

TEST(Compare, PullingAlwaysIsNoDifferenceBecauseTheDigestHolds) {
  Node pod = admitted(rendered(full_plan()));
  put(pod, "spec.containers[run].imagePullPolicy", "\"Always\"");
  EXPECT_THAT(at_admission(pod), IsEmpty());
  put(pod, "spec.containers[run].imagePullPolicy", "\"Never\"");
  EXPECT_THAT(at_admission(pod), ElementsAre("spec.containers[run].imagePullPolicy was changed"));
}

TEST(Compare, WhatARuntimeClassAddsIsNoDifferenceForARunThatNamesIt) {
  const run::Plan plan = plan_of("  runtimeClassName: gvisor\n");
  Node pod = admitted(rendered(plan));
  put(pod, "spec.overhead", R"({"memory":"64Mi"})");
  put(pod, "spec.nodeSelector", R"({"sandbox":"gvisor"})");
  put(pod, "spec.tolerations[+]", R"({"key":"sandbox","operator":"Exists"})");
  EXPECT_THAT(at_admission(pod, plan), IsEmpty());
}

TEST(Compare, OverheadAndTolerationsOfOthersAreDifferencesWithoutARuntimeClass) {
  Node pod = admitted(rendered(plan_of()));
  put(pod, "spec.overhead", R"({"memory":"64Mi"})");
  put(pod, "spec.tolerations[+]", R"({"key":"sandbox","operator":"Exists"})");
  EXPECT_THAT(at_admission(pod, plan_of()),
              ElementsAre(R"(spec.tolerations[{"key":"sandbox","operator":"Exists"}] was added)",
                          "spec.overhead was added"));
}

TEST(Compare, AStopOfOursIsNoDifference) {
  Node pod = live(rendered(full_plan()));
  put(pod, "spec.activeDeadlineSeconds", "1");
  put(pod, "metadata.annotations.[sandboxrun.dev/stop]", "\"Cancelled\"");
  put(pod, "metadata.annotations.[sandboxrun.dev/stop-at]", "\"2026-05-01T08:00:05Z\"");
  EXPECT_THAT(while_live(pod), IsEmpty());
  EXPECT_TRUE(is_intact(pod));
}

TEST(Compare, ALongerDeadlineIsADifference) {
  Node pod = live(rendered(full_plan()));
  put(pod, "spec.activeDeadlineSeconds", "99999");
  EXPECT_THAT(while_live(pod), ElementsAre("spec.activeDeadlineSeconds was changed"));
}

TEST(Compare, NoValueIsEverNamed) {
  Node pod = admitted(rendered(full_plan()));
  put(pod, "spec.containers[run].env[SANDBOXRUN_TOKEN].value", "\"another\"");
  EXPECT_THAT(at_admission(pod),
              ElementsAre("spec.containers[run].env[SANDBOXRUN_TOKEN].value was changed"));
}

TEST(Compare, S2_AContainerThatChangesItsPlaceIsNamed) {
  Node pod = admitted(rendered(full_plan()));
  auto& steps = find(pod, "spec.initContainers")->items;
  std::swap(steps[0], steps[1]);
  EXPECT_THAT(at_admission(pod), ElementsAre("spec.initContainers was reordered"));
}

TEST(Canonical, IsAppendedAsItsCopyWouldBe) {
  for (const Node& pod : {rendered(full_plan()), live(rendered(full_plan()))}) {
    std::string copied;
    append_sorted(copied, canonical_pod(pod));
    std::string appended;
    append_canonical(appended, pod,
                     [](std::string_view, std::string_view, std::string_view) { return false; });
    EXPECT_EQ(appended, copied);
  }
}

TEST(PodHash, IsTheSameFromAdmissionToTheEnd) {
  const Node render = rendered(full_plan());
  EXPECT_EQ(pod_hash(render), pod_hash(admitted(render)));
  EXPECT_EQ(pod_hash(render), pod_hash(live(render)));
  EXPECT_EQ(pod_hash(render), text(render, "metadata.annotations[sandboxrun.dev/pod-hash]"));
}

TEST(PodHash, LetsAnUpgradedOperatorKnowAPodThatItWouldRenderOtherwise) {
  const Node running = live(rendered(full_plan()));
  PodOptions upgraded = options();
  upgraded.sandbox_image = "registry.example/sandbox@sha256:" + std::string(64, 'e');
  EXPECT_FALSE(differences(rendered(full_plan(), upgraded), running, Stage::Live).empty());
  EXPECT_TRUE(is_intact(running));
}

TEST(PodHash, APodWithoutOneIsNotIntact) {
  Node pod = rendered(full_plan());
  drop(pod, "metadata.annotations.[sandboxrun.dev/pod-hash]");
  EXPECT_FALSE(is_intact(pod));
  EXPECT_FALSE(is_intact(parsed("{}")));
}

}  // namespace
}  // namespace sandboxrun::pod
