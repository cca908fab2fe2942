// The guard's command line and environment: rows G1, G2, G3, G5, G6.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/guard_process.h"

namespace sandboxrun::test {
namespace {

ProcessEnd guard(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), built_program("guard"));
  return run_process({.argv = std::move(arguments)});
}

TEST(GuardCommandLine, G1_WithoutArgumentsPrintsItsUsageAndExits125) {
  auto end = guard({});
  EXPECT_EQ(end.code, 125);
  EXPECT_TRUE(end.err.starts_with("usage: guard ")) << end.err;
  EXPECT_EQ(end.out, "");
}

TEST(GuardCommandLine, HelpGoesToStdoutAndExits0) {
  auto end = guard({"--help"});
  EXPECT_EQ(end.code, 0);
  EXPECT_TRUE(end.out.starts_with("usage: guard ")) << end.out;
  EXPECT_EQ(end.err, "");
}

TEST(GuardCommandLine, VersionNamesTheProgram) {
  auto end = guard({"--version"});
  EXPECT_EQ(end.code, 0);
  EXPECT_TRUE(end.out.starts_with("guard ")) << end.out;
}

struct BadLine {
  std::vector<std::string> arguments;
  std::string error;
};

void PrintTo(const BadLine& line, std::ostream* out) {
  *out << testing::PrintToString(line.error);
}

class GuardBadCommandLine : public testing::TestWithParam<BadLine> {};

TEST_P(GuardBadCommandLine, N4_IsOneLineOnStderrExit125AndNothingRuns) {
  DirectGuard guard(GetParam().arguments);
  auto end = guard.wait();
  EXPECT_EQ(end.code, 125);
  EXPECT_EQ(end.err, "guard: " + GetParam().error + "\n");
  EXPECT_EQ(end.out, "");
  auto record = guard.record();
  EXPECT_EQ(field(record, "stage"), "guard");
  EXPECT_EQ(field(record, "cause"), "guard-failed");
  EXPECT_EQ(field(record, "code"), "125");
  EXPECT_EQ(field(record, "started"), "false");
  EXPECT_EQ(field(record, "detail"), GetParam().error);
}

const std::string kDeadlineRange = " is not a whole number from 1 to 2147483647";
const std::string kEcho = "/bin/echo";

INSTANTIATE_TEST_SUITE_P(
    Lines, GuardBadCommandLine,
    testing::Values(
        BadLine{{"--deadline", "0", "--", kEcho}, "--deadline: \"0\"" + kDeadlineRange},
        BadLine{{"--deadline", "-1", "--", kEcho}, "--deadline: \"-1\"" + kDeadlineRange},
        BadLine{{"--deadline", "", "--", kEcho}, "--deadline: \"\"" + kDeadlineRange},
        BadLine{{"--deadline", "10s", "--", kEcho}, "--deadline: \"10s\"" + kDeadlineRange},
        BadLine{{"--deadline", " 10", "--", kEcho}, "--deadline: \" 10\"" + kDeadlineRange},
        BadLine{{"--deadline", "1e3", "--", kEcho}, "--deadline: \"1e3\"" + kDeadlineRange},
        BadLine{{"--deadline", "NaN", "--", kEcho}, "--deadline: \"NaN\"" + kDeadlineRange},
        BadLine{{"--deadline", "10\n", "--", kEcho}, "--deadline: \"10?\"" + kDeadlineRange},
        BadLine{{"--deadline", "2147483648", "--", kEcho},
                "--deadline: \"2147483648\"" + kDeadlineRange},
        BadLine{{"--deadline", "99999999999999999999999999", "--", kEcho},
                "--deadline: \"99999999999999999999999999\"" + kDeadlineRange},
        BadLine{{"--grace", "3601", "--", kEcho},
                "--grace: \"3601\" is not a whole number from 0 to 3600"},
        BadLine{{"--nofile", "8", "--", kEcho},
                "--nofile: \"8\" is not a whole number from 16 to 1048576"},
        BadLine{{"--nproc", "0", "--", kEcho},
                "--nproc: \"0\" is not a whole number from 1 to 4194304"},
        BadLine{{"--fsize", "9223372036854775808", "--", kEcho},
                "--fsize: \"9223372036854775808\" is not a whole number from 0 to "
                "9223372036854775807"},
        BadLine{{"--network", "None", "--", kEcho}, "--network: \"None\" is not none or any"},
        BadLine{{"--activate", "a.sh", "--", kEcho},
                "--activate: \"a.sh\" is not an absolute path"},
        BadLine{{"--record-fd", "9", "--", kEcho},
                "--termination-log and --record-fd exclude each other"},
        BadLine{{"--grace", "1", "--grace", "1", "--", kEcho}, "--grace: given twice"},
        BadLine{{"--deadline"}, "--deadline: its value is missing"},
        BadLine{{"--frobnicate", "--", kEcho},
                "command line: \"--frobnicate\" is not a flag of the guard (the command follows "
                "--)"},
        BadLine{{kEcho},
                "command line: \"/bin/echo\" is not a flag of the guard (the command follows --)"},
        BadLine{{"--deadline=5", "--", kEcho},
                "command line: \"--deadline=5\" is not a flag of the guard (the command follows "
                "--)"},
        BadLine{{"--"}, "the command is missing: -- COMMAND [ARG...] ends the line"},
        BadLine{{"--", ""}, "the command is missing: -- COMMAND [ARG...] ends the line"},
        BadLine{{"--step", "0", "1", "a", "--", kEcho}, "--step: \"0\"" + kDeadlineRange},
        BadLine{{"--step", "5", "0", "--", kEcho},
                "--step: \"0\" is not a whole number from 1 to 4096"},
        BadLine{{"--step", "5", "9", "a", "--", kEcho}, "--step: 9 arguments announced, 3 found"},
        BadLine{{"--step", "5"}, "--step: the number of arguments is missing"}));

