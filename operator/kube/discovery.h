#pragma once

#include <string>
#include <vector>

#include "operator/kube/transport.h"

namespace sandboxrun::kube {

/// What an API server is and offers.
struct ServerInfo {
  int major = 0;
  int minor = 0;
  std::string git_version;                  ///< "v1.36.1"
  std::vector<std::string> group_versions;  ///< "sandboxrun.dev/v1alpha1", ...

  bool at_least(int wanted_major, int wanted_minor) const;
  bool serves(std::string_view group_version) const;
};

/// Asks GET /version and GET /apis.
Result<ServerInfo> discover(Transport& transport, const std::stop_token& stop);

/// True if the group version has the resource (GET /apis/GROUP/VERSION); a group version that is
/// not there is `false`, not an error.
Result<bool> serves_resource(Transport& transport, std::string_view group_version,
                             std::string_view plural, const std::stop_token& stop);

}  // namespace sandboxrun::kube
