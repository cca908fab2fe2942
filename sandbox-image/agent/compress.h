#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "operator/base/error.h"
#include "sandbox-image/agent/block_queue.h"
#include "sandbox-image/protocol/work_order.h"

namespace sandboxrun::agent {

struct Compressed {
  std::string digest;  ///< of what was written to the file
  std::int64_t bytes = 0;
};

/// Compresses, hashes and writes to a file in a thread of its own, while the caller goes on
/// reading. The same input gives the same output: no time and no name is in it.
class CompressingWriter {
 public:
  /// `format` is TarGzip or TarZstd. `file` stays the caller's and must outlive the writer.
  CompressingWriter(int file, protocol::ArchiveFormat format);
  ~CompressingWriter();
  CompressingWriter(const CompressingWriter&) = delete;
  CompressingWriter& operator=(const CompressingWriter&) = delete;

  /// False once the writing side has failed; finish() says why.
  bool write(std::span<const std::byte> bytes);
  /// Ends the stream and waits until all of it is in the file. May be called once.
  /// Errors: System (disk full), Internal.
  Result<Compressed> finish();

 private:
  void run(int file, protocol::ArchiveFormat format);
  void flush();

  BlockQueue queue_;
  std::span<std::byte> open_block_;  // acquired, not yet published
  std::size_t filled_ = 0;
  std::optional<Error> error_;  // these two: written by the thread, read after it ended
  Compressed compressed_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace sandboxrun::agent
