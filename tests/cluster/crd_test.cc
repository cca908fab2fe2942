// The CRD on a real API server: what it takes, refuses, keeps and shows.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/cluster.h"

namespace sandboxrun::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::string_view kDigest =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A run that nobody acts on: no operator is in the cluster, and it is suspended.
std::string run_manifest(const std::string& name, const std::string& more = "") {
  return "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: " + name +
         "}\nspec:\n  environment: {image: registry.example.com/tools/python@sha256:" +
         std::string(kDigest) + "}\n  command: [/bin/true]\n  suspend: true\n" + more;
}

struct Header {
  std::string refused_by;               ///< " schema operator launcher "
  std::vector<std::string> top_fields;  ///< of its errors, such as "spec.network"
};

/// The first lines of a manifest of the table; tests/contract/manifest_test.cc describes them.
Header header_of(const fs::path& path) {
  constexpr std::string_view kBy = "# refused-by:";
  Header out;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line) && line.starts_with("# ");) {
    if (line.starts_with(kBy)) out.refused_by = line.substr(kBy.size()) + " ";
    const std::size_t field = line.find(": spec.");
    if (field == std::string::npos) continue;
    const std::size_t start = field + 2;
    const std::size_t end = line.find_first_of(".[ ", start + std::string_view("spec.").size());
    out.top_fields.push_back(line.substr(start, end - start));
  }
  return out;
}

std::vector<fs::path> table(const std::string& folder) {
  std::vector<fs::path> out;
  const fs::path base = fs::path(SANDBOXRUN_SOURCE_DIR) / "tests/contract/manifests" / folder;
  for (const auto& entry : fs::directory_iterator(base)) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

class Crd : public testing::Test {
 protected:
  Crd() { cluster_.install_crds(); }

  KubectlResult create_dry(const fs::path& manifest) const {
    return cluster_.kubectl({"create", "--dry-run=server", "--validate=strict", "--namespace",
                             "default", "-f", manifest});
  }

  KubectlResult patch(const TestNamespace& space, const std::string& name, const std::string& spec,
                      const std::string& subresource = "") const {
    std::vector<std::string> arguments = {"patch",       "sandboxrun", name,
                                          "--namespace", space.name(), "--type",
                                          "merge",       "--patch",    spec};
    if (!subresource.empty()) arguments.push_back("--subresource=" + subresource);
    return cluster_.kubectl(arguments);
  }

  void create(const TestNamespace& space, const std::string& manifest) const {
    cluster_.kubectl_output({"create", "--namespace", space.name(), "-f", "-"}, manifest);
  }

  const Cluster cluster_;
};

TEST_F(Crd, TakesEveryGoodManifestOfTheTable) {
  for (const fs::path& path : table("good")) {
    // What exists already, says its resourceVersion, cannot be created.
    if (path.stem() == "from-the-api-server") continue;
    const KubectlResult result = create_dry(path);
    EXPECT_EQ(result.exit_code, 0) << path.filename() << ": " << result.err;
  }
}

TEST_F(Crd, RefusesEveryManifestOfTheTableThatTheSchemaRefusesAndNamesTheField) {
  int refused = 0;
  for (const fs::path& path : table("bad")) {
    const Header header = header_of(path);
    if (header.refused_by.find(" schema ") == std::string::npos) continue;
    ++refused;
    const KubectlResult result = create_dry(path);
    EXPECT_NE(result.exit_code, 0) << path.filename() << " was taken";
    const bool names_one = std::ranges::any_of(header.top_fields, [&](const std::string& field) {
      return result.err.find(field) != std::string::npos;
    });
    EXPECT_TRUE(names_one || header.top_fields.empty()) << path.filename() << ": " << result.err;
  }
  EXPECT_GE(refused, 100);
}

TEST_F(Crd, TakesWhatOnlyTheOperatorRefuses) {
  for (const fs::path& path : table("bad")) {
    const std::string who = header_of(path).refused_by;
    if (who == " reader " || who.find(" schema ") != std::string::npos) continue;
    const KubectlResult result = create_dry(path);
    EXPECT_EQ(result.exit_code, 0) << path.filename() << ": " << result.err;
  }
}

TEST_F(Crd, NothingOfTheWorkCanBeChanged) {
  const TestNamespace space(cluster_, "crd");
  create(space, run_manifest("fixed"));
  const std::string other(64, '0');
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"environment", R"({"image":"registry.example.com/tools/python@sha256:)" + other + R"("})"},
      {"command", R"(["/bin/false"])"},
      {"args", R"(["more"])"},
      {"workingDir", R"("/tmp")"},
      {"env", R"([{"name":"A","value":"b"}])"},
      {"setup", R"([{"name":"a","command":["true"]}])"},
      {"assets", R"([{"name":"a","source":{"inline":"x"},"target":"a"}])"},
      {"results", R"({"path":"/results","skipUpload":true})"},
      {"scratch", R"({"sizeLimit":"2Gi"})"},
      {"network", R"({"mode":"None"})"},
      {"resources", R"({"limits":{"cpu":"1"}})"},
      {"runtimeClassName", R"("gvisor")"},
      {"nodeSelector", R"({"a":"b"})"},
      {"tolerations", R"([{"key":"a","operator":"Exists"}])"},
      {"priorityClassName", R"("low")"},
      {"imagePullSecrets", R"([{"name":"a"}])"},
      {"activeDeadlineSeconds", "5"},
      {"startDeadlineSeconds", "5"},
      {"backoffLimit", "1"},
      {"managedBy", R"("example.com/other")"},
  };
  for (const auto& [field, value] : changes) {
    const KubectlResult result =
        patch(space, "fixed", R"({"spec":{")" + field + "\":" + value + "}}");
    EXPECT_NE(result.exit_code, 0) << field;
    EXPECT_THAT(result.err, HasSubstr(field + " cannot be changed; make a new run"));
  }
}

