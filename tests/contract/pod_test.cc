#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <random>

#include "operator/base/json_writer.h"
#include "operator/pod/compare.h"
#include "operator/pod/names.h"
#include "operator/pod/network_policy.h"
#include "operator/pod/render.h"
#include "operator/run/orders.h"
#include "operator/run/path.h"
#include "sandbox-image/protocol/work_order.h"
#include "tests/support/child_process.h"
#include "tests/support/pod/plans.h"
#include "tests/support/temp_dir.h"

// What the rows of the contract and the threats ask of pods: N1, N2, N11, N12, N16, T17, T25, T37.
namespace sandboxrun::pod {
namespace {

using namespace testing;  // NOLINT: the helpers' names say what they are
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::IsSubsetOf;

constexpr std::array<const char*, 12> kHostile = {
    "$(KUBERNETES_SERVICE_HOST)",
    "\",\"hostNetwork\":true,\"x\":\"",
    "\n  privileged: true\n",
    "../../../../etc/shadow",
    "system-node-critical",
    "default",
    "run",
    "sandboxrun.dev/admission",
    "hostPath",
    "metadata.annotations['sandboxrun.dev/prepare-order']",
    "\\u0000\\\"",
    "$$$(A)$"};

/// Plans whose every free text is hostile. Their parts are as validation leaves them: names of
/// objects, targets and digests keep their form.
class HostilePlans {
 public:
  explicit HostilePlans(unsigned seed) : random_(seed) {}

