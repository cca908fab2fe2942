// Control groups as the kernel lays them out, v1 and v2, in a folder of the test's own.

#include "operator/launch/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temp_dir.h"

namespace sandboxrun::launch {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class UnifiedCgroup : public testing::Test {
 protected:
  UnifiedCgroup() { controllers("cpuset cpu io memory hugetlb pids rdma misc\n"); }

  void controllers(std::string_view all) { test::write_file(root_ / "cgroup.controllers", all); }
  /// A file of the run's group, as the runtime's making of it would give.
  void file(const std::string& name, std::string_view text) {
    fs::create_directories(root_ / "sandboxrun-run-1");
    test::write_file(root_ / ("sandboxrun-run-1/" + name), text);
  }
  Result<Cgroup> group() const { return Cgroup::for_run("run-1", root_.path()); }

  test::TempDir root_;
};

TEST_F(UnifiedCgroup, P9_IsOneFolderAndLimitsSwap) {
  const auto found = group();
  ASSERT_TRUE(found.has_value()) << found.error().message;
  EXPECT_EQ(found->path(), "/sandboxrun-run-1");
  EXPECT_TRUE(found->limits_swap());
}

TEST_F(UnifiedCgroup, P9_AControllerThatIsMissingIsNamed) {
  for (const std::string missing : {"memory", "pids", "cpu"}) {
    std::string all = "cpuset";  // which is not cpu
    for (const std::string each : {"memory", "pids", "cpu"}) {
      if (each != missing) all += " " + each;
    }
    controllers(all + "\n");
    const auto found = group();
    ASSERT_FALSE(found.has_value());
    EXPECT_EQ(found.error().kind, ErrorKind::Unavailable);
    EXPECT_THAT(found.error().message,
                HasSubstr("the cgroup controller \"" + missing + "\" is missing"));
  }
}

TEST_F(UnifiedCgroup, P9_ReadsWhatTheKernelCounted) {
  file("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\noom_group_kill 0\n");
  file("memory.peak", "7340032\n");
  EXPECT_FALSE(group()->oom_killed());
  EXPECT_EQ(group()->peak_memory(), 7340032);
  file("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 0\n");
  EXPECT_TRUE(group()->oom_killed());
}

TEST_F(UnifiedCgroup, TellsNoPeakWhereTheKernelHasNone) {
  file("memory.events", "oom_kill 0\n");  // memory.peak came with Linux 5.19
  EXPECT_EQ(group()->peak_memory(), 0);
}

TEST_F(UnifiedCgroup, L6_KillsAllAtOnceByTheKernelsOwnFile) {
  file("cgroup.procs", "4242\n4243\n");
  file("cgroup.kill", "");
  EXPECT_THAT(group()->processes(), ElementsAre(4242, 4243));
  group()->kill_all();
  EXPECT_EQ(test::read_file(root_ / "sandboxrun-run-1/cgroup.kill"), "1");
}

TEST_F(UnifiedCgroup, L6_RemovesTheFolderAndIsContentIfThereIsNone) {
  fs::create_directories(root_ / "sandboxrun-run-1");
  EXPECT_TRUE(group()->remove().has_value());
  EXPECT_FALSE(fs::exists(root_ / "sandboxrun-run-1"));
  EXPECT_TRUE(group()->remove().has_value());
}

class SplitCgroup : public testing::Test {
 protected:
  SplitCgroup() {
    for (const char* file :
         {"memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes",
          "memory/cgroup.procs", "pids/cgroup.procs", "cpu,cpuacct/cpu.cfs_quota_us",
          "cpu,cpuacct/cgroup.procs", "unified/cgroup.procs"}) {
      fs::create_directories(fs::path(root_ / file).parent_path());
      test::write_file(root_ / file, "");
    }
    fs::create_directory_symlink("cpu,cpuacct", root_ / "cpu");
  }
  Result<Cgroup> group() const { return Cgroup::for_run("run-1", root_.path()); }

  test::TempDir root_;
};

TEST_F(SplitCgroup, L6_IsAFolderInEveryHierarchyAndAllAreRemoved) {
  for (const char* hierarchy : {"memory", "pids", "cpu,cpuacct", "unified"}) {
    fs::create_directories(root_ / (std::string(hierarchy) + "/sandboxrun-run-1"));
  }
  ASSERT_TRUE(group().has_value());
  EXPECT_TRUE(group()->remove().has_value());
  for (const auto& entry : fs::recursive_directory_iterator(root_.path())) {
    EXPECT_NE(entry.path().filename(), "sandboxrun-run-1") << entry.path();
  }
}

TEST_F(SplitCgroup, P9_ReadsWhatTheKernelCounted) {
  fs::create_directories(root_ / "memory/sandboxrun-run-1");
  test::write_file(root_ / "memory/sandboxrun-run-1/memory.oom_control",
                   "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
  test::write_file(root_ / "memory/sandboxrun-run-1/memory.max_usage_in_bytes", "4096\n");
  EXPECT_TRUE(group()->oom_killed());
  EXPECT_EQ(group()->peak_memory(), 4096);
}

TEST_F(SplitCgroup, P9_AControllerThatIsMissingIsNamed) {
  fs::remove_all(root_ / "pids");
  const auto found = group();
  ASSERT_FALSE(found.has_value());
  EXPECT_THAT(found.error().message, HasSubstr("the cgroup controller \"pids\" is missing"));
}

TEST_F(UnifiedCgroup, IsOpenedForMovesByOneThatChangesNothing) {
  fs::create_directories(root_ / "user.slice/session-1.scope");
  test::write_file(root_ / "user.slice/session-1.scope/cgroup.procs", "");
  test::write_file(root_ / "own", "0::/user.slice/session-1.scope\n");
  open_cgroups_for_moves(root_.path(), root_ / "own");
  EXPECT_EQ(test::read_file(root_ / "user.slice/session-1.scope/cgroup.procs"), "0");
}

TEST_F(SplitCgroup, IsOpenedForMovesInTheFirstHierarchyThatIsThere) {
  fs::create_directories(root_ / "memory/session");
  test::write_file(root_ / "memory/session/cgroup.procs", "");
  test::write_file(root_ / "own",
                   "9:name=systemd:/\n4:memory:/session\n8:pids:/\nnot a group\n0::/\n");
  open_cgroups_for_moves(root_.path(), root_ / "own");
  EXPECT_EQ(test::read_file(root_ / "memory/session/cgroup.procs"), "0");
  EXPECT_EQ(test::read_file(root_ / "pids/cgroup.procs"), "");
  EXPECT_EQ(test::read_file(root_ / "unified/cgroup.procs"), "");
}

TEST_F(UnifiedCgroup, ThatCannotBeOpenedForMovesIsLeftAlone) {
  open_cgroups_for_moves(root_.path(), root_ / "missing");
  test::write_file(root_ / "own", "0::/gone\n:\n\n0\n");
  open_cgroups_for_moves(root_.path(), root_ / "own");
  EXPECT_FALSE(fs::exists(root_ / "gone"));
}

}  // namespace
}  // namespace sandboxrun::launch
