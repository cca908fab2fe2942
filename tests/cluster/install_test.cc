// The charts and the images as a cluster's administrator uses them: install, run, upgrade,
// uninstall.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/charts/helm.h"
#include "tests/support/child_process.h"
#include "tests/support/served_namespace.h"
#include "tests/support/setup_cache.h"

namespace sandboxrun::test {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

/// The release "sandboxrun", which serves all namespaces, and a namespace for runs.
class Install : public ::testing::Test {
 protected:
  Install() : runs_(cluster_, "install-runs"), release_(cluster_, "install-release") {
    cluster_.install_crds();
    call_helm({"install"});
  }
  ~Install() override { uninstall(); }

  void call_helm(std::vector<std::string> verb, const std::vector<std::string>& set = {}) {
    verb.insert(verb.end(),
                {"sandboxrun", SANDBOXRUN_SOURCE_DIR "/charts/sandboxrun", "--kubeconfig",
                 cluster_.kubeconfig(), "--namespace", release_.name(), "--values",
                 cluster_.folder() + "/values.yaml", "--wait", "--timeout", "90s"});
    for (const std::string& each : set) verb.insert(verb.end(), {"--set", each});
    const HelmResult result = helm(verb);
    if (result.exit_code != 0) throw std::runtime_error("helm: " + result.err + logs());
  }
  HelmResult uninstall() {
    return helm({"uninstall", "sandboxrun", "--kubeconfig", cluster_.kubeconfig(), "--namespace",
                 release_.name(), "--wait", "--timeout", "60s"});
  }

  std::string logs() {
    return cluster_
        .kubectl({"--namespace", release_.name(), "logs", "--selector",
                  "app.kubernetes.io/name=sandboxrun", "--prefix", "--tail=50"})
        .out;
  }
  std::string in_runs(std::vector<std::string> arguments, std::string_view input = {}) {
    arguments.insert(arguments.begin(), {"--namespace", runs_.name()});
    return cluster_.kubectl_output(arguments, input);
  }
  void create(const std::string& run, const std::string& command) {
    in_runs({"create", "-f", "-"},
            "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: " + run +
                "}\nspec:\n  environment: {image: \"" + cluster_.image("sandbox-base") +
                "\"}\n  command: " + command + "\n");
  }
  void wait_for_end(const std::string& run) {
    in_runs({"wait", "--for=condition=Reconciling=False", "--timeout=60s", "sbr/" + run});
  }
  std::string column(const std::string& run, const std::string& path) {
    return in_runs({"get", "sbr", run, "--output", "jsonpath={" + path + "}"});
  }
  std::string reason(const std::string& run) {
    return column(run, ".status.conditions[?(@.type==\"Succeeded\")].reason");
  }
  void wait_for_reason(const std::string& run, const std::string& wanted) {
    in_runs({"wait", "--timeout=60s", "sbr/" + run,
             "--for=jsonpath={.status.conditions[?(@.type==\"Succeeded\")].reason}=" + wanted});
  }

