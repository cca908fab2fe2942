#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/archive_folder.h"
#include "tests/support/child_process.h"
#include "tests/support/tar_builder.h"

namespace sandboxrun {
namespace {

using protocol::ArchiveFormat;
using test::TarBuilder;
using test::UnpackFolder;
using testing::HasSubstr;
using testing::StartsWith;

/// Unpacks after one harmless file; the destination must be empty again afterwards.
Error refusal_of(const std::string& archive, const protocol::ArchiveLimits& limits = {}) {
  UnpackFolder folder;
  folder.options.limits = limits;
  const auto unpacked = folder.unpack(archive);
  EXPECT_TRUE(folder.is_empty());
  if (!unpacked) return unpacked.error();
  return {.kind = ErrorKind::Internal, .message = "it was unpacked"};
}

TarBuilder innocent() {
  return TarBuilder().file("innocent", "first");
}

struct UnsafeCase {
  const char* name;
  TarBuilder tar;
  const char* message;
};

void PrintTo(const UnsafeCase& each, std::ostream* out) {
  *out << each.name;
}

class UnpackUnsafe : public testing::TestWithParam<UnsafeCase> {};

TEST_P(UnpackUnsafe, IsRefusedByNameAndRuleAndLeavesNothing) {
  const Error error = refusal_of(GetParam().tar.finish());
  EXPECT_EQ(error.kind, ErrorKind::ArchiveUnsafe);
  EXPECT_THAT(error.message, StartsWith(GetParam().message));
}

std::vector<UnsafeCase> unsafe_cases() {
  const auto pax = [](const char* key, const char* value) {
    return innocent().pax({{key, value}}).file("e", "x");
  };
  return {
      {"T1_Parent", innocent().file("../e", "x"), "archive entry \"../e\": its name holds \"..\""},
      {"T1_ParentInside", innocent().file("a/../../e", "x"), "archive entry \"a/../../e\": its na"},
      {"T1_Absolute", innocent().file("/tmp/e", "x"), "archive entry \"/tmp/e\": its name is abso"},
      {"T1_PaxPath", pax("path", "../../e"), "archive entry \"../../e\": its name holds"},
      {"T1_Empty", innocent().file("", "x"), "archive entry \"\": its name is empty"},
      {"T1_RootAsFile", innocent().file("./.", "x"), "archive entry \"./.\": it would replace"},
      {"T1_LongComponent", pax("path", std::string(300, 'n').c_str()), "archive entry \"nnn"},
      {"T2_AbsoluteSymlink", innocent().symlink("l", "/etc"),
       "archive entry \"l\": it is a symbolic link to the absolute path \"/etc\""},
      {"T2_EscapingSymlink", innocent().folder("d").symlink("d/l", "../../e"),
       "archive entry \"d/l\": it is a symbolic link to \"../../e\", which leaves the tree"},
      {"T2_SymlinkThroughSymlink",
       innocent().folder("d/e").symlink("d/e/up", "../..").symlink("d/e/l", "up/../x"),
       "archive entry \"d/e/l\": it is a symbolic link to \"up/../x\", which has \"..\" after"},
      {"T2_WriteThroughSymlink", innocent().folder("d").symlink("l", "d").file("l/e", "x"),
       "archive entry \"l/e\": it lies behind a symbolic link"},
      {"T2_FileOverSymlink", innocent().symlink("l", "innocent").file("l", "x"),
       "archive entry \"l\": the archive holds this name twice"},
      {"T2_FolderOverSymlink", innocent().folder("d").symlink("l", "d").folder("l"),
       "archive entry \"l\": the archive holds this name twice"},
      {"T3_HardLinkOutside", innocent().hard_link("h", "/etc/passwd"),
       "archive entry \"h\": it is a hard link to \"/etc/passwd\", which is no name inside"},
      {"T3_HardLinkAbove", innocent().hard_link("h", "../archive"),
       "archive entry \"h\": it is a hard link to \"../archive\", which is no name inside"},
      {"T3_HardLinkToNothing", innocent().hard_link("h", "later").file("later", "x"),
       "archive entry \"h\": it is a hard link to something that was not unpacked before it"},
      {"T3_HardLinkToSymlink", innocent().symlink("l", "innocent").hard_link("h", "l"),
       "archive entry \"h\": it is a hard link to something other than a regular file"},
      {"T3_HardLinkThroughSymlink",
       innocent().folder("d").file("d/f", "x").symlink("l", "d").hard_link("h", "l/f"),
       "archive entry \"h\": it is a hard link to something that was not unpacked before it"},
      {"T3_HardLinkOverFile", innocent().file("f", "x").hard_link("f", "innocent"),
       "archive entry \"f\": the archive holds this name twice"},
      {"T3_HardLinkToItself", innocent().hard_link("innocent", "innocent"),
       "archive entry \"innocent\": the archive holds this name twice"},
      {"T4_Setuid", innocent().file("s", "x", 04755), "archive entry \"s\": it is a file with the"},
      {"T4_Setgid", innocent().file("s", "x", 02755), "archive entry \"s\": it is a file with the"},
      {"T4_CharacterDevice", innocent().add({.name = "d", .type = '3'}),
       "archive entry \"d\": it is a device"},
      {"T4_BlockDevice", innocent().add({.name = "d", .type = '4'}),
       "archive entry \"d\": it is a device"},
      {"T4_Fifo", innocent().add({.name = "p", .type = '6'}),
       "archive entry \"p\": it is a named pipe"},
      {"T4_Capability", pax("SCHILY.xattr.security.capability", "x"),
       "archive entry \"e\": it carries extended attributes"},
      {"T4_UserAttribute", pax("SCHILY.xattr.user.a", "x"),
       "archive entry \"e\": it carries extended attributes"},
      {"T4_Acl", pax("SCHILY.acl.access", "user::rwx,user:1:rwx,group::r--,mask::rwx,other::---"),
       "archive entry \"e\": it carries an access control list"},
      {"T5_Sparse",
       innocent()
           .pax({{"GNU.sparse.major", "1"},
                 {"GNU.sparse.minor", "0"},
                 {"GNU.sparse.name", "e"},
                 {"GNU.sparse.realsize", "1073741824"}})
           .file("e", "1\n1073741823\n1\n" + std::string(512 - 15, '\0') + "x"),
       "archive entry \"e\": it is a sparse file"},
      {"T6_SameFileTwice", innocent().file("innocent", "second"),
       "archive entry \"innocent\": the archive holds this name twice"},
      {"T6_SameFileInOtherWords", innocent().file(".//innocent", "second"),
       "archive entry \".//innocent\": the archive holds this name twice"},
      {"T6_FolderOverFile", innocent().folder("innocent"),
       "archive entry \"innocent\": the archive holds this name twice"},
      {"T6_FileOverFolder", innocent().folder("d").file("d", "x"),
       "archive entry \"d\": the archive holds this name twice"},
      {"T6_BelowAFile", innocent().file("innocent/e", "x"),
       "archive entry \"innocent/e\": it lies below something that is not a folder"},
      {"T12_EscapesInName", innocent().file("\x1b[2J\n/../e", "x"),
       "archive entry \"\\x1b[2J\\x0a/../e\": its name holds"},
  };
}

INSTANTIATE_TEST_SUITE_P(Entry, UnpackUnsafe, testing::ValuesIn(unsafe_cases()),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(UnpackAttack, T2_ASecondArchiveCannotUseTheFirstOnesLink) {
  UnpackFolder folder;
  ASSERT_TRUE(folder.unpack(TarBuilder().folder("d").symlink("l", "d").finish()).has_value());
  const auto second = folder.unpack(TarBuilder().file("l/e", "x").finish());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, ErrorKind::InvalidInput);
  EXPECT_FALSE(std::filesystem::exists(folder / "d/e"));
}

TEST(UnpackAttack, T3_NothingOutsideIsLinkedOrChanged) {
  UnpackFolder folder;
  const std::string victim = folder.outside() / "victim";
  test::write_file(victim, "mine");
  const auto unpacked = folder.unpack(
      TarBuilder().symlink("l", "../victim").hard_link("h", "l").file("h", "theirs").finish());
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_EQ(test::read_file(victim), "mine");
  EXPECT_EQ(std::filesystem::hard_link_count(victim), 1U);
}

TEST(UnpackAttack, T4_FoldersLoseSetgidAndSticky) {
  UnpackFolder folder;
  ASSERT_TRUE(folder.unpack(TarBuilder().folder("d", 07777).finish()).has_value());
  EXPECT_EQ(folder.mode("d"), 0777U);
}

// Bombs.

TEST(UnpackAttack, T5_StopsAtTheFirstByteTooMany) {
  const protocol::ArchiveLimits limits{.max_bytes = 10, .max_entries = 100, .max_depth = 64};
  EXPECT_EQ(refusal_of(TarBuilder().file("a", "12345").file("b", "678901").finish(), limits),
            (Error{ErrorKind::LimitExceeded,
                   "archive entry \"b\": the archive holds more than 10 bytes of files"}));
  UnpackFolder folder;
  folder.options.limits = limits;
  EXPECT_TRUE(folder.unpack(TarBuilder().file("a", "12345").file("b", "67890").finish()));
}

TEST(UnpackAttack, T5_StopsAtTheFirstEntryTooMany) {
  const protocol::ArchiveLimits limits{.max_bytes = 10, .max_entries = 2, .max_depth = 64};
  const Error error =
      refusal_of(TarBuilder().file("a", "").file("b", "").file("c", "").finish(), limits);
  EXPECT_EQ(error, (Error{ErrorKind::LimitExceeded,
                          "archive entry \"c\": the archive holds more than 2 entries"}));
}

TEST(UnpackAttack, T5_StopsAtTheFirstFolderTooDeep) {
  const protocol::ArchiveLimits limits{.max_bytes = 10, .max_entries = 99, .max_depth = 3};
  EXPECT_EQ(refusal_of(TarBuilder().file("a/b/c/d", "").finish(), limits).kind,
            ErrorKind::LimitExceeded);
  UnpackFolder folder;
  folder.options.limits = limits;
  EXPECT_TRUE(folder.unpack(TarBuilder().file("a/b/c", "").finish()));
}

TEST(UnpackAttack, T5_AGibibyteFromAMebibyteIsStopped) {
  const std::string zeros(std::size_t{1} << 26, '\0');
  TarBuilder tar;
  for (int i = 0; i < 4; ++i) tar.file("z" + std::to_string(i), zeros);
  const std::string bomb = test::gzip(tar.finish());
  ASSERT_LT(bomb.size(), std::size_t{1} << 20);
  const protocol::ArchiveLimits limits{.max_bytes = 100 << 20, .max_entries = 9, .max_depth = 64};
  EXPECT_EQ(refusal_of(bomb, limits).kind, ErrorKind::LimitExceeded);
}

TEST(UnpackAttack, T5_HeadersWithoutEntriesAreStopped) {
  // Each global pax header costs decompression and makes no entry. libarchive takes a few in front
  // of one entry, so that three entries can carry 81 MB of them.
  const std::string body = test::pax_record("comment", std::string(900'000, 'c'));
  TarBuilder tar;
  for (int i = 0; i < 90; ++i) {
    tar.add({.name = "headers", .type = 'g', .content = body});
    if (i % 30 == 29) tar.file("e" + std::to_string(i), "");
  }
  const protocol::ArchiveLimits limits{.max_bytes = 1000, .max_entries = 100, .max_depth = 64};
  EXPECT_EQ(refusal_of(test::zstd(tar.finish()), limits),
            (Error{ErrorKind::LimitExceeded,
                   "the archive's headers and padding go on beyond all that its entries need"}));
  UnpackFolder folder;
  EXPECT_TRUE(folder.unpack(test::zstd(tar.finish())).has_value());
}

TEST(UnpackAttack, T5_PaddingWithoutEndIsStopped) {
  const std::string padded = innocent().finish() + std::string(64 << 20, '\0');
  EXPECT_EQ(refusal_of(test::zstd(padded)).kind, ErrorKind::LimitExceeded);
}

TEST(UnpackAttack, T5_ADictionaryOver64MiBIsRefusedBeforeItIsReserved) {
  const std::string small = innocent().finish();
  const Error xz = refusal_of(test::xz(small, 256U << 20));
  EXPECT_EQ(xz.kind, ErrorKind::LimitExceeded);
  EXPECT_THAT(xz.message, HasSubstr("needs 25"));
  EXPECT_THAT(xz.message, HasSubstr("at most 64 are allowed"));
  const Error zstd = refusal_of(test::zstd(small, 27));
  EXPECT_EQ(zstd.kind, ErrorKind::LimitExceeded);
  EXPECT_THAT(zstd.message, HasSubstr("a window of more than 64 MiB"));
  UnpackFolder folder;
  EXPECT_TRUE(folder.unpack(test::xz(small, 64U << 20)).has_value());
  UnpackFolder other;
  EXPECT_TRUE(other.unpack(test::zstd(small, 26)).has_value());
}

/// The children of this thread, as folders of /proc.
std::vector<std::string> children() {
  std::ifstream list("/proc/self/task/" + std::to_string(::gettid()) + "/children");
  std::vector<std::string> folders;
  for (int pid = 0; list >> pid;) folders.push_back("/proc/" + std::to_string(pid));
  return folders;
}

/// The value of a line of /proc/PID/status, without the blanks before it.
std::string status_of(const std::string& process, const std::string& key) {
  std::ifstream status(process + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":"))
      return line.substr(line.find_first_not_of(" \t", key.size() + 1));
  }
  return "";
}

/// The most that a child of this process has had resident since it was executed, in KiB.
long peak_of_children() {
  long peak = 0;
  for (const std::string& child : children()) {
    peak = std::max(peak, std::atol(status_of(child, "VmHWM").c_str()));
  }
  return peak;
}

TEST(UnpackAttack, T26_TheParserHasNoEnvironmentNoOtherFilesAndNoRights) {
  ::setenv("SANDBOXRUN_CANARY", "canary-in-the-environment", 1);
  const UniqueFd canary(::open("/etc/passwd", O_RDONLY));  // without close-on-exec
  TarBuilder tar;
  for (int i = 0; i < 5000; ++i) tar.file(std::to_string(i), "x");
  UnpackFolder folder;
  if (::geteuid() == 0) folder.options.owner = {12345, 23456};
  std::string environment = "not seen";
  std::vector<std::string> files;
  std::string seccomp;
  std::string new_privileges;
  std::string capabilities;
  folder.options.progress = [&](std::int64_t, std::int64_t) {
    for (const std::string& child : children()) {
      if (status_of(child, "Seccomp") != "2" || !seccomp.empty()) continue;
      seccomp = status_of(child, "Seccomp");
      new_privileges = status_of(child, "NoNewPrivs");
      capabilities = status_of(child, "CapEff");
      environment = test::read_file(child + "/environ");
      for (const auto& file : std::filesystem::directory_iterator(child + "/fd")) {
        if (std::stoi(file.path().filename()) < 6) continue;
        files.push_back(std::filesystem::read_symlink(file));
      }
    }
  };
  ASSERT_TRUE(folder.unpack(tar.finish()).has_value());
  ::unsetenv("SANDBOXRUN_CANARY");
  EXPECT_EQ(seccomp, "2");
  EXPECT_EQ(new_privileges, "1");
  EXPECT_EQ(environment, "");
  if (::geteuid() == 0) {
    EXPECT_EQ(capabilities, "0000000000000000");
  }
  EXPECT_THAT(files, testing::Each(StartsWith(folder.root())));
}

TEST(UnpackAttack, T5_ManyEntriesAndLargeFilesTakeNoMoreMemory) {
  const std::string megabyte(1 << 20, 'm');
  TarBuilder tar;
  for (int i = 0; i < 20'000; ++i) tar.file("d/" + std::to_string(i), "");
  for (int i = 0; i < 100; ++i) tar.file("large" + std::to_string(i), megabyte);
  UnpackFolder folder;
  long peak = 0;
  folder.options.progress = [&](std::int64_t, std::int64_t) {
    peak = std::max(peak, peak_of_children());
  };
  ASSERT_TRUE(folder.unpack(test::zstd(tar.finish())).has_value());
  EXPECT_GT(peak, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(peak, 32 << 10);
#endif
}

TEST(UnpackAttack, T5_NestedCompressionIsNotUndone) {
  const Error error = refusal_of(test::gzip(test::gzip(innocent().finish())));
  EXPECT_EQ(error.kind, ErrorKind::ArchiveCorrupt);
}

TEST(UnpackAttack, T7_TheSizeInThePaxHeaderIsTheOneThatCounts) {
  // A reader that believed the header would take the content for the next entry.
  const std::string hidden = TarBuilder().symlink("l", "/etc").unfinished();
  UnpackFolder folder;
  const auto unpacked = folder.unpack(TarBuilder()
                                          .pax({{"size", std::to_string(hidden.size())}})
                                          .add({.name = "f", .content = hidden, .declared_size = 0})
                                          .finish());
  ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  EXPECT_EQ(folder.content("f"), hidden);
  EXPECT_EQ(unpacked->entries, 1);
}

TEST(UnpackAttack, T7_WhatIsUnpackedIsWhatAnotherReaderLists) {
  const test::TempDir dir;
  TarBuilder tar;
  const std::string name(180, 'p');
  tar.pax({{"path", "dir/" + name}}).file("short", "one").folder("dir2").file("dir2/f", "two");
  tar.add({.name = "././@LongLink", .type = 'L', .content = "dir2/" + name + std::string(1, '\0')});
  tar.file("other", "three");
  test::write_file(dir / "a.tar", tar.finish());
  const std::string listed = test::run_program({"/usr/bin/tar", "-tf", dir / "a.tar"});
  EXPECT_EQ(listed, "dir/" + name + "\ndir2\ndir2/f\ndir2/" + name + "\n");
  UnpackFolder folder;
  ASSERT_TRUE(folder.unpack(tar.finish()).has_value());
  EXPECT_EQ(folder.content("dir/" + name), "one");
  EXPECT_EQ(folder.content("dir2/f"), "two");
  EXPECT_EQ(folder.content("dir2/" + name), "three");
}

TEST(UnpackAttack, T8_ReadsTheOpenFileWhateverItsNameBecomes) {
  UnpackFolder folder;
  const std::string path = folder.outside() / "archive";
  test::write_file(path, innocent().finish());
  const UniqueFd verified(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::filesystem::remove(path);
  test::write_file(path, TarBuilder().file("evil", "x").finish());
  const UniqueFd destination = test::open_folder(folder.root());
  ASSERT_TRUE(agent::unpack(verified.get(), destination.get(), {}).has_value());
  EXPECT_EQ(folder.content("innocent"), "first");
  EXPECT_FALSE(std::filesystem::exists(folder / "evil"));
}

// What follows the end.

TEST(UnpackAttack, T9_DataAfterTheEndMarkerIsRefused) {
  const Error hidden = refusal_of(innocent().finish() + TarBuilder().file("e", "x").finish());
  EXPECT_EQ(hidden, (Error{ErrorKind::ArchiveUnsafe, "data follows the end of the archive"}));
  EXPECT_EQ(refusal_of(innocent().finish() + std::string(300'000, '\0') + "x").kind,
            ErrorKind::ArchiveUnsafe);
  UnpackFolder folder;
  EXPECT_TRUE(folder.unpack(innocent().finish() + std::string(9216, '\0')).has_value());
}

TEST(UnpackAttack, T9_AnArchiveWithoutItsEndMarkerIsTruncated) {
  EXPECT_EQ(refusal_of(innocent().unfinished()).message,
            "the archive is truncated: it has no end-of-archive marker");
  // Content that looks like the marker is not one.
  EXPECT_EQ(refusal_of(TarBuilder().file("zeros", std::string(4096, '\0')).unfinished()).kind,
            ErrorKind::ArchiveCorrupt);
}

TEST(UnpackAttack, T9_BytesAfterTheCompressedStreamAreRefused) {
  const std::string tar = innocent().finish();
  for (const std::string& archive : {test::gzip(tar), test::zstd(tar), test::xz(tar)}) {
    EXPECT_EQ(refusal_of(archive + "trailing garbage").kind, ErrorKind::ArchiveCorrupt);
    EXPECT_EQ(refusal_of(archive + "\n").kind, ErrorKind::ArchiveCorrupt);
    EXPECT_EQ(refusal_of(archive + archive).kind, ErrorKind::ArchiveUnsafe);
  }
}

TEST(UnpackAttack, T9_AnyFlippedByteIsAnErrorOrHarmless) {
  const std::string archive = test::zstd(innocent().folder("d").symlink("d/l", "../x").finish());
  for (std::size_t i = 0; i < archive.size(); i += 3) {
    std::string damaged = archive;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
    UnpackFolder folder;
    const auto unpacked = folder.unpack(damaged);
    if (!unpacked) {
      EXPECT_TRUE(folder.is_empty());
      EXPECT_NE(unpacked.error().kind, ErrorKind::Internal) << unpacked.error().message;
    }
  }
}

// Programs that unpack are held to the same rules.

class PixiAttack : public testing::Test {
 protected:
  Result<agent::Unpacked> run(const std::string& script) {
    const std::string program = folder_.outside() / "pixi-unpack";
    test::write_file(program, "#!/bin/sh\n" + script);
    std::filesystem::permissions(program, std::filesystem::perms(0755));
    folder_.options.format = ArchiveFormat::PixiPack;
    folder_.options.pixi_unpack = program;
    return folder_.unpack("x");
  }
  UnpackFolder folder_;
};

TEST_F(PixiAttack, LeavesNothingUnsafeInTheTree) {
  for (const auto& [script, rule] :
       {std::pair{"mkdir d; ln -s /etc d/l", "\"d/l\": it is a symbolic link to the absolute path"},
        {"ln -s ../archive l", "\"l\": it is a symbolic link to \"../archive\", which leaves"},
        {"mkfifo p", "\"p\": it is neither file, folder nor link"},
        {"echo > s; chmod 4755 s", "\"s\": it is a file with the setuid or setgid bit"}}) {
    const auto unpacked = run(script);
    ASSERT_FALSE(unpacked.has_value()) << script;
    EXPECT_EQ(unpacked.error().kind, ErrorKind::ArchiveUnsafe) << unpacked.error().message;
    EXPECT_THAT(unpacked.error().message, StartsWith(rule));
    EXPECT_TRUE(folder_.is_empty());
  }
}

TEST_F(PixiAttack, WritesNothingOutsideTheDestination) {
  const std::string outside = folder_.outside() / "outside";
  const auto unpacked = run("echo x > " + outside + " || exit 7");
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_THAT(unpacked.error().message, StartsWith("pixi-unpack failed with exit code"));
  EXPECT_FALSE(std::filesystem::exists(outside));
}

TEST_F(PixiAttack, HasNoSocketsAndNoNamespaces) {
  const auto unpacked = run(
      "/usr/bin/python3 -c '\nimport socket, os, ctypes\n"
      "def no(f):\n  try: f()\n  except OSError as e: return e.errno\n  return 0\n"
      "libc = ctypes.CDLL(None, use_errno=True)\n"
      "def unshare():\n  if libc.unshare(0x10000000): raise OSError(ctypes.get_errno(), \"\")\n"
      "def trace():\n"
      "  if libc.ptrace(16, os.getppid(), 0, 0): raise OSError(ctypes.get_errno(), \"\")\n"
      "def mem(): open(\"/proc/%d/mem\" % os.getppid(), \"r+b\")\n"
      "print(no(socket.socket), no(lambda: socket.socket(socket.AF_UNIX)), no(unshare), no(trace),"
      " no(os.setsid), file=open(\"result\", \"w\"))\nsocket.socketpair()\n'");
  ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  EXPECT_EQ(folder_.content("result"), "1 1 1 1 1\n");
}

TEST_F(PixiAttack, T26_SeesNeitherEnvironmentNorDescriptorsOfItsParent) {
  ::setenv("SANDBOXRUN_CANARY", "canary-in-the-environment", 1);
  const UniqueFd canary(::open("/etc/passwd", O_RDONLY));  // without close-on-exec
  const auto unpacked = run("env > variables; ls /proc/self/fd > descriptors");
  ::unsetenv("SANDBOXRUN_CANARY");
  ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  EXPECT_THAT(folder_.content("variables"), testing::Not(HasSubstr("canary")));
  // 0 to 2, the archive, and what ls itself has open.
  EXPECT_EQ(folder_.content("descriptors"), "0\n1\n2\n3\n4\n");
}

TEST_F(PixiAttack, WhatItStartedEndsWithIt) {
  const auto unpacked = run("( while :; do echo x >> grows; done ) & sleep 0.1; exit 0");
  ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  const auto size = std::filesystem::file_size(folder_ / "grows");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(std::filesystem::file_size(folder_ / "grows"), size);
}

TEST_F(PixiAttack, T5_LimitsHoldForWhatItMade) {
  folder_.options.limits.max_entries = 3;
  EXPECT_EQ(run("touch a b c d").error().kind, ErrorKind::LimitExceeded);
  folder_.options.limits.max_entries = 10;
  folder_.options.limits.max_bytes = 10;
  EXPECT_EQ(run("echo 12345 > a; echo 12345 > b").error().kind, ErrorKind::LimitExceeded);
  EXPECT_TRUE(folder_.is_empty());
}

}  // namespace
}  // namespace sandboxrun
