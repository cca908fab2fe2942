#include "operator/base/random.h"

#include <sys/random.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace sandboxrun {

std::string random_hex(std::size_t bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  while (bytes > 0) {
    std::array<unsigned char, 32> buffer;
    const ssize_t got = getrandom(buffer.data(), std::min(bytes, buffer.size()), 0);
    if (got <= 0) continue;  // interrupted; the kernel's source never ends
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
      hex += digits[buffer[i] >> 4];
      hex += digits[buffer[i] & 15];
    }
    bytes -= static_cast<std::size_t>(got);
  }
  return hex;
}

}  // namespace sandboxrun
