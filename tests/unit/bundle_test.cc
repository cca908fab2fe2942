#include "operator/launch/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "operator/base/document.h"
#include "operator/launch/launch.h"
#include "operator/launch/observe.h"

namespace sandboxrun::launch {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

run::Plan plan_of_a_run() {
  run::Plan plan;
  plan.name = "test";
  plan.image = "registry/image@sha256:" + std::string(64, 'a');
  plan.argv = {"/bin/program", "$(X)", "a b"};
  plan.working_dir = "/work";
  plan.env = {{.name = "SECRET", .value = run::KeyReference{.name = "s", .key = "k"}}};
  plan.scratch.size_bytes = 1 << 20;
  plan.limits = {.cpu_millis = 1500, .memory_bytes = 64 << 20, .ephemeral_storage_bytes = 1 << 20};
  plan.active_deadline_seconds = 60;
  plan.results = run::PlanResults{.path = "/results"};
  return plan;
}

Node parse(const std::string& text) {
  auto node = parse_json(text);
  EXPECT_TRUE(node.has_value());
  return node.value_or(Node{});
}

Node bundle_of(const run::Plan& plan) {
  const Options options{.subordinate_id = 200000};
  auto text = render_bundle(plan, options);
  EXPECT_TRUE(text.has_value());
  return parse(text.value_or("{}"));
}

/// Walks maps by keys; a missing one fails the test.
const Node& at(const Node& node, std::initializer_list<std::string_view> keys) {
  static const Node kNothing;
  const Node* here = &node;
  for (const std::string_view key : keys) {
    here = here->find(key);
    if (here == nullptr) {
      ADD_FAILURE() << "no " << key;
      return kNothing;
    }
  }
  return *here;
}

std::vector<std::string> texts(const Node& list) {
  std::vector<std::string> all;
  for (const Node& item : list.items) all.push_back(item.text);
  return all;
}

TEST(Bundle, L11_HasNoNewPrivilegesAndFiveEmptyCapabilitySets) {
  const Node bundle = bundle_of(plan_of_a_run());
  EXPECT_TRUE(at(bundle, {"process", "noNewPrivileges"}).boolean);
  for (const auto* set : {"bounding", "effective", "inheritable", "permitted", "ambient"}) {
    const Node& capabilities = at(bundle, {"process", "capabilities", set});
    EXPECT_EQ(capabilities.kind, Node::Kind::List) << set;
    EXPECT_TRUE(capabilities.items.empty()) << set;
  }
}

TEST(Bundle, L11_HasSevenNamespacesOfItsOwn) {
  std::set<std::string> types;
  const Node bundle = bundle_of(plan_of_a_run());
  for (const Node& item : at(bundle, {"linux", "namespaces"}).items) {
    types.insert(at(item, {"type"}).text);
    EXPECT_EQ(item.find("path"), nullptr);
  }
  EXPECT_EQ(types,
            (std::set<std::string>{"pid", "network", "mount", "ipc", "uts", "cgroup", "user"}));
}

TEST(Bundle, L11_MapsTheRunToAHostIdThatOnlyRunsHave) {
  const Node bundle = bundle_of(plan_of_a_run());
  EXPECT_EQ(at(bundle, {"process", "user", "uid"}).integer, 64000);
  EXPECT_EQ(at(bundle, {"process", "user", "gid"}).integer, 64000);
  for (const auto* name : {"uidMappings", "gidMappings"}) {
    const Node& mappings = at(bundle, {"linux", name});
    ASSERT_EQ(mappings.items.size(), 1U);
    EXPECT_EQ(at(mappings.items[0], {"containerID"}).integer, 0);
    EXPECT_EQ(at(mappings.items[0], {"hostID"}).integer, 200000);
    EXPECT_EQ(at(mappings.items[0], {"size"}).integer, 65536);
  }
}

TEST(Bundle, N2_L11_MasksAndProtectsTheKernelsFiles) {
  const Node bundle = bundle_of(plan_of_a_run());
  const auto masked = texts(at(bundle, {"linux", "maskedPaths"}));
  for (const auto* path : {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}) {
    EXPECT_THAT(masked, Contains(path));
  }
  const auto read_only = texts(at(bundle, {"linux", "readonlyPaths"}));
  for (const auto* path : {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"}) {
    EXPECT_THAT(read_only, Contains(path));
  }
  EXPECT_TRUE(at(bundle, {"root", "readonly"}).boolean);
}

TEST(Bundle, N2_L11_DeniesEveryDeviceThatTheRuntimeDoesNotAddItself) {
  const Node bundle = bundle_of(plan_of_a_run());
  const Node& devices = at(bundle, {"linux", "resources", "devices"});
  ASSERT_EQ(devices.items.size(), 1U);
  EXPECT_FALSE(at(devices.items[0], {"allow"}).boolean);
  EXPECT_EQ(at(devices.items[0], {"access"}).text, "rwm");
  EXPECT_EQ(devices.items[0].find("type"), nullptr);
}

TEST(Bundle, L11_TmpIsASizedTmpfsWithoutDevicesAndRaisedRights) {
  const Node bundle = bundle_of(plan_of_a_run());
  for (const Node& mount : at(bundle, {"mounts"}).items) {
    if (at(mount, {"destination"}).text != "/tmp") continue;
    EXPECT_EQ(at(mount, {"type"}).text, "tmpfs");
    EXPECT_THAT(texts(at(mount, {"options"})),
                ElementsAre("nosuid", "nodev", "mode=1777", "size=134217728"));
    return;
  }
  FAIL() << "no /tmp";
}

TEST(Bundle, P9_LimitsMemorySwapProcessorAndProcesses) {
  const Node bundle = bundle_of(plan_of_a_run());
  const Node& resources = at(bundle, {"linux", "resources"});
  EXPECT_EQ(at(resources, {"memory", "limit"}).integer, 64 << 20);
  EXPECT_EQ(at(resources, {"memory", "swap"}).integer, 64 << 20);
  EXPECT_EQ(at(resources, {"cpu", "quota"}).integer, 150'000);
  EXPECT_EQ(at(resources, {"cpu", "period"}).integer, 100'000);
  EXPECT_EQ(at(resources, {"pids", "limit"}).integer, kMaxProcesses);
}

TEST(Bundle, P9_TheFilterRefusesWhatItDoesNotList) {
  const Node bundle = bundle_of(plan_of_a_run());
  EXPECT_EQ(at(bundle, {"linux", "seccomp", "defaultAction"}).text, "SCMP_ACT_ERRNO");
  const auto allowed =
      texts(at(at(bundle, {"linux", "seccomp", "syscalls"}).items.at(0), {"names"}));
  EXPECT_THAT(allowed, Contains("execve"));
  for (const auto* call : {"mount", "umount2", "unshare", "setns", "bpf", "keyctl", "add_key",
                           "io_uring_setup", "kexec_load", "init_module", "perf_event_open",
                           "userfaultfd", "open_by_handle_at", "pivot_root", "reboot"}) {
    EXPECT_THAT(allowed, Not(Contains(call)));
  }
}

TEST(Bundle, G6_TheGuardIsTheFirstProgramAndGetsTheCommandAsItIs) {
  const Node bundle = bundle_of(plan_of_a_run());
  const auto args = texts(at(bundle, {"process", "args"}));
  EXPECT_EQ(args.at(0), guard_path());
  ASSERT_GE(args.size(), 4U);
  EXPECT_THAT((std::vector<std::string>(args.end() - 4, args.end())),
              ElementsAre("--", "/bin/program", "$(X)", "a b"));
  EXPECT_THAT(args, Contains("--require-userns"));
  EXPECT_THAT(args, Not(Contains("--unsafe-skip-environment-checks")));
}

TEST(Bundle, T11_TheGuardIsMountedLastReadOnlyAndDeeperThanAnyTarget) {
  const std::string path = guard_path();
  EXPECT_EQ(std::ranges::count(path, '/'), 20);
  const Node bundle = bundle_of(plan_of_a_run());
  const Node& last = at(bundle, {"mounts"}).items.back();
  EXPECT_EQ(at(last, {"destination"}).text, path);
  EXPECT_THAT(texts(at(last, {"options"})), Contains("ro"));
}

TEST(Bundle, L5_HoldsNoPathOfTheHost) {
  const Node bundle = bundle_of(plan_of_a_run());
  EXPECT_EQ(at(bundle, {"root", "path"}).text, "rootfs");
  for (const Node& mount : at(bundle, {"mounts"}).items) {
    EXPECT_FALSE(at(mount, {"source"}).text.starts_with("/")) << at(mount, {"source"}).text;
  }
}

TEST(Bundle, L4_ARenderedBundleNamesSecretsButDoesNotReadThem) {
  const Node bundle = bundle_of(plan_of_a_run());
  EXPECT_THAT(texts(at(bundle, {"process", "env"})), Contains("SECRET=[Secret s, key k]"));
}

TEST(RunEnvironment, L4_IsTheImagesThenThePlansThenOursEachNameOnce) {
  const ImageConfig image{.env = {"PATH=/image", "A=image", "B=image"}};
  EXPECT_THAT(
      run_environment(image, {{"A", "plan"}, {"SANDBOXRUN_TOKEN", "forged"}}, "token"),
      ElementsAre("PATH=/image", "HOME=/work", "A=plan", "B=image", "SANDBOXRUN_TOKEN=token"));
}

TEST(RunEnvironment, L4_HasAPathAndAHomeOfItsOwnIfNobodyGivesThem) {
  EXPECT_THAT(run_environment({}, {}, ""),
              ElementsAre("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                          "HOME=/work"));
}

TEST(RuntimeWords, L9_AreOneLineWithoutOurPathsAndControlCharacters) {
  EXPECT_EQ(
      clean_runtime_words("first\nopen /state/run-1/bundle/x: no \x1b[31mway\n", "/state/run-1"),
      "open [stage]: no ?[31mway");
  EXPECT_EQ(clean_runtime_words("", "/state"), "it ended without a word");
}

}  // namespace
}  // namespace sandboxrun::launch