  run::Plan next() {
    run::Plan plan = maybe() ? full_plan() : plan_of();
    plan.name = std::string("run") + std::to_string(random_() % 100);
    plan.argv = texts_of(1 + random_() % 4);
    plan.working_dir =
        maybe() ? std::string("/work") : std::string("/work/") + std::to_string(random_() % 9);
    plan.env.clear();
    for (std::size_t i = random_() % 5; i > 0; --i) plan.env.push_back(variable());
    plan.setup.clear();
    for (std::size_t i = random_() % 3; i > 0; --i) {
      plan.setup.push_back({hostile(), texts_of(2), static_cast<std::int64_t>(1 + random_() % 99)});
    }
    for (run::PlanAsset& asset : plan.assets) asset.source = source();
    if (plan.archive && maybe()) plan.archive.reset();
    if (plan.results && maybe()) plan.results.reset();
    scheduling(plan);
    plan.scratch.medium = maybe() ? run::Medium::Memory : run::Medium::Disk;
    plan.limits.cpu_millis = static_cast<std::int64_t>(1 + random_() % 100'000);
    return plan;
  }

 private:
  bool maybe() { return random_() % 2 == 0; }
  std::string hostile() { return kHostile[random_() % kHostile.size()]; }

  std::vector<std::string> texts_of(std::size_t count) {
    std::vector<std::string> out;
    while (out.size() < count) out.push_back(hostile());
    return out;
  }

  run::PlanEnvVar variable() {
    constexpr std::array<const char*, 5> kNames = {"LD_PRELOAD", "SANDBOXRUN_TOKEN", "HOME",
                                                   "KUBERNETES_SERVICE_HOST", "X"};
    run::PlanEnvVar out{.name = kNames[random_() % kNames.size()], .value = hostile()};
    if (maybe()) {
      out.value = run::KeyReference{"object", "key"};
      out.from_config_map = maybe();
    }
    return out;
  }

  run::PlanSource source() {
    if (maybe()) return run::InlineSource{hostile()};
    run::S3Source s3;
    s3.bucket = hostile();
    s3.key = hostile();
    s3.credentials_secret = "keys";
    return s3;
  }

  void scheduling(run::Plan& plan) {
    if (maybe()) plan.runtime_class_name = hostile();
    if (maybe()) plan.priority_class_name = hostile();
    if (maybe()) plan.node_selector = {{hostile(), hostile()}};
    if (maybe()) plan.image_pull_secrets = {hostile()};
    if (maybe()) {
      plan.tolerations = {{.key = hostile(),
                           .op = "Exists",
                           .value = "",
                           .effect = hostile(),
                           .toleration_seconds = {}}};
    }
  }

  std::mt19937 random_;
};

void drop_if_there(Node& pod, const std::string& path) {
  if (find(pod, path) != nullptr) drop(pod, path);
}

/// What is left of a pod without the places that a plan may fill.
std::string skeleton(Node pod) {
  for (const char* path : {"metadata.name", "metadata.labels.[sandboxrun.dev/run]",
                           "metadata.labels.[sandboxrun.dev/network]", "metadata.annotations",
                           "metadata.ownerReferences.[0].name"}) {
    drop_if_there(pod, path);
  }
  for (const char* field : {"activeDeadlineSeconds", "terminationGracePeriodSeconds", "dnsPolicy",
                            "dnsConfig", "runtimeClassName", "nodeSelector", "tolerations",
                            "priorityClassName", "imagePullSecrets", "volumes"}) {
    drop_if_there(pod, "spec." + std::string(field));
  }
  for (const char* field : {"image", "command", "workingDir", "env", "resources", "volumeMounts"}) {
    drop_if_there(pod, "spec.containers[run]." + std::string(field));
  }
  for (const char* step : {"prepare", "collect"}) {
    const std::string at = "spec.initContainers[" + std::string(step) + "]";
    if (find(pod, at) == nullptr) continue;
    drop(pod, at + ".resources");
    drop(pod, at + ".volumeMounts");
  }
  return json(pod, "");
}

/// The skeleton of a harmless run with the same steps.
std::string golden_skeleton(const run::Plan& plan) {
  run::Plan harmless = plan_of();
  const run::Plan full = full_plan();
  if (run::needs_prepare(plan)) harmless.archive = full.archive;
  if (run::needs_collect(plan)) harmless.results = full.results;
  return skeleton(rendered(harmless));
}

TEST(Pod, T17_S2_NoFieldOfARunChangesWhatHardensItsPod) {
  HostilePlans plans(17);
  for (int i = 0; i < 300; ++i) {
    const run::Plan plan = plans.next();
    ASSERT_EQ(skeleton(rendered(plan)), golden_skeleton(plan)) << run::encode(plan);
  }
}

TEST(Pod, T17_NoFieldOfARunMakesAVolumeOfAnotherKind) {
  HostilePlans plans(18);
  for (int i = 0; i < 300; ++i) {
    const Node pod = rendered(plans.next());
    for (const Node& volume : find(pod, "spec.volumes")->items) {
      std::vector<std::string> members = names(volume, "");
      ASSERT_EQ(members.size(), 2U);
      ASSERT_THAT(members[1], AnyOf("emptyDir", "downwardAPI", "image", "projected"));
      if (const Node* sources = find(volume, "projected.sources")) {
        for (const Node& each : sources->items) {
          ASSERT_THAT(names(each, ""), Each(AnyOf("secret", "configMap")));
        }
      }
    }
  }
}

TEST(Pod, T26_NoFieldOfARunMountsAnObjectIntoIt) {
  HostilePlans plans(19);
  for (int i = 0; i < 300; ++i) {
    const Node pod = rendered(plans.next());
    ASSERT_THAT(names(pod, "spec.containers[run].volumeMounts"),
                IsSubsetOf({"work", "data", "env", "results", "assets", "assets", "assets", "tmp",
                            "shm-run", "guard"}));
  }
}

TEST(Pod, S2_ARenderedHostilePodIsEqualToItselfAndIntact) {
  HostilePlans plans(20);
  for (int i = 0; i < 50; ++i) {
    const Node pod = rendered(plans.next());
    ASSERT_THAT(differences(pod, pod, Stage::Admitted), IsEmpty());
    ASSERT_TRUE(is_intact(pod));
  }
}

TEST(Pod, N1_NamespacesAreThePodsOwnAndItsUsersAreMapped) {
  const Node pod = rendered(plan_of());
  EXPECT_EQ(text(pod, "spec.hostUsers"), "false");
  EXPECT_EQ(text(pod, "spec.shareProcessNamespace"), "false");
  for (const char* field : {"hostNetwork", "hostPID", "hostIPC"}) {
    EXPECT_EQ(find(pod, "spec." + std::string(field)), nullptr);
  }
  EXPECT_EQ(text(pod, "spec.hostname"), "sandbox");
  EXPECT_EQ(text(pod, "spec.containers[run].workingDir"), "/work");
  EXPECT_EQ(text(pod, "spec.containers[run].env[HOME].value"), "/work");
}

TEST(Pod, N2_TheRootIsReadOnlyAndEveryWritableFolderHasASize) {
  const Node pod = rendered(full_plan());
  EXPECT_EQ(text(pod, "spec.containers[run].securityContext.readOnlyRootFilesystem"), "true");
  for (const Node& mount : find(pod, "spec.containers[run].volumeMounts")->items) {
    if (text(mount, "readOnly") == "true") continue;
    const std::string volume = "spec.volumes[" + text(mount, "name") + "].emptyDir.sizeLimit";
    EXPECT_GT(std::stoll(text(pod, volume)), 0) << volume;
  }
}

TEST(Pod, N2_T25_NothingNamesThePodOrItsServicesInside) {
  const Node pod = rendered(full_plan());
  EXPECT_EQ(text(pod, "spec.enableServiceLinks"), "false");
  for (const char* field : {"hostAliases", "subdomain", "setHostnameAsFQDN"}) {
    EXPECT_EQ(find(pod, "spec." + std::string(field)), nullptr);
  }
  for (const Node& variable : find(pod, "spec.containers[run].env")->items) {
    EXPECT_EQ(find(variable, "valueFrom.fieldRef"), nullptr);
  }
}

TEST(Pod, N11_NoServiceAccountTokenAndNoServiceVariables) {
  const Node pod = rendered(full_plan());
  EXPECT_EQ(text(pod, "spec.automountServiceAccountToken"), "false");
  EXPECT_EQ(text(pod, "spec.enableServiceLinks"), "false");
  for (const Node& volume : find(pod, "spec.volumes")->items) {
    for (const Node& source : find(volume, "projected.sources") == nullptr
                                  ? std::vector<Node>()
                                  : find(volume, "projected.sources")->items) {
      EXPECT_EQ(find(source, "serviceAccountToken"), nullptr);
    }
  }
}

// The signed manifest's place is taken by the pod's spec and the work order, which only the
// operator writes, bound to the plan by its hash and to each other by the pod's.
TEST(Pod, N12_TheWorkOrderIsBoundToThePodsHash) {
  Node pod = rendered(full_plan());
  const Node* order = find(pod, "metadata.annotations.[sandboxrun.dev/prepare-order]");
  const std::string changed =
      std::string(order->text).replace(order->text.find("sha256:b"), 8, "sha256:c");
  std::string quoted;
  append_json_string(quoted, changed);
  put(pod, "metadata.annotations.[sandboxrun.dev/prepare-order]", quoted);
  EXPECT_FALSE(is_intact(pod));
}

TEST(Pod, N12_AnotherPlanHasAnotherHash) {
  run::Plan other = full_plan();
  other.argv.push_back("--more");
  EXPECT_NE(text(rendered(full_plan()), "metadata.annotations.[sandboxrun.dev/plan-hash]"),
            text(rendered(other), "metadata.annotations.[sandboxrun.dev/plan-hash]"));
}

TEST(Pod, N16_T37_TheGuardSealsTheRunWhateverItsPolicyLetsThrough) {
  const Node pod = rendered(full_plan());
  EXPECT_EQ(network_class(full_plan()), "transfer");
  const auto command = texts(pod, "spec.containers[run].command");
  const auto flag = std::ranges::find(command, "--network");
  ASSERT_NE(flag, command.end());
  EXPECT_EQ(*(flag + 1), "none");
}

TEST(Pod, T14_EveryImageOfAPodIsByDigest) {
  const Node pod = rendered(full_plan());
  for (const char* image :
       {"spec.containers[run].image", "spec.initContainers[prepare].image",
        "spec.initContainers[collect].image", "spec.volumes[guard].image.reference"}) {
    EXPECT_EQ(text(pod, image).find("@sha256:"), text(pod, image).size() - 72) << image;
  }
}

TEST(Pod, ACopiedGuardIsTheGuardAndMayBeExecutedByAll) {
  const test::TempDir temp;
  std::filesystem::create_directory(temp / "guard-folder");
  test::write_file(temp / "order.json", protocol::encode(protocol::PrepareOrder{}));
  const std::string programs = SANDBOXRUN_BINARY_DIR "/bin";
  test::run_program({programs + "/agent", "prepare", "--order", temp / "order.json", "--staging",
                     temp.path(), "--report", temp / "report.json", "--install-guard",
                     temp / "guard-folder"});
  const std::string copy = temp / "guard-folder/guard";
  EXPECT_EQ(test::read_file(copy), test::read_file(programs + "/guard"));
  EXPECT_EQ(std::filesystem::status(copy).permissions(), std::filesystem::perms(0555));
}

}  // namespace
}  // namespace sandboxrun::pod
