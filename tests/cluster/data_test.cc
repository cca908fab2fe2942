// The data path on a real kubelet: environments, assets and results by https and s3, what of them
// the run can see, and what is left of secrets afterwards.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "operator/base/document.h"
#include "tests/support/child_process.h"
#include "tests/support/served_namespace.h"
#include "tests/support/setup_cache.h"
#include "tests/support/tar_builder.h"
#include "tests/support/transfer_servers.h"

namespace sandboxrun::test {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr seconds kPatience{150};
/// In every secret of this suite, and nowhere else.
const std::string kCanary = "canary4c1d9e";
/// In the operator's own environment.
const std::string kOperatorCanary = "canary77b0aa";

/// The value of KEY=VALUE in environments.lock.
std::string locked(const std::string& key) {
  std::istringstream lines(read_file(setup_cache() + "/environments.lock"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(key + "=")) return line.substr(key.size() + 1);
  }
  throw std::runtime_error("no " + key + " in environments.lock; ./dev setup");
}

/// A small environment whose activation sets a variable.
std::string small_environment() {
  return gzip(TarBuilder()
                  .file("activate.sh", "export FROM_THE_ENVIRONMENT=\"it works\"\n")
                  .folder("bin")
                  .file("bin/tool", "#!/bin/sh\necho \"the tool says $1\"\n", 0755)
                  .finish());
}

std::string shell(const std::string& script) {
  return "  command: [/bin/sh, -c, \"" + script + "\"]\n";
}

std::string results(const std::string& upload) {
  return "  results: {upload: {" + upload + "}, timeoutSeconds: 60}\n";
}

class Data : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite() {
    servers_.reset();
    space_.reset();
    kept_.reset();
  }
  static ServedNamespace& space() { return *space_; }
  static TransferServers& servers() { return *servers_; }

  /// Where the server keeps what was PUT to /up/NAME.
  static std::string uploaded(const std::string& name) { return *kept_ / name; }
  /// The content of one object of bucket inputs that a run stored.
  static std::string stored(const std::string& key) { return servers().s3().file("inputs", key); }

  static void expect_stored(const Node& status, const std::string& archive) {
    EXPECT_EQ(condition(status, "ResultsStored"), "True Stored")
        << condition_message(status, "ResultsStored");
    EXPECT_EQ(at(status, "results.stored"), "true");
    EXPECT_EQ(at(status, "results.digest"), digest_of_file(archive));
    EXPECT_EQ(at(status, "results.bytes"), std::to_string(read_file(archive).size()));
  }

 private:
  static std::string script();
  static void make_secrets();
  static void create_weather();
  static void create_inputs();
  static void create_ends();
  static void create_secretive();

  static inline std::unique_ptr<ServedNamespace> space_;
  static inline std::unique_ptr<TransferServers> servers_;
  static inline std::unique_ptr<TempDir> kept_;
};

std::string Data::script() {
  const std::string archive = "[{\"file\":\"" + locked("LOCK_PYTHON_ARCHIVE") + "\"}]";
  std::string out = "{\"/python.tar.zst\":" + archive +
                    ",\"/hello.txt\":[{\"body\":\"over https\\n\"}]"
                    ",\"/moved\":[{\"status\":302,\"headers\":[[\"Location\",\"/hello.txt\"]]}]"
                    ",\"/denied\":[{\"status\":403,\"body\":\"" +
                    kCanary + "\"}]";
  for (const char* name : {"weather", "exit-7"}) {
    out += ",\"/up/" + std::string(name) + "\":[{\"keep\":\"" + uploaded(name) + "\"}]";
  }
  return out + "}";
}

void Data::make_secrets() {
  const auto signed_url = [](const std::string& path) {
    return servers().https().url(path) + "?X-Amz-Signature=" + kCanary;
  };
  space().make_secret("urls", {{"weather", signed_url("/up/weather")},
                               {"exit-7", signed_url("/up/exit-7")},
                               {"denied", signed_url("/denied")}});
  space().make_secret("headers", {{"Authorization", "Bearer " + kCanary}});
  space().make_secret("weather-upload", {{"url", signed_url("/up/weather")}});
  space().output({"create", "configmap", "texts", "--from-literal=greeting=from a config map"});
}

// The example as a user would fill it.
void Data::create_weather() {
  const TempDir folder;
  const std::string data = locked("LOCK_DATA") + "/seattle-weather.csv";
  servers().s3().put("inputs", "seattle-weather.csv", read_file(data));
  write_file(folder / "environments.lock",
             read_file(space().cluster().folder() + "/environments.lock") +
                 "LOCK_PYTHON_URL=" + servers().https().url("/python.tar.zst") +
                 "\nLOCK_S3_ENDPOINT=" + servers().s3().endpoint() + "\n");
  const std::string manifest =
      run_program({SANDBOXRUN_SOURCE_DIR "/tests/environments/fill.sh", folder.path(),
                   SANDBOXRUN_SOURCE_DIR "/docs/examples/weather/cluster.yaml"});
  space().output({"create", "-f", "-"}, manifest);
}

