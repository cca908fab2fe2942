#include "sandbox-image/agent/child_message.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "operator/base/json_writer.h"

namespace sandboxrun::agent {

ChildMessage progress_message(const Unpacked& so_far) {
  ChildMessage message;
  message.kind = ChildMessage::Progress;
  message.entries = so_far.entries;
  message.bytes = so_far.bytes;
  return message;
}

ChildMessage done_message(const Unpacked& all) {
  ChildMessage message = progress_message(all);
  message.kind = ChildMessage::Done;
  return message;
}

ChildMessage failed_message(const Error& error) {
  ChildMessage message;
  message.kind = ChildMessage::Failed;
  message.error_kind = static_cast<std::uint32_t>(error.kind);
  message.text_size =
      static_cast<std::uint32_t>(std::min(error.message.size(), sizeof(message.text)));
  std::memcpy(message.text, error.message.data(), message.text_size);
  return message;
}

Error error_of(const ChildMessage& message) {
  constexpr ErrorKind kPossible[] = {ErrorKind::ArchiveCorrupt, ErrorKind::ArchiveUnsafe,
                                     ErrorKind::LimitExceeded, ErrorKind::Unavailable,
                                     ErrorKind::System};
  Error error{.kind = ErrorKind::Internal, .message = {}};
  for (const ErrorKind kind : kPossible) {
    if (message.error_kind == static_cast<std::uint32_t>(kind)) error.kind = kind;
  }
  const std::size_t size = std::min<std::size_t>(message.text_size, sizeof(message.text));
  error.message = to_valid_utf8({message.text, size});
  std::ranges::replace_if(
      error.message, [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; }, '?');
  return error;
}

}  // namespace sandboxrun::agent
