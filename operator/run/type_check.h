#pragma once

#include <string>
#include <vector>

#include "operator/base/document.h"
#include "operator/run/field_error.h"
#include "operator/run/field_table.h"

namespace sandboxrun::run {

/// Compares a document with a type and reports every unknown field, wrong type, unknown enum value
/// and missing required field. A field whose value is null counts as absent, as in Kubernetes.
void check_types(const Node& node, const ObjectType& type, const std::string& path,
                 std::vector<FieldError>& errors);

}  // namespace sandboxrun::run
