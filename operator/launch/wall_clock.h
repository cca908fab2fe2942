#pragma once

#include <chrono>

#include "operator/base/time.h"

namespace sandboxrun::launch {

/// The time, as the status records it.
inline TimePoint wall_clock() {
  return std::chrono::time_point_cast<Milliseconds>(std::chrono::system_clock::now());
}

}  // namespace sandboxrun::launch
