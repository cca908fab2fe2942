#pragma once

#include <map>
#include <string>
#include <vector>

#include "operator/run/field_error.h"
#include "operator/run/spec.h"

namespace sandboxrun::cli {

/// Folders that stand for the objects of a cluster: name -> folder, one file a key.
struct Objects {
  std::map<std::string, std::string> secrets;
  std::map<std::string, std::string> config_maps;
};

/// Every Secret and ConfigMap that `run` names, and every key of it, must be given: what is
/// missing, by field, with the flag to use. Looks at the folders; values are not read.
std::vector<run::FieldError> missing_references(const run::SandboxRun& run, const Objects& objects);

}  // namespace sandboxrun::cli
