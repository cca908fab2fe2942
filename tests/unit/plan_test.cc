#include "operator/run/plan.h"

#include <gtest/gtest.h>

#include "operator/run/cidr.h"
#include "operator/run/limits.h"
#include "operator/run/manifest.h"
#include "operator/run/orders.h"
#include "operator/run/path.h"
#include "operator/run/quantity.h"

namespace sandboxrun::run {
namespace {

const std::string kHex(64, 'a');

/// The plan of a run whose spec has, beside image and command, these lines.
Plan plan_of(const std::string& lines) {
  const std::string text =
      "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: a}\nspec:\n"
      "  command: [run]\n" +
      (lines.find("environment:") == std::string::npos
           ? "  environment: {image: \"x@sha256:" + kHex + "\"}\n"
           : "") +
      lines;
  const CheckedManifest checked = check_manifest(text, Policy{}, Where::Local);
  for (const FieldError& error : checked.errors) ADD_FAILURE() << format(error);
  return make_plan(checked.run);
}

const std::string kArchive = "  environment: {image: \"x@sha256:" + kHex +
                             "\", archive: {digest: \"sha256:" + std::string(64, 'A') +
                             "\", activate: bin/activate, source: {file: {path: env.tar}}}}\n";

TEST(Plan, AppliesEveryDefault) {
  const Plan plan = plan_of("");
  EXPECT_EQ(plan.version, 1);
  EXPECT_EQ(plan.argv, std::vector<std::string>{"run"});
  EXPECT_EQ(plan.working_dir, "/work");
  EXPECT_EQ(plan.active_deadline_seconds, 86400);
  EXPECT_EQ(plan.start_deadline_seconds, 3600);
  EXPECT_EQ(plan.backoff_limit, 0);
  EXPECT_EQ(plan.network.mode, NetworkMode::None);
  EXPECT_EQ(plan.network.dns, Dns::None);
  EXPECT_EQ(plan.scratch, (PlanScratch{Medium::Disk, std::int64_t{1} << 30}));
  EXPECT_EQ(plan.limits,
            (PlanResourceList{1000, std::int64_t{512} << 20, std::int64_t{256} << 20}));
  EXPECT_EQ(plan.requests,
            (PlanResourceList{100, std::int64_t{512} << 20, std::int64_t{256} << 20}));
  EXPECT_FALSE(plan.archive || plan.results);
}

TEST(Plan, AppliesTheDefaultsOfPartsThatAreThere) {
  const Plan plan = plan_of(kArchive +
                            "  setup: [{name: s, command: [a]}]\n"
                            "  assets:\n"
                            "  - {name: r, source: {inline: x}, target: /work/r}\n"
                            "  - {name: w, source: {inline: x}, target: /work/w, readOnly: false}\n"
                            "  results: {skipUpload: true}\n");
  EXPECT_EQ(plan.archive->format, ArchiveFormat::Auto);
  EXPECT_EQ(plan.setup[0].timeout_seconds, 600);
  EXPECT_TRUE(plan.assets[0].read_only);
  EXPECT_EQ(plan.assets[0].mode, 0444U);
  EXPECT_EQ(plan.assets[1].mode, 0666U);
  EXPECT_EQ(plan.results->path, "/results");
  EXPECT_EQ(plan.results->format, ArchiveFormat::TarGzip);
  EXPECT_EQ(plan.results->timeout_seconds, 300);
  EXPECT_FALSE(plan.results->upload);
}

TEST(Plan, W2_WritesDigestsInLowerCase) {
  EXPECT_EQ(plan_of(kArchive).archive->digest, "sha256:" + kHex);
}

TEST(Plan, W9_JoinsCommandAndArgsUnchanged) {
  const Plan plan = plan_of("  args: ['$(HOME)', '', 'a b', '$$']\n");
  EXPECT_EQ(plan.argv, (std::vector<std::string>{"run", "$(HOME)", "", "a b", "$$"}));
}

TEST(Plan, RequestsFollowLimitsAndLimitsFollowRequests) {
  const Plan small = plan_of("  resources: {limits: {cpu: 50m, memory: 32Mi}}\n");
  EXPECT_EQ(small.requests.cpu_millis, 50);
  EXPECT_EQ(small.requests.memory_bytes, 32 << 20);
  const Plan large = plan_of("  resources: {requests: {cpu: 4, memory: 1Gi}}\n");
  EXPECT_EQ(large.limits.cpu_millis, 4000);
  EXPECT_EQ(large.limits.memory_bytes, 1 << 30);
}

TEST(PlanHash, IsTheSameForTheSameSpecUnderAnotherName) {
  Plan plan = plan_of("  args: [a]\n");
  const std::string hash = plan_hash(plan);
  plan.name = "b";
  plan.namespace_name = "c";
  plan.uid = "d";
  EXPECT_EQ(plan_hash(plan), hash);
  EXPECT_EQ(hash.size(), 71U);
  EXPECT_TRUE(hash.starts_with("sha256:"));
}

TEST(PlanHash, IsTheSameForDefaultsWrittenOut) {
  EXPECT_EQ(plan_hash(plan_of("")),
            plan_hash(plan_of("  workingDir: /work\n  activeDeadlineSeconds: 86400\n"
                              "  resources: {limits: {cpu: '1.0', memory: 0.5Gi}}\n")));
}

TEST(PlanHash, IsNotMovedByTheFieldsThatMayBeEdited) {
  EXPECT_EQ(plan_hash(plan_of("")),
            plan_hash(plan_of("  suspend: true\n  cancel: true\n  ttlSecondsAfterFinished: 5\n")));
}

TEST(PlanHash, ChangesWithEveryOtherField) {
  const std::string base = plan_hash(plan_of(""));
  for (const char* line :
       {"  args: [a]\n", "  workingDir: /tmp\n", "  env: [{name: A}]\n",
        "  setup: [{name: a, command: [a]}]\n",
        "  assets: [{name: a, source: {inline: x}, target: /work/a}]\n",
        "  results: {skipUpload: true}\n",
        "  network: {mode: Egress, egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}\n",
        "  scratch: {medium: Memory}\n", "  resources: {limits: {cpu: 2}}\n",
        "  nodeSelector: {a: b}\n", "  tolerations: [{operator: Exists}]\n",
        "  priorityClassName: high\n", "  imagePullSecrets: [{name: a}]\n",
        "  activeDeadlineSeconds: 5\n", "  startDeadlineSeconds: 5\n", "  backoffLimit: 1\n"}) {
    EXPECT_NE(plan_hash(plan_of(line)), base) << line;
  }
}

TEST(Plan, EncodesCanonically) {
  EXPECT_EQ(encode(plan_of("")),
            "{\"version\":1,\"image\":\"x@sha256:" + kHex +
                "\",\"argv\":[\"run\"],\"workingDir\":\"/work\",\"env\":[],\"setup\":[],"
                "\"assets\":[],\"network\":{\"mode\":\"None\",\"egress\":[],\"dns\":\"None\"},"
                "\"scratch\":{\"medium\":\"Disk\",\"sizeBytes\":1073741824},"
                "\"requests\":{\"cpuMillis\":100,\"memoryBytes\":536870912,"
                "\"ephemeralStorageBytes\":268435456},\"limits\":{\"cpuMillis\":1000,"
                "\"memoryBytes\":536870912,\"ephemeralStorageBytes\":268435456},"
                "\"runtimeClassName\":\"\",\"nodeSelector\":{},\"tolerations\":[],"
                "\"priorityClassName\":\"\",\"imagePullSecrets\":[],"
                "\"activeDeadlineSeconds\":86400,\"startDeadlineSeconds\":3600,"
                "\"backoffLimit\":0}");
}

TEST(Plan, NeedsOnlyTheStepsThatItHas) {
  EXPECT_FALSE(needs_prepare(plan_of("")));
  EXPECT_FALSE(needs_collect(plan_of("  results: {skipUpload: true}\n")));
  EXPECT_TRUE(needs_prepare(plan_of(kArchive)));
  EXPECT_TRUE(needs_prepare(plan_of("  workingDir: /work/src\n")));
  EXPECT_TRUE(needs_prepare(plan_of("  results: {path: /work/a/out, skipUpload: true}\n")));
  const Plan upload = plan_of("  results: {upload: {s3: {region: a, bucket: abc, key: b}}}\n");
  EXPECT_TRUE(needs_collect(upload));
  EXPECT_TRUE(needs_transfer(upload));
  EXPECT_FALSE(needs_transfer(plan_of(kArchive)));
}

TEST(Plan, MakesTheFoldersAroundTargets) {
  const Plan plan = plan_of(
      "  workingDir: /work/src\n"
      "  assets:\n"
      "  - {name: a, source: {inline: x}, target: /work/a/b/m.bin}\n"
      "  - {name: t, source: {configMap: {name: c, key: k}}, target: /work/t/tree, unpack: true}\n"
      "  - {name: w, source: {configMap: {name: c, key: k}}, target: /work/w, unpack: true, "
      "readOnly: false}\n"
      "  results: {path: /work/o/out, skipUpload: true}\n");
  EXPECT_EQ(planned_directories(plan),
            (std::vector<std::string>{"/work/a", "/work/a/b", "/work/o", "/work/src", "/work/t",
                                      "/work/t/tree"}));
}

TEST(Mounts, ShowReadOnlyAssetsOneByOneInWork) {
  const Plan plan = plan_of(kArchive +
                            "  assets:\n"
                            "  - {name: r, source: {inline: x}, target: /work/a/r}\n"
                            "  - {name: w, source: {inline: x}, target: /work/w, readOnly: false}\n"
                            "  results: {skipUpload: true}\n");
  EXPECT_EQ(mounts_for(plan),
            (std::vector<Mount>{{.volume = Volume::Work, .target = "/work"},
                                {.volume = Volume::Env, .target = "/env", .read_only = true},
                                {.volume = Volume::Results, .target = "/results"},
                                {.volume = Volume::Assets,
                                 .sub_path = "0",
                                 .target = "/work/a/r",
                                 .read_only = true,
                                 .file = true}}));
}

TEST(Mounts, ShowAReadOnlyDataFolderByOneMount) {
  std::string assets = "  assets:\n";
  for (int i = 0; i < 64; ++i) {
    const std::string n = std::to_string(i);
    assets += "  - {name: a" + n + ", source: {inline: x}, target: /data/d/" + n + "}\n";
  }
  const Plan plan = plan_of(assets);
  EXPECT_EQ(
      mounts_for(plan),
      (std::vector<Mount>{
          {.volume = Volume::Work, .target = "/work"},
          {.volume = Volume::Assets, .sub_path = "data", .target = "/data", .read_only = true}}));
  const protocol::PrepareOrder order = prepare_order(plan, Layout{});
  EXPECT_EQ(order.directories,
            (std::vector<protocol::DirectoryOrder>{{.path = "/assets/data", .mode = 0755},
                                                   {.path = "/assets/data/d", .mode = 0755}}));
  EXPECT_EQ(order.assets[7].destination, "/assets/data/d/7");
}

TEST(Mounts, ShowAMixedDataFolderAsAWritableVolume) {
  const Plan plan = plan_of(
      "  assets:\n"
      "  - {name: r, source: {inline: x}, target: /data/r}\n"
      "  - {name: w, source: {inline: x}, target: /data/d/w, readOnly: false}\n");
  EXPECT_EQ(mounts_for(plan), (std::vector<Mount>{{.volume = Volume::Work, .target = "/work"},
                                                  {.volume = Volume::Data, .target = "/data"},
                                                  {.volume = Volume::Assets,
                                                   .sub_path = "0",
                                                   .target = "/data/r",
                                                   .read_only = true,
                                                   .file = true}}));
  const protocol::PrepareOrder order = prepare_order(plan, Layout{.data_dir = "/stage/data"});
  ASSERT_EQ(order.directories.size(), 1U);
  EXPECT_EQ(order.directories[0].path, "/stage/data/d");
  EXPECT_EQ(order.assets[0].destination, "/assets/0");
  EXPECT_EQ(order.assets[1].destination, "/stage/data/d/w");
}

TEST(Mounts, ShowDataAsAWritableVolumeAroundTheWorkingFolder) {
  const Plan plan = plan_of(
      "  workingDir: /data/src\n"
      "  assets: [{name: r, source: {inline: x}, target: /data/r}]\n");
  const std::vector<Mount> mounts = mounts_for(plan);
  ASSERT_EQ(mounts.size(), 3U);
  EXPECT_EQ(mounts[1], (Mount{.volume = Volume::Data, .target = "/data"}));
  EXPECT_EQ(prepare_order(plan, Layout{}).directories,
            (std::vector<protocol::DirectoryOrder>{{.path = "/data/src", .mode = 0777}}));
}

TEST(Orders, NameTheFilesOfReferences) {
  const Plan plan = plan_of(
      "  assets:\n"
      "  - {name: a, target: /work/a, source: {https: {urlFrom: {secretKeyRef: {name: u, key: "
      "url}}, headersSecretRef: {name: h}, caConfigMapRef: {name: ca}}}}\n"
      "  - {name: b, target: /work/b, source: {s3: {region: r, bucket: abc, key: k, "
      "credentialsSecretRef: {name: keys}}}}\n"
      "  - {name: c, target: /work/c, source: {configMap: {name: m, key: k.txt}}}\n"
      "  - {name: d, target: /work/d, source: {file: {path: d.csv}}}\n"
      "  - {name: e, target: /work/e, source: {file: {path: /abs/e.csv}}}\n");
  Layout layout;
  layout.secret_folders["keys"] = "/local/keys";
  layout.files_dir = "/home/me";
  const protocol::PrepareOrder order = prepare_order(plan, layout);
  const auto& http = std::get<protocol::HttpLocation>(order.assets[0].source);
  EXPECT_EQ(http.url, "");
  EXPECT_EQ(http.url_file, "/sandboxrun-secrets/u/url");
  EXPECT_EQ(http.headers_dir, "/sandboxrun-secrets/h");
  EXPECT_EQ(http.ca_file, "/sandboxrun-configmaps/ca/ca.crt");
  EXPECT_EQ(std::get<protocol::S3Location>(order.assets[1].source).credentials_dir, "/local/keys");
  EXPECT_EQ(std::get<protocol::FileLocation>(order.assets[2].source).path,
            "/sandboxrun-configmaps/m/k.txt");
  EXPECT_EQ(std::get<protocol::FileLocation>(order.assets[3].source).path, "/home/me/d.csv");
  EXPECT_EQ(std::get<protocol::FileLocation>(order.assets[4].source).path, "/abs/e.csv");
}

TEST(Orders, S4_ListOnlyTheKeysThatAreUsed) {
  const Plan plan = plan_of(
      "  env: [{name: A, valueFrom: {secretKeyRef: {name: of-the-run, key: k}}}]\n"
      "  assets:\n"
      "  - {name: a, target: /work/a, source: {https: {urlFrom: {secretKeyRef: {name: u, key: "
      "one}}}}}\n"
      "  - {name: b, target: /work/b, source: {https: {urlFrom: {secretKeyRef: {name: u, key: "
      "two}}}}}\n"
      "  results: {upload: {s3: {region: r, bucket: abc, key: k, credentialsSecretRef: {name: "
      "keys}}}}\n");
  EXPECT_EQ(prepare_references(plan),
            (std::vector<ReferencedObject>{{.name = "u", .keys = {"one", "two"}}}));
  EXPECT_EQ(collect_references(plan),
            (std::vector<ReferencedObject>{{.name = "keys",
                                            .keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
                                            .optional_keys = {"AWS_SESSION_TOKEN"}}}));
}

TEST(Orders, CollectWhatThePlanSays) {
  const Plan plan = plan_of(
      "  results: {path: /work/out, format: TarZstd, maxBytes: 5, maxEntries: 6, timeoutSeconds: "
      "7, upload: {https: {url: 'https://example.com/a'}}}\n");
  const protocol::CollectOrder order = collect_order(plan, Layout{});
  EXPECT_EQ(order.path, "/work/out");
  EXPECT_EQ(order.format, ArchiveFormat::TarZstd);
  EXPECT_EQ(order.max_bytes, 5);
  EXPECT_EQ(order.max_entries, 6);
  EXPECT_EQ(order.timeout_seconds, 7);
  EXPECT_EQ(std::get<protocol::HttpLocation>(*order.target).url, "https://example.com/a");
  EXPECT_EQ(collect_order(plan, Layout{.results_dir = "/stage/r"}).path, "/stage/r");
}

TEST(GuardArguments, HoldFlagsStepsAndTheCommand) {
  const Plan plan = plan_of(kArchive +
                            "  args: ['--', -x]\n"
                            "  setup: [{name: s, command: [make, all], timeoutSeconds: 9}]\n"
                            "  activeDeadlineSeconds: 60\n");
  GuardOptions options;
  options.nofile = 1024;
  options.fsize_bytes = 4096;
  options.require_userns = true;
  options.record_fd = 3;
  EXPECT_EQ(guard_arguments(plan, options), (std::vector<std::string>{"--deadline",
                                                                      "60",
                                                                      "--grace",
                                                                      "10",
                                                                      "--network",
                                                                      "none",
                                                                      "--nofile",
                                                                      "1024",
                                                                      "--fsize",
                                                                      "4096",
                                                                      "--activate",
                                                                      "/env/bin/activate",
                                                                      "--require-userns",
                                                                      "--record-fd",
                                                                      "3",
                                                                      "--step",
                                                                      "9",
                                                                      "2",
                                                                      "make",
                                                                      "all",
                                                                      "--",
                                                                      "run",
                                                                      "--",
                                                                      "-x"}));
}

TEST(Quantity, ReadsBytesAsKubernetesDoes) {
  const std::pair<std::string_view, std::int64_t> cases[] = {
      {"0", 0},
      {"1", 1},
      {"1k", 1000},
      {"1Ki", 1024},
      {"1.5Gi", 1610612736},
      {".5Ki", 512},
      {"1e3", 1000},
      {"1E3", 1000},
      {"1E", 1000000000000000000},
      {"100m", 1},
      {"1e-3", 1},
      {"+2M", 2000000},
      {"9223372036854775807", 9223372036854775807},
      {"7Ei", 8070450532247928832}};
  for (const auto& [text, bytes] : cases) EXPECT_EQ(parse_bytes(text), bytes) << text;
}

TEST(Quantity, RefusesWhatIsNone) {
  for (const char* text : {"", "-1", "1GB", "1 Gi", "Gi", ".", "1..2", "1e", "1e99", "0x10", "8Ei",
                           "9223372036854775808", "1_000", "1KI", "1Gi "}) {
    EXPECT_FALSE(parse_bytes(text).has_value()) << text;
  }
}

TEST(Quantity, ReadsCpusInThousandths) {
  EXPECT_EQ(parse_millicores("0.5"), 500);
  EXPECT_EQ(parse_millicores("100m"), 100);
  EXPECT_EQ(parse_millicores("2"), 2000);
  EXPECT_FALSE(parse_millicores("0.0005").has_value());
}

TEST(Path, N7_IsNormalisedWithoutLeavingTheRoot) {
  EXPECT_EQ(normalise("/work//a/./b/../c/"), "/work/a/c");
  EXPECT_EQ(normalise("/../../etc"), "/etc");
  EXPECT_EQ(normalise("/"), "/");
  EXPECT_EQ(normalise("/a..b/..c"), "/a..b/..c");
  EXPECT_TRUE(is_within("/work/a", "/work"));
  EXPECT_FALSE(is_within("/workspace", "/work"));
  EXPECT_FALSE(is_below("/work", "/work"));
}

TEST(CidrRange, ContainsOnlyItsOwnFamily) {
  EXPECT_TRUE(contains(*parse_cidr("10.0.0.0/8"), *parse_cidr("10.1.0.0/16")));
  EXPECT_FALSE(contains(*parse_cidr("10.1.0.0/16"), *parse_cidr("10.0.0.0/8")));
  EXPECT_FALSE(contains(*parse_cidr("0.0.0.0/0"), *parse_cidr("fd00::/8")));
  EXPECT_TRUE(contains(*parse_cidr("0.0.0.0/0"), *parse_address("192.0.2.1")));
  for (const char* text : {"10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/08", "010.0.0.0/8",
                           "10.0.0.0/", "::/129", "a/8", ""}) {
    EXPECT_FALSE(parse_cidr(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace sandboxrun::run
