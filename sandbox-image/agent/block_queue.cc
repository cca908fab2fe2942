#include "sandbox-image/agent/block_queue.h"

namespace sandboxrun::agent {

BlockQueue::BlockQueue() : buffer_(kBlocks * kBlockBytes) {}

std::span<std::byte> BlockQueue::acquire() {
  std::unique_lock lock(mutex_);
  if (used() == kBlocks) {
    freed_.wait(lock, [this] { return cancelled_ || used() <= kHalf; });
  }
  if (cancelled_) return {};
  return std::span(buffer_).subspan((published_ % kBlocks) * kBlockBytes, kBlockBytes);
}

void BlockQueue::publish(std::size_t bytes) {
  bool enough = false;
  {
    const std::lock_guard lock(mutex_);
    sizes_[published_ % kBlocks] = bytes;
    ++published_;
    enough = used() >= kHalf;
  }
  if (enough) filled_.notify_one();
}

void BlockQueue::finish() {
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  filled_.notify_one();
}

std::span<const std::byte> BlockQueue::next() {
  std::unique_lock lock(mutex_);
  if (holding_) {
    holding_ = false;
    ++released_;
    if (used() <= kHalf) freed_.notify_one();
  }
  if (used() == 0) {
    filled_.wait(lock, [this] { return cancelled_ || finished_ || used() >= kHalf; });
  }
  if (cancelled_ || used() == 0) return {};
  holding_ = true;
  const std::size_t slot = released_ % kBlocks;
  return std::span(buffer_).subspan(slot * kBlockBytes, sizes_[slot]);
}

void BlockQueue::cancel() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  filled_.notify_all();
  freed_.notify_all();
}

}  // namespace sandboxrun::agent