TEST(GuardCommandLine, RefusesASixtyFifthStep) {
  std::vector<std::string> arguments;
  for (int i = 0; i < 65; ++i) arguments.insert(arguments.end(), {"--step", "9", "1", "true"});
  arguments.insert(arguments.end(), {"--", kEcho});
  DirectGuard guard(arguments);
  EXPECT_EQ(guard.wait().code, 125);
  EXPECT_EQ(field(guard.record(), "detail"), "--step: more than 64 steps");
}

TEST(GuardCommandLine, MissingTerminationLogIsExit125AndNothingRuns) {
  auto end = guard({"--unsafe-skip-environment-checks", "--termination-log", "/nonexistent/log",
                    "--", "/bin/echo", "ran"});
  EXPECT_EQ(end.code, 125);
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(end.err,
            "guard: the termination log cannot be opened as a file: No such file or directory\n");
}

TEST(GuardCommandLine, ASymbolicLinkInTheTerminationLogsPlaceIsNotFollowed) {
  TempFolder folder;
  write_file(folder.path() / "target", "keep");
  std::filesystem::create_symlink("target", folder.path() / "log");
  auto end = guard({"--unsafe-skip-environment-checks", "--termination-log",
                    (folder.path() / "log").string(), "--", "/bin/true"});
  EXPECT_EQ(end.code, 125);
  EXPECT_EQ(read_file(folder.path() / "target"), "keep");
}

TEST(GuardCommandLine, RecordDescriptorThatIsNotOpenIsExit125) {
  auto end = guard({"--unsafe-skip-environment-checks", "--record-fd", "77", "--", "/bin/echo"});
  EXPECT_EQ(end.code, 125);
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(end.err, "guard: --record-fd: Bad file descriptor\n");
}

TEST(GuardCommandLine, OutsideAContainerItRefusesWithoutTheUnsafeFlag) {
  TempFolder folder;
  write_file(folder.path() / "log", "");
  auto end =
      guard({"--termination-log", (folder.path() / "log").string(), "--", "/bin/echo", "ran"});
  EXPECT_EQ(end.code, 125);
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(field(parse_record(read_file(folder.path() / "log")), "detail"),
            "the guard is not PID 1");
}

TEST(GuardCommandLine, G5_FindsTheCommandInPathAndPassesArgumentsUntouched) {
  DirectGuard guard({"--", "printf", "%s|", "", "a b", "$(touch pwned)", "*", "--deadline", "\n"});
  auto end = guard.wait();
  EXPECT_EQ(end.code, 0);
  EXPECT_EQ(end.out, "|a b|$(touch pwned)|*|--deadline|\n|");
}

TEST(GuardCommandLine, G5_N6_EnvironmentPassesUntouchedButForTheToken) {
  DirectGuard guard({"--", "/usr/bin/env"},
                    {"A=1", "SANDBOXRUN_TOKEN=first", "LD_PRELOAD=", "GLIBC_TUNABLES=x=y",
                     "odd-name=ok", "NODE_OPTIONS=--x", "SANDBOXRUN_TOKENS=kept"});
  auto end = guard.wait();
  EXPECT_EQ(end.out, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\nLOG=" + guard.log().string() +
                         "\nFOLDER=" + guard.folder().string() +
                         "\nA=1\nLD_PRELOAD=\nGLIBC_TUNABLES=x=y\nodd-name=ok\n"
                         "NODE_OPTIONS=--x\nSANDBOXRUN_TOKENS=kept\n");
}

