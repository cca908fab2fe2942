#include "operator/base/error.h"

#include <system_error>

namespace sandboxrun {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::InvalidInput:
      return "InvalidInput";
    case ErrorKind::NotFound:
      return "NotFound";
    case ErrorKind::Denied:
      return "Denied";
    case ErrorKind::Transport:
      return "Transport";
    case ErrorKind::Rejected:
      return "Rejected";
    case ErrorKind::DigestMismatch:
      return "DigestMismatch";
    case ErrorKind::ArchiveCorrupt:
      return "ArchiveCorrupt";
    case ErrorKind::ArchiveUnsafe:
      return "ArchiveUnsafe";
    case ErrorKind::LimitExceeded:
      return "LimitExceeded";
    case ErrorKind::Timeout:
      return "Timeout";
    case ErrorKind::Cancelled:
      return "Cancelled";
    case ErrorKind::Unavailable:
      return "Unavailable";
    case ErrorKind::System:
      return "System";
    case ErrorKind::Internal:
      return "Internal";
  }
  return "Internal";
}

Error Error::within(std::string_view context) const {
  return Error{kind, std::string(context) + ": " + message};
}

std::unexpected<Error> system_failure(std::string_view context, int error_number) {
  return failure(ErrorKind::System,
                 std::string(context) + ": " + std::generic_category().message(error_number));
}

}  // namespace sandboxrun
