// The guard as PID 1 of real containers: what it refuses, what it ends, and what cannot be forged.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/support/oci_container.h"

namespace sandboxrun::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::vector<std::string> shell(const std::string& script, std::vector<std::string> flags = {}) {
  flags.insert(flags.end(), {"--", "/bin/sh", "-c", script});
  return flags;
}

class GuardContainer : public testing::TestWithParam<Runtime> {
 protected:
  ContainerSpec spec(std::vector<std::string> guard_arguments, std::vector<std::string> env = {}) {
    return {.runtime = GetParam(),
            .guard_arguments = std::move(guard_arguments),
            .env = std::move(env)};
  }

  /// The guard must end with 125 before anything ran, and say `detail`.
  void expect_refusal(const ContainerSpec& refused, const std::string& detail) {
    Container container(refused);
    auto end = container.wait();
    EXPECT_EQ(end.code, 125) << end.err;
    EXPECT_EQ(end.out, "");
    auto record = container.record();
    EXPECT_EQ(field(record, "stage"), "guard");
    EXPECT_EQ(field(record, "cause"), "guard-failed");
    EXPECT_EQ(field(record, "started"), "false");
    EXPECT_EQ(field(record, "detail"), detail);
  }
};

INSTANTIATE_TEST_SUITE_P(Runtimes, GuardContainer, testing::Values(Runtime::Runc, Runtime::Runsc),
                         [](const auto& parameter) { return to_string(parameter.param); });

TEST_P(GuardContainer, S2_L10_RunsInAHardenedSandboxAndRecordsItsFeatures) {
  Container container(spec(shell("echo message > /dev/termination-log; echo out; exit 7",
                                 {"--require-userns", "--deadline", "60"}),
                           {"SANDBOXRUN_TOKEN=abc"}));
  auto end = container.wait();
  EXPECT_EQ(end.code, 7) << end.err;
  EXPECT_EQ(end.out, "out\n");
  auto record = container.record();
  EXPECT_EQ(field(record, "token"), "abc");
  EXPECT_EQ(field(record, "cause"), "exited");
  EXPECT_EQ(field(record, "code"), "7");
  EXPECT_EQ(field(record, "message"), "message\n");
  EXPECT_EQ(field(record, "features.seccomp"), "yes");
  EXPECT_EQ(field(record, "features.noNewPrivs"), "yes");
  const bool gvisor = GetParam() == Runtime::Runsc;
  EXPECT_EQ(field(record, "features.userNamespace"), gvisor ? "n/a" : "yes");
  EXPECT_EQ(field(record, "features.speculationStoreBypass") == "n/a", gvisor);
  EXPECT_EQ(field(record, "features.landlock") == "0", gvisor);
}

TEST_P(GuardContainer, S2_RefusesAWritableRoot) {
  auto weak = spec({"--", "/bin/echo", "ran"});
  weak.read_only_root = false;
  expect_refusal(weak, "the root filesystem is writable");
}

TEST_P(GuardContainer, S2_RefusesCapabilities) {
  auto weak = spec({"--", "/bin/echo", "ran"});
  weak.capabilities = true;
  expect_refusal(weak, "the sandbox has capabilities; all sets must be empty");
}

TEST(GuardContainerRunc, S2_RefusesAMissingSeccompProfile) {
  Container container({.guard_arguments = {"--", "/bin/echo", "ran"}, .seccomp_profile = false});
  auto end = container.wait();
  EXPECT_EQ(end.code, 125);
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(field(container.record(), "detail"), "the runtime's seccomp profile is off");
}

TEST(GuardContainerRunc, S2_RefusesUnmappedUsersWhereAUserNamespaceIsRequired) {
  Container container(
      {.guard_arguments = {"--require-userns", "--", "/bin/echo", "ran"}, .user_namespace = false});
  auto end = container.wait();
  EXPECT_EQ(end.code, 125);
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(field(container.record(), "detail"),
            "user ids are not mapped: there is no user namespace");
}

TEST(GuardContainerRunc, RunsWithoutAUserNamespaceWhereNoneIsRequired) {
  Container container({.guard_arguments = {"--", "/bin/true"}, .user_namespace = false});
  EXPECT_EQ(container.wait().code, 0);
  EXPECT_EQ(field(container.record(), "features.userNamespace"), "no");
}

