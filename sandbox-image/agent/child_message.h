#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include "operator/base/error.h"
#include "sandbox-image/agent/unpack.h"

namespace sandboxrun::agent {

/// What the parser child tells its parent, over a pipe: always this many bytes, few enough that the
/// kernel writes them as one.
struct ChildMessage {
  enum Kind : std::uint32_t { Progress = 1, Done = 2, Failed = 3 };

  std::uint32_t kind = 0;
  std::uint32_t error_kind = 0;
  std::int64_t entries = 0;
  std::int64_t bytes = 0;
  std::uint32_t text_size = 0;
  char text[2012] = {};
};
static_assert(std::is_trivially_copyable_v<ChildMessage> && sizeof(ChildMessage) == 2040);

ChildMessage progress_message(const Unpacked& so_far);
ChildMessage done_message(const Unpacked& all);
ChildMessage failed_message(const Error& error);

/// The error of a Failed message. The child may have been taken over by what it read, so the kind
/// is one that unpacking can have, and the text is bounded and without control characters.
Error error_of(const ChildMessage& message);

}  // namespace sandboxrun::agent
