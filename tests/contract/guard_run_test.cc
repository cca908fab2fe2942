// What the guard does with steps, the command, its time and its exit code.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <thread>

#include "tests/support/guard_process.h"

namespace sandboxrun::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct Ended {
  ProcessEnd end;
  Node record;
};

Ended run(std::vector<std::string> arguments) {
  DirectGuard guard(std::move(arguments));
  auto end = guard.wait();
  return {end, guard.record()};
}

std::vector<std::string> shell(std::vector<std::string> flags, const std::string& script) {
  flags.insert(flags.end(), {"--", "/bin/sh", "-c", script});
  return flags;
}

/// "stage cause code started childCode signal", absent ones as "-".
std::string summary(const Node& record) {
  std::string text;
  for (const char* key : {"stage", "cause", "code", "started", "childCode", "signal"}) {
    std::string value = field(record, key);
    text += (text.empty() ? "" : " ") + (value.empty() ? "-" : value);
  }
  return text;
}

TEST(GuardExit, W11_EveryCodeOfTheCommandPassesUnchanged) {
  for (int code = 0; code <= 255; ++code) {
    auto [end, record] = run(shell({}, "exit " + std::to_string(code)));
    ASSERT_EQ(end.code, code);
    const std::string n = std::to_string(code);
    ASSERT_EQ(summary(record), "run exited " + n + " true " + n + " -");
  }
}

// Each read of the guard is held back, so that the command ends after the guard looked for ended
// children and before it reads the signal that tells of the end.
TEST(GuardExit, W11_AnEndBetweenTheReapingAndTheReadingOfSignalsIsNotLost) {
  TempFolder folder;
  const std::string log = folder.path() / "log";
  write_file(log, "");
  auto end = run_process(
      {.argv = {"/usr/bin/strace", "-o", folder.path() / "trace", "-e", "trace=read,wait4", "-e",
                "inject=read:delay_enter=400000", built_program("guard"),
                "--unsafe-skip-environment-checks", "--termination-log", log, "--deadline", "10",
                "--", "/bin/sleep", "0.6"}});
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_EQ(summary(parse_record(read_file(log))), "run exited 0 true 0 -");
}

TEST(GuardExit, N5_ASignalBecomes128PlusItsNumber) {
  for (int number : {SIGHUP, SIGINT, SIGKILL, SIGSEGV, SIGABRT, SIGTERM, SIGUSR1, SIGRTMAX}) {
    const std::string n = std::to_string(number);
    auto [end, record] = run(shell({}, "kill -" + n + " $$"));
    EXPECT_EQ(end.code, 128 + number);
    EXPECT_EQ(summary(record), "run signaled " + std::to_string(128 + number) + " true - " + n);
  }
}

TEST(GuardExit, T22_CodesOfTheGuardsOwnAreToldApartByTheCause) {
  for (int code : {123, 124, 125, 126, 127, 137, 143}) {
    auto [end, record] = run(shell({}, "exit " + std::to_string(code)));
    EXPECT_EQ(end.code, code);
    EXPECT_EQ(field(record, "cause"), "exited");
    EXPECT_EQ(field(record, "stage"), "run");
  }
}

TEST(GuardExit, G5_AMissingCommandIs127AndNeverStarted) {
  for (const char* name : {"/nonexistent/program", "no-such-program", "/etc/passwd/x"}) {
    auto [end, record] = run({"--", name});
    EXPECT_EQ(end.code, 127);
    EXPECT_EQ(summary(record), "run not-found 127 false - -");
    EXPECT_EQ(end.err.find("guard: cannot execute \""), 0U) << end.err;
  }
}

TEST(GuardExit, G5_ACommandThatCannotBeExecutedIs126AndNeverStarted) {
  for (const char* name : {"/etc/passwd", "/tmp"}) {
    auto [end, record] = run({"--", name});
    EXPECT_EQ(end.code, 126);
    EXPECT_EQ(summary(record), "run not-executable 126 false - -");
    EXPECT_EQ(field(record, "detail"),
              "cannot execute \"" + std::string(name) + "\": Permission denied");
  }
}

TEST(GuardExit, ControlCharactersInACommandsNameDoNotReachTheTerminal) {
  auto [end, record] = run({"--", "/x\x1b[2J\xff\n"});
  EXPECT_EQ(end.err, "guard: cannot execute \"/x?[2J??\": No such file or directory\n");
}

TEST(GuardDeadline, EndsTheCommandWith124) {
  auto start = steady_clock::now();
  auto [end, record] = run(shell({"--deadline", "1"}, "exec sleep 60"));
  EXPECT_EQ(end.code, 124);
  EXPECT_EQ(summary(record), "run deadline 124 true - 15");
  EXPECT_GE(steady_clock::now() - start, milliseconds(1000));
  EXPECT_LT(steady_clock::now() - start, milliseconds(4000));
}

