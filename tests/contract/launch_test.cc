#include "operator/launch/launch.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>
#include <sstream>
#include <thread>

#include "tests/support/launch/local_run.h"

namespace sandboxrun::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

class Launch : public testing::Test {
 protected:
  void TearDown() override { EXPECT_THAT(runs.leftovers(), IsEmpty()); }
  LocalRuns runs;
};

std::multiset<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::multiset<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.insert(line);
  return lines;
}

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename());
  }
  return names;
}

// --- How runs end --------------------------------------------------------------------------------

TEST_F(Launch, S6_ACommandThatEndsWithZeroSucceeds) {
  const auto end = runs.run_shell("echo out; echo err >&2");
  EXPECT_EQ(end.reason(), "Completed") << end.message();
  EXPECT_TRUE(end.outcome.status.succeeded());
  EXPECT_TRUE(end.outcome.started);
  EXPECT_EQ(end.outcome.exit_code, 0);
  EXPECT_EQ(end.out, "out\n");
  EXPECT_EQ(end.err, "err\n");
}

struct Ending {
  const char* name;
  const char* command;  // YAML
  int code;
  const char* reason;
};

class LaunchEnding : public Launch, public testing::WithParamInterface<Ending> {};

TEST_P(LaunchEnding, P7_HasItsExitCodeAndReason) {
  const auto end = runs.run(runs.plan(std::string("command: ") + GetParam().command));
  EXPECT_EQ(end.outcome.exit_code, GetParam().code) << end.message();
  EXPECT_EQ(end.reason(), GetParam().reason) << end.message();
}

