#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "operator/cli/manifest.h"
#include "operator/cli/references.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::cli {
namespace {

using run::FieldError;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ReadManifest, SaysWhatIsWrongWithTheFile) {
  const test::TempDir dir;
  EXPECT_EQ(read_manifest(dir / "none.yaml").error().message,
            "there is no such file; name a manifest, or - to read standard input");
  EXPECT_EQ(read_manifest(dir.path()).error().message, "this is a folder; name a manifest in it");
  test::write_file(dir / "big.yaml", std::string((1536 << 10) + 1, '#'));
  EXPECT_EQ(read_manifest(dir / "big.yaml").error().message,
            "it is larger than 1536 KiB, which no manifest can be; data belong into assets");
}

TEST(DescribeErrors, AreOneLineEachWithFileLineAndColumn) {
  const Manifest manifest{
      .name = "run.yaml",
      .errors = {{.path = "spec.environment.image", .mark = {7, 12}, .message = "is a tag"},
                 {.path = "spec", .message = "no\nplace \x1b[2J"}}};
  EXPECT_EQ(describe_errors(manifest),
            "run.yaml:7:12  spec.environment.image: is a tag\n"
            "run.yaml  spec: no place \\x1b[2J\n");
}

TEST(LoadManifest, ReportsTheWholeListByPlace) {
  const test::TempDir dir;
  test::write_file(dir / "run.yaml",
                   "apiVersion: sandboxrun.dev/v1alpha1\n"
                   "kind: SandboxRun\n"
                   "metadata: {name: weather}\n"
                   "spec:\n"
                   "  environment:\n"
                   "    image: python:3.12\n"
                   "  comand: [true]\n"
                   "  assets:\n"
                   "  - name: a\n"
                   "    source: {inline: x}\n"
                   "    target: /work/../etc/passwd\n");
  const Manifest manifest = load_manifest(dir / "run.yaml", {}, run::Where::Cluster);
  const std::string text = describe_errors(manifest);
  EXPECT_THAT(text, HasSubstr("run.yaml:6:12  spec.environment.image: "));
  EXPECT_THAT(text, HasSubstr("\"python:3.12\" is a tag"));
  EXPECT_THAT(text, HasSubstr("spec.comand"));
  EXPECT_THAT(text, HasSubstr("run.yaml:11:13  spec.assets[0].target: "));
}

TEST(LoadManifest, ReportsAFileThatCannotBeReadAsItsError) {
  EXPECT_EQ(describe_errors(load_manifest("/nowhere/run.yaml", {}, run::Where::Cluster)),
            "/nowhere/run.yaml  there is no such file; name a manifest, or - to read standard "
            "input\n");
}

class MissingReferences : public testing::Test {
 protected:
  MissingReferences() {
    std::filesystem::create_directory(dir_ / "keys");
    test::write_file(dir_ / "keys/AWS_ACCESS_KEY_ID", "a");
    run_.spec.assets = {
        {.name = "model", .source = {.s3 = run::S3Source{.credentials_secret = "keys"}}}};
  }
  test::TempDir dir_;
  run::SandboxRun run_;
};

TEST_F(MissingReferences, NameTheFieldAndTheFlag) {
  run_.spec.env = {{.name = "TOKEN", .config_map = run::KeyReference{"settings", "token"}}};
  EXPECT_THAT(
      missing_references(run_, {}),
      ElementsAre(
          FieldError{.path = "spec.env[0].valueFrom.configMapKeyRef",
                     .message = "names the ConfigMap \"settings\", which was not given; add "
                                "--config-map settings=DIR, a folder with one file for each key"},
          FieldError{.path = "spec.assets[0].source.s3.credentialsSecretRef",
                     .message = "names the Secret \"keys\", which was not given; add --secret "
                                "keys=DIR, a folder with one file for each key"}));
}

TEST_F(MissingReferences, NameTheKeyThatAFolderLacks) {
  EXPECT_THAT(missing_references(run_, {.secrets = {{"keys", dir_ / "keys"}}}),
              ElementsAre(Field(&FieldError::message,
                                "needs the key \"AWS_SECRET_ACCESS_KEY\" of the Secret \"keys\"; "
                                "put a readable file of that name into the folder given with "
                                "--secret")));
  test::write_file(dir_ / "keys/AWS_SECRET_ACCESS_KEY", "b");
  EXPECT_THAT(missing_references(run_, {.secrets = {{"keys", dir_ / "keys"}}}), IsEmpty());
}

TEST_F(MissingReferences, CoverEveryFieldThatNamesAnObject) {
  run::HttpsSource https{.url_secret = run::KeyReference{"url", "u"},
                         .headers_secret = "headers",
                         .ca = run::KeyReference{"ca", ""}};
  run_.spec.environment.archive = run::EnvironmentArchive{.source = {.https = https}};
  run_.spec.assets = {{.source = {.config_map = run::KeyReference{"data", "d"}}}};
  run_.spec.results = run::Results{.upload = run::Upload{.https = https}};
  run_.spec.env = {{.secret = run::KeyReference{"token", "t"}}};
  std::vector<std::string> paths;
  for (const FieldError& error : missing_references(run_, {})) paths.push_back(error.path);
  EXPECT_THAT(paths,
              ElementsAre("spec.environment.archive.source.https.urlFrom.secretKeyRef",
                          "spec.environment.archive.source.https.headersSecretRef",
                          "spec.environment.archive.source.https.caConfigMapRef",
                          "spec.env[0].valueFrom.secretKeyRef", "spec.assets[0].source.configMap",
                          "spec.results.upload.https.urlFrom.secretKeyRef",
                          "spec.results.upload.https.headersSecretRef",
                          "spec.results.upload.https.caConfigMapRef"));
}

}  // namespace
}  // namespace sandboxrun::cli