TEST(GuardWorkingDirectory, T49_OneThatLeadsOutOfTheRootIsRefused) {
  TempFolder folder;
  std::filesystem::copy_file(built_program("guard"), folder.path() / "guard");
  std::filesystem::copy_file("/usr/bin/busybox", folder.path() / "busybox");
  std::filesystem::create_directory(folder.path() / "inside");
  write_file(folder.path() / "log", "");
  ProcessSpec spec{.argv = {"/guard", "--unsafe-skip-environment-checks", "--termination-log",
                            "/log", "--", "/busybox", "echo", "ran"}};
  spec.before_exec = [&] {
    if (chdir("/usr") != 0 || chroot(folder.path().c_str()) != 0) _exit(98);
  };
  auto outside = run_process(spec);
  EXPECT_EQ(outside.code, 125);
  EXPECT_EQ(outside.out, "");
  EXPECT_EQ(field(parse_record(read_file(folder.path() / "log")), "detail"),
            "the working directory lies outside the root");
  spec.before_exec = [&] {
    if (chroot(folder.path().c_str()) != 0 || chdir("/inside") != 0) _exit(98);
  };
  EXPECT_EQ(run_process(spec).out, "ran\n");
}

TEST_P(GuardContainer, T26_TheTokenIsNowhereForTheRunToSee) {
  Container container(spec(shell("env; cat /proc/self/environ /proc/1/environ /proc/1/cmdline "
                                 "2>/dev/null | tr '\\0' '\\n'; exit 0"),
                           {"SANDBOXRUN_TOKEN=canary-5f3a"}));
  auto end = container.wait();
  EXPECT_EQ(end.out.find("canary"), std::string::npos) << end.out;
  EXPECT_EQ(end.out.find("SANDBOXRUN_TOKEN"), std::string::npos) << end.out;
  EXPECT_EQ(field(container.record(), "token"), "canary-5f3a");
}

TEST(GuardContainerRunc, T26_TheTokenIsWipedFromTheGuardsEnvironmentMemory) {
  // Seen from outside, as root of the machine: the bytes are gone, not just hidden.
  Container container({.guard_arguments = shell("echo ready; sleep 60"),
                       .env = {"SANDBOXRUN_TOKEN=canary-5f3a", "OTHER=kept"}});
  ASSERT_TRUE(container.process().wait_for_output("ready"));
  auto found = run_process({.argv = {"/bin/sh", "-c",
                                     "for p in /proc/[0-9]*; do [ \"$(readlink $p/exe)\" = "
                                     "/test/guard ] && tr '\\0' '\\n' < $p/environ; done; :"}});
  EXPECT_NE(found.out.find("OTHER=kept"), std::string::npos);
  EXPECT_EQ(found.out.find("canary"), std::string::npos) << found.out;
}

TEST_P(GuardContainer, T23_ALoopingForgerInAnotherSessionDoesNotChangeTheRecord) {
  Container container(
      spec(shell("(setsid sh -c 'trap \"\" TERM HUP; exec 3>>/dev/termination-log; "
                 "while :; do echo {\\\"v\\\":1,\\\"cause\\\":\\\"exited\\\",\\\"code\\\":0} >&3; "
                 "echo forged > /dev/termination-log; done' &); sleep 0.5; exit 9"),
           {"SANDBOXRUN_TOKEN=real"}));
  EXPECT_EQ(container.wait().code, 9);
  auto record = container.record();
  EXPECT_EQ(field(record, "token"), "real");
  EXPECT_EQ(field(record, "cause"), "exited");
  EXPECT_EQ(field(record, "code"), "9");
}

TEST_P(GuardContainer, T23_RemovingOrRenamingTheLogDoesNotChangeTheRecord) {
  Container container(spec(shell("rm -f /dev/termination-log; mv /tmp/x /dev/termination-log; "
                                 "mv /dev/termination-log /tmp/gone; echo forged > "
                                 "/dev/termination-log; exit 4"),
                           {"SANDBOXRUN_TOKEN=real"}));
  EXPECT_EQ(container.wait().code, 4);
  EXPECT_EQ(field(container.record(), "token"), "real");
  EXPECT_EQ(field(container.record(), "code"), "4");
}

