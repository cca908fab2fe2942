// Ends that are easily mistaken for others, results and images that are out for harm.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "tests/support/child_process.h"
#include "tests/support/served_namespace.h"
#include "tests/support/tar_builder.h"
#include "tests/support/transfer_servers.h"

namespace sandboxrun::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr seconds kPatience{150};

std::string shell(const std::string& script) {
  return "  command: [/bin/sh, -c, \"" + script + "\"]\n";
}

/// Results that a run may leave, each of which makes the archive unsafe, and what the message
/// names.
struct Hostile {
  const char* name;
  const char* script;
  const char* named;
};

const Hostile kHostile[] = {
    {"link-out", "ln -s /etc/passwd /results/link", "link"},
    {"link-up", "mkdir /results/d; ln -s ../../etc /results/d/up", "d/up"},
    {"fifo", "mkfifo /results/fifo", "fifo"},
    {"socket",
     "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\\\"/results/socket\\\")'",
     "socket"},
    {"too-many", "cd /results; for i in 1 2 3 4 5 6; do : >$i; done", "5"},
};

class Endings : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite() {
    servers_.reset();
    space_.reset();
  }
  static ServedNamespace& space() { return *space_; }
  static std::string stored(const std::string& key) { return servers_->s3().file("inputs", key); }
  static std::string results(const std::string& run) {
    return "  results: {maxEntries: 5, upload: {" + servers_->object(run + ".tar.gz") + "}}\n";
  }
  static std::string slow_results() {
    return "  results: {upload: {" + servers_->by_url("/put-slowly") + "}}\n";
  }
  static void cancel(const std::string& run) {
    space().output(
        {"patch", "sandboxrun", run, "--type=merge", "--patch", R"({"spec":{"cancel":true}})"});
  }

 private:
  static inline std::unique_ptr<ServedNamespace> space_;
  static inline std::unique_ptr<TransferServers> servers_;
};

void Endings::SetUpTestSuite() {
  space_ = std::make_unique<ServedNamespace>("endings");
  servers_ = std::make_unique<TransferServers>(
      *space_, R"({"/slow":[{"delay":20,"body":"slow"}],"/put-slowly":[{"delay":6}]})");
  space_->create("sandbox-killed", shell("echo started; sleep 1000"));
  space_->create("preparing", shell("echo started") +
                                  "  assets: [{name: a, target: /data/a, source: {" +
                                  servers_->by_url("/slow") + "}}]\n");
  space_->create("deaf", shell("echo left >/results/left; trap '' TERM; "
                               "while :; do sleep 0.1; done") +
                             results("deaf"));
  for (const Hostile& each : kHostile) {
    space_->create(each.name, shell(each.script) + results(each.name));
  }
  space_->create(
      "stripped",
      shell("cd /results; cp /bin/true tool; chmod 6755 tool; ln tool twin; mkdir -m 2777 "
            "d; ln -s ../tool d/inside") +
          results("stripped"));
}

/// Kills the process that holds a pod's namespaces, as a runtime's crash would.
bool kill_sandbox(const std::string& pod_uid) {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string folder = entry.path();
    if (read_file(folder + "/comm") != "pause\n") continue;
    if (!read_file(folder + "/cgroup").contains(pod_uid)) continue;
    return ::kill(std::stoi(entry.path().filename()), SIGKILL) == 0;
  }
  return false;
}

TEST_F(Endings, S5_AKilledSandboxIsNoSuccessAndIsNotStartedAgain) {
  space().wait_for_reason("sandbox-killed", "Running", kPatience);
  ASSERT_TRUE(kill_sandbox(at(space().pod_of("sandbox-killed"), "metadata.uid")));
  const Node status = space().wait_for_end("sandbox-killed", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "False Disrupted") << condition_message(status);
  EXPECT_EQ(at(status, "attempts.1.podName"), "");
  EXPECT_EQ(at(space().pod_of("sandbox-killed"), "status.containerStatuses.0.restartCount"), "0");
}

TEST_F(Endings, S1_ACancellationWhilePreparingStartsNothing) {
  space().wait_for_reason("preparing", "Preparing", kPatience);
  cancel("preparing");
  const Node status = space().wait_for_end("preparing", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "False Cancelled") << condition_message(status);
  EXPECT_EQ(at(status, "run.startTime"), "");
  EXPECT_EQ(at(status, "run.exitCode"), "");
}