void Data::create_inputs() {
  S3Server& s3 = servers().s3();
  const std::string environment = small_environment();
  s3.put("inputs", "environment.tar.gz", environment);
  s3.put("inputs", "letter", "over s3\n");
  s3.put("inputs", "empty", "");
  s3.put("inputs", "tree.tar", TarBuilder().folder("a").file("a/b", "in a tree\n").finish());
  const TempDir folder;
  write_file(folder / "environment", environment);
  const std::string digest = digest_of_file(folder / "environment");
  space().create(
      "inputs",
      "  environment:\n    image: \"" + space().cluster().image("sandbox-base") +
          "\"\n    archive: {source: {" + servers().object("environment.tar.gz") + "}, digest: \"" +
          digest +
          "\", activate: activate.sh}\n"
          "  setup:\n"
          "  - {name: first, command: [/bin/sh, -c, \"echo one >/work/steps; sleep 1000 & \"]}\n"
          "  - {name: second, command: [/bin/sh, -c, \"echo two $FROM_THE_ENVIRONMENT >>"
          "/work/steps; cat /proc/[0-9]*/comm | grep sleep >>/work/steps; true\"]}\n" +
          shell("cd /data; cat https moved s3 map inline tree/a/b; stat -c '%n %s %a' empty tool; "
                "echo changed >>/work/mine; cat /work/mine /work/steps; /env/bin/tool yes; "
                "cp /work/mine /results/; (echo no >/data/inline || echo refused; "
                "echo no >>/env/activate.sh || echo refused) 2>/dev/null") +
          "  assets:\n"
          "  - {name: https, target: /data/https, source: {" +
          servers().by_url("/hello.txt") +
          "}}\n"
          "  - {name: moved, target: /data/moved, source: {" +
          servers().by_url("/moved") +
          "}}\n"
          "  - {name: s3, target: /data/s3, source: {" +
          servers().object("letter") +
          "}}\n"
          "  - {name: empty, target: /data/empty, source: {" +
          servers().object("empty") +
          "}}\n"
          "  - {name: map, target: /data/map, source: {configMap: {name: texts, key: greeting}}}\n"
          "  - {name: inline, target: /data/inline, source: {inline: \" from the manifest\\n\"}}\n"
          "  - {name: tool, target: /data/tool, mode: 0555, source: {inline: \"x\"}}\n"
          "  - {name: tree, target: /data/tree, unpack: true, source: {" +
          servers().object("tree.tar") +
          "}}\n"
          "  - {name: mine, target: /work/mine, readOnly: false, source: {inline: "
          "\"given\\n\"}}\n" +
          results(servers().object("inputs.tar.gz")));
}

// Results are kept after every kind of end.
void Data::create_ends() {
  const std::string leave = "echo left >/results/left; ";
  space().create("exit-7", shell(leave + "exit 7") + results(servers().by_secret("exit-7")));
  space().create("too-long", "  activeDeadlineSeconds: 2\n" + shell(leave + "sleep 1000") +
                                 results(servers().object("too-long.tar.gz")));
  space().create("called-off",
                 shell(leave + "sleep 1000") + results(servers().object("called-off.tar.gz")));
  space().create("nothing", shell("true") + results(servers().object("nothing.tar.gz")));
  space().create("held", "  suspend: true\n" + shell("echo ran"));
  space().create("short-lived", "  ttlSecondsAfterFinished: 3\n" + shell("true"));
}

// Secrets in every place that takes one, and a run that looks for them.
void Data::create_secretive() {
  const std::string secretive = "https: {url: \"" + servers().https().url("/hello.txt") +
                                "\", headersSecretRef: {name: headers}, "
                                "caConfigMapRef: {name: authority}}";
  const std::string assets =
      "  assets: [{name: a, target: /data/a, source: {" + secretive + "}}]\n";
  // Not the image itself: it is read-only and the same for everybody. The pattern does not match
  // its own command line.
  space().create(
      "searcher",
      shell("grep -rlE 'canary[4]c1d9e|testsecre[t]key' /work /data /results /tmp /etc /run "
            "/sandboxrun "
            "/dev/shm /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; "
            "ls /proc/self/fd | wc -l") +
          assets + results(servers().object("searcher.tar.gz")));
  space().create("environment",
                 "  env: [{name: WANTED, value: \"yes\"}, {name: LANG, value: \"C\"}]\n"
                 "  command: [/usr/bin/env]\n" +
                     assets + results(servers().object("environment.tar.gz")));
  space().create("denied-upload", shell("true") + assets + results(servers().by_secret("denied")));
  space().create("denied-asset", shell("true") + "  assets: [{name: a, target: /data/a, source: {" +
                                     servers().by_secret("denied") + "}}]\n");
}