TEST_P(GuardContainer, T23_AHugeLogIsCutToARecord) {
  Container container(
      spec(shell("head -c 50000000 /dev/zero | tr '\\0' x > /dev/termination-log; exit 0")));
  EXPECT_EQ(container.wait().code, 0);
  EXPECT_EQ(field(container.record(), "message"), std::string(2048, 'x'));
}

TEST_P(GuardContainer, T21_ADeadlineEndsAForestOfProcessesThatIgnoreSigterm) {
  Container container(
      spec(shell("trap '' TERM; for i in 1 2 3 4 5; do (setsid sh -c 'trap \"\" TERM; while :; do "
                 "sleep 0.1; done' &); done; while :; do sleep 0.1; done",
                 {"--deadline", "1", "--grace", "1"})));
  auto start = steady_clock::now();
  EXPECT_EQ(container.wait().code, 124);
  EXPECT_LT(steady_clock::now() - start, milliseconds(10000));
  EXPECT_EQ(field(container.record(), "cause"), "deadline");
}

TEST_P(GuardContainer, T20_AForkBombEndsAtTheDeadline) {
  Container container(spec(shell("bomb() { bomb | bomb & }; bomb 2>/dev/null & while :; do :; done",
                                 {"--nproc", "60", "--deadline", "2", "--grace", "0"})));
  auto end = container.wait();
  EXPECT_EQ(end.code, 124);
  EXPECT_EQ(field(container.record(), "cause"), "deadline");
}

TEST_P(GuardContainer, T21_OrphansAreReapedWhileTheCommandRuns) {
  Container container(
      spec(shell("i=0; while [ $i -lt 50 ]; do (setsid true &); i=$((i+1)); done; sleep 0.5; "
                 "cat /proc/[0-9]*/stat 2>/dev/null | cut -d' ' -f3 | grep -c Z; exit 0")));
  EXPECT_EQ(container.wait().out, "0\n");
}

TEST_P(GuardContainer, WhatAStepLeavesRunningIsGoneBeforeTheCommand) {
  Container container(
      spec({"--step", "20", "3", "/bin/sh", "-c",
            "(setsid sh -c 'sleep 300 & sleep 300' &); sleep 0.3", "--", "/bin/sh", "-c",
            "cat /proc/[2-9]*/cmdline /proc/[1-9][0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep "
            "-c '[s]leep 300'; exit 0"}));
  EXPECT_EQ(container.wait().out, "0\n");
}

TEST_P(GuardContainer, ASigtermFromOutsideStopsTheRunWith143) {
  Container container(
      spec(shell("trap 'echo got TERM; exit 0' TERM; echo ready; while :; do sleep 0.05; done")));
  ASSERT_TRUE(container.process().wait_for_output("ready"));
  container.kill("TERM");
  auto end = container.wait();
  EXPECT_EQ(end.code, 143);
  EXPECT_EQ(end.out, "ready\ngot TERM\n");
  EXPECT_EQ(field(container.record(), "cause"), "stopped");
  EXPECT_EQ(field(container.record(), "childCode"), "0");
}

TEST_P(GuardContainer, T21_ASecondSigtermFromOutsideDoesNotProlongTheGrace) {
  Container container(
      spec(shell("trap '' TERM; echo ready; while :; do sleep 0.05; done", {"--grace", "2"})));
  ASSERT_TRUE(container.process().wait_for_output("ready"));
  container.kill("TERM");
  auto start = steady_clock::now();
  std::this_thread::sleep_for(milliseconds(1200));
  container.kill("TERM");
  EXPECT_EQ(container.wait().code, 143);
  EXPECT_LT(steady_clock::now() - start, milliseconds(3500));
}

