#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/support/archive_folder.h"
#include "tests/support/tar_builder.h"

namespace sandboxrun {
namespace {

using test::ResultsFolder;
using test::UnpackFolder;
using testing::HasSubstr;

/// One bad entry among good ones: the whole is refused.
Error refusal_of(const ResultsFolder& results) {
  test::write_file(results / "a-good-file", "good");
  const auto packed = results.pack();
  EXPECT_TRUE(std::filesystem::is_empty(results.staging()));
  if (!packed) return packed.error();
  return {.kind = ErrorKind::Internal, .message = "it was packed"};
}

Error unsafe(std::string message) {
  return {.kind = ErrorKind::ArchiveUnsafe, .message = std::move(message)};
}

TEST(PackAttack, W15_T12_RefusesAnAbsoluteLink) {
  ResultsFolder results;
  std::filesystem::create_symlink("/etc/passwd", results / "l");
  EXPECT_EQ(refusal_of(results),
            unsafe("results: \"l\": it is a symbolic link to the absolute path \"/etc/passwd\"; "
                   "only links relative to their own folder are allowed"));
}

TEST(PackAttack, W15_T12_RefusesALinkOutOfTheTree) {
  ResultsFolder results;
  std::filesystem::create_directory(results / "d");
  std::filesystem::create_symlink("../../staging", results / "d/l");
  EXPECT_EQ(refusal_of(results), unsafe("results: \"d/l\": it is a symbolic link to "
                                        "\"../../staging\", which leaves the tree"));
}

TEST(PackAttack, W15_T12_RefusesAPipeWithoutOpeningIt) {
  ResultsFolder results;
  ASSERT_EQ(::mkfifo((results / "p").c_str(), 0666), 0);
  EXPECT_EQ(refusal_of(results), unsafe("results: \"p\": it is a named pipe"));
}

TEST(PackAttack, W15_T12_RefusesASocket) {
  ResultsFolder results;
  const UniqueFd server(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (results / "s").c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(refusal_of(results), unsafe("results: \"s\": it is a socket"));
}

TEST(PackAttack, W15_T12_RefusesDevices) {
  ASSERT_EQ(::geteuid(), 0U) << "only root can make devices";
  for (const mode_t type : {S_IFCHR, S_IFBLK}) {
    ResultsFolder results;
    ASSERT_EQ(::mknod((results / "d").c_str(), type | 0666, makedev(1, 3)), 0);
    EXPECT_EQ(refusal_of(results), unsafe("results: \"d\": it is a device"));
  }
}

TEST(PackAttack, T12_NamesAreEscapedInErrors) {
  ResultsFolder results;
  ASSERT_EQ(::mkfifo((results / "\x1b[31m\nfake: line").c_str(), 0666), 0);
  EXPECT_EQ(refusal_of(results),
            unsafe("results: \"\\x1b[31m\\x0afake: line\": it is a named pipe"));
}

TEST(PackAttack, N9_T12_StopsAtTheFirstFileTooMany) {
  ResultsFolder results;
  results.options.max_entries = 100;
  for (int i = 0; i < 2000; ++i) test::write_file(results / std::to_string(i), "");
  EXPECT_EQ(refusal_of(results), (Error{ErrorKind::LimitExceeded,
                                        "results: there are more than 100 files and folders"}));
}

TEST(PackAttack, T12_ApparentSizesCount) {
  ResultsFolder results;
  test::write_file(results / "sparse", "");
  std::filesystem::resize_file(results / "sparse", std::uintmax_t{1} << 40);
  EXPECT_EQ(refusal_of(results).kind, ErrorKind::LimitExceeded);
}

TEST(PackAttack, N9_T12_ADeepTreeIsRefusedWithoutRecursion) {
  ResultsFolder results;
  std::string path = results.root();
  for (int i = 0; i < 300; ++i) path += "/d";
  std::filesystem::create_directories(path);
  const Error error = refusal_of(results);
  EXPECT_EQ(error.kind, ErrorKind::LimitExceeded);
  EXPECT_THAT(error.message, HasSubstr("more than 64 folders deep"));
}

TEST(PackAttack, T12_AGrowingFileIsReadToTheSizeOfItsHeader) {
  ResultsFolder results;
  results.options.max_bytes = std::int64_t{1} << 30;
  const std::string path = results / "grows";
  test::write_file(path, std::string(1 << 20, 'x'));
  std::atomic<bool> stop = false;
  std::jthread writer([&] {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND));
    const std::string more(1000, 'y');
    for (int i = 0; i < 20'000 && !stop; ++i) {
      if (::write(file.get(), more.data(), more.size()) < 0) break;
    }
  });
  for (int i = 0; i < 3; ++i) {
    const auto packed = results.pack();
    ASSERT_TRUE(packed.has_value()) << packed.error().message;
    UnpackFolder folder;
    const auto unpacked = folder.unpack(ResultsFolder::bytes_of(*packed));
    ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  }
  stop = true;
}

TEST(PackAttack, T12_AFileThatShrinksIsRefusedByName) {
  ResultsFolder results;
  results.options.max_bytes = std::int64_t{1} << 30;
  const std::string path = results / "z";
  test::write_file(path, "");
  std::filesystem::resize_file(path, 400 << 20);
  // Reading that much takes far longer than it takes to see the first of it gone.
  std::jthread cutter([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    std::filesystem::resize_file(path, 10);
  });
  EXPECT_EQ(refusal_of(results), unsafe("results: \"z\": it shrank while it was archived"));
}

TEST(PackAttack, T12_SwappingAFileForALinkNeverShowsWhatTheLinkPointsTo) {
  ResultsFolder results;
  const std::string secret = results.staging() + "-secret";
  test::write_file(secret, "SECRET");
  const std::string name = results / "f";
  test::write_file(results / "plain", "plain");
  std::filesystem::create_symlink(secret, results.root() + "-link");
  std::filesystem::copy_file(results / "plain", name);
  std::atomic<bool> stop = false;
  std::jthread racer([&] {
    // Two names outside the tree trade places with the one inside it.
    const std::string link = results.root() + "-link";
    while (!stop) {
      ::renameat2(AT_FDCWD, name.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
    }
  });
  int packed_plain = 0;
  for (int i = 0; i < 100; ++i) {
    const auto packed = results.pack();
    if (!packed) {
      EXPECT_EQ(packed.error().kind, ErrorKind::ArchiveUnsafe) << packed.error().message;
      continue;
    }
    UnpackFolder folder;
    ASSERT_TRUE(folder.unpack(ResultsFolder::bytes_of(*packed)).has_value());
    EXPECT_EQ(folder.content("f"), "plain");
    ++packed_plain;
  }
  stop = true;
  EXPECT_GT(packed_plain, 0);
}

TEST(PackAttack, ADiskThatIsFullIsSaid) {
  ResultsFolder results;
  test::write_file(results / "f",
                   test::zstd(std::string(1 << 18, 'x')) + std::string(900'000, 'x'));
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto packed = results.pack();
  ::setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_FALSE(packed.has_value());
  EXPECT_EQ(packed.error(),
            (Error{ErrorKind::System, "results: writing the archive: File too large"}));
}

}  // namespace
}  // namespace sandboxrun