INSTANTIATE_TEST_SUITE_P(
    All, LaunchEnding,
    testing::Values(Ending{"Seven", "[sh, -c, exit 7]", 7, "NonZeroExit"},
                    Ending{"HundredTwentyFive", "[sh, -c, exit 125]", 125, "NonZeroExit"},
                    Ending{"Signal", "[sh, -c, kill -9 $$]", 137, "Signaled"},
                    Ending{"NotFound", "[/bin/missing]", 127, "StartFailed"},
                    Ending{"NotExecutable", "[/etc]", 126, "StartFailed"},
                    Ending{"TwoHundredFiftyFive", "[sh, -c, exit 255]", 255, "NonZeroExit"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST_F(Launch, P9_MemoryBeyondTheLimitIsOOMKilled) {
  const auto end = runs.run_shell("tail /dev/zero", "resources: {limits: {memory: 64Mi}}");
  EXPECT_EQ(end.reason(), "OOMKilled") << end.message();
}

TEST_F(Launch, P7_TheDeadlineEndsARunThatIgnoresSigterm) {
  const auto begin = std::chrono::steady_clock::now();
  const auto end =
      runs.run_shell("trap '' TERM; while :; do sleep 1; done", "activeDeadlineSeconds: 1");
  EXPECT_EQ(end.reason(), "DeadlineExceeded") << end.message();
  EXPECT_EQ(end.outcome.exit_code, 124);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
}

TEST_F(Launch, T20_AForkBombIsBoundedAndTheRunEnds) {
  const auto end = runs.run_shell(
      "i=0; while [ $i -lt 3000 ]; do sleep 100 & i=$((i+1)); done 2>/dev/null; echo done",
      "activeDeadlineSeconds: 60");
  EXPECT_TRUE(end.outcome.started);
  EXPECT_THAT(end.reason(), testing::AnyOf("NonZeroExit", "Completed")) << end.message();
}

TEST_F(Launch, P9_WritingMoreThanTheScratchLimitEndsTheRun) {
  const auto end = runs.run_shell(
      "dd if=/dev/zero of=/work/a bs=1M count=24 2>/dev/null;"
      "dd if=/dev/zero of=/work/b bs=1M count=24 2>/dev/null; sleep 30",
      "scratch: {medium: Disk, sizeLimit: 32Mi}");
  EXPECT_EQ(end.reason(), "EphemeralStorageExceeded") << end.message();
}

TEST_F(Launch, P9_DeletedButOpenFilesCountAgainstTheScratchLimit) {
  const auto end = runs.run_shell(
      "exec 3>/work/a; rm /work/a; dd if=/dev/zero bs=1M count=24 >&3 2>/dev/null;"
      "exec 4>/work/b; rm /work/b; dd if=/dev/zero bs=1M count=24 >&4 2>/dev/null; sleep 30",
      "scratch: {medium: Disk, sizeLimit: 32Mi}");
  EXPECT_EQ(end.reason(), "EphemeralStorageExceeded") << end.message();
}

TEST_F(Launch, P9_ScratchInMemoryIsBoundedByTheKernel) {
  const auto end = runs.run_shell(
      "for i in 1 2 3; do dd if=/dev/zero of=/work/$i bs=1M count=4 2>&1; done; cat /work/* | wc "
      "-c",
      "scratch: {medium: Memory, sizeLimit: 8Mi}");
  EXPECT_THAT(end.out, HasSubstr("No space left on device"));
  EXPECT_THAT(end.out, testing::EndsWith("8388608\n"));
}

TEST_F(Launch, P2_AFailingSetupStepEndsTheRunBeforeItsCommand) {
  const auto end =
      runs.run_shell("echo command", "setup:\n- {name: bad, command: [sh, -c, exit 3]}");
  EXPECT_EQ(end.reason(), "SetupFailed") << end.message();
  EXPECT_EQ(end.out, "");
  EXPECT_FALSE(end.outcome.started);
}

TEST_F(Launch, W11_ACancelledRunIsStoppedAndItsResultsAreKept) {
  std::stop_source cancel;
  const auto plan = runs.shell("echo kept > /results/file; echo ready; sleep 100",
                               "results: {path: /results, skipUpload: true}");
  LocalEnd end;
  launch::Events events;
  events.output = [&](bool, std::string_view) { cancel.request_stop(); };
  end.outcome = launch::launch(plan, runs.options, events, cancel.get_token());
  EXPECT_EQ(end.reason(), "Cancelled") << end.message();
  EXPECT_EQ(end.outcome.results_file, runs.options.results_dir + "/test.tar.gz");
  EXPECT_TRUE(fs::exists(end.outcome.results_file));
}

TEST_F(Launch, W11_ARunThatIsCancelledBeforeItsStartNeverStarts) {
  std::stop_source cancel;
  cancel.request_stop();
  const auto end = runs.run(runs.shell("echo started"), cancel.get_token());
  EXPECT_EQ(end.reason(), "Cancelled") << end.message();
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(end.outcome.exit_code, 125);
}

// --- What a run sees -----------------------------------------------------------------------------

TEST_F(Launch, L4_T25_TheEnvironmentIsTheListAndNothingElse) {
  setenv("SANDBOXRUN_CANARY", "leak", 1);
  const auto end = runs.run(runs.plan("command: [env]\nenv: [{name: GIVEN, value: one two}]"));
  EXPECT_EQ(lines_of(end.out),
            (std::multiset<std::string>{"GIVEN=one two", "HOME=/work", "PATH=/bin"}));
}

TEST_F(Launch, L4_AVariableFromASecretIsResolvedHere) {
  fs::create_directories(runs.folder + "/secret");
  write_text(runs.folder + "/secret/key", "a secret value");
  runs.options.secrets["given"] = runs.folder + "/secret";
  const auto end = runs.run_shell(
      "echo $VALUE", "env: [{name: VALUE, valueFrom: {secretKeyRef: {name: given, key: key}}}]");
  EXPECT_EQ(end.out, "a secret value\n");
}

TEST_F(Launch, L4_AMissingSecretIsNamedAndNothingRuns) {
  const auto end = runs.run_shell(
      "echo started", "env: [{name: VALUE, valueFrom: {secretKeyRef: {name: absent, key: key}}}]");
  EXPECT_EQ(end.reason(), "ReferenceMissing");
  EXPECT_THAT(end.message(), HasSubstr("the Secret \"absent\" is not known here"));
  EXPECT_EQ(end.outcome.exit_code, 125);
}

TEST_F(Launch, N1_TheRunHasOnlyALoopbackThatIsDown) {
  const auto end = runs.run_shell("cat /proc/net/dev | tail -n +3 | cut -d: -f1; hostname");
  EXPECT_EQ(end.out, "    lo\nsandbox\n");
}

TEST_F(Launch, P9_TheRunIsNobodyWithoutRights) {
  const auto end = runs.run_shell(
      "id -u; id -g; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; touch /x 2>&1; umask");
  EXPECT_EQ(end.out,
            "64000\n64000\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
            "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n"
            "NoNewPrivs:\t1\ntouch: /x: Read-only file system\n0077\n");
}

TEST_F(Launch, P9_NobodyOnTheHostIsTheRun) {
  const auto end = runs.run_shell("cat /proc/self/uid_map");
  EXPECT_THAT(end.out, testing::MatchesRegex(" +0 +[1-9][0-9]+ +65536\n"));
}

TEST_F(Launch, T26_NoSecretOfAnotherStepIsVisible) {
  fs::create_directories(runs.folder + "/secret");
  write_text(runs.folder + "/secret/ca.pem", "canary-5b1f");
  runs.options.secrets["creds"] = runs.folder + "/secret";
  const auto end = runs.run_shell(
      "for d in /* /dev/shm /.sandboxrun; do case $d in /proc|/sys|/dev|/bin) ;;"
      "*) grep -r canary-5b1f $d;; esac; done 2>/dev/null;"
      "cat /proc/*/environ 2>/dev/null | grep -c canary-5b1f",
      "assets:\n- {name: a, target: /data/a, source: {inline: x}}");
  EXPECT_EQ(end.out, "0\n");
}

TEST_F(Launch, T49_NoDescriptorOfTheLauncherReachesTheRun) {
  const int leaked = open("/etc/passwd", O_RDONLY);  // without CLOEXEC
  const auto end = runs.run_shell("ls -l /proc/self/fd | grep -v -E 'pipe|null' | grep /");
  close(leaked);
  EXPECT_EQ(end.out, "");
}

// --- Assets, environments, results ---------------------------------------------------------------

TEST_F(Launch, P5_P6_AnAssetIsReadOnlyForeignAndExact) {
  const auto end = runs.run_shell(
      "cat /work/deep/in.txt; stat -c '%u %a' /work/deep/in.txt; echo x > /work/deep/in.txt;"
      "touch /work/deep/own && echo beside",
      "assets:\n- {name: a, target: /work/deep/in.txt, source: {inline: text}}");
  EXPECT_EQ(end.out, "text64001 444\nbeside\n");
  EXPECT_THAT(end.err, HasSubstr("can't create /work/deep/in.txt"));
}

TEST_F(Launch, P6_WhatWasPlacedBelongsToAnotherUserThanTheRun) {
  const auto end =
      runs.run_shell("id -u; stat -c %u /data/a /work/b",
                     "assets:\n- {name: a, target: /data/a, source: {inline: x}}\n"
                     "- {name: b, target: /work/b, readOnly: false, source: {inline: x}}");
  EXPECT_EQ(end.out, "64000\n64001\n64001\n") << end.message();
}

TEST_F(Launch, P8_TheResultsArchiveGivesBackEveryByte) {
  const auto end = runs.run_shell("mkdir /results/d; printf '\\000\\377\\n' > /results/d/bytes",
                                  "results: {path: /results, skipUpload: true}");
  ASSERT_EQ(end.reason(), "Completed") << end.message();
  const std::string command = "tar -C " + runs.folder + " -xzf " + end.outcome.results_file;
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(file_text(runs.folder + "/d/bytes"), std::string("\0\377\n", 3));
}

TEST_F(Launch, P5_AnEmptyAssetIsPlaced) {
  const auto end = runs.run_shell(
      "wc -c < /data/empty", "assets:\n- {name: a, target: /data/empty, source: {inline: ''}}");
  EXPECT_EQ(end.out, "0\n");
}

TEST_F(Launch, P5_AWritableAssetCanBeChanged) {
  const auto end = runs.run_shell("echo more >> /data/in && cat /data/in",
                                  "assets:\n- {name: a, target: /data/in, readOnly: false, mode: "
                                  "0666, source: {inline: \"text\\n\"}}");
  EXPECT_EQ(end.out, "text\nmore\n") << end.err << end.message();
}

TEST_F(Launch, W7_AWrongDigestIsShownAndNothingRuns) {
  write_text(runs.folder + "/data", "bytes");
  const std::string wrong = "sha256:" + std::string(64, '0');
  const auto end = runs.run_shell(
      "echo started",
      "assets:\n- {name: a, target: /data/in, source: {file: {path: data}}, digest: \"" + wrong +
          "\"}");
  EXPECT_EQ(end.reason(), "AssetDigestMismatch");
  EXPECT_THAT(end.message(), HasSubstr(wrong));
  EXPECT_THAT(end.message(),
              HasSubstr("sha256:277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9"));
  EXPECT_EQ(end.out, "");
  EXPECT_EQ(end.outcome.exit_code, 125);
}

TEST_F(Launch, W12_W13_ResultsAreStoredAlsoWhenTheCommandFailed) {
  const auto end = runs.run_shell("echo data > /results/file; exit 3",
                                  "results: {path: /results, format: TarZstd, skipUpload: true}");
  EXPECT_EQ(end.reason(), "NonZeroExit");
  EXPECT_EQ(end.outcome.exit_code, 3);
  EXPECT_EQ(names_in(runs.options.results_dir), (std::set<std::string>{"test.tar.zst"}));
  ASSERT_TRUE(end.outcome.status.results.has_value());
  EXPECT_TRUE(end.outcome.status.results->stored);
  EXPECT_EQ(end.outcome.status.results->entries, 1);
}

TEST_F(Launch, W10_TheRunStartsInItsWorkFolderAndFindsTheResultsFolder) {
  const auto end = runs.run_shell("test \"$PWD:$SANDBOXRUN_RESULTS\" = /work:/work/out",
                                  "results: {path: /work/out, skipUpload: true}");
  EXPECT_EQ(end.reason(), "Completed") << end.message();
}

TEST_F(Launch, W12_W15_OneBadResultAbortsTheArchiveAndKeepsTheExitCode) {
  const auto end = runs.run_shell("ln -s /etc/passwd /results/link",
                                  "results: {path: /results, skipUpload: true}");
  EXPECT_EQ(end.reason(), "ResultsRejected") << end.message();
  EXPECT_EQ(end.outcome.status.run->exit_code, 0);
  EXPECT_THAT(end.message(), HasSubstr("link"));
  EXPECT_EQ(end.outcome.exit_code, 125);
  EXPECT_FALSE(fs::exists(runs.options.results_dir + "/test.tar.gz"));
}

// --- Staging, the runtime, cleaning up -----------------------------------------------------------

TEST_F(Launch, L2_AMissingRuntimeFailsClosed) {
  runs.options.runtime = "/usr/sbin/no-such-runtime";
  const auto end = runs.run_shell("echo started");
  EXPECT_EQ(end.reason(), "RuntimeClassUnavailable");
  EXPECT_THAT(end.message(), HasSubstr("does not exist"));
  EXPECT_THAT(end.message(), Not(HasSubstr("no-such-runtime")));
  EXPECT_EQ(end.outcome.exit_code, 125);
  EXPECT_FALSE(end.outcome.started);
}

TEST_F(Launch, L1_NothingSwitchesTheSandboxOff) {
  for (const char* name : {"SANDBOXRUN_BARE", "AR_GATEWAY_BARE", "container"}) setenv(name, "1", 1);
  EXPECT_EQ(runs.run_shell("id -u").out, "64000\n");
  runs.options.runtime = "/usr/sbin/no-such-runtime";
  EXPECT_EQ(runs.run_shell("id -u").out, "");
}

/// A runtime that makes the bundle weaker before it hands it to runc.
std::string weakening_runtime(const std::string& folder, const std::string& sed) {
  const std::string runtime = folder + "/runtime";
  write_text(runtime,
             "#!/bin/sh\nfor last; do b=$bundle; bundle=$id; id=$last; done\n"
             "/bin/sed '" +
                 sed +
                 "' $bundle/config.json >$bundle/new && "
                 "/bin/mv $bundle/new $bundle/config.json\nexec /usr/sbin/runc \"$@\"\n");
  chmod(runtime.c_str(), 0755);
  return runtime;
}

TEST_F(Launch, L10_ASandboxThatIsWeakerThanPromisedRunsNothing) {
  for (const char* sed : {"s/\"path\":\"rootfs\",\"readonly\":true/\"path\":\"rootfs\"/",
                          "s/\"effective\":\\[\\]/\"effective\":[\"CAP_KILL\"]/;"
                          "s/\"bounding\":\\[\\]/\"bounding\":[\"CAP_KILL\"]/;"
                          "s/\"permitted\":\\[\\]/\"permitted\":[\"CAP_KILL\"]/;"
                          "s/\"inheritable\":\\[\\]/\"inheritable\":[\"CAP_KILL\"]/;"
                          "s/\"ambient\":\\[\\]/\"ambient\":[\"CAP_KILL\"]/",
                          "s/\"seccomp\":{.*},\"maskedPaths\"/\"maskedPaths\"/"}) {
    runs.options.runtime = weakening_runtime(runs.folder, sed);
    const auto end = runs.run_shell("echo started");
    EXPECT_EQ(end.reason(), "GuardFailed") << sed << ": " << end.message();
    EXPECT_EQ(end.out, "") << sed;
    EXPECT_EQ(end.outcome.exit_code, 125) << sed;
  }
}

TEST_F(Launch, L3_RuntimePathsThatAreNotPlainAndAbsoluteAreRefused) {
  for (const char* path : {"runc", "./runc", "/usr/sbin/../sbin/runc", "/usr//sbin/runc", ""}) {
    runs.options.runtime = path;
    const auto end = runs.run_shell("echo started");
    EXPECT_EQ(end.reason(), "RuntimeClassUnavailable") << path;
    EXPECT_EQ(end.out, "") << path;
    EXPECT_THAT(end.message(), Not(HasSubstr("runc"))) << path;
  }
}

TEST_F(Launch, N10_L5_TheStageIsNewPrivateAndOwnedByTheMappedRoot) {
  struct stat info{};
  launch::Events events;
  events.output = [&](bool, std::string_view) {
    const auto names = names_in(runs.options.state_dir);
    ASSERT_EQ(names.size(), 1U);
    stat((runs.options.state_dir + "/" + *names.begin()).c_str(), &info);
  };
  launch::launch(runs.shell("echo x"), runs.options, events, {});
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  EXPECT_GE(info.st_uid, 65536U);
}

TEST_F(Launch, L5_TheCachedImageIsNeverChanged) {
  runs.run_shell("true");
  const auto snapshot = [&] {
    std::set<std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(runs.options.cache_dir)) {
      struct stat info{};
      lstat(entry.path().c_str(), &info);
      all.insert(entry.path().string() + " " + std::to_string(info.st_mode) + " " +
                 std::to_string(info.st_ctim.tv_sec) + "." + std::to_string(info.st_ctim.tv_nsec));
    }
    return all;
  };
  const auto before = snapshot();
  runs.run_shell("touch /bin/x; rm -f /bin/busybox; echo > /work/x");
  EXPECT_EQ(snapshot(), before);
}

TEST_F(Launch, L6_FoldersThatTheirOwnerMayNotChangeAreRemovedToo) {
  const auto end = runs.run_shell(
      "mkdir -p /work/a/b; touch /work/a/b/c; chmod 0555 /work/a/b; chmod 0000 /work/a;"
      "d=/work; i=0; while [ $i -lt 120 ]; do d=$d/d; mkdir $d; i=$((i+1)); done");
  EXPECT_EQ(end.reason(), "Completed") << end.message();
}

TEST_F(Launch, L7_EveryLaunchHasAnIdOfItsOwn) {
  const auto first = runs.run_shell("true");
  const auto second = runs.run_shell("true");
  EXPECT_NE(first.outcome.status.attempts.at(0).pod_uid,
            second.outcome.status.attempts.at(0).pod_uid);
}

TEST_F(Launch, L7_TheRuntimeGetsNoEnvironmentAndNoStandardInput) {
  const std::string runtime = runs.folder + "/runtime";
  write_text(runtime, "#!/bin/sh\n/usr/bin/tr '\\0' '\\n' </proc/self/environ >" + runs.folder +
                          "/environ\n/usr/bin/readlink /proc/self/fd/0 >" + runs.folder +
                          "/stdin\nexec /usr/sbin/runc \"$@\"\n");
  chmod(runtime.c_str(), 0755);
  setenv("AWS_SECRET_ACCESS_KEY", "leak", 1);
  runs.options.runtime = runtime;
  const auto end = runs.run_shell("true");
  EXPECT_EQ(end.reason(), "Completed") << end.message();
  EXPECT_THAT(file_text(runs.folder + "/environ"), Not(HasSubstr("leak")));
  EXPECT_EQ(file_text(runs.folder + "/stdin"), "/dev/null\n");
}

TEST_F(Launch, N14_L8_L9_ARuntimeThatFailsIsQuotedWithoutOurPaths) {
  const std::string runtime = runs.folder + "/runtime";
  write_text(runtime, "#!/bin/sh\necho \"cannot open $2: broken\" >&2\nexit 42\n");
  chmod(runtime.c_str(), 0755);
  runs.options.runtime = runtime;
  const auto end = runs.run_shell("echo started");
  EXPECT_EQ(end.reason(), "SandboxStartFailed");
  EXPECT_THAT(end.message(), HasSubstr("cannot open [stage]: broken"));
  EXPECT_THAT(end.message(), Not(HasSubstr(runs.folder)));
  EXPECT_EQ(end.outcome.exit_code, 125);
}

TEST_F(Launch, L7_TwoLaunchesAtOnceDoNotMeet) {
  const auto plan = runs.shell("echo $$ > /work/x; sleep 1; ls /work; cat /work/x");
  LocalEnd ends[2];
  {
    std::jthread other([&] { ends[0] = runs.run(plan); });
    ends[1] = runs.run(plan);
  }
  for (const auto& end : ends) {
    EXPECT_EQ(end.reason(), "Completed") << end.message();
    EXPECT_EQ(lines_of(end.out).count("x"), 1U);
  }
}

// The input is made good while the launcher waits, so that the second attempt succeeds.
class LaunchAgain : public Launch {
 protected:
  LaunchAgain() : file_(runs.folder + "/input") {
    write_text(file_, "bad");
    events_.retrying = [this](std::string_view message) {
      said_ = message;
      if (on_retry_) on_retry_();
    };
    plan_ = runs.shell("test $(cat /work/a) = good",
                       "backoffLimit: 1\nassets:\n- {name: a, target: /work/a, source: {file: "
                       "{path: input}}}");
  }

  std::string file_;
  std::function<void()> on_retry_;
  std::string said_;
  launch::Events events_;
  run::Plan plan_;
};

TEST_F(LaunchAgain, S8_AFailedAttemptIsFollowedByAnotherAfterItsDelay) {
  on_retry_ = [this] { write_text(file_, "good"); };
  const auto begin = std::chrono::steady_clock::now();
  const auto outcome = launch::launch(plan_, runs.options, events_, {});
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(9));
  EXPECT_THAT(said_, StartsWith("attempt 1 ended with NonZeroExit"));
  EXPECT_THAT(said_, EndsWith("the next one follows after 10s"));
  EXPECT_TRUE(outcome.status.succeeded());
  EXPECT_EQ(outcome.exit_code, 0);
  ASSERT_EQ(outcome.status.attempts.size(), 2U);
  EXPECT_EQ(outcome.status.attempts[0].reason, run::Reason::NonZeroExit);
  EXPECT_EQ(outcome.status.attempts[0].exit_code, 1);
  EXPECT_EQ(outcome.status.attempts[1].reason, run::Reason::Completed);
  EXPECT_NE(outcome.status.attempts[0].pod_uid, outcome.status.attempts[1].pod_uid);
}

TEST_F(LaunchAgain, S8_W11_CancellingTheWaitEndsTheRunAtOnce) {
  std::stop_source cancel;
  on_retry_ = [&] { cancel.request_stop(); };
  const auto begin = std::chrono::steady_clock::now();
  const auto outcome = launch::launch(plan_, runs.options, events_, cancel.get_token());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));
  EXPECT_EQ(outcome.status.reason(), run::Reason::Cancelled);
  EXPECT_EQ(outcome.status.attempts.size(), 1U);
  EXPECT_TRUE(outcome.started);
  EXPECT_EQ(outcome.exit_code, 1);
}

