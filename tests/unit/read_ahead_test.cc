#include "sandbox-image/agent/read_ahead.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "operator/base/fd.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::agent {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kBlock = BlockQueue::kBlockBytes;

std::byte byte_at(std::size_t offset) {
  return static_cast<std::byte>(offset % 251);
}

/// `size` bytes, and then the end or a failure.
class CountingSource final : public ByteSource {
 public:
  explicit CountingSource(std::size_t size, bool fails = false, milliseconds pause = {})
      : size_(size), fails_(fails), pause_(pause) {}

  Result<std::size_t> read(std::span<std::byte> out) override {
    std::this_thread::sleep_for(pause_);
    std::size_t filled = 0;
    for (; filled < out.size() && given_ < size_; ++filled) out[filled] = byte_at(given_++);
    if (filled < out.size() && fails_) return failure(ErrorKind::ArchiveCorrupt, "broke off");
    return filled;
  }

 private:
  std::size_t size_;
  bool fails_;
  milliseconds pause_;
  std::size_t given_ = 0;
};

/// Takes all blocks; how many bytes came, all of them in order.
std::size_t take_all(ReadAhead& ahead, milliseconds pause = {}) {
  std::size_t taken = 0;
  for (auto block = ahead.next(); !block.empty(); block = ahead.next()) {
    for (const std::byte b : block) EXPECT_EQ(b, byte_at(taken++));
    std::this_thread::sleep_for(pause);
  }
  return taken;
}

TEST(ReadAhead, GivesEveryByteInOrderWhoeverIsTheSlowerOne) {
  constexpr std::size_t kSize = 3 * BlockQueue::kBlocks * kBlock + 17;
  CountingSource fast(kSize);
  ReadAhead to_slow(fast);
  EXPECT_EQ(take_all(to_slow, milliseconds(2)), kSize);
  EXPECT_FALSE(to_slow.stop());
  CountingSource slow(kSize, false, milliseconds(2));
  ReadAhead to_fast(slow);
  EXPECT_EQ(take_all(to_fast), kSize);
  EXPECT_EQ(to_fast.delivered(), static_cast<std::int64_t>(kSize));
}

TEST(ReadAhead, GivesWhatIsLessThanHalfOfItsBuffers) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kBlock, 2 * kBlock + 1}) {
    CountingSource source(size);
    ReadAhead ahead(source);
    EXPECT_EQ(take_all(ahead), size);
    EXPECT_FALSE(ahead.stop());
  }
}

TEST(ReadAhead, TellsOfAFailureBehindTheWholeBlocksBeforeIt) {
  CountingSource source(5 * kBlock + 3, true);
  ReadAhead ahead(source);
  EXPECT_EQ(take_all(ahead), 5 * kBlock);
  ASSERT_TRUE(ahead.stop());
  EXPECT_EQ(ahead.stop()->message, "broke off");
}

TEST(ReadAhead, EndsWhereNobodyTakesTheBlocks) {
  CountingSource source(100 * kBlock);
  ReadAhead ahead(source);
  ASSERT_FALSE(ahead.next().empty());
  EXPECT_FALSE(ahead.stop());
  EXPECT_TRUE(ahead.next().empty());
}

TEST(FileBlocks, GivesAFileOfAnySizeFromItsStart) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, kBlock - 1, kBlock, kBlock + 1, 20 * kBlock}) {
    std::string content(size, '\0');
    for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<char>(byte_at(i));
    const test::TempDir folder;
    const std::string path = folder / "file";
    test::write_file(path, content);
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ::lseek(file.get(), 1, SEEK_SET);
    FileBlocks blocks(file.get(), "reading the file");
    std::string read;
    for (;;) {
      const auto block = blocks.next();
      ASSERT_TRUE(block) << block.error().message;
      if (block->empty()) break;
      read.append(reinterpret_cast<const char*>(block->data()), block->size());
    }
    EXPECT_TRUE(read == content) << size;
    EXPECT_TRUE(blocks.next()->empty());
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 1);
  }
}

TEST(FileBlocks, SaysWhatCouldNotBeRead) {
  FileBlocks blocks(-1, "reading the file");
  for (int call = 0; call < 2; ++call) {
    const auto block = blocks.next();
    ASSERT_FALSE(block);
    EXPECT_EQ(block.error().message, "reading the file: Bad file descriptor");
  }
}

}  // namespace
}  // namespace sandboxrun::agent