void Data::SetUpTestSuite() {
  ::setenv("AWS_SECRET_ACCESS_KEY", kOperatorCanary.c_str(), 1);
  space_ = std::make_unique<ServedNamespace>("data");
  ::unsetenv("AWS_SECRET_ACCESS_KEY");
  kept_ = std::make_unique<TempDir>();
  servers_ = std::make_unique<TransferServers>(*space_, script());
  make_secrets();
  create_weather();
  create_inputs();
  create_ends();
  create_secretive();
}

// --- the example

TEST_F(Data, P8_WeatherTakesItsEnvironmentByHttpsAndItsDataByS3AndStoresItsResultsBySignedUrl) {
  const Node status = space().wait_for_end("weather", kPatience);
  ASSERT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  EXPECT_EQ(condition(status, "EnvironmentVerified"), "True DigestMatched");
  EXPECT_EQ(condition(status, "AssetsPlaced"), "True Placed");
  EXPECT_EQ(at(status, "environment.archive.digest"), locked("LOCK_PYTHON_DIGEST"));
  expect_stored(status, uploaded("weather"));
  EXPECT_EQ(names_in(uploaded("weather")), "summary.json\nweather.png\n");
  EXPECT_THAT(file_in(uploaded("weather"), "weather.png"), StartsWith("\x89PNG\r\n"));
  const Node summary = parse_json(file_in(uploaded("weather"), "summary.json")).value();
  EXPECT_EQ(at(summary, "days"), "1461");
}

TEST_F(Data, W13_ResultsArePutOnceWithTheirExactLength) {
  space().wait_for_end("weather", kPatience);
  int puts = 0;
  for (const ServedRequest& request : servers().https().requests()) {
    if (!request.target.starts_with("/up/weather")) continue;
    ++puts;
    EXPECT_EQ(request.method, "PUT");
    EXPECT_EQ(request.header("content-length"), std::to_string(request.bytes));
    EXPECT_EQ(request.header("content-type"), "application/gzip");
  }
  EXPECT_EQ(puts, 1);
}

// --- inputs

TEST_F(Data, P5_EveryKindOfSourceIsPlacedAndSetupRunsInItsOrder) {
  const Node status = space().wait_for_end("inputs", kPatience);
  ASSERT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  EXPECT_EQ(space().log_of("inputs"),
            "over https\nover https\nover s3\nfrom a config map from the manifest\nin a tree\n"
            "empty 0 444\ntool 1 555\ngiven\nchanged\none\ntwo it works\nthe tool says yes\n"
            "refused\nrefused\n");
  expect_stored(status, stored("inputs.tar.gz"));
  EXPECT_EQ(file_in(stored("inputs.tar.gz"), "mine"), "given\nchanged\n");
  EXPECT_EQ(at(status, "environment.archive.entries"), "3");
}

// --- results after every kind of end

TEST_F(Data, W12_ResultsAreStoredAfterANonZeroExit) {
  const Node status = space().wait_for_end("exit-7", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "False NonZeroExit") << condition_message(status);
  EXPECT_EQ(at(status, "run.exitCode"), "7");
  expect_stored(status, uploaded("exit-7"));
  EXPECT_EQ(file_in(uploaded("exit-7"), "left"), "left\n");
}

TEST_F(Data, W12_ResultsAreStoredAfterTheDeadline) {
  const Node status = space().wait_for_end("too-long", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "False DeadlineExceeded") << condition_message(status);
  EXPECT_EQ(at(status, "run.exitCode"), "124");
  expect_stored(status, stored("too-long.tar.gz"));
  EXPECT_EQ(file_in(stored("too-long.tar.gz"), "left"), "left\n");
}

TEST_F(Data, W12_ResultsAreStoredAfterACancellation) {
  space().wait_for_reason("called-off", "Running", kPatience);
  std::this_thread::sleep_for(seconds(1));  // It leaves its file at once.
  space().output({"patch", "sandboxrun", "called-off", "--type=merge", "--patch",
                  R"({"spec":{"cancel":true}})"});
  const Node status = space().wait_for_end("called-off", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "False Cancelled") << condition_message(status);
  expect_stored(status, stored("called-off.tar.gz"));
  EXPECT_EQ(file_in(stored("called-off.tar.gz"), "left"), "left\n");
}