  Cluster cluster_;
  TestNamespace runs_;
  TestNamespace release_;
};

TEST_F(Install, AnApplyAWaitAndAGetAreEnough) {
  in_runs({"apply", "-f", cluster_.folder() + "/examples/hello.yaml"});
  wait_for_end("hello");
  EXPECT_THAT(
      in_runs({"get", "sbr"}),
      ::testing::ContainsRegex("hello +True +Completed +0 +[0-9a-z]+ +[0-9a-z]+ +[0-9a-z]+"));
  const std::string described = in_runs({"describe", "sbr", "hello"});
  for (const char* part :
       {"the command ended with exit code 0", "the image was run by its digest",
        "Image ID:", "Normal  Running", "Normal  Completed", "sandboxrun.dev/operator"}) {
    EXPECT_THAT(described, HasSubstr(part));
  }
  // Only the stages that took a while, each once.
  EXPECT_THAT(described, ::testing::Not(HasSubstr("Warning")));
}

TEST_F(Install, GetWithAWatchShowsEachStage) {
  const TempDir work;
  const ChildProcess watch(
      {setup_cache() + "/tools/bin/kubectl", "--kubeconfig", cluster_.kubeconfig(), "--cache-dir",
       work / "discovery", "--namespace", runs_.name(), "get", "sbr", "--watch", "--no-headers"},
      work / "out");
  create("r", "[sh, -c, 'sleep 2']");
  wait_for_end("r");
  std::this_thread::sleep_for(seconds(1));
  EXPECT_THAT(read_file(work / "out"), ::testing::ContainsRegex("r +Unknown +Pending.*\n(r .*\n)*"
                                                                "r +Unknown +Running.*\n(r .*\n)*"
                                                                "r +True +Completed +0 "));
}

TEST_F(Install, S5_AnUpgradeLosesNoRunInFlight) {
  create("r", "[sh, -c, 'sleep 12; exit 5']");
  wait_for_reason("r", "Running");
  const std::string pod = column("r", ".status.attempts[0].podUID");
  call_helm({"upgrade"}, {"log.level=debug", "maxConcurrentReconciles=2"});
  wait_for_end("r");
  EXPECT_EQ(reason("r"), "NonZeroExit");
  EXPECT_EQ(column("r", ".status.run.exitCode"), "5");
  EXPECT_EQ(column("r", ".status.attempts[*].podUID"), pod);
}

TEST_F(Install, T38_AnUninstallLeavesNothingThatHangs) {
  create("r", "[sleep, '300']");
  wait_for_reason("r", "Running");
  const HelmResult gone = uninstall();
  EXPECT_EQ(gone.exit_code, 0) << gone.err;
  // The schema and the run stay; the run can be deleted, and its pod with it, by nobody's leave.
  EXPECT_EQ(reason("r"), "Running");
  in_runs({"delete", "sbr", "r", "--timeout=30s"});
  in_runs({"wait", "--for=delete", "pod", "--all", "--timeout=60s"});
  cluster_.kubectl_output({"delete", "namespace", runs_.name(), "--timeout=60s"});
}

TEST_F(Install, T24_WhoMayViewOrEditANamespaceMayViewOrCreateItsRunsButNotSetTheirStatus) {
  in_runs({"create", "rolebinding", "v", "--clusterrole=view", "--user=visitor"});
  in_runs({"create", "rolebinding", "e", "--clusterrole=edit", "--user=author"});
  // The controller manager aggregates the roles within a moment.
  std::this_thread::sleep_for(seconds(2));
  EXPECT_EQ(in_runs({"auth", "can-i", "get", "sandboxruns", "--as", "visitor"}), "yes\n");
  EXPECT_EQ(in_runs({"auth", "can-i", "create", "sandboxruns", "--as", "author"}), "yes\n");
  EXPECT_EQ(cluster_
                .kubectl({"--namespace", runs_.name(), "auth", "can-i", "create", "sandboxruns",
                          "--as", "visitor"})
                .out,
            "no\n");
  EXPECT_EQ(cluster_
                .kubectl({"--namespace", runs_.name(), "auth", "can-i", "patch", "sandboxruns",
                          "--subresource=status", "--as", "author"})
                .out,
            "no\n");
}

TEST_F(Install, T44_TheOperatorsAccountReadsNoSecret) {
  const std::string account = "system:serviceaccount:" + release_.name() + ":sandboxrun";
  for (const char* what : {"secrets", "configmaps", "nodes", "serviceaccounts", "deployments"}) {
    EXPECT_EQ(
        cluster_
            .kubectl({"--namespace", runs_.name(), "auth", "can-i", "get", what, "--as", account})
            .out,
        "no\n")
        << what;
  }
}

}  // namespace
}  // namespace sandboxrun::test
