// What an administrator's policy changes; the rules that hold everywhere are in the table of
// tests/contract/manifests.

#include "operator/run/validate.h"

#include <gtest/gtest.h>

#include "operator/run/manifest.h"

namespace sandboxrun::run {
namespace {

std::vector<std::string> errors_of(const std::string& lines, const Policy& policy,
                                   Where where = Where::Cluster) {
  const std::string text =
      "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: a}\nspec:\n"
      "  command: [run]\n  environment: {image: \"x@sha256:" +
      std::string(64, 'a') + "\"}\n" + lines;
  std::vector<std::string> out;
  for (const FieldError& error : check_manifest(text, policy, where).errors) {
    out.push_back(std::string(to_string(error.rule)) + " " + error.path);
  }
  return out;
}

using Paths = std::vector<std::string>;

TEST(Policy, AllowsOnlyListedRuntimeClasses) {
  const std::string line = "  runtimeClassName: gvisor\n";
  EXPECT_EQ(errors_of(line, {}), Paths{"PolicyDenied spec.runtimeClassName"});
  EXPECT_EQ(errors_of(line, {}, Where::Local), Paths{"PolicyDenied spec.runtimeClassName"});
  EXPECT_EQ(errors_of(line, {.runtime_classes = {"gvisor"}}), Paths{});
}

TEST(Policy, AllowsOnlyListedNodeLabels) {
  const std::string line = "  nodeSelector: {disk: ssd}\n";
  EXPECT_EQ(errors_of(line, {}), Paths{"PolicyDenied spec.nodeSelector.disk"});
  EXPECT_EQ(errors_of(line, {.node_selector_keys = {"disk"}}), Paths{});
  EXPECT_EQ(errors_of("  nodeSelector: {kubernetes.io/arch: arm64}\n", {}), Paths{});
}

TEST(Policy, ComparesTolerationsAsAWhole) {
  const Policy policy{.tolerations = {{.key = "gpu", .op = "Exists", .effect = "NoSchedule"}}};
  EXPECT_EQ(
      errors_of("  tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]\n", policy),
      Paths{});
  EXPECT_EQ(errors_of("  tolerations: [{key: gpu, operator: Exists}]\n", policy),
            Paths{"PolicyDenied spec.tolerations[0]"});
}

TEST(Policy, T17_NeverAllowsASystemPriority) {
  EXPECT_EQ(errors_of("  priorityClassName: system-node-critical\n",
                      {.priority_classes = {"system-node-critical"}}),
            Paths{"PolicyDenied spec.priorityClassName"});
  EXPECT_EQ(errors_of("  priorityClassName: low\n", {.priority_classes = {"low"}}), Paths{});
}

TEST(Policy, T30_AllowsHttpOnlyByTheAdministratorsFlag) {
  const std::string lines =
      "  assets: [{name: a, target: /work/a, source: {https: {url: 'http://example.com/a'}}}]\n";
  EXPECT_EQ(errors_of(lines, {}), Paths{"PolicyDenied spec.assets[0].source.https.url"});
  EXPECT_EQ(errors_of(lines, {.allow_http = true}), Paths{});
}

TEST(Policy, T30_KeepsEgressOutOfTheClustersRanges) {
  const std::string lines =
      "  network: {mode: Egress, egress: [{to: [{ipBlock: {cidr: 10.96.3.0/24}}]}]}\n";
  EXPECT_EQ(errors_of(lines, {}), Paths{});
  EXPECT_EQ(errors_of(lines, {.cluster_cidrs = {"10.96.0.0/12"}}),
            Paths{"PolicyDenied spec.network.egress[0].to[0].ipBlock.cidr"});
}

TEST(Policy, CanRefuseEveryNetwork) {
  const std::string lines =
      "  network: {mode: Egress, egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}\n";
  EXPECT_EQ(errors_of(lines, {.allow_egress = false}), Paths{"PolicyDenied spec.network.mode"});
}

TEST(Validate, T28_NeverQuotesAUrl) {
  const std::string secret = "s3cr3t";
  const std::vector<std::string> urls = {
      "https://user:" + secret + "@example.com/", "https://example.com/?sig=" + secret,
      "https://example.com/ ?" + secret,          "ftp://" + secret + ".example.com/",
      "https://example.com/#" + secret,           "file:///" + secret};
  for (const std::string& url : urls) {
    const std::string text =
        "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: a}\nspec:\n"
        "  command: [run]\n  environment: {image: \"x@sha256:" +
        std::string(64, 'a') +
        "\"}\n  assets: [{name: a, target: /work/a, source: {https: {url: '" + url + "'}}}]\n";
    const CheckedManifest checked = check_manifest(text, Policy{}, Where::Cluster);
    ASSERT_EQ(checked.errors.size(), 1U) << url;
    EXPECT_EQ(checked.errors[0].message.find(secret), std::string::npos);
  }
}

}  // namespace
}  // namespace sandboxrun::run