TEST_F(Data, W15_NoResultsAreAnEmptyArchive) {
  const Node status = space().wait_for_end("nothing", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  expect_stored(status, stored("nothing.tar.gz"));
  EXPECT_EQ(names_in(stored("nothing.tar.gz")), "");
  EXPECT_EQ(at(status, "results.entries"), "0");
}

// --- when a run is started, and how long it stays

TEST_F(Data, SuspendedRunsHaveNoPodUntilTheyAreResumed) {
  const Node held = space().wait_for_reason("held", "Suspended", kPatience);
  EXPECT_EQ(condition(held, "Suspended"), "True Suspended");
  EXPECT_EQ(at(held, "attempts.0.podName"), "");
  space().output(
      {"patch", "sandboxrun", "held", "--type=merge", "--patch", R"({"spec":{"suspend":false}})"});
  const Node status = space().wait_for_end("held", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  EXPECT_EQ(condition(status, "Suspended"), "False Resumed");
  EXPECT_EQ(space().log_of("held"), "ran\n");
}

TEST_F(Data, ARunAndItsPodAreGoneAfterItsTimeToLive) {
  const auto gone = [](const std::string& kind, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"get", kind, "--output", "name", "--ignore-not-found"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    for (int tries = 0; tries < 600; ++tries) {
      if (space().output(arguments).empty()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    return false;
  };
  EXPECT_TRUE(gone("sandboxrun", {"short-lived"}));
  EXPECT_TRUE(gone("pod", {"--selector", "sandboxrun.dev/run=short-lived"}));
}

// --- secrets

TEST_F(Data, T26_TheRunFindsNoSecretOfItsTransfersAndNoOpenDescriptor) {
  const Node status = space().wait_for_end("searcher", kPatience);
  ASSERT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  // The three standard streams, and the one by which ls reads the folder.
  EXPECT_EQ(space().log_of("searcher"), "4\n");
}

TEST_F(Data, T25_TheRunsEnvironmentIsTheImagesAndItsOwnAndNothingElse) {
  const Node status = space().wait_for_end("environment", kPatience);
  ASSERT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  std::multiset<std::string> variables;
  std::istringstream log(space().log_of("environment"));
  for (std::string line; std::getline(log, line);) variables.insert(line);
  EXPECT_THAT(variables, ElementsAre("HOME=/work", "HOSTNAME=sandbox", "LANG=C",
                                     "PATH=/usr/local/bin:/usr/bin:/bin",
                                     "SANDBOXRUN_RESULTS=/results", "WANTED=yes"));
}

TEST_F(Data, T27_NothingOfTheOperatorsEnvironmentReachesAPod) {
  space().wait_for_end("searcher", kPatience);
  EXPECT_THAT(space().output({"get", "pods,sandboxruns", "--output", "yaml"}),
              Not(HasSubstr(kOperatorCanary)));
  EXPECT_THAT(space().op().log(), Not(HasSubstr(kOperatorCanary)));
}

TEST_F(Data, S4_T28_NoSecretIsInAnyObjectLogOrMetric) {
  for (const char* run : {"weather", "exit-7", "searcher", "denied-upload", "denied-asset"}) {
    space().wait_for_end(run, kPatience);
  }
  EXPECT_EQ(condition(space().status("denied-upload"), "Succeeded"), "False ResultsUploadFailed");
  EXPECT_EQ(condition(space().status("denied-asset"), "Succeeded"), "False AssetFetchFailed");
  const std::string objects = space().output(
      {"get", "pods,sandboxruns,events,configmaps,networkpolicies", "--output", "yaml"});
  EXPECT_THAT(objects, HasSubstr("denied-upload"));
  EXPECT_THAT(objects, Not(HasSubstr(kCanary)));
  EXPECT_THAT(space().op().log(), Not(HasSubstr(kCanary)));
  EXPECT_THAT(space().op().metrics(), Not(HasSubstr(kCanary)));
  for (const Node& pod : space().pods()) {
    const std::string name = at(pod, "metadata.name");
    EXPECT_THAT(space().kubectl({"logs", name, "--all-containers"}).out, Not(HasSubstr(kCanary)))
        << name;
  }
}

TEST_F(Data, S4_TheMessageOfARefusedUploadNamesTheHostAndTheAnswer) {
  const Node status = space().wait_for_end("denied-upload", kPatience);
  EXPECT_THAT(condition_message(status), HasSubstr(Cluster::kNodeAddress));
  EXPECT_THAT(condition_message(status), HasSubstr("403"));
}

// --- the image of our own programs

TEST_F(Data, W18_TheSandboxImageStartsTheAgentAsAnUnprivilegedUser) {
  const Node config = parse_json(run_program({setup_cache() + "/tools/bin/crane", "config",
                                              "--insecure", space().cluster().image("sandbox")}))
                          .value();
  EXPECT_EQ(at(config, "config.Entrypoint.0"), "/usr/libexec/sandboxrun/agent");
  EXPECT_EQ(at(config, "config.User"), "64001:64001");
}

}  // namespace
}  // namespace sandboxrun::test
