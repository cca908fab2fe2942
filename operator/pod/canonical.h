#pragma once

#include "operator/base/document.h"

namespace sandboxrun::pod {

/// A pod as it is compared: apiVersion, kind, status and what the API server writes into metadata
/// are gone, nulls and empty lists too, and amounts are whole numbers, whichever way they were
/// written.
Node canonical_pod(const Node& pod);

/// Appends one line of JSON with the members of maps in the order of their names.
void append_sorted(std::string& out, const Node& node);

}  // namespace sandboxrun::pod
