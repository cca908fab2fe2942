#include "operator/control/flags.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <string>
#include <vector>

namespace sandboxrun::control {
namespace {

const std::string kImage = "--sandbox-image=registry.example/s@sha256:" + std::string(64, 'b');

std::optional<std::string> no_environment(std::string_view) {
  return std::nullopt;
}

std::string problem(std::vector<std::string> arguments) {
  const auto line = read_flags(std::move(arguments), no_environment);
  return line ? "" : line.error().message;
}

TEST(Flags, TheSandboxImageIsAllThatIsNeeded) {
  const auto line = read_flags({kImage}, no_environment);
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->options.metrics_address, ":8080");
  EXPECT_EQ(line->options.probe_address, ":8081");
  EXPECT_EQ(line->options.pods.guard_delivery, pod::GuardDelivery::ImageVolume);
  EXPECT_FALSE(line->options.leader_elect);
  EXPECT_TRUE(line->options.watch_namespaces.empty());
}

TEST(Flags, S1_ASandboxImageWithoutADigestIsRefused) {
  EXPECT_EQ(problem({"--sandbox-image=registry.example/s:1"}),
            "--sandbox-image \"registry.example/s:1\" has no digest; write it as "
            "repository@sha256:<64 hex digits>");
}

TEST(Flags, TheChartsFlagsAreTaken) {
  const auto line = read_flags(
      {kImage, "--guard-delivery=Copy", "--leader-elect", "--leader-election-namespace=system",
       "--metrics-bind-address=:9090", "--health-probe-bind-address=0",
       "--max-concurrent-reconciles=8", "--network-isolation=Assume", "--log-level=debug",
       "--log-format=text", "--watch-namespace=a", "--watch-namespace=b",
       "--cluster-cidr=10.0.0.0/8", "--transfer-allow=10.1.2.3/32:9000", "--transfer-allow-http",
       "--allow-runtime-class=gvisor", "--allow-node-selector-key=pool",
       "--allow-toleration=dedicated=runs:NoSchedule", "--allow-priority-class=low"},
      no_environment);
  ASSERT_TRUE(line) << line.error().message;
  const OperatorOptions& options = line->options;
  EXPECT_EQ(options.pods.guard_delivery, pod::GuardDelivery::Copy);
  EXPECT_TRUE(options.leader_elect);
  EXPECT_EQ(options.leader_election_namespace, "system");
  EXPECT_EQ(options.max_concurrent_reconciles, 8);
  EXPECT_EQ(options.isolation, run::Isolation::Waived);
  EXPECT_TRUE(options.policy.allow_egress);
  EXPECT_EQ(options.watch_namespaces, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.pods.cluster_cidrs, std::vector<std::string>{"10.0.0.0/8"});
  EXPECT_TRUE(options.pods.transfer.allow_http);
  EXPECT_EQ(options.policy.runtime_classes, std::vector<std::string>{"gvisor"});
  EXPECT_EQ(options.policy.node_selector_keys.back(), "pool");
  const run::Toleration wanted{
      .key = "dedicated", .op = "Equal", .value = "runs", .effect = "NoSchedule"};
  EXPECT_EQ(options.policy.tolerations, std::vector<run::Toleration>{wanted});
}

TEST(Flags, InAPodNetworkIsolationIsProbedAndEgressWaitsForTheAnswer) {
  const auto line = read_flags({kImage}, [](std::string_view name) -> std::optional<std::string> {
    if (name == "POD_IP") return "10.0.0.7";
    if (name == "POD_NAMESPACE") return "system";
    return std::nullopt;
  });
  ASSERT_TRUE(line) << line.error().message;
  ASSERT_TRUE(line->options.probe);
  EXPECT_EQ(line->options.probe->pod_ip, "10.0.0.7");
  EXPECT_EQ(line->options.probe->port, 8082);
  EXPECT_TRUE(line->options.policy.allow_egress);
  EXPECT_EQ(line->options.isolation, run::Isolation::Unknown);
}

TEST(Flags, S3_EgressIsOffWhereNobodyCanProbeOrVouchForIsolation) {
  const auto line = read_flags({kImage}, no_environment);
  ASSERT_TRUE(line);
  EXPECT_FALSE(line->options.policy.allow_egress);
}

TEST(Flags, AllThatIsWrongIsSaidAtOnce) {
  EXPECT_EQ(problem({kImage, "--guard-delivery=Magic", "--max-concurrent-reconciles=0",
                     "--log-level=loud", "--leader-elect"}),
            "--guard-delivery Magic: give ImageVolume or Copy\n"
            "--max-concurrent-reconciles must be 1 to 64\n"
            "--log-level loud: give debug, info, warn or error\n"
            "--leader-elect needs --leader-election-namespace, or POD_NAMESPACE in the "
            "environment");
}

TEST(Flags, TheLeaseIsInThePodsOwnNamespaceByDefault) {
  const auto line = read_flags({kImage, "--leader-elect"}, [](std::string_view name) {
    return name == "POD_NAMESPACE" ? std::optional<std::string>("mine") : std::nullopt;
  });
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->options.leader_election_namespace, "mine");
}

/// What --help says of a flag.
std::string said_of(const std::string& help, const std::string& flag) {
  const std::size_t begin = help.find("\n  " + flag + " ");
  if (begin == std::string::npos) return "";
  return help.substr(begin, help.find("\n  --", begin + 1) - begin);
}

TEST(Flags, HelpNamesEveryFlagOfTheReferenceAndItsDefault) {
  const auto line = read_flags({"--help"}, no_environment);
  ASSERT_TRUE(line);
  std::ifstream reference(SANDBOXRUN_SOURCE_DIR "/docs/reference/operator.md");
  const std::regex row(R"(\| `(--[a-z-]+)(?:[^|]|\\\|)*\| `?([^|`]+)`? \|.*)");
  const std::regex given(R"(\(default:? ([^)]+)\)|([\w-]+) \(the default\))");
  int flags = 0;
  int defaults = 0;
  for (std::string text; std::getline(reference, text);) {
    std::smatch documented;
    if (!std::regex_match(text, documented, row)) continue;
    ++flags;
    const std::string said = said_of(line->print, documented[1]);
    EXPECT_NE(said, "") << documented[1] << " is not in --help";
    std::smatch found;
    if (documented[2] == "see below" || !std::regex_search(said, found, given)) continue;
    ++defaults;
    EXPECT_EQ(found[1].str() + found[2].str(), documented[2].str()) << documented[1];
  }
  EXPECT_GE(flags, 20);
  EXPECT_GE(defaults, 9);
}

}  // namespace
}  // namespace sandboxrun::control