TEST_F(LaunchAgain, S8_WithoutABackoffLimitThereIsOneAttempt) {
  plan_.backoff_limit = 0;
  const auto outcome = launch::launch(plan_, runs.options, events_, {});
  EXPECT_EQ(outcome.status.reason(), run::Reason::NonZeroExit);
  EXPECT_EQ(said_, "");
}

class LaunchKilled : public Launch, public testing::WithParamInterface<int> {};

TEST_P(LaunchKilled, L6_LeavesNothingAfterTheReaper) {
  const auto plan =
      runs.shell("sleep 100", "assets:\n- {name: a, target: /work/a, source: {inline: x}}");
  const pid_t child = fork();
  if (child == 0) {
    runs.run(plan);
    _exit(0);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(GetParam()));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  // What the launcher had just forked dies with it, but a moment later, and holds the stage's lock
  // until then: to a reaper, such a stage is in use.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  int reaped = 0;
  do {
    const auto now = launch::reap(runs.options.state_dir, runs.options.runtime);
    ASSERT_TRUE(now.has_value()) << now.error().message;
    reaped += *now;
  } while (!runs.leftovers().empty() && std::chrono::steady_clock::now() < give_up);
  EXPECT_LE(reaped, 1);
  EXPECT_THAT(runs.leftovers(), IsEmpty());
  const auto end = runs.run_shell("echo again");
  EXPECT_EQ(end.out, "again\n") << end.message();
}

INSTANTIATE_TEST_SUITE_P(AfterMilliseconds, LaunchKilled,
                         testing::Values(2, 10, 20, 40, 60, 80, 100, 120, 150, 250, 500, 1000));

TEST_F(Launch, L6_TheReaperLeavesALiveRunAlone) {
  int reaped = -1;
  launch::Events events;
  events.output = [&](bool, std::string_view) {
    reaped = launch::reap(runs.options.state_dir, runs.options.runtime).value_or(-2);
  };
  const auto outcome = launch::launch(runs.shell("echo x; sleep 1"), runs.options, events, {});
  EXPECT_EQ(reaped, 0);
  EXPECT_TRUE(outcome.status.succeeded());
}

}  // namespace
}  // namespace sandboxrun::test