TEST_F(Crd, SuspendCancelAndTheTimeToLiveCanBeChanged) {
  const TestNamespace space(cluster_, "crd");
  create(space, run_manifest("edited"));
  const KubectlResult result = patch(
      space, "edited", R"({"spec":{"suspend":false,"cancel":true,"ttlSecondsAfterFinished":60}})");
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST_F(Crd, ACancelCannotBeTakenBack) {
  const TestNamespace space(cluster_, "crd");
  create(space, run_manifest("cancelled"));
  EXPECT_EQ(patch(space, "cancelled", R"({"spec":{"cancel":false}})").exit_code, 0);
  EXPECT_EQ(patch(space, "cancelled", R"({"spec":{"cancel":true}})").exit_code, 0);
  for (const char* back : {R"({"spec":{"cancel":false}})", R"({"spec":{"cancel":null}})"}) {
    const KubectlResult result = patch(space, "cancelled", back);
    EXPECT_NE(result.exit_code, 0) << back;
    EXPECT_THAT(result.err, HasSubstr("cancel cannot be taken back; make a new run"));
  }
  EXPECT_EQ(patch(space, "cancelled", R"({"spec":{"suspend":true}})").exit_code, 0);
}

TEST_F(Crd, ANewRunSaysFromTheFirstMomentThatItWaits) {
  const TestNamespace space(cluster_, "crd");
  create(space, run_manifest("new"));
  const Node run = cluster_.get("sandboxrun", space.name(), "new");
  const Node& conditions = *run.find("status")->find("conditions");
  ASSERT_EQ(conditions.items.size(), 2U);
  EXPECT_EQ(conditions.items[0].find("type")->text, "Succeeded");
  EXPECT_EQ(conditions.items[0].find("status")->text, "Unknown");
  EXPECT_EQ(conditions.items[0].find("reason")->text, "Pending");
  EXPECT_EQ(conditions.items[1].find("type")->text, "Reconciling");
  EXPECT_EQ(conditions.items[1].find("status")->text, "True");
}

TEST_F(Crd, OnlyTheStatusSubresourceChangesTheStatusAndNothingElse) {
  const TestNamespace space(cluster_, "crd");
  create(space, run_manifest("split"));
  const std::string both = R"({"spec":{"suspend":false},"status":{"duration":"7s"}})";

  ASSERT_EQ(patch(space, "split", both).exit_code, 0);
  Node run = cluster_.get("sandboxrun", space.name(), "split");
  EXPECT_FALSE(run.find("spec")->find("suspend")->boolean);
  EXPECT_EQ(run.find("status")->find("duration"), nullptr);
  EXPECT_EQ(run.find("metadata")->find("generation")->integer, 2);

  const std::string other = R"({"spec":{"suspend":true},"status":{"duration":"7s"}})";
  ASSERT_EQ(patch(space, "split", other, "status").exit_code, 0);
  run = cluster_.get("sandboxrun", space.name(), "split");
  EXPECT_FALSE(run.find("spec")->find("suspend")->boolean);
  EXPECT_EQ(run.find("status")->find("duration")->text, "7s");
  EXPECT_EQ(run.find("metadata")->find("generation")->integer, 2);
}

TEST_F(Crd, GetShowsTheEndAtAGlance) {
  const TestNamespace space(cluster_, "crd");
  create(space, run_manifest("shown"));
  const std::string status = R"({"status":{"conditions":[{"type":"Succeeded","status":"False",
      "reason":"RunFailed","message":"exit code 3","lastTransitionTime":"2026-01-02T03:04:05Z"}],
      "run":{"exitCode":3},"duration":"2m31s",
      "attempts":[{"podName":"shown-1","nodeName":"n0"},{"podName":"shown-2","nodeName":"n1"}]}})";
  ASSERT_EQ(patch(space, "shown", status, "status").exit_code, 0);
  const std::string narrow =
      cluster_.kubectl_output({"get", "sbr", "shown", "--namespace", space.name()});
  EXPECT_THAT(narrow,
              testing::ContainsRegex("NAME +SUCCEEDED +REASON +EXIT +STARTED +DURATION +AGE\n"
                                     "shown +False +RunFailed +3 +2m31s +[0-9]+s\n"));
  const std::string wide = cluster_.kubectl_output(
      {"get", "sbr", "shown", "--namespace", space.name(), "--output", "wide"});
  EXPECT_THAT(wide, testing::ContainsRegex("AGE +POD +NODE\nshown .* shown-2 +n1\n"));
}

TEST_F(Crd, ExplainReadsLikeAReference) {
  const std::string text = cluster_.kubectl_output({"explain", "sandboxrun.spec.environment"});
  EXPECT_THAT(text, HasSubstr("FIELD: environment <Object>"));
  EXPECT_THAT(text, HasSubstr("What the program runs in."));
  EXPECT_THAT(text, HasSubstr("image\t<string> -required-"));
  EXPECT_THAT(text, HasSubstr("archive\t<Object>"));
}

}  // namespace
}  // namespace sandboxrun::test
