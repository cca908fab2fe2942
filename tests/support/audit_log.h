#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sandboxrun::test {

/// A request to the API server of the test's cluster, as its audit log has it.
struct AuditedRequest {
  std::string verb;
  std::string resource;  ///< "pods", "sandboxruns/status"
  std::string name_space;
  std::string user;
  std::string user_agent;
  int code = 0;
};

/// The requests that mention `mark` (a namespace or an account) anywhere and were answered, in the
/// order of their answers. A watch is there once, when it ended. `folder` is Cluster::folder().
std::vector<AuditedRequest> audited_requests(const std::string& folder, std::string_view mark);

}  // namespace sandboxrun::test
