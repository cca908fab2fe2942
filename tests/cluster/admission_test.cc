// The chart's admission policies on a real API server, with real users: docs/reference/chart.md.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "operator/pod/render.h"
#include "operator/run/manifest.h"
#include "tests/charts/helm.h"
#include "tests/support/cluster.h"

namespace sandboxrun::test {
namespace {

using ::testing::HasSubstr;

const std::string kHex(64, 'a');
/// What tests/charts/values/minimal.yaml names.
const std::string kSandboxImage =
    "registry.example.com/sandboxrun/sandbox@sha256:" + std::string(64, 'b');

std::string run_manifest(const std::string& lines) {
  return "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: weather}\nspec:\n"
         "  environment: {image: \"registry.example.com/base@sha256:" +
         kHex + "\"}\n  command: [/bin/true]\n" + lines;
}

std::string env_of(const std::string& kind, const std::vector<std::string>& names) {
  std::string out = "  env:\n";
  for (std::size_t i = 0; i < names.size(); ++i) {
    out += "  - {name: V" + std::to_string(i) + ", valueFrom: {" + kind + ": {name: " + names[i] +
           ", key: k}}}\n";
  }
  return out;
}

std::vector<std::string> numbered(int count) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) out.push_back("mine-" + std::to_string(i));
  return out;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// A namespace in which the chart serves runs, with its policies and its rights but no operator.
class Admission : public ::testing::Test {
 protected:
  Admission() : space_(cluster_, "admission") {
    cluster_.install_crds();
    const std::string& name = space_.name();
    const HelmResult chart = helm(
        {"template", name, "charts/sandboxrun", "--namespace", name, "--kube-version", "1.37",
         "--values", "tests/charts/values/minimal.yaml", "--set-json",
         "watchNamespaces=[\"" + name + "\"]", "--show-only", "templates/rbac.yaml", "--show-only",
         "templates/admission-operator.yaml", "--show-only", "templates/admission-references.yaml",
         "--show-only", "templates/admission-runpods.yaml"});
    if (chart.exit_code != 0) throw std::runtime_error(chart.err);
    chart_ = chart.out;
    cluster_.apply(chart_);
    std::string names;
    for (const std::string& each : numbered(24)) names += each + ",";
    add_role("student",
             "[{apiGroups: [sandboxrun.dev], resources: [sandboxruns], verbs: [create]},"
             " {apiGroups: [''], resources: ['pods', 'pods/exec', 'pods/attach', 'pods/proxy',"
             " 'pods/portforward', 'pods/ephemeralcontainers', 'pods/status', 'pods/resize'],"
             " verbs: ['*']}, {apiGroups: [''], resources: [secrets], resourceNames: [" +
                 names + "], verbs: [get]}]");
    add_role("teacher",
             "[{apiGroups: [sandboxrun.dev], resources: [sandboxruns], verbs: [create]},"
             " {apiGroups: [''], resources: [secrets, configmaps], verbs: [get]}]");
  }

  ~Admission() override { cluster_.kubectl({"delete", "--wait=false", "-f", "-"}, chart_); }

  void add_role(const std::string& user, const std::string& rules) {
    const std::string meta = "{name: " + user + ", namespace: " + space_.name() + "}\n";
    cluster_.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: " + meta +
        "rules: " + rules +
        "\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: " + meta +
        "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: " + user +
        "}\nsubjects: [{kind: User, name: " + user + ", apiGroup: rbac.authorization.k8s.io}]\n");
  }

  std::string the_operator() const {
    return "system:serviceaccount:" + space_.name() + ":" + (space_.name() + "-sandboxrun");
  }

  KubectlResult call(const std::string& user, std::vector<std::string> arguments,
                     const std::string& input = "") const {
    arguments.insert(arguments.begin(), {"--as", user, "--namespace", space_.name()});
    return cluster_.kubectl(arguments, input);
  }

