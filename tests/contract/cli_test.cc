// The program as it is called: usage, check, render, and everything that `run` refuses.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "operator/base/document.h"
#include "tests/support/cli_process.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

const std::string kDigest = "sha256:" + std::string(64, 'a');

// A good manifest with `spec` added to it; each line of it is indented by two.
std::string manifest(std::string_view spec = {}, std::string_view image = {}) {
  return "apiVersion: sandboxrun.dev/v1alpha1\n"
         "kind: SandboxRun\n"
         "metadata: {name: weather}\n"
         "spec:\n"
         "  environment:\n"
         "    image: " +
         (image.empty() ? "registry.example.com/python@" + kDigest : std::string(image)) +
         "\n"
         "  command: [python3]\n" +
         std::string(spec);
}

class Cli : public testing::Test {
 protected:
  std::string file(std::string_view text) {
    const std::string path = dir_ / "run.yaml";
    write_file(path, text);
    return path;
  }
  CliResult check(std::string_view text) { return run_cli({"check", file(text)}); }
  /// With a cache and state of its own.
  CliResult run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "run");
    for (const char* flag : {"cache", "state-dir"}) {
      arguments.push_back("--" + std::string(flag));
      arguments.push_back(dir_ / flag);
    }
    return run_cli(arguments);
  }
  TempDir dir_;
};

TEST_F(Cli, W1_HelpExitsWithZeroAndUsageErrorsDoNot) {
  const CliResult help = run_cli({"run", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, StartsWith("usage: sandboxrun run -f FILE"));
  EXPECT_EQ(help.err, "");

  const CliResult none = run_cli({});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_EQ(none.out, "");
  EXPECT_THAT(none.err, StartsWith("usage: sandboxrun COMMAND"));

  const CliResult missing = run_cli({"run"});
  EXPECT_EQ(missing.exit_code, 125);
  EXPECT_THAT(missing.err, StartsWith("sandboxrun run: -f FILE is missing"));
}

// Its libraries were most of what a cached run cost: those of transfers, hashing and archives are
// loaded by need or linked in.
TEST_F(Cli, ItsStartLoadsNoLibraryThatACachedRunCanDoWithout) {
  const CliResult loaded = run_cli({}, {}, {"LD_TRACE_LOADED_OBJECTS=1"});
  EXPECT_THAT(loaded.out, HasSubstr("libc.so.6"));
  for (const char* library :
       {"libcurl", "libcrypto", "libssl", "libarchive", "libxml2", "libicu"}) {
    EXPECT_THAT(loaded.out, Not(HasSubstr(library)));
  }
}

TEST_F(Cli, CheckPrintsOkAndExitsWithZero) {
  const CliResult result = check(manifest());
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, dir_ / "run.yaml" + "  ok\n");
  EXPECT_EQ(result.err, "");
}

TEST_F(Cli, CheckPrintsEveryErrorWithItsPlaceAndExitsWithOne) {
  const CliResult result =
      check(manifest("  assets:\n"
                     "  - name: a\n"
                     "    source: {inline: x}\n"
                     "    target: /work/../etc/passwd\n",
                     "python:3.12"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("run.yaml:6:12  spec.environment.image: \"python:3.12\""));
  EXPECT_THAT(result.out, HasSubstr("run.yaml:11:13  spec.assets[0].target: "));
  EXPECT_THAT(result.out, EndsWith("\n2 errors\n"));
}

TEST_F(Cli, CheckReadsStandardInputAndJson) {
  const CliResult good = run_cli({"check", "-"}, manifest());
  EXPECT_EQ(good.exit_code, 0);
  EXPECT_EQ(good.out, "<stdin>  ok\n");
  const CliResult bad = run_cli({"check", "-", "-o", "json"}, R"({"kind": "Pod"})");
  EXPECT_EQ(bad.exit_code, 1);
  const auto json = parse_json(bad.out);
  ASSERT_TRUE(json.has_value());
  const Node& found = json->find("files")->items.at(0);
  EXPECT_EQ(found.find("file")->text, "<stdin>");
  EXPECT_FALSE(found.find("valid")->boolean);
  EXPECT_THAT(found.find("errors")->items, Not(IsEmpty()));
}

TEST_F(Cli, CheckGoesOnAfterAFileThatIsNotThere) {
  const CliResult result = run_cli({"check", dir_ / "none.yaml", file(manifest())});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, (dir_ / "none.yaml") +
                            "  there is no such file; name a manifest, or - to read standard "
                            "input\n" +
                            (dir_ / "run.yaml") + "  ok\n1 error\n");
}

TEST_F(Cli, CheckAcceptsLocalFilesOnlyWhenAsked) {
  const std::string path =
      file(manifest("  assets:\n"
                    "  - name: a\n"
                    "    source: {file: {path: a}}\n"
                    "    target: /work/a\n"));
  const CliResult cluster = run_cli({"check", path});
  EXPECT_EQ(cluster.exit_code, 1);
  EXPECT_THAT(cluster.out, HasSubstr("--local checks for `sandboxrun run`"));
  EXPECT_EQ(run_cli({"check", "--local", path}).exit_code, 0);
}

