#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "operator/cli/pretty_json.h"
#include "operator/pod/network_policy.h"
#include "tests/support/pod/plans.h"

// Whole pods and policies, kept as files: a change of what is rendered is a change that is read.
// SANDBOXRUN_UPDATE_GOLDEN=1 writes them anew.
namespace sandboxrun::pod {
namespace {

using namespace testing;  // NOLINT: the helpers' names say what they are

void expect_golden(const std::string& name, const Node& node) {
  const std::string path = SANDBOXRUN_SOURCE_DIR "/tests/unit/pods/golden/" + name + ".json";
  const std::string text = cli::pretty_json(node);
  if (std::getenv("SANDBOXRUN_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path, std::ios::binary) << text;
    return;
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(text, golden.str()) << path;
}

TEST(Golden, AMinimalPod) {
  expect_golden("minimal", rendered(plan_of()));
}

TEST(Golden, APodWithEveryPart) {
  expect_golden("full", rendered(full_plan()));
}

TEST(Golden, APodWhoseGuardIsCopied) {
  PodOptions with = options();
  with.guard_delivery = GuardDelivery::Copy;
  expect_golden("guard-copied", rendered(plan_of(), with));
}

TEST(Golden, APodWithPlacementAndMemoryScratch) {
  expect_golden(
      "scheduling",
      rendered(plan_of("  scratch: {medium: Memory, sizeLimit: 256Mi}\n"
                       "  runtimeClassName: gvisor\n  priorityClassName: batch\n"
                       "  nodeSelector: {kubernetes.io/arch: amd64}\n"
                       "  resources: {requests: {cpu: 250m}, limits: {cpu: \"2\", memory: 2Gi}}\n"
                       "  imagePullSecrets: [{name: pull}]\n")));
}

TEST(Golden, APodWithItsOwnEgressRules) {
  const run::Plan plan = plan_of(
      "  network: {mode: Egress, dns: Cluster, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], "
      "ports: [{protocol: TCP, port: 443}]}]}\n");
  expect_golden("egress", rendered(plan));
  const auto policies = policies_for(plan, options());
  ASSERT_EQ(policies.size(), 2U);
  expect_golden("policy-deny-all", parsed(policies[0].json));
  expect_golden("policy-egress", parsed(policies[1].json));
}

TEST(Golden, ThePolicyForTransfers) {
  const auto policies = policies_for(full_plan(), options());
  ASSERT_EQ(policies.size(), 2U);
  expect_golden("policy-transfer", parsed(policies[1].json));
}

}  // namespace
}  // namespace sandboxrun::pod
