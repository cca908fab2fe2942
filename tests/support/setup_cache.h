#pragma once

#include <cstdlib>
#include <string>

namespace sandboxrun::test {

/// Where ./dev setup put environments, data and tools.
inline std::string setup_cache() {
  if (const char* given = std::getenv("SANDBOXRUN_CACHE")) return given;
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + "/.cache/sandboxrun";
}

}  // namespace sandboxrun::test