  /// What a policy says when it refuses the call. A new policy takes a moment to be in force, and
  /// so does the account of a new namespace: waits for both.
  std::string refusal(const std::string& user, const std::vector<std::string>& arguments,
                      const std::string& input = "") const {
    constexpr std::string_view kMark = "denied request: ";
    KubectlResult result;
    for (int tries = 0; tries < 100; ++tries) {
      result = call(user, arguments, input);
      const std::size_t at = result.err.find(kMark);
      if (result.exit_code != 0 && at != std::string::npos) {
        return result.err.substr(at + kMark.size());
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    return "not refused by a policy: " + result.out + result.err;
  }

  std::string allowed(const std::string& user, const std::vector<std::string>& arguments,
                      const std::string& input = "") const {
    const KubectlResult result = call(user, arguments, input);
    return result.exit_code == 0 ? "allowed" : result.err;
  }

  /// The pod that the operator makes of the run `lines`.
  std::string pod(const std::string& lines = "") const {
    const auto checked = run::check_manifest(run_manifest(lines), {}, run::Where::Cluster);
    EXPECT_TRUE(checked.errors.empty());
    run::Plan plan = run::make_plan(checked.run);
    plan.namespace_name = space_.name();
    plan.uid = uid_;
    pod::PodOptions options;
    options.sandbox_image = kSandboxImage;
    const auto pod = pod::render_pod(plan, options, {.number = 1, .token = "4f0c"});
    EXPECT_TRUE(pod.has_value());
    return pod ? pod->json : "";
  }

  Cluster cluster_;
  TestNamespace space_;
  std::string chart_;
  std::string uid_ = "0f4c1d7e-0000-4000-8000-000000000000";
};

const std::vector<std::string> kTry = {"create", "--dry-run=server", "-f", "-"};

std::vector<std::string> patch(const std::string& pod, const std::string& kind,
                               const std::string& body, const std::string& part = "") {
  std::vector<std::string> out = {"patch",  "pod", pod,       "--dry-run=server",
                                  "--type", kind,  "--patch", body};
  if (!part.empty()) out.insert(out.end(), {"--subresource", part});
  return out;
}

TEST_F(Admission, S4_WhoeverCreatesARunNeedsTheRightToEachSecretAndConfigMapThatItNames) {
  const std::string says = "whoever creates this run needs the right to get each of ";
  const std::string foreign = run_manifest(env_of("secretKeyRef", {"mine-0", "mine-1", "theirs"}));
  EXPECT_THAT(refusal("student", kTry, foreign),
              HasSubstr(says + "secrets/mine-0, secrets/mine-1, secrets/theirs"));
  for (const std::string lines :
       {"  imagePullSecrets: [{name: theirs}]\n",
        "  results: {upload: {https: {urlFrom: {secretKeyRef: {name: theirs, key: u}}}}}\n",
        "  assets: [{name: a, target: /work/a, source: {https: {url: 'https://example.com/a', "
        "headersSecretRef: {name: theirs}}}}]\n",
        "  assets: [{name: a, target: /work/a, source: {s3: {region: r, bucket: bucket, key: k, "
        "credentialsSecretRef: {name: theirs}}}}]\n"}) {
    EXPECT_THAT(refusal("student", kTry, run_manifest(lines)), HasSubstr(says + "secrets/theirs"));
  }
  EXPECT_THAT(refusal("student", kTry, run_manifest(env_of("configMapKeyRef", {"any"}))),
              HasSubstr(says + "configmaps/any"));
  EXPECT_THAT(refusal("student", kTry,
                      run_manifest("  assets: [{name: a, target: /work/a, source: {configMap: "
                                   "{name: any, key: k}}}]\n")),
              HasSubstr(says + "configmaps/any"));
  EXPECT_EQ(allowed("student", kTry, run_manifest("")), "allowed");
  EXPECT_EQ(allowed("teacher", kTry, foreign), "allowed");
}

TEST_F(Admission, S4_RightsToTwentyFourNamesCanBeProvenOneByOne) {
  const std::string many = run_manifest(env_of("secretKeyRef", numbered(25)));
  EXPECT_THAT(refusal("student", kTry, many), HasSubstr("names more than 24 Secrets"));
  EXPECT_EQ(allowed("student", kTry, run_manifest(env_of("secretKeyRef", numbered(24)))),
            "allowed");
  EXPECT_EQ(allowed("teacher", kTry, many), "allowed");
}

TEST_F(Admission, S2_TheOperatorsTokenMakesOnlyPodsOfARunsShape) {
  struct Case {
    const char* from;
    const char* to;
    const char* says;
  };
  const std::string good = pod();
  for (const Case& c : std::vector<Case>{
           {R"("schedulingGates":[{"name":"sandboxrun.dev/admission"}],)", "", "behind the gate"},
           {R"("hostUsers":false)", R"("hostUsers":true)", "namespaces"},
           {R"("kind":"SandboxRun")", R"("kind":"Job")", "with their label and owner"},
           {R"("automountServiceAccountToken":false)", R"("automountServiceAccountToken":true)",
            "no token"},
           {R"("restartPolicy":"Never")", R"("restartPolicy":"OnFailure")", "started once"},
           {R"("supplementalGroupsPolicy":"Strict")", R"("supplementalGroupsPolicy":"Merge")",
            "hardened"},
           {R"("readOnlyRootFilesystem":true)", R"("readOnlyRootFilesystem":false)", "hardened"},
           {"/20/usr/libexec/sandboxrun/guard", "/20/usr/libexec/sandboxrun/other",
            "started by the guard"},
           {R"("reference":"registry.example.com/sandboxrun/sandbox@)",
            R"("reference":"registry.example.com/other@)", "come from the sandbox image"},
           {R"("volumes":[)",
            R"("volumes":[{"name":"token","projected":{"sources":[)"
            R"({"serviceAccountToken":{"path":"t"}}]}},)",
            "no tokens"}}) {
    EXPECT_THAT(refusal(the_operator(), kTry, replaced(good, c.from, c.to)), HasSubstr(c.says))
        << c.from;
  }
  EXPECT_EQ(allowed(the_operator(), kTry, good), "allowed");
  EXPECT_EQ(allowed(the_operator(), kTry,
                    pod("  assets: [{name: note, target: /work/note, source: {inline: x}}]\n"
                        "  results: {upload: {https: {url: 'https://example.com/put'}}}\n")),
            "allowed");
}

/// With one pod of a run in the namespace, and the run: the garbage collector deletes a pod whose
/// owner does not exist.
class RunPod : public Admission {
 protected:
  RunPod() {
    uid_ = cluster_.kubectl_output(
        {"create", "-f", "-", "--namespace", space_.name(), "--output", "jsonpath={.metadata.uid}"},
        run_manifest(""));
    // Once the policy is in force, the namespace is ready too.
    refusal("student", kTry, pod());
    const KubectlResult made =
        call(the_operator(), {"create", "-f", "-", "--output", "jsonpath={.metadata.name}"}, pod());
    if (made.exit_code != 0) throw std::runtime_error(made.err);
    name_ = made.out;
  }

