#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/base/error.h"
#include "operator/base/fd.h"
#include "operator/base/secret.h"

namespace sandboxrun::agent {

/// Opens an existing regular file for reading. Symbolic links are followed (mounted ConfigMaps and
/// Secrets are made of them), but nothing that isn't a regular file is ever opened: not a fifo,
/// which would hang, nor a device, which would act. Errors: NotFound, Denied, System; messages
/// begin with `what` ("file /a/b").
Result<UniqueFd> open_regular_file(const std::string& path, std::string_view what);

/// The whole of a small file. Errors: as open_regular_file, and LimitExceeded.
Result<Secret> read_secret_file(const std::string& path, std::string_view what,
                                std::size_t max_bytes);

/// Copies the first `bytes` bytes of `file` to `path`: written beside it under another name,
/// synced, then renamed, so that the name only ever holds a whole file.
/// Errors: Denied if something has that name already (it stays as it is), NotFound if the folder
/// does not exist, Cancelled, System. Nothing is left beside it after an error.
Result<void> store_file(int file, std::int64_t bytes, const std::string& path,
                        const std::stop_token& stop,
                        const std::function<void(std::int64_t, std::int64_t)>& progress);

}  // namespace sandboxrun::agent
