// The charts as helm renders them: docs/reference/chart.md.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/charts/helm.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::string source(const std::string& path) {
  return read_file(std::string(SANDBOXRUN_SOURCE_DIR) + "/" + path);
}

/// The rendered objects of one kind, by name.
std::vector<YAML::Node> objects(const std::string& manifest, const std::string& kind) {
  std::vector<YAML::Node> out;
  for (const YAML::Node& node : YAML::LoadAll(manifest)) {
    if (node.IsMap() && node["kind"].as<std::string>() == kind) out.push_back(node);
  }
  return out;
}

YAML::Node object(const std::string& manifest, const std::string& kind, const std::string& name) {
  for (const YAML::Node& node : objects(manifest, kind)) {
    if (node["metadata"]["name"].as<std::string>() == name) return node;
  }
  ADD_FAILURE() << "no " << kind << " " << name;
  return {};
}

std::string joined(const YAML::Node& list) {
  std::vector<std::string> words;
  for (const auto& item : list) words.push_back(item.as<std::string>());
  std::ranges::sort(words);
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ",") + word;
  return out;
}

/// Each rule of a role as "group/resources[names]: verbs".
std::vector<std::string> rules(const YAML::Node& role) {
  std::vector<std::string> out;
  for (const auto& rule : role["rules"]) {
    std::string line = joined(rule["apiGroups"]) + "/" + joined(rule["resources"]);
    if (rule["resourceNames"]) line += "[" + joined(rule["resourceNames"]) + "]";
    out.push_back(line + ": " + joined(rule["verbs"]));
  }
  return out;
}

void expect_golden(const std::string& values) {
  const std::string path = "tests/charts/golden/" + values + ".yaml";
  EXPECT_TRUE(rendered_chart(values) == source(path))
      << path << " is not what helm renders; if that is meant, make it anew: helm "
      << "template sandboxrun charts/sandboxrun --namespace sandboxrun-system --kube-version 1.37 "
      << "--values tests/charts/values/" << values << ".yaml >" << path;
}

TEST(Chart, RendersTheDefaultsAsKept) {
  expect_golden("minimal");
}

TEST(Chart, RendersEveryValueAsKept) {
  expect_golden("full");
}

TEST(Chart, HelmFindsNothingToSayAgainstEither) {
  for (const std::string chart : {"charts/sandboxrun", "charts/sandboxrun-crds"}) {
    const HelmResult result =
        helm({"lint", "--strict", chart, "--values", "tests/charts/values/minimal.yaml"});
    EXPECT_EQ(result.exit_code, 0) << chart << ": " << result.out << result.err;
  }
}

const std::vector<std::string> kServingRights = {
    "sandboxrun.dev/sandboxruns: delete,get,list,watch",
    "sandboxrun.dev/sandboxruns/status: patch",
    "sandboxrun.dev/sandboxruns/finalizers: update",
    "/pods: create,delete,get,list,patch,watch",
    "networking.k8s.io/networkpolicies: create,delete,list,patch,watch",
    "events.k8s.io/events: create,list,patch",
};

TEST(Chart, S4_TheOperatorHasExactlyTheseRights) {
  const std::string chart = rendered_chart("minimal");
  EXPECT_EQ(rules(object(chart, "ClusterRole", "sandboxrun")), kServingRights);
  EXPECT_EQ(
      rules(object(chart, "Role", "sandboxrun-leader")),
      (std::vector<std::string>{"coordination.k8s.io/leases: create",
                                "coordination.k8s.io/leases[sandboxrun-operator]: get,update"}));
  EXPECT_EQ(rules(object(chart, "Role", "sandboxrun-probe")),
            (std::vector<std::string>{"/pods: create,delete,get,list"}));
  EXPECT_EQ(objects(chart, "ClusterRoleBinding").size(), 1U);
  EXPECT_EQ(objects(chart, "RoleBinding").size(), 2U);
}

TEST(Chart, S4_WithWatchedNamespacesTheOperatorHasNoRightElsewhere) {
  const std::string chart = rendered_chart("full");
  EXPECT_TRUE(objects(chart, "ClusterRoleBinding").empty());
  std::set<std::string> places;
  for (const YAML::Node& role : objects(chart, "Role")) {
    const auto place = role["metadata"]["namespace"].as<std::string>();
    places.insert(place);
    if (place != "sandboxrun-system") {
      EXPECT_EQ(rules(role), kServingRights);
    }
  }
  EXPECT_THAT(places, UnorderedElementsAre("models", "students", "sandboxrun-system"));
}

