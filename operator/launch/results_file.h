#pragma once

#include <cstdint>
#include <string>

#include "operator/base/error.h"
#include "operator/run/plan.h"

namespace sandboxrun::launch {

/// Copies the open results archive to <folder>/<run>.tar.gz (or .tar.zst), making the folder.
/// Guarantees: the file appears whole, by rename; an archive that is there already stays what it
/// is, and the new one becomes <run>.2.tar.gz, <run>.3.tar.gz, ... Gives the file's path. Errors:
/// System.
Result<std::string> store_archive(int archive, std::int64_t bytes, const std::string& folder,
                                  const run::Plan& plan);

}  // namespace sandboxrun::launch