TEST(GuardDeadline, S6_ItsCodeIs124WhateverTheCommandReturnsAfterwards) {
  auto [end, record] =
      run(shell({"--deadline", "1"}, "trap 'exit 0' TERM; while :; do sleep 0.05; done"));
  EXPECT_EQ(end.code, 124);
  EXPECT_EQ(summary(record), "run deadline 124 true 0 -");
}

TEST(GuardDeadline, T21_ACommandThatIgnoresSigtermIsKilledAfterTheGrace) {
  auto start = steady_clock::now();
  auto [end, record] =
      run(shell({"--deadline", "1", "--grace", "1"}, "trap '' TERM; while :; do sleep 0.05; done"));
  EXPECT_EQ(end.code, 124);
  EXPECT_EQ(summary(record), "run deadline 124 true - 9");
  EXPECT_GE(steady_clock::now() - start, milliseconds(2000));
  EXPECT_LT(steady_clock::now() - start, milliseconds(5000));
}

TEST(GuardDeadline, WithoutGraceItKillsAtOnce) {
  auto [end, record] =
      run(shell({"--deadline", "1", "--grace", "0"}, "trap 'exit 0' TERM; sleep 60 & wait"));
  EXPECT_EQ(end.code, 124);
  EXPECT_EQ(summary(record), "run deadline 124 true - 9");
}

TEST(GuardDeadline, CountsFromTheCommandsStartNotTheSteps) {
  auto [end, record] =
      run({"--deadline", "2", "--step", "10", "2", "/bin/sleep", "2.5", "--", "/bin/sleep", "0.5"});
  EXPECT_EQ(end.code, 0);
  EXPECT_EQ(field(record, "cause"), "exited");
}

TEST(GuardDeadline, ALargeOneDoesNotOverflow) {
  auto [end, record] = run({"--deadline", "2147483647", "--", "/bin/true"});
  EXPECT_EQ(end.code, 0);
}

