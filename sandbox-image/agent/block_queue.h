#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <span>
#include <vector>

namespace sandboxrun::agent {

/// Hands blocks of bytes from one thread to one other, in order, through a fixed set of buffers, so
/// that memory stays the same however much goes through. A side that had to wait goes on when half
/// of the buffers are there for it: being woken for each one costs more than the work on it.
/// Thread safety: one producer (acquire, publish, finish), one consumer (next); cancel from either.
class BlockQueue {
 public:
  static constexpr std::size_t kBlockBytes = std::size_t{256} << 10;
  static constexpr std::size_t kBlocks = 8;

  BlockQueue();

  /// A free buffer of kBlockBytes to fill; waits for one. Empty once the queue is cancelled.
  std::span<std::byte> acquire();
  /// Hands over the first `bytes` of what acquire() gave.
  void publish(std::size_t bytes);
  /// No more blocks will come.
  void finish();

  /// The next block, which stays valid until the following call of next(); waits for one. Empty
  /// after the last one, or once the queue is cancelled.
  std::span<const std::byte> next();

  /// Wakes both sides; nothing goes through any more.
  void cancel();

 private:
  static constexpr std::size_t kHalf = kBlocks / 2;

  std::size_t used() const { return published_ - released_; }

  std::vector<std::byte> buffer_;
  std::size_t sizes_[kBlocks] = {};
  std::mutex mutex_;
  std::condition_variable filled_;  // the consumer waits for it
  std::condition_variable freed_;   // the producer waits for it
  std::size_t published_ = 0;       // blocks handed over so far
  std::size_t released_ = 0;        // blocks that the consumer is done with
  bool holding_ = false;            // the consumer still reads block released_
  bool finished_ = false;
  bool cancelled_ = false;
};

}  // namespace sandboxrun::agent
