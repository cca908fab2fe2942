// The agent's verbs as a whole: what is verified, in which order, and what is left behind when
// something is wrong.

#include "sandbox-image/agent/agent.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "sandbox-image/agent/describe.h"
#include "sandbox-image/agent/digest.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::agent {
namespace {

namespace fs = std::filesystem;
using protocol::AssetOrder;
using protocol::CollectOrder;
using protocol::EnvironmentOrder;
using protocol::FileLocation;
using protocol::InlineText;
using protocol::PrepareOrder;
using protocol::Step;
using protocol::Subject;
using test::read_file;
using test::write_file;

std::string digest_of_text(std::string_view text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.finish();
}

std::uint32_t mode_of(const std::string& path) {
  struct stat status{};
  EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

bool is_empty(const std::string& path) {
  return fs::is_empty(path);
}

class Agent : public ::testing::Test {
 protected:
  Agent() {
    for (const char* name : {"staging", "env", "work", "assets", "results", "out"}) {
      fs::create_directory(dir_ / name);
    }
    context_.staging_dir = dir_ / "staging";
  }

  std::string source(std::string_view name, std::string_view content) const {
    write_file(dir_ / name, content);
    return dir_ / name;
  }

  // An archive of one file and one link, made by the system's tar.
  std::string archive() const {
    const std::string tree = dir_ / "tree";
    fs::create_directories(tree + "/bin");
    write_file(tree + "/bin/tool", "#!/bin/sh\n");
    write_file(tree + "/activate.sh", "export MARK=1\n");
    fs::create_symlink("tool", tree + "/bin/alias");
    const std::string file = dir_ / "env.tar.gz";
    EXPECT_EQ(std::system(("tar -C '" + tree + "' -czf '" + file + "' .").c_str()), 0);
    return file;
  }

  EnvironmentOrder environment(const std::string& file, const std::string& digest) const {
    return {.source = FileLocation{file}, .digest = digest, .destination = dir_ / "env"};
  }

  AssetOrder asset(const std::string& name, protocol::Source from, const std::string& path) const {
    return {.name = name, .source = std::move(from), .destination = dir_ / path};
  }

  test::TempDir dir_;
  AgentContext context_;
};

TEST_F(Agent, W4_VerifiesThenUnpacksTheEnvironment) {
  const std::string file = archive();
  const std::string digest = digest_of_text(read_file(file));
  const auto report = prepare({.environment = environment(file, digest)}, context_);
  ASSERT_FALSE(report.failure) << report.failure->message;
  EXPECT_EQ(read_file(dir_ / "env/bin/tool"), "#!/bin/sh\n");
  EXPECT_EQ(fs::read_symlink(dir_ / "env/bin/alias"), "tool");
  EXPECT_EQ(report.environment->bytes, static_cast<std::int64_t>(fs::file_size(file)));
  EXPECT_EQ(report.environment->entries, 4);
}

TEST_F(Agent, W4_AcceptsUpperCaseHexInADigest) {
  const std::string file = archive();
  const std::string digest = digest_of_text(read_file(file));
  std::string upper = "sha256:";
  for (char c : digest.substr(7)) upper += static_cast<char>(std::toupper(c));
  EXPECT_FALSE(prepare({.environment = environment(file, upper)}, context_).failure);
}

TEST_F(Agent, S1_W7_AMismatchLeavesNothingUnpackedAndNamesBothDigests) {
  const std::string file = archive();
  const std::string expected = "sha256:" + std::string(64, '0');
  const PrepareOrder order{.environment = environment(file, expected),
                           .assets = {asset("a", InlineText{"x"}, "work/a")}};
  const auto report = prepare(order, context_);
  ASSERT_TRUE(report.failure);
  EXPECT_EQ(report.failure->subject, Subject::Environment);
  EXPECT_EQ(report.failure->step, Step::Verify);
  EXPECT_EQ(report.failure->kind, ErrorKind::DigestMismatch);
  EXPECT_EQ(report.failure->expected, expected);
  EXPECT_EQ(report.failure->found, digest_of_text(read_file(file)));
  EXPECT_EQ(report.failure->message,
            "expected " + expected + ", the " +
                human_bytes(static_cast<std::int64_t>(fs::file_size(file))) +
                " from env.tar.gz hash to " + report.failure->found +
                "; nothing of it was unpacked or placed, and the command was not run. Update the "
                "digest if the new content is what you want.");
  EXPECT_TRUE(is_empty(dir_ / "env"));
  EXPECT_TRUE(is_empty(dir_ / "work"));
  EXPECT_TRUE(is_empty(dir_ / "staging"));
}

TEST_F(Agent, W4_RefusesADigestOfAnotherForm) {
  const auto report = prepare({.environment = environment(archive(), "md5:0")}, context_);
  ASSERT_TRUE(report.failure);
  EXPECT_EQ(report.failure->kind, ErrorKind::InvalidInput);
  EXPECT_TRUE(is_empty(dir_ / "env"));
}

TEST_F(Agent, W8_AnArchiveThatCannotBeUnpackedLeavesAnEmptyFolder) {
  const std::string file = source("broken.tar.gz", read_file(archive()).substr(0, 100));
  const auto report =
      prepare({.environment = environment(file, digest_of_text(read_file(file)))}, context_);
  ASSERT_TRUE(report.failure);
  EXPECT_EQ(report.failure->step, Step::Unpack);
  EXPECT_EQ(report.failure->kind, ErrorKind::ArchiveCorrupt);
  EXPECT_TRUE(is_empty(dir_ / "env"));
}

TEST_F(Agent, P5_PlacesFilesWithTheirModeWhateverTheUmask) {
  const std::string binary("\0\xFF\n\r\0tail", 9);
  AssetOrder tool = asset("tool", FileLocation{source("in", binary)}, "work/tool");
  tool.mode = 0555;
  const auto report =
      prepare({.assets = {tool, asset("text", InlineText{"hello"}, "assets/1")}}, context_);
  ASSERT_FALSE(report.failure) << report.failure->message;
  EXPECT_EQ(read_file(dir_ / "work/tool"), binary);
  EXPECT_EQ(mode_of(dir_ / "work/tool"), 0555U);
  EXPECT_EQ(read_file(dir_ / "assets/1"), "hello");
  EXPECT_EQ(mode_of(dir_ / "assets/1"), 0444U);
  ASSERT_EQ(report.assets.size(), 2U);
  EXPECT_EQ(report.assets[0].digest, digest_of_text(binary));
  EXPECT_EQ(report.assets[0].bytes, 9);
}

TEST_F(Agent, P3_AnEmptyAssetIsAnAsset) {
  const auto report =
      prepare({.assets = {asset("e", FileLocation{source("in", "")}, "work/e")}}, context_);
  ASSERT_FALSE(report.failure) << report.failure->message;
  EXPECT_EQ(read_file(dir_ / "work/e"), "");
  EXPECT_EQ(report.assets[0].digest, digest_of_text(""));
}

TEST_F(Agent, P4_NamesThatLookAlikeDoNotCollide) {
  const PrepareOrder order{.directories = {{.path = dir_ / "work/a", .mode = 0755}},
                           .assets = {asset("one", InlineText{"1"}, "work/a/b"),
                                      asset("two", InlineText{"2"}, "work/a_b")}};
  ASSERT_FALSE(prepare(order, context_).failure);
  EXPECT_EQ(read_file(dir_ / "work/a/b"), "1");
  EXPECT_EQ(read_file(dir_ / "work/a_b"), "2");
}

TEST_F(Agent, P2_StopsAtTheFirstFailureAndNamesTheAsset) {
  AssetOrder wrong = asset("model", InlineText{"x"}, "work/model");
  wrong.digest = "sha256:" + std::string(64, '1');
  const PrepareOrder order{.assets = {asset("first", InlineText{"1"}, "work/first"), wrong,
                                      asset("last", InlineText{"2"}, "work/last")}};
  const auto report = prepare(order, context_);
  ASSERT_TRUE(report.failure);
  EXPECT_EQ(report.failure->subject, Subject::Asset);
  EXPECT_EQ(report.failure->index, 1);
  EXPECT_EQ(report.failure->kind, ErrorKind::DigestMismatch);
  EXPECT_TRUE(report.failure->message.starts_with("expected sha256:1111"))
      << report.failure->message;
  EXPECT_EQ(report.assets.size(), 1U);
  EXPECT_FALSE(fs::exists(dir_ / "work/model"));
  EXPECT_FALSE(fs::exists(dir_ / "work/last"));
}

TEST_F(Agent, P3_AMissingSourceIsNamedWithoutItsFolder) {
  const auto report = prepare(
      {.assets = {asset("data", FileLocation{dir_ / "nowhere/data.csv"}, "work/data")}}, context_);
  ASSERT_TRUE(report.failure);
  EXPECT_EQ(report.failure->step, Step::Fetch);
  EXPECT_EQ(report.failure->kind, ErrorKind::NotFound);
  EXPECT_NE(report.failure->message.find("data.csv"), std::string::npos);
}

TEST_F(Agent, T10_NeverPlacesThroughALink) {
  fs::create_directory_symlink(dir_ / "out", dir_ / "work/link");
  const auto report =
      prepare({.assets = {asset("a", InlineText{"x"}, "work/link/file")}}, context_);
  ASSERT_TRUE(report.failure);
  EXPECT_EQ(report.failure->step, Step::Place);
  EXPECT_EQ(report.failure->kind, ErrorKind::Denied);
  EXPECT_TRUE(is_empty(dir_ / "out"));
}

TEST_F(Agent, T10_NeverOverwritesWhatIsThere) {
  write_file(dir_ / "work/a", "mine");
  fs::create_symlink(dir_ / "out/planted", dir_ / "work/b");
  for (const char* path : {"work/a", "work/b"}) {
    const auto report = prepare({.assets = {asset("a", InlineText{"x"}, path)}}, context_);
    ASSERT_TRUE(report.failure);
    EXPECT_EQ(report.failure->kind, ErrorKind::Denied);
  }
  EXPECT_EQ(read_file(dir_ / "work/a"), "mine");
  EXPECT_TRUE(is_empty(dir_ / "out"));
}

TEST_F(Agent, P5_UnpacksAnArchiveAssetAndLetsTheRunWriteIfItMay) {
  const std::string file = archive();
  AssetOrder tree = asset("tree", FileLocation{file}, "work/tree");
  tree.unpack = true;
  tree.read_only = false;
  const auto report = prepare({.assets = {tree}}, context_);
  ASSERT_FALSE(report.failure) << report.failure->message;
  EXPECT_EQ(report.assets[0].entries, 4);
  EXPECT_EQ(mode_of(dir_ / "work/tree") & 0222U, 0222U);
  EXPECT_EQ(mode_of(dir_ / "work/tree/bin") & 0222U, 0222U);
  EXPECT_EQ(mode_of(dir_ / "work/tree/bin/tool") & 0222U, 0222U);
}

TEST_F(Agent, T2_UnpacksIntoAFreshFolderOnly) {
  const std::string file = archive();
  AssetOrder tree = asset("tree", FileLocation{file}, "work/tree");
  tree.unpack = true;
  ASSERT_FALSE(prepare({.assets = {tree}}, context_).failure);
  const auto again = prepare({.assets = {tree}}, context_);
  ASSERT_TRUE(again.failure);
  EXPECT_EQ(again.failure->step, Step::Place);
  EXPECT_EQ(again.failure->kind, ErrorKind::Denied);
}

TEST_F(Agent, P9_WhatIsPlacedBelongsToAnotherUserThanTheRun) {
  ASSERT_EQ(geteuid(), 0U) << "these tests run as root";
  context_.owner = {264001, 264001};
  const std::string file = archive();
  AssetOrder tree = asset("tree", FileLocation{file}, "assets/0");
  tree.unpack = true;
  ASSERT_EQ(chown((dir_ / "assets").c_str(), 264001, 264001), 0);
  ASSERT_EQ(chmod(dir_.path().c_str(), 0711), 0);
  const auto report = prepare({.directories = {{.path = dir_ / "work/sub", .mode = 0777}},
                               .assets = {tree, asset("text", InlineText{"x"}, "work/sub/x")}},
                              context_);
  ASSERT_FALSE(report.failure) << report.failure->message;
  for (const char* path : {"assets/0", "assets/0/bin/tool", "work/sub", "work/sub/x"}) {
    struct stat status{};
    ASSERT_EQ(lstat((dir_ / path).c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, 264001U) << path;
    EXPECT_EQ(status.st_gid, 264001U) << path;
  }
}

TEST_F(Agent, UsesAnEnvironmentThatIsThereAlready) {
  context_.have_environment = [](const EnvironmentOrder&) {
    return protocol::Placed{.digest = "", .bytes = 7, .entries = 3};
  };
  const auto report = prepare(
      {.environment = environment("/nonexistent", "sha256:" + std::string(64, 'a'))}, context_);
  ASSERT_FALSE(report.failure);
  EXPECT_EQ(report.environment->bytes, 7);
  EXPECT_TRUE(is_empty(dir_ / "env"));
}

TEST_F(Agent, StopsWhenAsked) {
  std::stop_source stop;
  stop.request_stop();
  context_.stop = stop.get_token();
  const std::string file = archive();
  const auto report =
      prepare({.environment = environment(file, digest_of_text(read_file(file)))}, context_);
  ASSERT_TRUE(report.failure);
  EXPECT_EQ(report.failure->kind, ErrorKind::Cancelled);
  EXPECT_TRUE(is_empty(dir_ / "env"));
}

CollectOrder collect_order(const test::TempDir& dir) {
  return {.path = dir / "results", .target = FileLocation{dir / "out/results.tar.gz"}};
}

TEST_F(Agent, W13_StoresAnArchiveThatTarCanRead) {
  fs::create_directories(dir_ / "results/deep/er");
  write_file(dir_ / "results/deep/er/file", "content");
  const auto collected = collect(collect_order(dir_), context_);
  ASSERT_FALSE(collected.report.failure) << collected.report.failure->message;
  EXPECT_TRUE(collected.report.stored);
  EXPECT_EQ(collected.report.entries, 3);
  const std::string stored = dir_ / "out/results.tar.gz";
  EXPECT_EQ(collected.report.digest, digest_of_text(read_file(stored)));
  EXPECT_EQ(collected.report.bytes, static_cast<std::int64_t>(fs::file_size(stored)));
  fs::create_directory(dir_ / "again");
  ASSERT_EQ(std::system(("tar -C '" + (dir_ / "again") + "' -xzf '" + stored + "'").c_str()), 0);
  EXPECT_EQ(read_file(dir_ / "again/deep/er/file"), "content");
}

TEST_F(Agent, W13_NeverOverwritesAResult) {
  write_file(dir_ / "out/results.tar.gz", "older");
  const auto collected = collect(collect_order(dir_), context_);
  ASSERT_TRUE(collected.report.failure);
  EXPECT_EQ(collected.report.failure->step, Step::Upload);
  EXPECT_FALSE(collected.report.stored);
  EXPECT_EQ(read_file(dir_ / "out/results.tar.gz"), "older");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_ / "out"), {}), 1);
}