TEST(GuardStop, SigtermIsForwardedAndTheCodeIs143WhateverTheCommandReturns) {
  DirectGuard guard(
      shell({}, "trap 'echo got TERM; exit 0' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(guard.process().wait_for_output("ready"));
  guard.process().signal(SIGTERM);
  auto end = guard.wait();
  EXPECT_EQ(end.code, 143);
  EXPECT_EQ(end.out, "ready\ngot TERM\n");
  EXPECT_EQ(summary(guard.record()), "run stopped 143 true 0 -");
}

TEST(GuardStop, T21_ASecondSigtermDoesNotProlongTheGrace) {
  DirectGuard guard(
      shell({"--grace", "2"}, "trap '' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(guard.process().wait_for_output("ready"));
  auto start = steady_clock::now();
  guard.process().signal(SIGTERM);
  std::this_thread::sleep_for(milliseconds(1500));
  guard.process().signal(SIGTERM);
  auto end = guard.wait();
  EXPECT_EQ(end.code, 143);
  EXPECT_LT(steady_clock::now() - start, milliseconds(3200));
  EXPECT_EQ(summary(guard.record()), "run stopped 143 true - 9");
}

TEST(GuardStop, AnImagesOwnStopSignalStopsToo) {
  for (int number : {SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGWINCH, SIGCONT, SIGRTMIN + 3}) {
    DirectGuard guard(shell({}, "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"));
    ASSERT_TRUE(guard.process().wait_for_output("ready"));
    guard.process().signal(number);
    EXPECT_EQ(guard.wait().code, 143) << number;
    EXPECT_EQ(summary(guard.record()), "run stopped 143 true 0 -") << number;
  }
}

TEST(GuardStop, SigurgIsNoRequest) {
  // runc forwards the SIGURG that its own Go runtime sends itself.
  DirectGuard guard(shell({}, "echo ready; sleep 0.5; exit 6"));
  ASSERT_TRUE(guard.process().wait_for_output("ready"));
  guard.process().signal(SIGURG);
  EXPECT_EQ(guard.wait().code, 6);
}

TEST(GuardStop, TheRecordNamesTheSignal) {
  DirectGuard guard(shell({}, "echo ready; exec sleep 60"));
  ASSERT_TRUE(guard.process().wait_for_output("ready"));
  guard.process().signal(SIGINT);
  guard.wait();
  EXPECT_EQ(field(guard.record(), "detail"), "stopped from outside by signal 2");
}

TEST(GuardStop, ADeadlineDuringTheGraceChangesNothing) {
  DirectGuard guard(shell({"--deadline", "1", "--grace", "2"},
                          "trap '' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(guard.process().wait_for_output("ready"));
  guard.process().signal(SIGTERM);
  EXPECT_EQ(guard.wait().code, 143);
  EXPECT_EQ(field(guard.record(), "cause"), "stopped");
}

TEST(GuardStop, DuringAStepTheCommandNeverStarts) {
  DirectGuard guard({"--step", "30", "3", "/bin/sh", "-c", "echo ready; exec sleep 60", "--",
                     "/bin/echo", "command"});
  ASSERT_TRUE(guard.process().wait_for_output("ready"));
  guard.process().signal(SIGTERM);
  auto end = guard.wait();
  EXPECT_EQ(end.code, 143);
  EXPECT_EQ(end.out, "ready\n");
  EXPECT_EQ(summary(guard.record()), "setup stopped 143 false - 15");
  EXPECT_EQ(field(guard.record(), "step"), "0");
}

TEST(GuardStop, ASigchldThatWasIgnoredWhenItStartedLosesNoExitCode) {
  DirectGuard guard(shell({}, "exit 42"), {}, [] { signal(SIGCHLD, SIG_IGN); });
  EXPECT_EQ(guard.wait().code, 42);
}

TEST(GuardStop, TheCommandStartsWithDefaultAndUnblockedSignals) {
  DirectGuard guard({"--", "/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"}, {}, [] {
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
  });
  EXPECT_EQ(guard.wait().out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST(GuardSteps, RunInOrderBeforeTheCommand) {
  auto [end, record] = run({"--step", "10", "2", "/bin/echo", "one", "--step", "10", "3",
                            "/bin/echo", "two", "--", "--", "/bin/echo", "three"});
  EXPECT_EQ(end.code, 0);
  EXPECT_EQ(end.out, "one\ntwo --\nthree\n");
  EXPECT_EQ(summary(record), "run exited 0 true 0 -");
  EXPECT_EQ(field(record, "step"), "");
}

TEST(GuardSteps, TheFirstFailureEndsTheRunWith123AndItsIndex) {
  auto [end, record] =
      run({"--step", "10", "1", "/bin/true", "--step", "10", "3", "/bin/sh", "-c", "exit 7",
           "--step", "10", "2", "/bin/echo", "third", "--", "/bin/echo", "command"});
  EXPECT_EQ(end.code, 123);
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(summary(record), "setup setup-failed 123 false 7 -");
  EXPECT_EQ(field(record, "step"), "1");
}

TEST(GuardSteps, AStepThatASignalEndsFails) {
  auto [end, record] =
      run({"--step", "10", "3", "/bin/sh", "-c", "kill -9 $$", "--", "/bin/echo", "command"});
  EXPECT_EQ(end.code, 123);
  EXPECT_EQ(summary(record), "setup setup-failed 123 false - 9");
}

TEST(GuardSteps, AStepOverItsTimeoutIsKilled) {
  auto [end, record] =
      run({"--step", "1", "3", "/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.05; done", "--",
           "/bin/echo", "command"});
  EXPECT_EQ(end.code, 123);
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(summary(record), "setup setup-timeout 123 false - 9");
  EXPECT_EQ(field(record, "step"), "0");
}

TEST(GuardSteps, AMissingStepProgramFailsTheSetup) {
  auto [end, record] = run({"--step", "10", "1", "/nonexistent", "--", "/bin/echo", "command"});
  EXPECT_EQ(end.code, 123);
  EXPECT_EQ(summary(record), "setup setup-failed 123 false 127 -");
  EXPECT_EQ(field(record, "detail"), "cannot execute \"/nonexistent\": No such file or directory");
}

TEST(GuardSteps, WhatAStepLeavesRunningIsGoneBeforeTheNext) {
  const std::string daemon =
      "setsid sh -c 'sleep 300 & echo $! > $FOLDER/pid; exec sleep 300' & sleep 0.3";
  auto [end, record] = run({"--step", "10", "3", "/bin/sh", "-c", daemon, "--", "/bin/sh", "-c",
                            "kill -0 $(cat $FOLDER/pid) 2>/dev/null && echo alive || echo gone"});
  EXPECT_EQ(end.out, "gone\n");
}

TEST(GuardEnd, DaemonsOfTheCommandAreKilledWithIt) {
  DirectGuard guard(shell({},
                          "(setsid sh -c 'sleep 300 & echo $! > $FOLDER/pid; sleep 300' &); "
                          "until [ -s $FOLDER/pid ]; do sleep 0.02; done; exit 3"));
  EXPECT_EQ(guard.wait().code, 3);
  EXPECT_EQ(summary(guard.record()), "run exited 3 true 3 -");
  const pid_t daemon = std::stoi(read_file(guard.folder() / "pid"));
  EXPECT_EQ(kill(daemon, 0), -1) << "process " << daemon << " lives on";
}

TEST(GuardLimits, N4_ApplyToTheCommandSoftAndHard) {
  auto [end, record] = run(shell({"--nofile", "77", "--nproc", "4000", "--fsize", "1048576"},
                                 "grep -E 'open files|processes|file size|core file' "
                                 "/proc/self/limits | tr -s ' '"));
  EXPECT_EQ(end.out,
            "Max file size 1048576 1048576 bytes \n"
            "Max core file size 0 0 bytes \n"
            "Max processes 4000 4000 processes \n"
            "Max open files 77 77 files \n");
}

TEST(GuardLimits, T20_AFileCannotGrowBeyondFsizeAndTheRecordIsStillWritten) {
  auto [end, record] = run(
      shell({"--fsize", "1000"}, "head -c 100000 /dev/zero > $FOLDER/big; stat -c %s $FOLDER/big"));
  EXPECT_EQ(end.out, "1000\n");
  EXPECT_EQ(summary(record), "run exited 0 true 0 -");
}

TEST(GuardLimits, ALimitAboveTheHardLimitBecomesTheHardLimit) {
  DirectGuard guard({"--nofile", "1048576", "--", "/bin/sh", "-c", "ulimit -Hn"}, {}, [] {
    rlimit limit{.rlim_cur = 300, .rlim_max = 300};
    setrlimit(RLIMIT_NOFILE, &limit);
  });
  EXPECT_EQ(guard.wait().out, "300\n");
}

class GuardActivate : public testing::Test {
 protected:
  /// Runs with an activation script of this text.
  Ended run_with(const std::string& script, std::vector<std::string> rest) {
    auto path = folder_.path() / "activate $(x).sh";
    write_file(path, script);
    std::vector<std::string> arguments = {"--activate", path.string()};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    return run(arguments);
  }
  TempFolder folder_;
};

TEST_F(GuardActivate, W9_IsSourcedBeforeTheCommandAndEachStep) {
  auto [end, record] =
      run_with("export MARK=seen", {"--step", "9", "3", "/bin/sh", "-c", "echo step $MARK", "--",
                                    "/bin/sh", "-c", "echo command $MARK"});
  EXPECT_EQ(end.out, "step seen\ncommand seen\n");
  EXPECT_EQ(end.code, 0);
}

TEST_F(GuardActivate, W9_MetacharactersInArgumentsAreNotInterpreted) {
  auto pwned = folder_.path() / "pwned";
  auto [end, record] = run_with(":", {"--", "printf", "%s|", "$(touch " + pwned.string() + ")",
                                      "`touch " + pwned.string() + "`", "; touch " + pwned.string(),
                                      "$1", "'\"\\", "", "a\nb"});
  EXPECT_EQ(end.out, "$(touch " + pwned.string() + ")|`touch " + pwned.string() + "`|; touch " +
                         pwned.string() + "|$1|'\"\\||a\nb|");
  EXPECT_FALSE(std::filesystem::exists(pwned));
}

TEST_F(GuardActivate, W9_TheCommandReplacesTheShell) {
  auto [end, record] = run_with(":", {"--", "/bin/sh", "-c", "kill -9 $$"});
  EXPECT_EQ(end.code, 137);
  EXPECT_EQ(summary(record), "run signaled 137 true - 9");
}

TEST_F(GuardActivate, W9_AFailingScriptsCodeIsTheRuns) {
  auto [end, record] = run_with("return 9", {"--", "/bin/echo", "command"});
  EXPECT_EQ(end.code, 9);
  EXPECT_EQ(end.out, "");
}

TEST_F(GuardActivate, AMissingCommandIs127AndOneWithoutRights126) {
  EXPECT_EQ(run_with(":", {"--", "/nonexistent"}).end.code, 127);
  EXPECT_EQ(run_with(":", {"--", "/etc/passwd"}).end.code, 126);
}

TEST_F(GuardActivate, AMissingScriptFailsTheRun) {
  auto [end, record] = run({"--activate", "/nonexistent.sh", "--", "/bin/echo", "command"});
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(end.code, 2);
}

TEST(GuardEnvironment, T25_WhereTheApiServerIsCanBeTakenOutOfTheEnvironment) {
  const std::vector<std::string> environment = {"KUBERNETES_SERVICE_HOST=10.96.0.1",
                                                "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443",
                                                "KUBERNETES_LIKE=mine"};
  const std::vector<std::string> shown = {"--", "/bin/sh", "-c", "env | grep KUBERNETES_ | sort"};
  DirectGuard as_it_is(shown, environment);
  EXPECT_EQ(as_it_is.wait().out,
            "KUBERNETES_LIKE=mine\nKUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443\n"
            "KUBERNETES_SERVICE_HOST=10.96.0.1\n");
  std::vector<std::string> without = shown;
  without.insert(without.begin(), "--no-service-variables");
  DirectGuard guard(without, environment);
  EXPECT_EQ(guard.wait().out, "KUBERNETES_LIKE=mine\n");
}

}  // namespace
}  // namespace sandboxrun::test
