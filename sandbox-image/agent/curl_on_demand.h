#pragma once

namespace sandboxrun::agent {

/// Loads libcurl if that was not done yet; whether it could be. Its functions, by their own names,
/// may only be called after this said yes.
bool transfer_library_is_there();

}  // namespace sandboxrun::agent
