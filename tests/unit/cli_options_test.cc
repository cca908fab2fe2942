#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "operator/cli/options.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Arguments = std::vector<std::string>;

template <typename T>
T parsed(const Arguments& arguments) {
  Command command = parse_arguments(arguments);
  if (const auto* answer = std::get_if<Answer>(&command)) ADD_FAILURE() << answer->text;
  return std::get<T>(std::move(command));
}

Answer answered(const Arguments& arguments) {
  return std::get<Answer>(parse_arguments(arguments));
}

TEST(Options, RunHasDefaultsForEverythingButTheFile) {
  const auto options = parsed<RunOptions>({"run", "-f", "run.yaml"});
  EXPECT_EQ(options.machine.file, "run.yaml");
  EXPECT_EQ(options.machine.runtime, "/usr/sbin/runc");
  EXPECT_EQ(options.results_dir, "");
  EXPECT_EQ(options.format, Format::Text);
  EXPECT_FALSE(options.quiet);
  EXPECT_FALSE(options.machine.allow_http);
}

TEST(Options, RunTakesEveryFlag) {
  const test::TempDir dir;
  const std::string layout = dir.path();
  test::write_file(dir / "oci-layout", "{}");
  const auto options = parsed<RunOptions>({"run",
                                           "--file",
                                           "-",
                                           "--results",
                                           "out",
                                           "--runtime",
                                           "/opt/crun",
                                           "--guard",
                                           "/opt/guard",
                                           "--images",
                                           layout,
                                           "--images",
                                           layout,
                                           "--cache",
                                           "c",
                                           "--state-dir",
                                           "s",
                                           "--base-dir",
                                           layout,
                                           "--secret",
                                           "keys=" + layout,
                                           "--secret",
                                           "more.keys=" + layout,
                                           "--config-map",
                                           "ca=" + layout,
                                           "--allow-address",
                                           "10.1.0.0/16:443",
                                           "--allow-http",
                                           "-q",
                                           "-o",
                                           "json"});
  EXPECT_EQ(options.machine.file, "-");
  EXPECT_EQ(options.results_dir, "out");
  EXPECT_EQ(options.machine.runtime, "/opt/crun");
  EXPECT_EQ(options.machine.guard, "/opt/guard");
  EXPECT_THAT(options.machine.images, ElementsAre(layout, layout));
  EXPECT_EQ(options.machine.cache_dir, "c");
  EXPECT_EQ(options.machine.state_dir, "s");
  EXPECT_EQ(options.machine.base_dir, layout);
  EXPECT_THAT(options.machine.secrets,
              ElementsAre(testing::Pair("keys", layout), testing::Pair("more.keys", layout)));
  EXPECT_THAT(options.machine.config_maps, ElementsAre(testing::Pair("ca", layout)));
  EXPECT_THAT(options.machine.allow_addresses, ElementsAre("10.1.0.0/16:443"));
  EXPECT_TRUE(options.machine.allow_http);
  EXPECT_TRUE(options.quiet);
  EXPECT_EQ(options.format, Format::Json);
}

TEST(Options, W1_ARequiredFlagThatIsMissingIsNamed) {
  const Answer answer = answered({"run"});
  EXPECT_EQ(answer.exit_code, 125);
  EXPECT_EQ(answer.text,
            "sandboxrun run: -f FILE is missing: name a manifest\n"
            "`sandboxrun run --help` explains every flag\n");
  EXPECT_EQ(answered({"check"}).exit_code, 2);
  EXPECT_EQ(answered({"render", "--oci"}).exit_code, 2);
}

TEST(Options, W1_HelpExitsWithZeroAndNamesEveryFlag) {
  for (const Arguments& arguments : {Arguments{"--help"},
                                     {"-h"},
                                     {"help"},
                                     {"help", "run"},
                                     {"run", "--help"},
                                     {"check", "-h"},
                                     {"render", "--help"},
                                     {"version"},
                                     {"--version"}}) {
    EXPECT_EQ(answered(arguments).exit_code, 0) << arguments.back();
  }
  const std::string help = answered({"run", "--help"}).text;
  for (const char* flag :
       {"--file", "--base-dir", "--secret", "--config-map", "--results", "--quiet", "--output",
        "--images", "--cache", "--state-dir", "--runtime", "--guard", "--allow-address",
        "--allow-http", "exit codes", "examples"}) {
    EXPECT_THAT(help, HasSubstr(flag));
  }
}

TEST(Options, ReportsEveryBadValueAtOnce) {
  const Answer answer = answered({"run", "--runtime", "runc", "--images", "/nowhere", "--secret",
                                  "x", "--secret", "A=/tmp", "--config-map", "a=/nowhere",
                                  "--allow-address", "10.0.0.1/99", "-o", "xml"});
  EXPECT_EQ(answer.exit_code, 125);
  for (const char* part :
       {"-f FILE is missing", "--runtime must be an absolute path", "--images: /nowhere is no OCI",
        "--secret x: write it as NAME=DIR", "--secret: \"A\" is no name of an object",
        "--config-map a: /nowhere is not a folder",
        "--allow-address: ", "--output xml: give yaml or json"}) {
    EXPECT_THAT(answer.text, HasSubstr(part));
  }
}

