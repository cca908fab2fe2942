#include "sandbox-image/agent/block_queue.h"

namespace sandboxrun::agent {

BlockQueue::BlockQueue() : buffer_(kBlocks * kBlockBytes) {}

std::span<std::byte> BlockQueue::acquire() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return cancelled_ || published_ - released_ < kBlocks; });
  if (cancelled_) return {};
  return std::span(buffer_).subspan((published_ % kBlocks) * kBlockBytes, kBlockBytes);
}

void BlockQueue::publish(std::size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    sizes_[published_ % kBlocks] = bytes;
    ++published_;
  }
  changed_.notify_one();
}

void BlockQueue::finish() {
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  changed_.notify_one();
}

std::span<const std::byte> BlockQueue::next() {
  std::unique_lock lock(mutex_);
  if (holding_) {
    holding_ = false;
    ++released_;
    changed_.notify_one();
  }
  changed_.wait(lock, [this] { return cancelled_ || finished_ || published_ > released_; });
  if (cancelled_ || published_ == released_) return {};
  holding_ = true;
  const std::size_t slot = released_ % kBlocks;
  return std::span(buffer_).subspan(slot * kBlockBytes, sizes_[slot]);
}

void BlockQueue::cancel() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  changed_.notify_all();
}

}  // namespace sandboxrun::agent
