#pragma once

#include <span>
#include <string_view>

namespace sandboxrun::launch {

/// The system calls that the runtime's filter lets through, as names of libseccomp; every other
/// one fails with EPERM. It plays the part of a cluster's RuntimeDefault profile; the guard's own
/// filter then takes away more, and is the same everywhere.
std::span<const std::string_view> allowed_system_calls();

/// Allowed only with these first arguments (personality(2): Linux, 32-bit addresses, and asking).
std::span<const unsigned> allowed_personalities();

}  // namespace sandboxrun::launch
