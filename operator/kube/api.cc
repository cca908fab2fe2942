#include "operator/kube/api.h"

#include <utility>

#include "operator/base/json_writer.h"
#include "operator/kube/url.h"

namespace sandboxrun::kube {
namespace {

/// "create pods in namespace x", "patch sandboxruns/status y in namespace x": the words of RBAC.
std::string describe(std::string_view verb, const Resource& resource, const ObjectName& name,
                     std::string_view subresource = "") {
  std::string text(verb);
  text += " " + resource.plural;
  if (!resource.group.empty()) text += "." + resource.group;
  if (!subresource.empty()) text += "/" + std::string(subresource);
  if (!name.name.empty()) text += " " + name.name;
  if (!name.namespace_name.empty()) text += " in namespace " + name.namespace_name;
  return text;
}

void add_selection(Request& request, const Selection& selection) {
  if (!selection.label_selector.empty()) {
    request.query.emplace_back("labelSelector", selection.label_selector);
  }
  if (!selection.field_selector.empty()) {
    request.query.emplace_back("fieldSelector", selection.field_selector);
  }
}

Request patch_request(const Resource& resource, const ObjectName& name, std::string body,
                      std::string_view subresource, std::string content_type) {
  Request request;
  request.method = Method::Patch;
  request.path = object_path(resource, name, subresource);
  request.content_type = std::move(content_type);
  request.body = std::move(body);
  request.description = describe("patch", resource, name, subresource);
  return request;
}

}  // namespace

std::string collection_path(const Resource& resource, std::string_view namespace_name) {
  std::string path =
      resource.group.empty() ? "/api/" : "/apis/" + percent_encode(resource.group) + "/";
  path += percent_encode(resource.version);
  if (!namespace_name.empty()) path += "/namespaces/" + percent_encode(namespace_name);
  return path + "/" + percent_encode(resource.plural);
}

std::string object_path(const Resource& resource, const ObjectName& name,
                        std::string_view subresource) {
  std::string path =
      collection_path(resource, name.namespace_name) + "/" + percent_encode(name.name);
  if (!subresource.empty()) path += "/" + percent_encode(subresource);
  return path;
}

Request get_request(const Resource& resource, const ObjectName& name) {
  Request request;
  request.path = object_path(resource, name);
  request.description = describe("get", resource, name);
  return request;
}

Request list_request(const Resource& resource, const Selection& selection,
                     const ListOptions& options) {
  Request request;
  request.path = collection_path(resource, selection.namespace_name);
  add_selection(request, selection);
  // A continue token carries its own version; the server refuses both together.
  if (options.continue_token.empty() && !options.resource_version.empty()) {
    request.query.emplace_back("resourceVersion", options.resource_version);
  }
  if (options.limit > 0) request.query.emplace_back("limit", std::to_string(options.limit));
  if (!options.continue_token.empty()) {
    request.query.emplace_back("continue", options.continue_token);
  }
  request.description = describe("list", resource, {selection.namespace_name, ""});
  return request;
}

Request watch_request(const Resource& resource, const Selection& selection,
                      const WatchOptions& options) {
  constexpr std::chrono::seconds kServerIsLate(5);
  Request request;
  request.path = collection_path(resource, selection.namespace_name);
  request.query.emplace_back("watch", "1");
  request.query.emplace_back("allowWatchBookmarks", "true");
  request.query.emplace_back("timeoutSeconds", std::to_string(options.timeout.count()));
  request.query.emplace_back("resourceVersion", options.resource_version);
  if (options.send_initial_events) {
    request.query.emplace_back("sendInitialEvents", "true");
    request.query.emplace_back("resourceVersionMatch", "NotOlderThan");
  }
  add_selection(request, selection);
  request.idle_timeout = options.timeout + kServerIsLate;
  request.description = describe("watch", resource, {selection.namespace_name, ""});
  return request;
}

Request create_request(const Resource& resource, std::string_view namespace_name,
                       std::string object_json) {
  Request request;
  request.method = Method::Post;
  request.path = collection_path(resource, namespace_name);
  request.body = std::move(object_json);
  request.idempotent = false;
  request.description = describe("create", resource, {std::string(namespace_name), ""});
  return request;
}

Request update_request(const Resource& resource, const ObjectName& name, std::string object_json,
                       std::string_view subresource) {
  Request request;
  request.method = Method::Put;
  request.path = object_path(resource, name, subresource);
  request.body = std::move(object_json);
  request.description = describe("update", resource, name, subresource);
  return request;
}

Request apply_request(const Resource& resource, const ObjectName& name, std::string object_json,
                      const ApplyOptions& options) {
  // JSON is YAML, so the apply patch goes out as JSON.
  Request request = patch_request(resource, name, std::move(object_json), options.subresource,
                                  "application/apply-patch+yaml");
  request.query.emplace_back("fieldManager", options.field_manager);
  if (options.force) request.query.emplace_back("force", "true");
  return request;
}

Request merge_patch_request(const Resource& resource, const ObjectName& name,
                            std::string patch_json, std::string_view subresource) {
  return patch_request(resource, name, std::move(patch_json), subresource,
                       "application/merge-patch+json");
}

Request json_patch_request(const Resource& resource, const ObjectName& name, std::string patch_json,
                           std::string_view subresource) {
  Request request = patch_request(resource, name, std::move(patch_json), subresource,
                                  "application/json-patch+json");
  request.idempotent = false;
  return request;
}

Request delete_request(const Resource& resource, const ObjectName& name,
                       const DeleteOptions& options) {
  JsonWriter body;
  body.begin_object().member("apiVersion", "v1").member("kind", "DeleteOptions");
  if (options.grace_period_seconds) {
    body.member("gracePeriodSeconds", *options.grace_period_seconds);
  }
  if (!options.uid.empty() || !options.resource_version.empty()) {
    body.key("preconditions").begin_object();
    if (!options.uid.empty()) body.member("uid", options.uid);
    if (!options.resource_version.empty()) {
      body.member("resourceVersion", options.resource_version);
    }
    body.end_object();
  }
  body.member("propagationPolicy", options.propagation).end_object();

  Request request;
  request.method = Method::Delete;
  request.path = object_path(resource, name);
  request.body = body.take();
  request.idempotent = !options.uid.empty();
  request.description = describe("delete", resource, name);
  return request;
}

}  // namespace sandboxrun::kube