TEST_P(GuardContainer, T21_TheRunCannotStopEndOrOutliveTheGuardsDeadline) {
  Container container(
      spec(shell("for s in STOP KILL TERM INT HUP USR1; do kill -$s 1; done; "
                 "kill -STOP -1; sleep 60",
                 {"--deadline", "2", "--grace", "0"})));
  auto end = container.wait();
  EXPECT_EQ(end.code, 124) << end.err;
  EXPECT_EQ(field(container.record(), "cause"), "deadline");
}

TEST_P(GuardContainer, T21_ACommandThatMakesTheGuardItsTracerOnlyStopsItself) {
  // Once it is traced, the signal of the child's end would stop it before it can print.
  Container container(spec({"--deadline", "3", "--grace", "0", "--", "/usr/bin/python3", "-c",
                            "import ctypes, os, signal\n"
                            "child = os.fork()\n"
                            "if child == 0: os._exit(0)\n"
                            "os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)\n"
                            "print(ctypes.CDLL(None).ptrace(0, 0, 0, 0), flush=True)\n"
                            "os.kill(os.getpid(), signal.SIGUSR1)\n"}));
  auto end = container.wait();
  EXPECT_EQ(end.code, 124) << end.err;
  EXPECT_EQ(end.out, "0\n");
  EXPECT_EQ(field(container.record(), "signal"), "9");
}

TEST_P(GuardContainer, T20_ADescriptorStormEndsAtTheLimit) {
  Container container(spec({"--nofile", "50", "--", "/usr/bin/python3", "-c",
                            "import os\nn = 3\ntry:\n"
                            "  while True: os.open('/dev/null', 0); n += 1\n"
                            "except OSError as e: print(n, e.strerror)\n"}));
  EXPECT_EQ(container.wait().out, "50 Too many open files\n");
}

TEST_P(GuardContainer, KillMinusOneByTheRunReachesOnlyItsOwnProcesses) {
  Container container(spec(shell("sleep 300 & kill -9 -1; wait; echo survived; exit 5")));
  auto end = container.wait();
  EXPECT_EQ(end.code, 5);
  EXPECT_EQ(field(container.record(), "cause"), "exited");
}

TEST_P(GuardContainer, G5_CodesOfCommandsThatCannotRun) {
  for (const auto& [command, code] :
       std::vector<std::pair<std::string, int>>{{"/nonexistent", 127}, {"/etc/passwd", 126}}) {
    Container container(spec({"--", command}));
    EXPECT_EQ(container.wait().code, code);
  }
}

TEST(GuardContainerRunc, TheLandlockDomainHoldsSignalsAndAbstractSocketsInside) {
  Container container(
      {.guard_arguments = {"--", "/usr/bin/python3", "-c",
                           "import socket\n"
                           "a = socket.socket(socket.AF_UNIX)\n"
                           "a.bind(b'\\0own'); a.listen()\n"
                           "b = socket.socket(socket.AF_UNIX); b.connect(b'\\0own')\n"
                           "print('own sockets work')\n"}});
  EXPECT_EQ(container.wait().out, "own sockets work\n");
  EXPECT_GE(std::stoi(field(container.record(), "features.landlock")), 6);
}

TEST(GuardLandlock, ARunCannotConnectToAnAbstractSocketOutside) {
  // On the machine itself, where the test holds the other end: the same as two containers of one
  // pod, which share a network namespace.
  const std::string name = "sandboxrun-test-" + std::to_string(getpid());
  Process outside(
      {.argv = {"/usr/bin/python3", "-c",
                "import socket, time\n"
                "s = socket.socket(socket.AF_UNIX); s.bind(b'\\0" +
                    name + "'); s.listen()\nprint('listening', flush=True); time.sleep(60)"}});
  ASSERT_TRUE(outside.wait_for_output("listening"));
  const std::string connect =
      "import socket\ns = socket.socket(socket.AF_UNIX)\ntry:\n"
      "  s.connect(b'\\0" +
      name +
      "'); print('connected')\n"
      "except PermissionError: print('refused')";
  EXPECT_EQ(run_process({.argv = {"/usr/bin/python3", "-c", connect}}).out, "connected\n");
  DirectGuard guard({"--", "/usr/bin/python3", "-c", connect});
  EXPECT_EQ(guard.wait().out, "refused\n");
}

}  // namespace
}  // namespace sandboxrun::test
