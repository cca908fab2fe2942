#pragma once

#include <cstddef>
#include <span>

#include "operator/base/error.h"

namespace sandboxrun::agent {

/// A stream of bytes.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Fills `out` from its start; fewer bytes than it holds mean that the stream ended, and ended
  /// as its format wants it to: complete, checksums right, nothing behind it.
  /// Errors: ArchiveCorrupt, LimitExceeded (window or dictionary), System.
  virtual Result<std::size_t> read(std::span<std::byte> out) = 0;
};

}  // namespace sandboxrun::agent
