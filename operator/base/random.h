#pragma once

#include <cstddef>
#include <string>

namespace sandboxrun {

/// `bytes` bytes of the kernel's randomness (getrandom(2)) as lower-case hex; good for secrets.
std::string random_hex(std::size_t bytes);

}  // namespace sandboxrun
