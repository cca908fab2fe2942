#pragma once

#include <string>
#include <string_view>

#include "operator/base/document.h"

namespace sandboxrun::pod {

/// A pod as it is compared: apiVersion, kind, status and what the API server writes into metadata
/// are gone, nulls and empty lists too, and amounts are whole numbers, whichever way they were
/// written.
Node canonical_pod(const Node& pod);

/// Tells a member that append_canonical leaves out, by the name of the map's own parent, the map's
/// name and the member's. An item of a list has the list's name.
using LeavesOut = bool (*)(std::string_view parent, std::string_view map, std::string_view member);

/// Appends what append_sorted gives of canonical_pod, but for what is left out, without making that
/// copy: each event of a pod is hashed.
void append_canonical(std::string& out, const Node& pod, LeavesOut leaves_out);

/// Appends one line of JSON with the members of maps in the order of their names.
void append_sorted(std::string& out, const Node& node);

}  // namespace sandboxrun::pod
