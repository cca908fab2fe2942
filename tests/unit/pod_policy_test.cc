#include "operator/pod/network_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "operator/run/cidr.h"
#include "tests/support/pod/plans.h"

namespace sandboxrun::pod {
namespace {

using namespace testing;  // NOLINT: the helpers' names say what they are
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

run::Plan egress(const std::string& rules, const std::string& dns = "None") {
  return plan_of("  network: {mode: Egress, dns: " + dns + ", egress: [" + rules + "]}\n");
}

std::vector<std::string> policy_names(const run::Plan& plan) {
  std::vector<std::string> out;
  for (const NetworkPolicy& policy : policies_for(plan, options())) out.push_back(policy.name);
  return out;
}

TEST(Policies, S3_EveryRunIsClosedInBothDirections) {
  const auto policies = policies_for(plan_of(), options());
  ASSERT_EQ(policies.size(), 1U);
  const Node policy = parsed(policies[0].json);
  EXPECT_EQ(json(policy, "spec"), R"({"egress":[],"ingress":[],"podSelector":{"matchExpressions":[)"
                                  R"({"key":"sandboxrun.dev/run-uid","operator":"Exists"}]},)"
                                  R"("policyTypes":["Ingress","Egress"]})");
}

TEST(Policies, ThePodsLabelSaysWhichOneHolds) {
  EXPECT_EQ(network_class(plan_of()), "none");
  EXPECT_EQ(network_class(full_plan()), "transfer");
  EXPECT_EQ(text(rendered(full_plan()), "metadata.labels[sandboxrun.dev/network]"), "transfer");
  const Node policy = parsed(policies_for(full_plan(), options())[1].json);
  EXPECT_EQ(text(policy, "spec.podSelector.matchLabels[sandboxrun.dev/network]"), "transfer");
}

TEST(Policies, EgressRulesAreNamedByTheirHash) {
  const auto one = egress("{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}");
  const auto same = egress("{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}");
  const auto other = egress("{to: [{ipBlock: {cidr: 203.0.113.0/25}}]}");
  const auto ports = egress("{to: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 443}]}");
  const auto dns = egress("{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}", "Cluster");
  EXPECT_EQ(policy_names(one), policy_names(same));
  const std::set<std::string> names = {network_class(one), network_class(other),
                                       network_class(ports), network_class(dns)};
  EXPECT_EQ(names.size(), 4U);
  for (const std::string& name : names) EXPECT_LE(name.size(), 63U);
}

TEST(Policies, N16_MetadataAndClusterRangesAreExcludedFromTheInternet) {
  const Node policy =
      parsed(policies_for(egress("{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}"), options())[1].json);
  const auto except = texts(policy, "spec.egress[0].to[0].ipBlock.except");
  EXPECT_THAT(except, Contains("169.254.0.0/16"));
  EXPECT_THAT(except, Contains("10.88.0.0/16"));
  EXPECT_THAT(except, Contains("10.96.0.0/12"));
  EXPECT_THAT(except, Contains("100.100.100.200/32"));
}

TEST(Policies, N16_Ipv6MetadataIsExcludedToo) {
  const Node policy =
      parsed(policies_for(egress("{to: [{ipBlock: {cidr: \"::/0\"}}]}"), options())[1].json);
  const auto except = texts(policy, "spec.egress[0].to[0].ipBlock.except");
  EXPECT_THAT(except, Contains("fd00:ec2::254/128"));
  EXPECT_THAT(except, Contains("fe80::/10"));
  EXPECT_THAT(except, Not(Contains("169.254.0.0/16")));
}

TEST(Policies, EveryExclusionLiesStrictlyInsideItsRange) {
  const auto plan = egress(
      "{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [203.0.113.0/24, 10.0.0.0/8]}}, "
      "{ipBlock: {cidr: \"::/0\"}}, {ipBlock: {cidr: 10.0.0.0/8}}]}");
  int checked = 0;
  for (const run::Plan& each : {plan, full_plan()}) {
    const Node policy = parsed(policies_for(each, options())[1].json);
    for (const Node& rule : find(policy, "spec.egress")->items) {
      for (const Node& peer : find(rule, "to")->items) {
        if (find(peer, "ipBlock") == nullptr) continue;
        const auto outer = run::parse_cidr(text(peer, "ipBlock.cidr"));
        ASSERT_TRUE(outer);
        for (const std::string& except : texts(peer, "ipBlock.except")) {
          const auto inner = run::parse_cidr(except);
          ASSERT_TRUE(inner) << except;
          EXPECT_TRUE(run::contains(*outer, *inner) && *inner != *outer) << except;
          ++checked;
        }
      }
    }
  }
  EXPECT_GT(checked, 20);
}

TEST(Policies, AnExclusionInsideAnotherIsLeftOut) {
  const auto plan = egress("{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}");
  const Node policy = parsed(policies_for(plan, options())[1].json);
  const auto except = texts(policy, "spec.egress[0].to[0].ipBlock.except");
  EXPECT_THAT(except, Contains("10.0.0.0/8"));
  EXPECT_THAT(except, Not(Contains("10.88.0.0/16")));
}

TEST(Policies, PortsAreKept) {
  const auto plan = egress(
      "{to: [{ipBlock: {cidr: 203.0.113.0/24}}], "
      "ports: [{protocol: UDP, port: 53}, {port: 8000, endPort: 8100}]}");
  const Node policy = parsed(policies_for(plan, options())[1].json);
  EXPECT_EQ(json(policy, "spec.egress[0].ports"),
            R"([{"port":53,"protocol":"UDP"},{"endPort":8100,"port":8000,"protocol":"TCP"}])");
}

TEST(Policies, NamesAreResolvedOnlyIfAskedFor) {
  const auto rule = "{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}";
  EXPECT_EQ(
      find(parsed(policies_for(egress(rule), options())[1].json), "spec.egress")->items.size(), 1U);
  const Node with = parsed(policies_for(egress(rule, "Cluster"), options())[1].json);
  EXPECT_EQ(text(with, "spec.egress[0].to[0].podSelector.matchLabels[k8s-app]"), "kube-dns");
}

TEST(Policies, N16_TransfersReachPublicHttpsAndDnsOnly) {
  const Node policy = parsed(policies_for(full_plan(), options())[1].json);
  const Node* rules = find(policy, "spec.egress");
  ASSERT_EQ(rules->items.size(), 2U);
  EXPECT_EQ(json(rules->items[0], "ports"),
            R"([{"port":53,"protocol":"UDP"},{"port":53,"protocol":"TCP"}])");
  EXPECT_EQ(json(rules->items[1], "ports"), R"([{"port":443,"protocol":"TCP"}])");
  const auto except = texts(rules->items[1], "to[0].ipBlock.except");
  for (const char* range : {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"}) {
    EXPECT_THAT(except, Contains(range));
  }
}

TEST(Policies, TheAdministratorsTransferListIsLetThrough) {
  PodOptions with = options();
  with.transfer.allow = {"10.1.0.0/16:9000", "[fd00::]/8:443", "192.168.7.0/24"};
  const Node policy = parsed(policies_for(full_plan(), with)[1].json);
  const Node* rules = find(policy, "spec.egress");
  ASSERT_EQ(rules->items.size(), 5U);
  EXPECT_EQ(json(rules->items[2], ""), R"({"ports":[{"port":9000,"protocol":"TCP"}],)"
                                       R"("to":[{"ipBlock":{"cidr":"10.1.0.0/16"}}]})");
  EXPECT_EQ(json(rules->items[3], "to"), R"([{"ipBlock":{"cidr":"fd00::/8"}}])");
  EXPECT_EQ(find(rules->items[4], "ports"), nullptr);
}

TEST(Policies, HttpOnlyIfTheAdministratorAllowsIt) {
  PodOptions with = options();
  with.transfer.allow_http = true;
  const Node policy = parsed(policies_for(full_plan(), with)[1].json);
  EXPECT_EQ(json(policy, "spec.egress[1].ports"),
            R"([{"port":443,"protocol":"TCP"},{"port":80,"protocol":"TCP"}])");
}

TEST(Policies, NoneOfThemLetsAnythingIn) {
  const auto plan = egress("{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}");
  for (const run::Plan& each : {plan_of(), full_plan(), plan}) {
    for (const NetworkPolicy& policy : policies_for(each, options())) {
      const Node node = parsed(policy.json);
      EXPECT_THAT(find(node, "spec.ingress")->items, IsEmpty());
      EXPECT_THAT(texts(node, "spec.policyTypes"), ElementsAre("Ingress", "Egress"));
    }
  }
}

}  // namespace
}  // namespace sandboxrun::pod
