#include "operator/kube/discovery.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "operator/base/document.h"

namespace sandboxrun::kube {
namespace {

std::string text_at(const Node& node, std::string_view key) {
  const Node* found = node.find(key);
  return found != nullptr && found->kind == Node::Kind::String ? found->text : std::string();
}

/// "36" and, from some providers, "36+".
int leading_number(std::string_view text) {
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Result<Node> get_json(Transport& transport, std::string path, const std::stop_token& stop) {
  Request request;
  request.path = std::move(path);
  const auto answer = transport.roundtrip(request, stop);
  if (!answer) return std::unexpected(answer.error());
  auto parsed = parse_json(answer->body, {.max_bytes = 16u << 20});
  if (!parsed || parsed->kind != Node::Kind::Map) {
    return failure(ErrorKind::Malformed, "GET " + request.path + ": the answer is no JSON object");
  }
  return std::move(*parsed);
}

}  // namespace

bool ServerInfo::at_least(int wanted_major, int wanted_minor) const {
  return std::tie(major, minor) >= std::tie(wanted_major, wanted_minor);
}

bool ServerInfo::serves(std::string_view group_version) const {
  return std::ranges::find(group_versions, group_version) != group_versions.end();
}

Result<ServerInfo> discover(Transport& transport, const std::stop_token& stop) {
  const auto version = get_json(transport, "/version", stop);
  if (!version) return std::unexpected(version.error());
  ServerInfo info;
  info.major = leading_number(text_at(*version, "major"));
  info.minor = leading_number(text_at(*version, "minor"));
  info.git_version = text_at(*version, "gitVersion");
  if (info.major == 0) {
    return failure(ErrorKind::Malformed, "GET /version: the answer names no version");
  }
  const auto groups = get_json(transport, "/apis", stop);
  if (!groups) return std::unexpected(groups.error());
  const Node* list = groups->find("groups");
  for (const Node& group : list != nullptr ? list->items : std::vector<Node>()) {
    const Node* versions = group.find("versions");
    if (versions == nullptr) continue;
    for (const Node& one : versions->items) {
      info.group_versions.push_back(text_at(one, "groupVersion"));
    }
  }
  return info;
}

Result<bool> serves_resource(Transport& transport, std::string_view group_version,
                             std::string_view plural, const std::stop_token& stop) {
  const bool core = !group_version.contains('/');
  const auto resources =
      get_json(transport, (core ? "/api/" : "/apis/") + std::string(group_version), stop);
  if (!resources) {
    if (resources.error().kind == ErrorKind::NotFound) return false;
    return std::unexpected(resources.error());
  }
  const Node* list = resources->find("resources");
  return list != nullptr && std::ranges::any_of(list->items, [&](const Node& resource) {
           return text_at(resource, "name") == plural;
         });
}

}  // namespace sandboxrun::kube