TEST_F(Endings, T21_ACommandThatIgnoresSigtermIsKilledAndItsResultsAreKept) {
  space().wait_for_reason("deaf", "Running", kPatience);
  std::this_thread::sleep_for(seconds(1));  // It leaves its file at once.
  cancel("deaf");
  const Node status = space().wait_for_end("deaf", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "False Cancelled") << condition_message(status);
  EXPECT_EQ(at(status, "run.exitCode"), "143");
  EXPECT_EQ(condition(status, "ResultsStored"), "True Stored");
  EXPECT_EQ(file_in(stored("deaf.tar.gz"), "left"), "left\n");
}

TEST_F(Endings, S6_ACancellationAfterTheCommandsEndChangesNothing) {
  space().create("late-cancel", shell("true") + slow_results());
  space().wait_for_reason("late-cancel", "Collecting", kPatience);
  // Whole seconds prove an order only if they differ.
  std::this_thread::sleep_for(seconds(2));
  cancel("late-cancel");
  const Node status = space().wait_for_end("late-cancel", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  EXPECT_EQ(condition(status, "ResultsStored"), "True Stored");
}

TEST_F(Endings, S6_ADeletionAfterTheCommandsEndLetsTheResultsBeStored) {
  space().create("late-delete", shell("true") + slow_results());
  Node status = space().wait_for_reason("late-delete", "Collecting", kPatience);
  std::this_thread::sleep_for(seconds(2));
  space().output({"delete", "pod", at(status, "attempts.0.podName"), "--wait=false"});
  status = space().wait_for_end("late-delete", kPatience);
  EXPECT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  EXPECT_EQ(condition(status, "ResultsStored"), "True Stored");
}

// --- results

TEST_F(Endings, S7_UnsafeResultsAreRefusedByNameAndNothingIsStored) {
  for (const Hostile& each : kHostile) {
    const Node status = space().wait_for_end(each.name, kPatience);
    EXPECT_EQ(condition(status, "Succeeded"), "False ResultsRejected")
        << each.name << ": " << condition_message(status);
    EXPECT_EQ(at(status, "run.exitCode"), "0") << each.name;
    EXPECT_THAT(condition_message(status), HasSubstr(each.named)) << each.name;
    EXPECT_FALSE(fs::exists(stored(std::string(each.name) + ".tar.gz"))) << each.name;
  }
}

TEST_F(Endings, S7_WhatIsStoredHoldsNoSetuidNoSetgidAndNoOwner) {
  const Node status = space().wait_for_end("stripped", kPatience);
  ASSERT_EQ(condition(status, "Succeeded"), "True Completed") << condition_message(status);
  const std::string listed = run_program({"/bin/tar", "--list", "--gzip", "--verbose",
                                          "--numeric-owner", "--file", stored("stripped.tar.gz")});
  EXPECT_THAT(listed, HasSubstr("-rwxr-xr-x 0/0"));
  EXPECT_THAT(listed, HasSubstr("drwxrwxrwx 0/0"));
  EXPECT_THAT(listed, HasSubstr("d/inside -> ../tool"));
  EXPECT_THAT(listed, Not(ContainsRegex("(^|\n)[^ ]*[sS]")));
}

// --- images that lay links in the way of our mounts

struct HostileImage {
  const char* name;
  const char* link;    ///< in the image's root
  const char* target;  ///< where it points
};

constexpr HostileImage kImages[] = {
    {"data-to-guard", "data", "/sandboxrun"},         {"guard-to-data", "sandboxrun", "/data"},
    {"guard-to-cwd", "sandboxrun", "/proc/self/cwd"}, {"work-to-etc", "work", "/etc"},
    {"results-to-proc", "results", "/proc/1"},
};

TEST_F(Endings, T11_NoLinkInAnImagePutsAnythingInTheGuardsPlace) {
  for (const HostileImage& each : kImages) {
    const std::string image = space().cluster().with_layer(
        "sandbox-base", TarBuilder().symlink(each.link, each.target).finish());
    space().create(each.name,
                   "  environment: {image: \"" + image + "\"}\n" +
                       "  command: [python3, -c, 'import socket; socket.socket()']\n"
                       "  assets: [{name: a, target: /data/bin/guard, mode: 0555, source: "
                       "{inline: \"#!/bin/sh\\necho forged\\n\"}}]\n");
  }
  for (const HostileImage& each : kImages) {
    const Node status = space().wait_for_end(each.name, kPatience);
    // The true guard is there and has sealed the run: it may not even make a socket.
    EXPECT_EQ(condition(status, "Succeeded"), "False NonZeroExit")
        << each.name << ": " << condition_message(status);
    EXPECT_THAT(space().log_of(each.name), HasSubstr("PermissionError")) << each.name;
  }
}

}  // namespace
}  // namespace sandboxrun::test
