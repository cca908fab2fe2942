#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>

#include "sandbox-image/agent/digest.h"
#include "tests/support/archive_folder.h"
#include "tests/support/child_process.h"
#include "tests/support/tar_builder.h"

namespace sandboxrun {
namespace {

using protocol::ArchiveFormat;
using test::ResultsFolder;
using test::TarBuilder;
using test::UnpackFolder;
using testing::ElementsAre;
using testing::HasSubstr;

TarBuilder small_tree() {
  TarBuilder tar;
  tar.folder("./").folder("./bin").file("./bin/tool", "#!/bin/sh\n", 0755);
  tar.symlink("./bin/alias", "tool").file("./data.txt", "data").hard_link("./copy", "./data.txt");
  return tar;
}

void expect_small_tree(const UnpackFolder& folder) {
  EXPECT_EQ(folder.content("bin/tool"), "#!/bin/sh\n");
  EXPECT_EQ(folder.mode("bin/tool"), 0755U);
  EXPECT_EQ(std::filesystem::read_symlink(folder / "bin/alias"), "tool");
  EXPECT_EQ(folder.content("data.txt"), "data");
  EXPECT_TRUE(std::filesystem::equivalent(folder / "copy", folder / "data.txt"));
}

struct FormatCase {
  const char* name;
  ArchiveFormat format;
  std::string (*compress)(std::string_view);
};

class UnpackFormats : public testing::TestWithParam<FormatCase> {};

TEST_P(UnpackFormats, AreUnpackedByNameAndByTheirFirstBytes) {
  const std::string archive = GetParam().compress(small_tree().finish());
  for (const ArchiveFormat format : {GetParam().format, ArchiveFormat::Auto}) {
    UnpackFolder folder;
    folder.options.format = format;
    const auto unpacked = folder.unpack(archive);
    ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
    EXPECT_EQ(unpacked->entries, 5);
    EXPECT_EQ(unpacked->bytes, 14);
    expect_small_tree(folder);
  }
}

TEST_P(UnpackFormats, T9_CutShortAnywhereAreCorrupt) {
  const std::string archive = GetParam().compress(small_tree().finish());
  for (const std::size_t kept : {archive.size() - 1, archive.size() / 2, archive.size() / 4}) {
    UnpackFolder folder;
    folder.options.format = GetParam().format;
    const auto unpacked = folder.unpack(archive.substr(0, kept));
    ASSERT_FALSE(unpacked.has_value()) << kept;
    EXPECT_EQ(unpacked.error().kind, ErrorKind::ArchiveCorrupt) << unpacked.error().message;
    EXPECT_TRUE(folder.is_empty());
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, UnpackFormats,
    testing::Values(FormatCase{"Tar", ArchiveFormat::Tar,
                               [](std::string_view bytes) { return std::string(bytes); }},
                    FormatCase{"Gzip", ArchiveFormat::TarGzip, test::gzip},
                    FormatCase{"Zstd", ArchiveFormat::TarZstd,
                               [](std::string_view bytes) { return test::zstd(bytes); }},
                    FormatCase{"Xz", ArchiveFormat::TarXz,
                               [](std::string_view bytes) { return test::xz(bytes); }}),
    [](const auto& each) { return std::string(each.param.name); });

TEST(Unpack, TakesSeveralGzipMembersAndZstdFrames) {
  const std::string tar = small_tree().finish();
  const std::string_view bytes = tar;
  for (const std::string& archive :
       {test::gzip(bytes.substr(0, 700)) + test::gzip(bytes.substr(700)),
        test::zstd(bytes.substr(0, 700)) + test::zstd(bytes.substr(700)),
        test::xz(bytes.substr(0, 700)) + test::xz(bytes.substr(700))}) {
    UnpackFolder folder;
    const auto unpacked = folder.unpack(archive);
    ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
    expect_small_tree(folder);
  }
}

TEST(Unpack, AnArchiveWithoutEntriesGivesAnEmptyFolder) {
  UnpackFolder folder;
  const auto unpacked = folder.unpack(TarBuilder().finish());
  ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  EXPECT_EQ(unpacked->entries, 0);
  EXPECT_TRUE(folder.is_empty());
}

TEST(Unpack, P_AnEmptyFileIsNoArchive) {
  for (const ArchiveFormat format :
       {ArchiveFormat::Auto, ArchiveFormat::Tar, ArchiveFormat::TarGzip, ArchiveFormat::TarZstd,
        ArchiveFormat::TarXz}) {
    UnpackFolder folder;
    folder.options.format = format;
    const auto unpacked = folder.unpack("");
    ASSERT_FALSE(unpacked.has_value());
    EXPECT_EQ(unpacked.error().kind, ErrorKind::ArchiveCorrupt) << unpacked.error().message;
  }
}

TEST(Unpack, AnotherFormatThanTheNamedOneIsCorrupt) {
  UnpackFolder folder;
  folder.options.format = ArchiveFormat::TarZstd;
  const auto unpacked = folder.unpack(test::gzip(small_tree().finish()));
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_EQ(unpacked.error().kind, ErrorKind::ArchiveCorrupt);
}

TEST(Unpack, KeepsModesTimesAndMissingParents) {
  UnpackFolder folder;
  const auto unpacked = folder.unpack(
      TarBuilder().file("a/b/c", "x", 0640).folder("locked", 0500).file("locked/f", "y").finish());
  ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  EXPECT_EQ(folder.mode("a/b/c"), 0640U);
  EXPECT_EQ(folder.mode("a/b"), 0755U);
  EXPECT_EQ(folder.mode("locked"), 0700U);
  struct stat status{};
  ASSERT_EQ(::stat((folder / "a/b/c").c_str(), &status), 0);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'700'000'000);
}

TEST(Unpack, IsForAnEmptyFolderOnly) {
  UnpackFolder folder;
  test::write_file(folder / "here", "before");
  const auto unpacked = folder.unpack(small_tree().finish());
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_EQ(unpacked.error().kind, ErrorKind::InvalidInput);
  EXPECT_EQ(folder.content("here"), "before");
}

TEST(Unpack, GivesWhatItMakesToTheOwner) {
  ASSERT_EQ(::geteuid(), 0U) << "only root can give files away";
  UnpackFolder folder;
  folder.options.owner = {12345, 23456};
  const auto unpacked = folder.unpack(small_tree().finish());
  ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  for (const char* name : {"", "bin", "bin/tool", "bin/alias", "data.txt"}) {
    struct stat status{};
    ASSERT_EQ(::lstat((folder / name).c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, 12345U) << name;
    EXPECT_EQ(status.st_gid, 23456U) << name;
  }
}

TEST(Unpack, SaysHowFarItIs) {
  UnpackFolder folder;
  std::int64_t entries = 0;
  std::int64_t bytes = 0;
  folder.options.progress = [&](std::int64_t e, std::int64_t b) { entries = e, bytes = b; };
  ASSERT_TRUE(folder.unpack(small_tree().finish()).has_value());
  EXPECT_EQ(entries, 5);
  EXPECT_EQ(bytes, 14);
}

TEST(Unpack, StopsWhenItIsCancelledAndLeavesNothing) {
  UnpackFolder folder;
  TarBuilder tar;
  for (int i = 0; i < 20'000; ++i) tar.file("f" + std::to_string(i), "x");
  std::stop_source stop;
  folder.options.stop = stop.get_token();
  folder.options.progress = [&](std::int64_t, std::int64_t) { stop.request_stop(); };
  const auto unpacked = folder.unpack(tar.finish());
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_EQ(unpacked.error().kind, ErrorKind::Cancelled);
  EXPECT_TRUE(folder.is_empty());
}

TEST(Unpack, WorksWhileOtherThreadsRun) {
  std::jthread busy([](const std::stop_token& stop) {
    while (!stop.stop_requested()) delete new std::string(100, 'x');
  });
  for (int i = 0; i < 20; ++i) {
    UnpackFolder folder;
    const auto unpacked = folder.unpack(small_tree().finish());
    ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  }
}

// PixiPack: pixi-unpack cannot be had here; these scripts stand in for it.

class UnpackPixi : public testing::Test {
 protected:
  Result<agent::Unpacked> run(const std::string& script) {
    const std::string program = folder_.outside() / "pixi-unpack";
    test::write_file(program, "#!/bin/sh\n" + script);
    std::filesystem::permissions(program, std::filesystem::perms(0755));
    folder_.options.format = ArchiveFormat::PixiPack;
    folder_.options.pixi_unpack = program;
    return folder_.unpack("the packed environment");
  }
  UnpackFolder folder_;
};

TEST_F(UnpackPixi, RunsTheProgramInTheDestinationWithTheArchive) {
  const auto unpacked =
      run("mkdir -p env/bin && cat \"$1\" > env/packed && ln -s packed env/alias && "
          "echo 'export A=1' > activate.sh && touch \"$TMPDIR/t\" && env | sort > variables");
  ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  EXPECT_EQ(folder_.content("env/packed"), "the packed environment");
  EXPECT_EQ(folder_.content("activate.sh"), "export A=1\n");
  EXPECT_EQ(unpacked->entries, 6);
  EXPECT_FALSE(std::filesystem::exists(folder_ / ".sandboxrun-tmp"));
}

TEST_F(UnpackPixi, W8_SaysTheExitCodeAndTheEndOfItsErrors) {
  const auto unpacked =
      run("echo started > file; printf 'no \\033[31msuch package\\n' >&2; exit 3");
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_EQ(unpacked.error().kind, ErrorKind::ArchiveCorrupt);
  EXPECT_EQ(unpacked.error().message,
            R"(pixi-unpack failed with exit code 3: no \x1b[31msuch package\x0a)");
  EXPECT_TRUE(folder_.is_empty());
}

TEST_F(UnpackPixi, W8_KeepsOnlyTheEndOfManyErrors) {
  const auto unpacked =
      run("i=0; while [ $i -lt 2000 ]; do echo line$i >&2; i=$((i+1)); done; exit 1");
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_THAT(unpacked.error().message, HasSubstr("line1999"));
  EXPECT_LT(unpacked.error().message.size(), 2000U);
}

TEST_F(UnpackPixi, IsUnavailableWithoutTheProgram) {
  for (const std::string program : {"", "pixi-unpack", "/nowhere/pixi-unpack"}) {
    folder_.options.format = ArchiveFormat::PixiPack;
    folder_.options.pixi_unpack = program;
    const auto unpacked = folder_.unpack("x");
    ASSERT_FALSE(unpacked.has_value());
    EXPECT_EQ(unpacked.error().kind, ErrorKind::Unavailable) << program;
  }
}

// Results.

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> all;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    all.push_back(text.substr(begin, end - begin));
    begin = end == std::string::npos ? text.size() : end + 1;
  }
  return all;
}

/// What GNU tar lists of an archive.
std::vector<std::string> listed(const std::string& bytes, const std::string& verbosity = "-t") {
  const test::TempDir dir;
  test::write_file(dir / "a", bytes);
  return lines(test::run_program(
      {"/usr/bin/tar", "--numeric-owner", "--quoting-style=literal", verbosity, "-f", dir / "a"}));
}

TEST(Pack, W15_NamesAreSortedAndRelative) {
  ResultsFolder results;
  std::filesystem::create_directories(results / "b/deep");
  test::write_file(results / "b/deep/z", "z");
  test::write_file(results / "b/a", "a");
  test::write_file(results / "a", "a");
  const auto packed = results.pack();
  ASSERT_TRUE(packed.has_value()) << packed.error().message;
  EXPECT_EQ(packed->entries, 5);
  EXPECT_THAT(listed(ResultsFolder::bytes_of(*packed)),
              ElementsAre("a", "b/", "b/a", "b/deep/", "b/deep/z"));
}

TEST(Pack, W15_AnEmptyFolderIsAValidEmptyArchive) {
  for (const ArchiveFormat format : {ArchiveFormat::TarGzip, ArchiveFormat::TarZstd}) {
    ResultsFolder results;
    results.options.format = format;
    const auto packed = results.pack();
    ASSERT_TRUE(packed.has_value()) << packed.error().message;
    EXPECT_EQ(packed->entries, 0);
    EXPECT_THAT(listed(ResultsFolder::bytes_of(*packed)), ElementsAre());
  }
}

TEST(Pack, W15_StripsSetuidSetgidAndStickyAndOwners) {
  ResultsFolder results;
  test::write_file(results / "tool", "x");
  std::filesystem::create_directory(results / "shared");
  ::chmod((results / "tool").c_str(), 06755);
  ::chmod((results / "shared").c_str(), 03777);
  // Fails but for root, whose files are then another's.
  std::ignore = ::lchown((results / "shared").c_str(), 1234, 1234);
  const auto packed = results.pack();
  ASSERT_TRUE(packed.has_value()) << packed.error().message;
  const auto all = listed(ResultsFolder::bytes_of(*packed), "-tv");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_THAT(all[0], testing::StartsWith("drwxrwxrwx 0/0 "));
  EXPECT_THAT(all[1], testing::StartsWith("-rwxr-xr-x 0/0 "));
}

TEST(Pack, W15_KeepsLinksThatStayInside) {
  ResultsFolder results;
  std::filesystem::create_directory(results / "d");
  std::filesystem::create_symlink("../f", results / "d/l");
  test::write_file(results / "f", "x");
  const auto packed = results.pack();
  ASSERT_TRUE(packed.has_value()) << packed.error().message;
  UnpackFolder folder;
  ASSERT_TRUE(folder.unpack(ResultsFolder::bytes_of(*packed)).has_value());
  EXPECT_EQ(std::filesystem::read_symlink(folder / "d/l"), "../f");
}

TEST(Pack, W15_ItsDigestAndLengthAreThoseOfTheFile) {
  ResultsFolder results;
  test::write_file(results / "f", std::string(500'000, 'x') + "y");
  for (const ArchiveFormat format : {ArchiveFormat::TarGzip, ArchiveFormat::TarZstd}) {
    results.options.format = format;
    const auto packed = results.pack();
    ASSERT_TRUE(packed.has_value()) << packed.error().message;
    EXPECT_EQ(agent::digest_of(packed->file.get()).value(), packed->digest);
    struct stat status{};
    ASSERT_EQ(::fstat(packed->file.get(), &status), 0);
    EXPECT_EQ(status.st_size, packed->bytes);
    EXPECT_EQ(status.st_nlink, 0U);
    EXPECT_TRUE(std::filesystem::is_empty(results.staging()));
    UnpackFolder folder;
    ASSERT_TRUE(folder.unpack(ResultsFolder::bytes_of(*packed)).has_value());
    EXPECT_EQ(folder.content("f"), std::string(500'000, 'x') + "y");
  }
}

TEST(Pack, EqualTreesGiveEqualArchives) {
  std::vector<std::string> digests;
  for (const auto& order : {std::vector{"a", "b"}, std::vector{"b", "a"}}) {
    ResultsFolder results;
    for (const char* name : order) {
      test::write_file(results / name, name);
      const timespec times[2] = {{1000, 5}, {1000, 7}};
      ::utimensat(AT_FDCWD, (results / name).c_str(), times, 0);
    }
    const auto packed = results.pack();
    ASSERT_TRUE(packed.has_value());
    digests.push_back(packed->digest);
  }
  EXPECT_EQ(digests[0], digests[1]);
}

TEST(Pack, AFileWithTwoNamesIsArchivedAndCountedTwice) {
  ResultsFolder results;
  test::write_file(results / "a", "12345");
  std::filesystem::create_hard_link(results / "a", results / "b");
  results.options.max_bytes = 10;
  const auto packed = results.pack();
  ASSERT_TRUE(packed.has_value()) << packed.error().message;
  UnpackFolder folder;
  const auto unpacked = folder.unpack(ResultsFolder::bytes_of(*packed));
  ASSERT_TRUE(unpacked.has_value());
  EXPECT_EQ(unpacked->bytes, 10);
  EXPECT_FALSE(std::filesystem::equivalent(folder / "a", folder / "b"));
  results.options.max_bytes = 9;
  EXPECT_EQ(results.pack().error().kind, ErrorKind::LimitExceeded);
}

TEST(Pack, LimitsAreInclusive) {
  ResultsFolder results;
  test::write_file(results / "a", "12345");
  test::write_file(results / "b", "67890");
  results.options.max_bytes = 10;
  results.options.max_entries = 2;
  EXPECT_TRUE(results.pack().has_value());
  results.options.max_entries = 1;
  EXPECT_EQ(results.pack().error().kind, ErrorKind::LimitExceeded);
  results.options.max_entries = 2;
  results.options.max_bytes = 9;
  const auto packed = results.pack();
  ASSERT_FALSE(packed.has_value());
  EXPECT_EQ(packed.error().message, "results: \"b\": with it the files hold more than 9 bytes");
}

TEST(Pack, NamesOfAnyBytesAreKept) {
  ResultsFolder results;
  const std::string names[] = {"gr\xc3\xbc\xc3\x9f", "latin-\xe9", "new\nline", "esc\x1b[2J",
                               std::string(200, 'n')};
  for (const std::string& name : names) test::write_file(results / name, name);
  const auto packed = results.pack();
  ASSERT_TRUE(packed.has_value()) << packed.error().message;
  UnpackFolder folder;
  const auto unpacked = folder.unpack(ResultsFolder::bytes_of(*packed));
  ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  for (const std::string& name : names) EXPECT_EQ(folder.content(name), name);
}

TEST(Pack, CanBeCancelled) {
  ResultsFolder results;
  test::write_file(results / "a", "x");
  std::stop_source stop;
  stop.request_stop();
  results.options.stop = stop.get_token();
  const auto packed = results.pack();
  ASSERT_FALSE(packed.has_value());
  EXPECT_EQ(packed.error().kind, ErrorKind::Cancelled);
}

}  // namespace
}  // namespace sandboxrun
