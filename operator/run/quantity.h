#pragma once

#include <cstdint>
#include <string_view>

#include "operator/base/error.h"

/// Kubernetes quantities: a decimal number with a suffix (n u m k M G T P E, Ki Mi Gi Ti Pi Ei) or
/// an exponent ("1e3"). Exact: no floating point.
/// Errors: InvalidInput, a phrase that continues a sentence about the value.
namespace sandboxrun::run {

/// Whole bytes, 0 or more; fractions are rounded up, as in Kubernetes.
Result<std::int64_t> parse_bytes(std::string_view text);

/// Thousandths of a CPU, 0 or more; finer values are refused, as in Kubernetes.
Result<std::int64_t> parse_millicores(std::string_view text);

}  // namespace sandboxrun::run
