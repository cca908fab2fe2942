#pragma once

#include <cstdint>
#include <string>

#include "operator/base/error.h"
#include "operator/run/plan.h"

namespace sandboxrun::launch {

/// Copies the open results archive to <folder>/<run>.tar.gz (or .tar.zst), making the folder.
/// Guarantees: the file appears whole, by rename; an older archive of that name is replaced.
/// Gives the file's path. Errors: System.
Result<std::string> store_archive(int archive, std::int64_t bytes, const std::string& folder,
                                  const run::Plan& plan);

}  // namespace sandboxrun::launch