TEST_F(Cli, W2_DigestsAreJudgedBeforeAnythingElse) {
  const auto archive = [](const std::string& digest) {
    return "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: w}\n"
           "spec:\n  command: [x]\n  environment:\n    image: r.example.com/p@" +
           kDigest + "\n    archive:\n      source: {https: {url: https://example.com/e.tar}}\n" +
           "      digest: \"" + digest + "\"\n";
  };
  const std::string hex(64, 'a');
  for (const std::string& good : {"sha256:" + hex, "sha256:" + std::string(64, 'A'),
                                  "sha256:" + std::string(32, 'a') + std::string(32, 'B')}) {
    EXPECT_EQ(check(archive(good)).exit_code, 0) << good;
  }
  for (const std::string& bad :
       {hex, "md5:" + hex, "sha512:" + hex, "sha256:" + std::string(63, 'a'),
        "sha256:" + std::string(65, 'a'), "sha256:" + std::string(64, 'g'), std::string("sha256:"),
        std::string(), "SHA256:" + hex, "sha256:" + hex + "\\n"}) {
    const CliResult result = check(archive(bad));
    EXPECT_EQ(result.exit_code, 1) << bad;
    EXPECT_THAT(result.out, HasSubstr("spec.environment.archive.digest")) << bad;
  }
}

TEST_F(Cli, W3_ResultsAreUploadedOrSkippedAndNeverBoth) {
  const std::string upload =
      "    upload: {https: {urlFrom: {secretKeyRef: {name: u, key: url}}}}\n";
  EXPECT_EQ(check(manifest("  results:\n" + upload)).exit_code, 0);
  EXPECT_EQ(check(manifest("  results:\n    skipUpload: true\n")).exit_code, 0);
  const CliResult neither = check(manifest("  results: {path: /results}\n"));
  EXPECT_EQ(neither.exit_code, 1);
  EXPECT_THAT(neither.out, HasSubstr("spec.results"));
  const CliResult both = check(manifest("  results:\n    skipUpload: true\n" + upload));
  EXPECT_EQ(both.exit_code, 1);
  EXPECT_THAT(both.out, HasSubstr("spec.results"));
}

TEST_F(Cli, W17_RunRefusesABadManifestWith125BeforeAnythingIsTouched) {
  const CliResult result =
      run({"-f", file(manifest({}, "python:3.12")), "--results", dir_ / "out"});
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("run.yaml:6:12  spec.environment.image: "));
  EXPECT_THAT(result.err, EndsWith("1 error; nothing was run\n"));
  for (const char* untouched : {"out", "cache", "state-dir"}) {
    EXPECT_FALSE(std::filesystem::exists(dir_ / untouched)) << untouched;
  }
}

TEST_F(Cli, RunPrintsTheStatusOfARefusedManifestToo) {
  const CliResult result = run({"-f", file(manifest({}, "python:3.12")), "-o", "json"});
  EXPECT_EQ(result.exit_code, 125);
  const auto json = parse_json(result.out);
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ(json->find("metadata")->find("name")->text, "weather");
  const Node& succeeded = json->find("status")->find("conditions")->items.at(0);
  EXPECT_EQ(succeeded.find("status")->text, "False");
  EXPECT_EQ(succeeded.find("reason")->text, "InvalidSpec");
}

TEST_F(Cli, RunNamesTheFlagForASecretThatWasNotGiven) {
  const CliResult result = run({"-f", file(manifest("  env:\n"
                                                    "  - name: TOKEN\n"
                                                    "    valueFrom: {secretKeyRef: {name: api, "
                                                    "key: token}}\n"))});
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_THAT(result.err, HasSubstr("run.yaml:10:"));
  EXPECT_THAT(result.err, HasSubstr("names the Secret \"api\", which was not given; add --secret "
                                    "api=DIR"));
}

TEST_F(Cli, L2_L9_AMissingRuntimeEndsTheRunWithoutEchoingItsPath) {
  const CliResult result = run({"-f", file(manifest()), "--runtime", "/no/secret-place/runc"});
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("weather  Failed"));
  EXPECT_THAT(result.err, HasSubstr("not started"));
  EXPECT_THAT(result.err, HasSubstr("--runtime"));
  EXPECT_THAT(result.err, Not(HasSubstr("secret-place")));
}

TEST_F(Cli, W14_TheResultsFolderIsMadeBeforeTheRun) {
  const std::string out = dir_ / "a/b/out";
  run({"-f", file(manifest()), "--runtime", "/no/runc", "--results", out});
  EXPECT_TRUE(std::filesystem::is_directory(out));
}

TEST_F(Cli, AResultsFolderThatCannotBeMadeEndsTheRun) {
  write_file(dir_ / "file", "");
  const CliResult result = run({"-f", file(manifest()), "--results", dir_ / "file/out"});
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_THAT(result.err, StartsWith("sandboxrun: --results " + (dir_ / "file/out") +
                                     " can be neither found nor made: "));
}

TEST_F(Cli, RenderPrintsTheConfigurationThatWouldBeUsed) {
  const CliResult result =
      run_cli({"render", "--oci", "-f", file(manifest()), "--cache", dir_ / "cache"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = parse_json(result.out);
  ASSERT_TRUE(json.has_value());
  EXPECT_TRUE(json->find("process")->find("noNewPrivileges")->boolean);
  const auto& words = json->find("process")->find("args")->items;
  EXPECT_EQ(words.back().text, "python3");
  EXPECT_THAT(words.front().text, EndsWith("/guard"));
  EXPECT_THAT(result.out, StartsWith("{\n  \"ociVersion\": "));
}

TEST_F(Cli, RenderRefusesABadManifest) {
  const CliResult result = run_cli({"render", "--oci", "-f", file(manifest({}, "python:3.12"))});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, EndsWith("1 error\n"));
}

TEST_F(Cli, ManifestsCannotDriveTheTerminal) {
  const CliResult result = check(manifest("  \"\\e]0;owned\\a\": 1\n"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace sandboxrun::test
