#pragma once

#include <string>

namespace sandboxrun::test {

/// What Flux makes of an object (JSON), by the library that it uses: "InProgress: message",
/// "Current: ...", "Failed: ...". Throws std::runtime_error if that cannot be found out.
std::string kstatus(const std::string& object);

}  // namespace sandboxrun::test
