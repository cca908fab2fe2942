// What runs cost the API server, by its audit log, and many runs at once.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/audit_log.h"
#include "tests/support/https_server.h"
#include "tests/support/served_namespace.h"

namespace sandboxrun::test {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Traffic : public ::testing::Test {
 protected:
  Traffic() : space_("traffic") {}

  /// What the operator asked for since the last call, but for Events: "create pods".
  std::vector<std::string> new_requests() {
    // The log is written a moment after the answer.
    std::this_thread::sleep_for(seconds(1));
    std::vector<std::string> out;
    std::size_t seen = 0;
    for (const AuditedRequest& each :
         audited_requests(space_.cluster().folder(), space_.account())) {
      if (each.user != space_.account() || seen++ < seen_) continue;
      if (each.resource != "events") out.push_back(each.verb + " " + each.resource);
    }
    seen_ = std::max(seen, seen_);
    return out;
  }

  ServedNamespace space_;

 private:
  std::size_t seen_ = 0;
};

TEST_F(Traffic, AMinimalRunTakesFiveWritesAndNoRead) {
  // The first run of a namespace has its network policies made.
  space_.create("first", "  command: ['true']\n");
  space_.wait_for_end("first");
  new_requests();
  space_.create("r", "  command: [sleep, '2']\n");
  space_.wait_for_end("r");
  EXPECT_THAT(new_requests(), ElementsAre("create pods", "patch sandboxruns/status", "patch pods",
                                          "patch sandboxruns/status", "patch sandboxruns/status"));
}

TEST_F(Traffic, ARunWithInputsAndResultsTakesSevenWritesAtMostAndNoRead) {
  const CertificateAuthority authority;
  const HttpsServer server(authority, R"({"/in": [{"body": "data"}], "/put": [{}]})",
                           HttpsServer::Certificate::Good, Cluster::kNodeAddress);
  space_.output({"create", "configmap", "ca", "--from-file=ca.crt=" + authority.file()});
  space_.make_secret("put", {{"url", server.url("/put")}});
  const std::string spec =
      "  command: [sleep, '2']\n"
      "  assets: [{name: in, target: /work/in, source: {https: {url: \"" +
      server.url("/in") +
      "\", caConfigMapRef: {name: ca, key: ca.crt}}}}]\n"
      "  results: {path: /results, upload: {https: {urlFrom: {secretKeyRef: {name: put, key: "
      "url}}, "
      "caConfigMapRef: {name: ca, key: ca.crt}}}}\n";
  space_.create("first", spec);
  space_.wait_for_end("first");
  new_requests();
  space_.create("r", spec);
  const Node status = space_.wait_for_end("r");
  EXPECT_EQ(condition(status, "ResultsStored"), "True Stored") << condition_message(status);
  const std::vector<std::string> requests = new_requests();
  EXPECT_LE(requests.size(), 7u) << ::testing::PrintToString(requests);
  for (const std::string& each : requests) {
    EXPECT_FALSE(each.starts_with("get ") || each.starts_with("list ")) << each;
  }
}

TEST_F(Traffic, AnIdleOperatorAsksForNothing) {
  space_.create("r", "  command: ['true']\n");
  space_.wait_for_end("r");
  new_requests();
  std::this_thread::sleep_for(seconds(10));
  EXPECT_THAT(new_requests(), IsEmpty());
}

TEST_F(Traffic, AHundredRunsAtOnce) {
  constexpr int kRuns = 100;
  std::string manifests;
  for (int i = 0; i < kRuns; ++i) {
    manifests +=
        "---\napiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: r" +
        std::to_string(i) + "}\nspec:\n  environment: {image: \"" +
        space_.cluster().image("sandbox-tiny") +
        "\"}\n  command: [/bin/true]\n"
        "  resources: {requests: {cpu: 1m, memory: 8Mi}, limits: {cpu: '1', memory: 64Mi}}\n";
  }
  space_.output({"create", "-f", "-"}, manifests);
  space_.output({"wait", "sbr", "--all", "--for=condition=Reconciling=False", "--timeout=400s"});
  const std::string reasons =
      space_.output({"get", "sbr", "--output",
                     "jsonpath={.items[*].status.conditions[?(@.type==\"Succeeded\")].reason}"});
  std::string expected = "Completed";
  for (int i = 1; i < kRuns; ++i) expected += " Completed";
  EXPECT_EQ(reasons, expected);
  EXPECT_EQ(space_.pods().size(), static_cast<std::size_t>(kRuns));
}

}  // namespace
}  // namespace sandboxrun::test
