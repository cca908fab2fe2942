#include "operator/pod/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "operator/pod/canonical.h"
#include "operator/pod/names.h"
#include "operator/pod/volumes.h"
#include "operator/run/path.h"
#include "sandbox-image/protocol/work_order.h"
#include "tests/support/pod/plans.h"

namespace sandboxrun::pod {
namespace {

using namespace testing;  // NOLINT: the helpers' names say what they are
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kRunPath = "spec.containers[run]";
const std::string kPreparePath = "spec.initContainers[prepare]";
const std::string kCollectPath = "spec.initContainers[collect]";

std::int64_t amount(const Node& pod, const std::string& path) {
  return std::stoll(text(pod, path));
}

TEST(RenderPod, OnlyTheCommandNeedsOneContainer) {
  const Node pod = rendered(plan_of());
  EXPECT_THAT(names(pod, "spec.containers"), ElementsAre("run"));
  EXPECT_EQ(find(pod, "spec.initContainers"), nullptr);
  EXPECT_THAT(names(pod, "spec.volumes"), ElementsAre("work", "tmp", "shm-run", "guard"));
}

TEST(RenderPod, AnAssetNeedsPrepare) {
  const Node pod =
      rendered(plan_of("  assets: [{name: a, target: /work/a, source: {inline: x}}]\n"));
  EXPECT_THAT(names(pod, "spec.initContainers"), ElementsAre("prepare"));
}

TEST(RenderPod, AnUploadNeedsCollectAsANativeSidecar) {
  const Node pod = rendered(plan_of("  results: {upload: {https: {url: https://s.example/p}}}\n"));
  EXPECT_THAT(names(pod, "spec.initContainers"), ElementsAre("collect"));
  EXPECT_EQ(text(pod, kCollectPath + ".restartPolicy"), "Always");
}

TEST(RenderPod, ResultsThatAreNotUploadedNeedNoCollector) {
  const Node pod = rendered(plan_of("  results: {skipUpload: true}\n"));
  EXPECT_EQ(find(pod, "spec.initContainers"), nullptr);
  EXPECT_NE(find(pod, kRunPath + ".volumeMounts[/results]"), nullptr);
}

TEST(RenderPod, S2_EveryContainerIsHardenedTheSameWay) {
  const std::string expected = R"({"allowPrivilegeEscalation":false,)"
                               R"("capabilities":{"drop":["ALL"]},"privileged":false,)"
                               R"("readOnlyRootFilesystem":true,"runAsGroup":ID,)"
                               R"("runAsNonRoot":true,"runAsUser":ID,)"
                               R"("seccompProfile":{"type":"RuntimeDefault"}})";
  const auto with_id = [&](const std::string& id) {
    std::string out = expected;
    for (auto at = out.find("ID"); at != std::string::npos; at = out.find("ID")) {
      out.replace(at, 2, id);
    }
    return out;
  };
  const Node pod = rendered(full_plan());
  EXPECT_EQ(json(pod, kRunPath + ".securityContext"), with_id("64000"));
  EXPECT_EQ(json(pod, kCollectPath + ".securityContext"), with_id("64000"));
  EXPECT_EQ(json(pod, kPreparePath + ".securityContext"), with_id("64001"));
}

TEST(RenderPod, S2_ThePodItselfIsHardened) {
  const Node pod = rendered(full_plan());
  EXPECT_EQ(json(pod, "spec.securityContext"),
            R"({"runAsGroup":64000,"runAsNonRoot":true,"runAsUser":64000,)"
            R"("seccompProfile":{"type":"RuntimeDefault"},"supplementalGroupsPolicy":"Strict"})");
  EXPECT_EQ(text(pod, "spec.hostUsers"), "false");
  EXPECT_EQ(text(pod, "spec.shareProcessNamespace"), "false");
  EXPECT_EQ(text(pod, "spec.automountServiceAccountToken"), "false");
  EXPECT_EQ(text(pod, "spec.enableServiceLinks"), "false");
  EXPECT_EQ(text(pod, "spec.restartPolicy"), "Never");
  EXPECT_EQ(text(pod, "spec.hostname"), "sandbox");
}

TEST(RenderPod, S1_T13_ImagesAreExactlyThePlansDigests) {
  const Node pod = rendered(full_plan());
  EXPECT_EQ(text(pod, kRunPath + ".image"), full_plan().image);
  EXPECT_EQ(text(pod, kPreparePath + ".image"), options().sandbox_image);
  EXPECT_EQ(text(pod, kCollectPath + ".image"), options().sandbox_image);
  EXPECT_EQ(text(pod, "spec.volumes[guard].image.reference"), options().sandbox_image);
  EXPECT_EQ(text(pod, kRunPath + ".imagePullPolicy"), "IfNotPresent");
}

TEST(RenderPod, IsBornGated) {
  EXPECT_THAT(names(rendered(plan_of()), "spec.schedulingGates"),
              ElementsAre("sandboxrun.dev/admission"));
}

TEST(RenderPod, BelongsToItsRun) {
  const Node pod = rendered(plan_of());
  EXPECT_EQ(json(pod, "metadata.ownerReferences[0]"),
            R"({"apiVersion":"sandboxrun.dev/v1alpha1","blockOwnerDeletion":true,)"
            R"("controller":true,"kind":"SandboxRun","name":"weather",)"
            R"("uid":"0f4c1d7e-0000-4000-8000-000000000000"})");
  EXPECT_EQ(text(pod, "metadata.namespace"), "team");
  EXPECT_EQ(text(pod, "metadata.name"), pod_name("team", "weather", plan_of().uid, 1));
  EXPECT_EQ(text(pod, "metadata.labels[sandboxrun.dev/run-uid]"), plan_of().uid);
}

TEST(RenderPod, CarriesWhatItWasMadeFrom) {
  const Node pod = rendered(full_plan());
  EXPECT_EQ(text(pod, "metadata.annotations[sandboxrun.dev/plan-version]"), "1");
  EXPECT_EQ(text(pod, "metadata.annotations[sandboxrun.dev/plan-hash]"),
            run::plan_hash(full_plan()));
  EXPECT_EQ(text(pod, "metadata.annotations[sandboxrun.dev/active-deadline-seconds]"), "600");
  EXPECT_EQ(text(pod, "metadata.annotations[sandboxrun.dev/start-deadline-seconds]"), "3600");
}

TEST(RenderPod, KeepsAutoscalersAndMeshesAway) {
  const Node pod = rendered(plan_of());
  const std::string at = "metadata.annotations";
  EXPECT_EQ(text(pod, at + "[cluster-autoscaler.kubernetes.io/safe-to-evict]"), "false");
  EXPECT_EQ(text(pod, at + "[karpenter.sh/do-not-disrupt]"), "true");
  EXPECT_EQ(text(pod, at + "[sidecar.istio.io/inject]"), "false");
  EXPECT_EQ(text(pod, at + "[linkerd.io/inject]"), "disabled");
  EXPECT_EQ(text(pod, at + "[kubectl.kubernetes.io/default-container]"), "run");
}

TEST(RenderPod, TheKubeletExpandsNothing) {
  const Node pod = rendered(full_plan());
  const auto command = texts(pod, kRunPath + ".command");
  EXPECT_THAT(command, Contains("$$(HOME)"));
  EXPECT_THAT(command, Contains("$$5"));
  EXPECT_THAT(command, Contains("$$x"));
  EXPECT_EQ(text(pod, kRunPath + ".env[PLAIN].value"), "a $$(PATH) b");
  EXPECT_EQ(find(pod, kRunPath + ".args"), nullptr);
}

TEST(RenderPod, TheGuardIsTheFirstProgramAndSealsTheNetwork) {
  const auto command = texts(rendered(plan_of()), kRunPath + ".command");
  EXPECT_EQ(command.front(), std::string(kGuardFolder) + "/usr/libexec/sandboxrun/guard");
  const auto network = std::ranges::find(command, "--network");
  ASSERT_NE(network, command.end());
  EXPECT_EQ(*(network + 1), "none");
  EXPECT_THAT(command, Contains("--require-userns"));
  EXPECT_THAT(command, Contains("--no-service-variables"));
  EXPECT_EQ(command.back(), "run");
}

TEST(RenderPod, T11_NothingCanBeMountedOverTheGuard) {
  const Node pod = rendered(full_plan());
  const Node* mounts = find(pod, kRunPath + ".volumeMounts");
  EXPECT_EQ(text(mounts->items.back(), "name"), "guard");
  EXPECT_EQ(run::component_count(kGuardFolder), 20);
  for (const Node& mount : mounts->items) {
    const std::string path = text(mount, "mountPath");
    if (path == kGuardFolder) continue;
    EXPECT_LE(run::component_count(path), 12) << path;
    EXPECT_FALSE(run::is_within(kGuardFolder, path)) << path;
  }
}

TEST(RenderPod, TheGuardCanBeCopiedByPrepare) {
  PodOptions with = options();
  with.guard_delivery = GuardDelivery::Copy;
  const Node pod = rendered(plan_of(), with);
  EXPECT_THAT(names(pod, "spec.initContainers"), ElementsAre("prepare"));
  const auto command = texts(pod, kPreparePath + ".command");
  EXPECT_EQ(command[command.size() - 2], "--install-guard");
  EXPECT_EQ(command.back(), kGuardFolder);
  EXPECT_EQ(texts(pod, kRunPath + ".command").front(), std::string(kGuardFolder) + "/guard");
  const std::string mount = ".volumeMounts[" + std::string(kGuardFolder) + "].readOnly";
  EXPECT_EQ(text(pod, kRunPath + mount), "true");
  EXPECT_EQ(text(pod, kPreparePath + mount), "");
  EXPECT_EQ(find(pod, "spec.volumes[guard].image"), nullptr);
}

TEST(RenderPod, EachContainerHasSharedMemoryOfItsOwn) {
  const Node pod = rendered(full_plan());
  EXPECT_EQ(text(pod, kRunPath + ".volumeMounts[/dev/shm].name"), "shm-run");
  EXPECT_EQ(text(pod, kPreparePath + ".volumeMounts[/dev/shm].name"), "shm-prepare");
  EXPECT_EQ(text(pod, kCollectPath + ".volumeMounts[/dev/shm].name"), "shm-collect");
  for (const char* volume : {"shm-run", "shm-prepare", "shm-collect", "tmp"}) {
    EXPECT_EQ(text(pod, "spec.volumes[" + std::string(volume) + "].emptyDir.medium"), "Memory");
  }
}

TEST(RenderPod, ReadOnlyMountsAreSoAllTheWayDown) {
  const Node pod = rendered(full_plan());
  const std::string mounts = kRunPath + ".volumeMounts";
  EXPECT_EQ(json(pod, mounts + "[/work/a/b/m.bin]"),
            R"({"mountPath":"/work/a/b/m.bin","name":"assets","readOnly":true,)"
            R"("recursiveReadOnly":"IfPossible","subPath":"0"})");
  EXPECT_EQ(text(pod, mounts + "[/env].readOnly"), "true");
  EXPECT_EQ(text(pod, mounts + "[/work].readOnly"), "");
  EXPECT_EQ(text(pod, kCollectPath + ".volumeMounts[/results].readOnly"), "true");
}

TEST(RenderPod, S4_T26_SecretsAreMountedOnlyWhereTheyAreUsed) {
  const Node pod = rendered(full_plan());
  const auto sources = [&](const std::string& container) {
    std::vector<std::string> out;
    for (const Node& mount : find(pod, container + ".volumeMounts")->items) {
      const std::string volume = "spec.volumes[" + text(mount, "name") + "].projected";
      if (find(pod, volume) == nullptr) continue;
      const Node& source = find(pod, volume)->find("sources")->items[0];
      out.push_back(text(source, "secret.name") + text(source, "configMap.name"));
    }
    return out;
  };
  EXPECT_THAT(sources(kRunPath), IsEmpty());
  EXPECT_THAT(sources(kPreparePath), ElementsAre("headers", "keys", "url", "maps"));
  EXPECT_THAT(sources(kCollectPath), ElementsAre("put"));
}

TEST(RenderPod, S4_OnlyTheUsedItemsOfASecretAreMounted) {
  const Node pod = rendered(full_plan());
  const Node* keys = nullptr;
  for (const Node& volume : find(pod, "spec.volumes")->items) {
    const Node* source = find(volume, "projected.sources[0]");
    if (source != nullptr && text(*source, "secret.name") == "keys") keys = &volume;
  }
  ASSERT_NE(keys, nullptr);
  EXPECT_EQ(json(*keys, "projected"),
            R"({"defaultMode":292,"sources":[{"secret":{"items":[{"key":"AWS_ACCESS_KEY_ID",)"
            R"("path":"AWS_ACCESS_KEY_ID"},{"key":"AWS_SECRET_ACCESS_KEY",)"
            R"("path":"AWS_SECRET_ACCESS_KEY"}],"name":"keys","optional":false}},)"
            R"({"secret":{"items":[{"key":"AWS_SESSION_TOKEN","path":"AWS_SESSION_TOKEN"}],)"
            R"("name":"keys","optional":true}}]})");
}

TEST(RenderPod, T29_AReferenceIsANameAndNothingElse) {
  const Node pod = rendered(full_plan());
  EXPECT_THAT(names(pod, kRunPath + ".env[FROM_SECRET].valueFrom.secretKeyRef"),
              ElementsAre("name", "key", "optional"));
  EXPECT_THAT(names(pod, kRunPath + ".env[FROM_MAP].valueFrom.configMapKeyRef"),
              ElementsAre("name", "key", "optional"));
}

TEST(RenderPod, T27_TheEnvironmentIsThePlansAndTheSandboxs) {
  const Node pod = rendered(full_plan());
  EXPECT_THAT(names(pod, kRunPath + ".env"), ElementsAre("HOME", "PLAIN", "FROM_SECRET", "FROM_MAP",
                                                         "SANDBOXRUN_RESULTS", "SANDBOXRUN_TOKEN"));
  EXPECT_EQ(find(pod, kPreparePath + ".env"), nullptr);
  EXPECT_EQ(find(pod, kCollectPath + ".env"), nullptr);
}

TEST(RenderPod, T22_ARunCannotReplaceItsToken) {
  run::Plan plan = plan_of();
  plan.env.push_back({.name = "SANDBOXRUN_TOKEN", .value = "mine"});
  const Node pod = rendered(plan);
  EXPECT_THAT(names(pod, kRunPath + ".env"), ElementsAre("HOME", "SANDBOXRUN_TOKEN"));
  EXPECT_EQ(text(pod, kRunPath + ".env[SANDBOXRUN_TOKEN].value"), "4f0c");
}

TEST(RenderPod, WorkOrdersTravelAsAnnotationsThroughAFile) {
  const Node pod = rendered(full_plan());
  const auto order = protocol::decode_prepare_order(
      text(pod, "metadata.annotations[sandboxrun.dev/prepare-order]"));
  ASSERT_TRUE(order) << order.error().message;
  EXPECT_EQ(order->assets.size(), 3U);
  EXPECT_EQ(order->environment->destination, "/env");
  EXPECT_EQ(std::get<protocol::S3Location>(order->environment->source).credentials_dir,
            "/sandboxrun-secrets/keys");
  EXPECT_NE(find(pod, kPreparePath + ".volumeMounts[/sandboxrun-secrets/keys]"), nullptr);
  EXPECT_TRUE(protocol::decode_collect_order(
      text(pod, "metadata.annotations[sandboxrun.dev/collect-order]")));
  EXPECT_EQ(text(pod, "spec.volumes[order-prepare].downwardAPI.items[0].fieldRef.fieldPath"),
            "metadata.annotations['sandboxrun.dev/prepare-order']");
  EXPECT_THAT(texts(pod, kPreparePath + ".command"), Contains("/sandboxrun-order/order.json"));
}

TEST(RenderPod, AWorkOrderThatCannotTravelIsAnError) {
  run::Plan plan = plan_of("  assets: [{name: a, target: /work/a, source: {inline: x}}]\n");
  plan.assets[0].source = run::InlineSource{std::string(64 * 1024, '\x01')};
  const auto pod = render_pod(plan, options(), attempt());
  ASSERT_FALSE(pod);
  EXPECT_EQ(pod.error().kind, ErrorKind::LimitExceeded);
  EXPECT_THAT(pod.error().message, StartsWith("the work order of the run takes "));
}

TEST(RenderPod, TheStorageLimitCoversEveryDiskVolume) {
  const Node pod = rendered(full_plan());
  std::int64_t volumes = 0;
  for (const Node& volume : find(pod, "spec.volumes")->items) {
    if (find(volume, "emptyDir") == nullptr || text(volume, "emptyDir.medium") == "Memory")
      continue;
    volumes += amount(volume, "emptyDir.sizeLimit");
  }
  EXPECT_GT(volumes, 0);
  EXPECT_EQ(amount(pod, kRunPath + ".resources.limits.ephemeral-storage"),
            full_plan().limits.ephemeral_storage_bytes + volumes);
  EXPECT_EQ(amount(pod, kRunPath + ".resources.requests.ephemeral-storage"),
            full_plan().requests.ephemeral_storage_bytes);
}

TEST(RenderPod, TheMemoryLimitCoversEveryMemoryVolume) {
  const PodOptions with = options();
  const Node disk = rendered(plan_of());
  EXPECT_EQ(amount(disk, kRunPath + ".resources.limits.memory"),
            plan_of().limits.memory_bytes + with.tmp_bytes + with.shm_bytes);
  const Node memory = rendered(plan_of("  scratch: {medium: Memory, sizeLimit: 1Gi}\n"));
  EXPECT_EQ(amount(memory, kRunPath + ".resources.limits.memory"),
            plan_of().limits.memory_bytes + with.tmp_bytes + with.shm_bytes + kGiB);
  EXPECT_EQ(text(memory, "spec.volumes[work].emptyDir.medium"), "Memory");
}

TEST(RenderPod, EveryContainerHasRequestsAndLimits) {
  const Node pod = rendered(full_plan());
  for (const std::string& container : {kRunPath, kPreparePath, kCollectPath}) {
    for (const char* list : {".resources.requests", ".resources.limits"}) {
      EXPECT_THAT(names(pod, container + list), ElementsAre("cpu", "memory", "ephemeral-storage"));
    }
  }
}

TEST(RenderPod, GraceIsTheGuardsAndTheTimeForResults) {
  EXPECT_EQ(text(rendered(plan_of()), "spec.terminationGracePeriodSeconds"), "15");
  EXPECT_EQ(text(rendered(full_plan()), "spec.terminationGracePeriodSeconds"), "315");
}

TEST(RenderPod, ThePodsOwnDeadlineIsBehindAllOthers) {
  // 3600 to start, 60 of setup, 600 to run, 315 of grace, 60.
  EXPECT_EQ(text(rendered(full_plan()), "spec.activeDeadlineSeconds"), "4635");
}

TEST(RenderPod, S3_NoNamesAreResolvedWithoutTransfers) {
  const Node pod = rendered(plan_of());
  EXPECT_EQ(text(pod, "spec.dnsPolicy"), "None");
  EXPECT_THAT(texts(pod, "spec.dnsConfig.nameservers"), ElementsAre("127.0.0.1"));
  const Node with_transfers = rendered(full_plan());
  EXPECT_EQ(text(with_transfers, "spec.dnsPolicy"), "ClusterFirst");
  EXPECT_EQ(find(with_transfers, "spec.dnsConfig"), nullptr);
}

TEST(RenderPod, SchedulingFollowsThePlan) {
  const Node pod = rendered(
      plan_of("  runtimeClassName: gvisor\n  priorityClassName: batch\n"
              "  nodeSelector: {kubernetes.io/arch: amd64}\n"
              "  tolerations: [{key: pool, operator: Equal, value: runs, effect: NoSchedule}]\n"
              "  imagePullSecrets: [{name: pull}]\n"));
  EXPECT_EQ(text(pod, "spec.runtimeClassName"), "gvisor");
  EXPECT_EQ(text(pod, "spec.priorityClassName"), "batch");
  EXPECT_EQ(text(pod, "spec.nodeSelector[kubernetes.io/arch]"), "amd64");
  EXPECT_EQ(json(pod, "spec.tolerations[0]"),
            R"({"effect":"NoSchedule","key":"pool","operator":"Equal","value":"runs"})");
  EXPECT_THAT(names(pod, "spec.imagePullSecrets"), ElementsAre("pull"));
}

TEST(RenderPod, TheSameArgumentsGiveTheSameBytes) {
  EXPECT_EQ(render_pod(full_plan(), options(), attempt())->json,
            render_pod(full_plan(), options(), attempt())->json);
}

TEST(RenderPod, WhatIsSentIsWhatIsCompared) {
  const auto pod = render_pod(full_plan(), options(), attempt());
  ASSERT_TRUE(pod);
  std::string sent;
  std::string compared;
  append_sorted(sent, parsed(pod->json));
  append_sorted(compared, pod->node);
  EXPECT_EQ(sent, compared);
}

TEST(RenderPod, TheTokenIsInNoLabelAndNoAnnotation) {
  const auto pod = render_pod(full_plan(), options(), {.number = 1, .token = "secrettoken"});
  ASSERT_TRUE(pod);
  const Node node = parsed(pod->json);
  EXPECT_THAT(json(node, "metadata"), Not(::testing::HasSubstr("secrettoken")));
}

}  // namespace
}  // namespace sandboxrun::pod