TEST(Chart, OnlyPeopleGetRightsByAggregationAndNoneOverStatus) {
  const std::string chart = rendered_chart("minimal");
  EXPECT_EQ(
      rules(object(chart, "ClusterRole", "sandboxrun-view")),
      (std::vector<std::string>{"sandboxrun.dev/sandboxruns,sandboxruns/status: get,list,watch"}));
  EXPECT_EQ(rules(object(chart, "ClusterRole", "sandboxrun-edit")),
            (std::vector<std::string>{
                "sandboxrun.dev/sandboxruns: create,delete,deletecollection,patch,update"}));
  EXPECT_EQ(
      objects(rendered_chart("minimal", {"aggregatedRoles.enabled=false"}), "ClusterRole").size(),
      1U);
}

TEST(Chart, TheOperatorsPodIsHardened) {
  const YAML::Node pod =
      object(rendered_chart("minimal"), "Deployment", "sandboxrun")["spec"]["template"]["spec"];
  EXPECT_TRUE(pod["securityContext"]["runAsNonRoot"].as<bool>());
  EXPECT_EQ(pod["securityContext"]["seccompProfile"]["type"].as<std::string>(), "RuntimeDefault");
  ASSERT_EQ(pod["containers"].size(), 1U);
  const YAML::Node security = pod["containers"][0]["securityContext"];
  EXPECT_FALSE(security["allowPrivilegeEscalation"].as<bool>());
  EXPECT_TRUE(security["readOnlyRootFilesystem"].as<bool>());
  EXPECT_EQ(joined(security["capabilities"]["drop"]), "ALL");
  EXPECT_FALSE(pod["volumes"].IsDefined());
}

TEST(Chart, AdmissionPoliciesAreOnAndDenyAndFailClosed) {
  const std::string chart = rendered_chart("minimal");
  std::set<std::string> names;
  for (const YAML::Node& policy : objects(chart, "ValidatingAdmissionPolicy")) {
    names.insert(policy["metadata"]["name"].as<std::string>());
    EXPECT_EQ(policy["spec"]["failurePolicy"].as<std::string>(), "Fail");
  }
  EXPECT_THAT(names, UnorderedElementsAre("sandboxrun-operator-account", "sandboxrun-references",
                                          "sandboxrun-run-pods"));
  for (const YAML::Node& binding : objects(chart, "ValidatingAdmissionPolicyBinding")) {
    EXPECT_EQ(joined(binding["spec"]["validationActions"]), "Deny");
    EXPECT_EQ(names.erase(binding["spec"]["policyName"].as<std::string>()), 1U);
  }
  EXPECT_TRUE(names.empty());
}

TEST(Chart, T37_OnlyThePodThatMayReachTheOperatorHasAPolicyThatLetsSomethingOut) {
  const std::string chart = rendered_chart("minimal");
  const YAML::Node denied = object(chart, "NetworkPolicy", "sandboxrun-probe")["spec"];
  EXPECT_EQ(denied["egress"].size(), 0U);
  EXPECT_EQ(joined(denied["policyTypes"]), "Egress,Ingress");
  const YAML::Node allowed = object(chart, "NetworkPolicy", "sandboxrun-probe-allowed")["spec"];
  EXPECT_EQ(allowed["podSelector"]["matchLabels"]["sandboxrun.dev/probe"].as<std::string>(),
            "allowed");
  EXPECT_EQ(allowed["egress"][0]["ports"][0]["port"].as<int>(), 8082);
}

TEST(Chart, T46_NobodyReachesTheMetricsWhoIsNotNamed) {
  const auto open_ports = [](const std::string& values, const std::vector<std::string>& set) {
    const YAML::Node policy =
        object(rendered_chart(values, set), "NetworkPolicy", "sandboxrun")["spec"];
    EXPECT_THAT(joined(policy["policyTypes"]), HasSubstr("Ingress"));
    std::vector<std::string> out;
    for (const auto& rule : policy["ingress"]) {
      EXPECT_GT(rule["from"].size(), 0U);
      for (const auto& port : rule["ports"]) out.push_back(port["port"].as<std::string>());
    }
    return out;
  };
  EXPECT_THAT(open_ports("minimal", {}), UnorderedElementsAre("isolation"));
  EXPECT_THAT(open_ports("minimal", {"networkPolicy.metricsFrom=[{\"podSelector\":{}}]"}),
              UnorderedElementsAre("isolation", "metrics"));
}