TEST(Options, L3_RefusesRuntimesThatAreNotPlainAbsolutePathsWithoutEchoingThem) {
  for (const char* path : {"", "runc", "./runc", "/usr/../bin/runc", "/usr/./runc", "/usr//runc",
                           "/usr/bin/", "/", "../secret-place/runc"}) {
    const Answer answer = answered({"run", "-f", "x", "--runtime", path});
    EXPECT_THAT(answer.text,
                testing::StartsWith("sandboxrun run: --runtime must be an absolute path"))
        << path;
    EXPECT_THAT(answer.text, testing::Not(HasSubstr("secret-place")));
  }
}

TEST(Options, RefusesNamesThatNoObjectCanHave) {
  for (const char* name : {"", "Upper", "-a", "a-", ".a", "a.", "a..b", "a.-b", "a_b", "a/b"}) {
    const Answer answer = answered({"run", "-f", "x", "--secret", std::string(name) + "=/tmp"});
    EXPECT_THAT(answer.text, HasSubstr("is no name of an object")) << name;
  }
  EXPECT_THAT(answered({"run", "-f", "x", "--secret", "a=/tmp", "--secret", "a=/usr"}).text,
              HasSubstr("--secret a is given twice"));
}

TEST(Options, NamesWhatItDoesNotKnow) {
  const Answer command = answered({"rnu"});
  EXPECT_EQ(command.exit_code, 2);
  EXPECT_EQ(
      command.text,
      "sandboxrun: there is no command \"rnu\"; the commands are run, check, render, version\n"
      "`sandboxrun --help` explains them\n");
  EXPECT_THAT(answered({"run", "-f", "x", "--reslts", "y"}).text,
              HasSubstr("\"--reslts\" is no flag or argument of this command"));
  EXPECT_THAT(answered({"run", "x.yaml"}).text,
              HasSubstr("\"x.yaml\" is no flag or argument of this command"));
  EXPECT_THAT(answered({"run", "-f"}).text, HasSubstr("needs a value"));
  EXPECT_THAT(answered({"run", "-f", "a", "-f", "b"}).text, HasSubstr("more often than it may be"));
}

TEST(Options, L1_HasNoWayToRunWithoutASandbox) {
  for (const char* flag : {"--bare", "--no-sandbox", "--unsafe"}) {
    EXPECT_EQ(answered({"run", "-f", "x", flag}).exit_code, 125);
  }
}

TEST(Options, CheckTakesManyFiles) {
  const auto options = parsed<CheckOptions>({"check", "--local", "a.yaml", "b.yaml", "-o", "json"});
  EXPECT_THAT(options.files, ElementsAre("a.yaml", "b.yaml"));
  EXPECT_TRUE(options.local);
  EXPECT_EQ(options.format, Format::Json);
}

class FillIn : public testing::Test {
 protected:
  Machine filled(Machine machine) {
    fill_in(machine, {.program = program_,
                      .root = root_,
                      .uid = 1000,
                      .environment = [this](const char* name) -> const char* {
                        const auto found = variables_.find(name);
                        return found == variables_.end() ? nullptr : found->second.c_str();
                      }});
    return machine;
  }
  std::string program_ = "/opt/sandboxrun/bin/sandboxrun";
  bool root_ = true;
  std::map<std::string, std::string> variables_ = {{"HOME", "/home/me"}};
};

TEST_F(FillIn, TakesTheCacheFromTheEnvironmentInOrder) {
  EXPECT_EQ(filled({}).cache_dir, "/home/me/.cache/sandboxrun");
  variables_["XDG_CACHE_HOME"] = "relative is ignored";
  EXPECT_EQ(filled({}).cache_dir, "/home/me/.cache/sandboxrun");
  variables_["XDG_CACHE_HOME"] = "/var/cache/me";
  EXPECT_EQ(filled({}).cache_dir, "/var/cache/me/sandboxrun");
  variables_["SANDBOXRUN_CACHE"] = "/fast";
  EXPECT_EQ(filled({}).cache_dir, "/fast");
  EXPECT_EQ(filled({.cache_dir = "/given"}).cache_dir, "/given");
}

TEST_F(FillIn, KeepsTheStateOfEachUserApart) {
  EXPECT_EQ(filled({}).state_dir, "/var/lib/sandboxrun");
  root_ = false;
  EXPECT_EQ(filled({}).state_dir, "/tmp/sandboxrun-1000");
  variables_["XDG_RUNTIME_DIR"] = "/run/user/1000";
  EXPECT_EQ(filled({}).state_dir, "/run/user/1000/sandboxrun");
}

TEST_F(FillIn, StartsRelativePathsAtTheManifest) {
  EXPECT_EQ(filled({.file = "examples/a/run.yaml"}).base_dir, "examples/a");
  EXPECT_EQ(filled({.file = "run.yaml"}).base_dir, ".");
  EXPECT_EQ(filled({.file = "/run.yaml"}).base_dir, "/");
  EXPECT_EQ(filled({.file = "-"}).base_dir, ".");
  EXPECT_EQ(filled({.file = "a/run.yaml", .base_dir = "/b"}).base_dir, "/b");
}

TEST_F(FillIn, L12_FindsTheGuardBesideTheProgramAndNeverInPath) {
  EXPECT_EQ(filled({}).guard, "/opt/sandboxrun/bin/guard");
  const test::TempDir dir;
  program_ = dir / "bin/sandboxrun";
  std::filesystem::create_directories(dir / "libexec/sandboxrun");
  test::write_file(dir / "libexec/sandboxrun/guard", "");
  EXPECT_EQ(filled({}).guard, dir / "libexec/sandboxrun/guard");
  EXPECT_EQ(filled({.guard = "/g"}).guard, "/g");
}

}  // namespace
}  // namespace sandboxrun::cli