TEST(GuardCommandLine, N6_IsNotMovedByLoaderAndTunableVariables) {
  std::string longest = "GLIBC_TUNABLES=glibc.malloc.mxfast=glibc.malloc.mxfast=";
  longest.append(60000, 'A');
  for (const std::string& variable :
       {std::string("LD_PRELOAD=/nonexistent.so"), std::string("LD_AUDIT=/nonexistent.so"),
        std::string("LD_LIBRARY_PATH=/nonexistent"), std::string("LD_DEBUG=all"),
        std::string("LD_SHOW_AUXV=1"), std::string("MALLOC_CHECK_=3"),
        std::string("LOCPATH=/nonexistent"), std::string("GCONV_PATH=/nonexistent"),
        std::string("GLIBC_TUNABLES=glibc.malloc.check=3:glibc.cpu.hwcaps=-AVX2_Usable,-ERMS"),
        longest}) {
    // busybox is static too: what is seen here is the guard alone.
    DirectGuard guard({"--", "/bin/busybox", "sh", "-c", "exit 9"}, {variable});
    auto end = guard.wait();
    EXPECT_EQ(end.code, 9) << variable.substr(0, 60);
    EXPECT_EQ(end.err, "") << variable.substr(0, 60);
  }
}

TEST(GuardCommandLine, G3_SetsUmask0077) {
  DirectGuard guard({"--", "/bin/sh", "-c", "umask"});
  EXPECT_EQ(guard.wait().out, "0077\n");
}

TEST(GuardCommandLine, G2_T50_RecordsWhatTheKernelSaysOfSpeculation) {
  DirectGuard guard(
      {"--", "/bin/sh", "-c",
       "sed -n 's/^Speculation_Store_Bypass:\\t//p;s/^SpeculationIndirectBranch:\\t//p' "
       "/proc/self/status"});
  auto out = guard.wait().out;
  auto record = guard.record();
  std::string store = out.substr(0, out.find('\n'));
  std::string branch = out.substr(out.find('\n') + 1);
  bool store_off = store.find("force mitigated") != std::string::npos || store == "not vulnerable";
  bool branch_off =
      branch.find("force disabled") != std::string::npos || branch == "not affected\n";
  EXPECT_EQ(field(record, "features.speculationStoreBypass") == "yes", store_off) << store;
  EXPECT_EQ(field(record, "features.speculationIndirectBranch") == "yes", branch_off) << branch;
}

TEST(GuardCommandLine, G2_StrictSpeculationRefusesWhereItIsNotOff) {
  DirectGuard relaxed({"--", "/bin/true"});
  relaxed.wait();
  auto record = relaxed.record();
  bool off = field(record, "features.speculationStoreBypass") == "yes" &&
             field(record, "features.speculationIndirectBranch") == "yes";
  DirectGuard strict({"--strict-speculation", "--", "/bin/echo", "ran"});
  auto end = strict.wait();
  EXPECT_EQ(end.code, off ? 0 : 125);
  EXPECT_EQ(end.out, off ? "ran\n" : "");
  EXPECT_EQ(field(strict.record(), "cause"), off ? "exited" : "guard-failed");
}

TEST(GuardCommandLine, G6_IsStaticAndHasMode0555) {
  struct stat status{};
  ASSERT_EQ(stat(built_program("guard").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0555U);
  auto headers = run_process({.argv = {"/usr/bin/readelf", "-lW", built_program("guard")}});
  ASSERT_EQ(headers.code, 0);
  EXPECT_EQ(headers.out.find("INTERP"), std::string::npos) << "needs a loader";
  auto dynamic = run_process({.argv = {"/usr/bin/readelf", "-dW", built_program("guard")}});
  EXPECT_EQ(dynamic.out.find("NEEDED"), std::string::npos) << "needs a library";
}

TEST(GuardCommandLine, G6_IsInstalledWithMode0555) {
  TempFolder folder;
  auto end = run_process({.argv = {"/usr/bin/cmake", "--install",
                                   std::string(SANDBOXRUN_BINARY_DIR) + "/sandbox-image/guard",
                                   "--prefix", folder.path().string()}});
  ASSERT_EQ(end.code, 0) << end.err;
  struct stat status{};
  ASSERT_EQ(stat((folder.path() / "libexec/sandboxrun/guard").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0555U);
}

}  // namespace
}  // namespace sandboxrun::test