  std::string name_;
};

TEST_F(RunPod, S5_TheOperatorsTokenChangesNothingThatRuns) {
  const std::string other = R"({"spec":{"containers":[{"name":"run","image":"other"}]}})";
  EXPECT_THAT(refusal(the_operator(), patch(name_, "strategic", other)),
              HasSubstr("only activeDeadlineSeconds and schedulingGates"));
  EXPECT_THAT(
      refusal(the_operator(), patch(name_, "merge", R"({"metadata":{"labels":{"a":"b"}}})")),
      HasSubstr("only its own annotations"));
  EXPECT_EQ(allowed(the_operator(),
                    patch(name_, "merge",
                          R"({"spec":{"activeDeadlineSeconds":1,"schedulingGates":null},)"
                          R"("metadata":{"annotations":{"sandboxrun.dev/stop":"Cancelled"}}})")),
            "allowed");
  EXPECT_EQ(allowed(the_operator(), {"delete", "pod", name_, "--dry-run=server"}), "allowed");
}

TEST_F(RunPod, S2_OthersAreKeptOut) {
  EXPECT_THAT(refusal("student", {"exec", name_, "--", "ls"}), HasSubstr("nobody may enter"));
  EXPECT_THAT(refusal("student", {"attach", name_}), HasSubstr("nobody may enter"));
  EXPECT_THAT(refusal("student", {"debug", name_, "--image", "x", "--container", "debugger",
                                  "--profile", "restricted"}),
              HasSubstr("may not be changed"));
  EXPECT_THAT(refusal("student", patch(name_, "merge", R"({"status":{"message":"x"}})", "status")),
              HasSubstr("may not be changed"));
  EXPECT_THAT(refusal("student", patch(name_, "merge", R"({"spec":{"activeDeadlineSeconds":1}})")),
              HasSubstr("set spec.cancel"));
  EXPECT_THAT(
      refusal("student",
              patch(name_, "merge", R"({"metadata":{"labels":{"sandboxrun.dev/run-uid":"x"}}})")),
      HasSubstr("that make a pod a run's"));
  EXPECT_THAT(refusal("student", patch(name_, "merge", R"({"metadata":{"ownerReferences":null}})")),
              HasSubstr("that make a pod a run's"));
  EXPECT_THAT(
      refusal("student", kTry, replaced(pod(), "\"name\":\"weather-", "\"name\":\"forged-")),
      HasSubstr("only the operator may create pods"));
  EXPECT_EQ(allowed("student", patch(name_, "merge", R"({"metadata":{"labels":{"mine":"x"}}})")),
            "allowed");
  EXPECT_EQ(allowed("student", {"delete", "pod", name_, "--dry-run=server"}), "allowed");
}

}  // namespace
}  // namespace sandboxrun::test