TEST_F(Agent, W13_SkippingTheUploadStillHashes) {
  CollectOrder order = collect_order(dir_);
  order.target.reset();
  const auto collected = collect(order, context_);
  ASSERT_FALSE(collected.report.failure);
  EXPECT_FALSE(collected.report.stored);
  EXPECT_TRUE(is_digest(collected.report.digest));
  EXPECT_TRUE(is_empty(dir_ / "out"));
}

TEST_F(Agent, W15_S7_OneBadEntryAbortsAndIsNamed) {
  write_file(dir_ / "results/good", "x");
  fs::create_symlink("/etc/passwd", dir_ / "results/bad");
  const auto collected = collect(collect_order(dir_), context_);
  ASSERT_TRUE(collected.report.failure);
  EXPECT_EQ(collected.report.failure->step, Step::Archive);
  EXPECT_EQ(collected.report.failure->kind, ErrorKind::ArchiveUnsafe);
  EXPECT_NE(collected.report.failure->message.find("bad"), std::string::npos);
  EXPECT_TRUE(is_empty(dir_ / "out"));
  EXPECT_TRUE(is_empty(dir_ / "staging"));
}

TEST_F(Agent, W13_AMissingResultsFolderIsAFailure) {
  CollectOrder order = collect_order(dir_);
  order.path = dir_ / "nowhere";
  const auto collected = collect(order, context_);
  ASSERT_TRUE(collected.report.failure);
  EXPECT_EQ(collected.report.failure->message,
            "results: opening the results folder: No such file or directory");
}

TEST(HumanBytes, SpeaksInDecimalUnits) {
  EXPECT_EQ(human_bytes(0), "0 bytes");
  EXPECT_EQ(human_bytes(1), "1 byte");
  EXPECT_EQ(human_bytes(999), "999 bytes");
  EXPECT_EQ(human_bytes(48'200'000), "48.2 MB");
  EXPECT_EQ(human_bytes(999'960), "1.0 MB");
}

}  // namespace
}  // namespace sandboxrun::agent
