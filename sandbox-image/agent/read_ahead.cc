#include "sandbox-image/agent/read_ahead.h"

#include <unistd.h>

#include <cerrno>
#include <string>

namespace sandboxrun::agent {

Result<std::size_t> FileSource::read(std::span<std::byte> out) {
  std::size_t filled = 0;
  while (filled < out.size()) {
    const ssize_t got = ::pread(fd_, out.data() + filled, out.size() - filled, offset_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure(action_, errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
    offset_ += got;
  }
  return filled;
}

ReadAhead::ReadAhead(ByteSource& source) : thread_([this, &source] { fill(source); }) {}

std::span<const std::byte> ReadAhead::next() {
  const auto block = queue_.next();
  delivered_ += static_cast<std::int64_t>(block.size());
  return block;
}

const std::optional<Error>& ReadAhead::stop() {
  if (thread_.joinable()) {
    queue_.cancel();
    thread_.join();
  }
  return error_;
}

void ReadAhead::fill(ByteSource& source) {
  for (;;) {
    const auto buffer = queue_.acquire();
    if (buffer.empty()) return;
    const auto got = source.read(buffer);
    if (!got) error_ = got.error();
    if (!got || *got == 0) break;
    queue_.publish(*got);
    if (*got < buffer.size()) break;
  }
  queue_.finish();
}

Result<std::span<const std::byte>> FileBlocks::next() {
  if (ahead_) {
    const auto block = ahead_->next();
    if (block.empty()) {
      if (const auto& error = ahead_->stop(); error) return std::unexpected(*error);
    }
    return block;
  }
  if (failed_) return std::unexpected(*failed_);
  if (!first_.empty()) return std::span<const std::byte>{};  // the one block was not full
  first_.resize(BlockQueue::kBlockBytes);
  const auto got = source_.read(first_);
  if (!got) {
    failed_ = got.error();
    return std::unexpected(*failed_);
  }
  if (*got == first_.size()) ahead_.emplace(source_);
  return std::span<const std::byte>(first_).first(*got);
}

}  // namespace sandboxrun::agent