TEST(Chart, WithIsolationAssumedThereIsNoProbe) {
  const std::string chart = rendered_chart("minimal", {"networkIsolation=\"Assume\""});
  EXPECT_EQ(objects(chart, "NetworkPolicy").size(), 1U);
  EXPECT_EQ(objects(chart, "Role").size(), 1U);
}

TEST(Chart, EachAdmissionPolicyCanBeSwitchedOff) {
  for (const std::string name : {"operatorAccount", "references", "runPods"}) {
    const std::string chart =
        rendered_chart("minimal", {"admissionPolicies." + name + ".enabled=false"});
    EXPECT_EQ(objects(chart, "ValidatingAdmissionPolicy").size(), 2U) << name;
    EXPECT_EQ(objects(chart, "ValidatingAdmissionPolicyBinding").size(), 2U) << name;
  }
}

struct BadValue {
  const char* name;
  const char* set;  ///< for --set-json
  const char* says;
};

class BadValues : public ::testing::TestWithParam<BadValue> {};

TEST_P(BadValues, AreRefused) {
  const HelmResult result = helm(template_arguments("minimal", {GetParam().set}));
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Chart, BadValues,
    ::testing::Values(
        BadValue{"NoDigest", R"(images.operator.digest="")", "images.operator.digest is missing"},
        BadValue{"NoRepository", R"(images.sandbox.repository="")",
                 "images.sandbox.repository is missing"},
        BadValue{"ATagForADigest", R"(images.sandbox.digest="latest")", "/images/sandbox/digest"},
        BadValue{"ATagInTheRepository", R"(images.sandbox.repository="a/b:latest")",
                 "/images/sandbox/repository"},
        BadValue{"AnUnknownValue", R"(replica=3)", "replica"},
        BadValue{"NoReplica", R"(replicas=0)", "/replicas"},
        BadValue{"AnUnknownDelivery", R"(guardDelivery="Volume")", "/guardDelivery"},
        BadValue{"ASystemPriorityClass", R"(allow.priorityClasses=["system-node-critical"])",
                 "/allow/priorityClasses/0"},
        BadValue{"AnAddressForARange", R"(clusterCIDRs=["10.0.0.1"])", "/clusterCIDRs/0"},
        BadValue{"AHostName", R"(transfer.allow=["s3.example.com:443"])", "/transfer/allow/0"},
        BadValue{"AnUnknownLogLevel", R"(log.level="trace")", "/log/level"},
        BadValue{"AQuoteInAnExemption", R"(admissionPolicies.runPods.exemptUsers=["a'b"])",
                 "/admissionPolicies/runPods/exemptUsers/0"},
        BadValue{"AMonitorThatNobodyMayBe", R"(metrics.serviceMonitor.enabled=true)",
                 "networkPolicy.metricsFrom is empty"}),
    [](const auto& bad) { return std::string(bad.param.name); });

/// The same value, whatever the order of keys and the style.
bool equal(const YAML::Node& a, const YAML::Node& b) {
  if (a.Type() != b.Type() || a.size() != b.size()) return false;
  if (a.IsScalar()) return a.Scalar() == b.Scalar();
  if (a.IsSequence()) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!equal(a[i], b[i])) return false;
    }
  }
  if (a.IsMap()) {
    for (const auto& entry : a) {
      const YAML::Node other = b[entry.first.Scalar()];
      if (!other.IsDefined() || !equal(entry.second, other)) return false;
    }
  }
  return true;
}

HelmResult crds(const std::string& chart) {
  return helm({"template", "sandboxrun-crds", chart, "--kube-version", "1.37"});
}

TEST(CrdChart, IsTheSchemaOfTheSources) {
  const HelmResult result = crds("charts/sandboxrun-crds");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const YAML::Node kept = YAML::Load(source("crds/sandboxruns.yaml"));
  EXPECT_TRUE(equal(YAML::Load(result.out)["spec"], kept["spec"]));
}

TEST(CrdChart, IsKeptOnUninstall) {
  const YAML::Node crd = YAML::Load(crds("charts/sandboxrun-crds").out);
  EXPECT_EQ(crd["metadata"]["annotations"]["helm.sh/resource-policy"].as<std::string>(), "keep");
}

TEST(CrdChart, APackageHoldsTheSchemaItself) {
  const TempDir work;
  const HelmResult package =
      helm({"package", "charts/sandboxrun-crds", "--destination", work.path()});
  ASSERT_EQ(package.exit_code, 0) << package.err;
  EXPECT_EQ(crds(work / "sandboxrun-crds-0.1.0.tgz").out, crds("charts/sandboxrun-crds").out);
}

}  // namespace
}  // namespace sandboxrun::test
