#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "sandbox-image/agent/block_queue.h"
#include "sandbox-image/agent/byte_source.h"

namespace sandboxrun::agent {

/// An open file from its start, with pread: its offset stays. Assumes that `fd` outlives it.
class FileSource final : public ByteSource {
 public:
  /// `action` is what a failure is told with, e.g. "reading the archive".
  FileSource(int fd, std::string_view action) : fd_(fd), action_(action) {}
  Result<std::size_t> read(std::span<std::byte> out) override;

 private:
  int fd_;
  std::string_view action_;
  off_t offset_ = 0;
};

/// Reads a source in a thread of its own, a fixed number of blocks ahead of whoever takes them.
/// Thread safety: for one thread.
class ReadAhead {
 public:
  /// Assumes that `source` outlives it and that nobody else reads it.
  explicit ReadAhead(ByteSource& source);
  ~ReadAhead() { stop(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// The next block, valid until the following call. Empty at the source's end and where it failed:
  /// stop() tells them apart.
  std::span<const std::byte> next();
  /// Bytes that next() has given so far.
  std::int64_t delivered() const { return delivered_; }

  /// Ends the thread. What made it stop early, if something did.
  const std::optional<Error>& stop();

 private:
  void fill(ByteSource& source);

  BlockQueue queue_;
  std::optional<Error> error_;  // written by the thread, read after it ended
  std::int64_t delivered_ = 0;
  std::thread thread_;  // last: it uses all of the above
};

/// A file's bytes in order, a block at a time. A file of more than one block is read ahead, so that
/// whoever hashes or decompresses it doesn't wait for the copying; a small one costs no thread.
class FileBlocks {
 public:
  FileBlocks(int fd, std::string_view action) : source_(fd, action) {}

  /// The next block, valid until the following call; empty at the file's end, and nowhere else: a
  /// failure is told again by every later call.
  /// Errors: System.
  Result<std::span<const std::byte>> next();

 private:
  FileSource source_;
  std::vector<std::byte> first_;
  std::optional<Error> failed_;     // to read the first one
  std::optional<ReadAhead> ahead_;  // last: it reads the source
};

}  // namespace sandboxrun::agent
