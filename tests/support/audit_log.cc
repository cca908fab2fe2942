#include "tests/support/audit_log.h"

#include <fstream>
#include <stdexcept>

#include "operator/base/document.h"

namespace sandboxrun::test {
namespace {

std::string text(const Node& node, std::initializer_list<std::string_view> path) {
  const Node* here = &node;
  for (const std::string_view key : path) {
    if ((here = here->find(key)) == nullptr) return "";
  }
  return here->text;
}

}  // namespace

std::vector<AuditedRequest> audited_requests(const std::string& folder, std::string_view mark) {
  std::vector<AuditedRequest> out;
  std::ifstream log(folder + "/logs/audit.log");
  for (std::string line; std::getline(log, line);) {
    if (!line.contains(mark) || !line.contains("\"stage\":\"ResponseComplete\"")) continue;
    const Result<Node> node = parse_json(line);
    if (!node) throw std::runtime_error("the audit log: " + node.error().message);
    AuditedRequest request{.verb = text(*node, {"verb"}),
                           .resource = text(*node, {"objectRef", "resource"}),
                           .name_space = text(*node, {"objectRef", "namespace"}),
                           .user = text(*node, {"user", "username"}),
                           .user_agent = text(*node, {"userAgent"})};
    const std::string part = text(*node, {"objectRef", "subresource"});
    if (!part.empty()) request.resource += "/" + part;
    const std::string code = text(*node, {"responseStatus", "code"});
    request.code = code.empty() ? 0 : std::stoi(code);
    out.push_back(std::move(request));
  }
  return out;
}

}  // namespace sandboxrun::test
