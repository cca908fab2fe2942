#include "tests/api/memory_api.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "operator/base/time.h"
#include "operator/pod/canonical.h"

namespace sandboxrun::test {
namespace {

using kube::ErrorKind;
using kube::Method;

/// "/api/v1[/namespaces/NS]/PLURAL[/NAME[/SUB]]"
struct Path {
  std::string group;  // "/api/v1"
  std::string space;
  std::string plural;
  std::string name;
  std::string sub;

  explicit Path(std::string_view text) {
    std::vector<std::string> parts;
    while (!text.empty()) {
      text.remove_prefix(1);
      const std::size_t slash = text.find('/');
      parts.emplace_back(text.substr(0, slash));
      text.remove_prefix(std::min(slash, text.size()));
    }
    std::size_t at = parts.at(0) == "api" ? 2 : 3;
    for (std::size_t i = 0; i < at; ++i) group += "/" + parts.at(i);
    const auto next = [&] { return at < parts.size() ? parts[at++] : std::string(); };
    plural = next();
    if (plural == "namespaces" && at + 1 < parts.size()) {
      space = next();
      plural = next();
    }
    name = next();
    sub = next();
  }

  std::string object() const { return group + "/namespaces/" + space + "/" + plural + "/" + name; }
  bool holds(const Path& other) const {
    return group == other.group && plural == other.plural &&
           (space.empty() || space == other.space);
  }
};

std::string write(const Node& node) {
  std::string out;
  pod::append_sorted(out, node);
  return out;
}

std::unexpected<kube::Error> refuse(ErrorKind kind, int status, const std::string& reason) {
  kube::Error error;
  error.kind = kind;
  error.message = reason;
  error.status = status;
  error.reason = reason;
  error.status_message = reason;
  return std::unexpected(std::move(error));
}

void merge(Node& target, const Node& patch) {
  if (patch.kind != Node::Kind::Map) {
    target = patch;
    return;
  }
  if (target.kind != Node::Kind::Map) target = json_node("{}");
  for (const Node::Entry& entry : patch.entries) {
    if (entry.value.kind == Node::Kind::Null) {
      std::erase_if(target.entries, [&](const Node::Entry& each) { return each.key == entry.key; });
      continue;
    }
    const auto found = std::ranges::find(target.entries, entry.key, &Node::Entry::key);
    if (found != target.entries.end()) {
      merge(found->value, entry.value);
    } else {
      target.entries.push_back({entry.key, {}, Node{}});
      merge(target.entries.back().value, entry.value);
    }
  }
}

bool differs(const Node& object, const Node& wanted, std::string_view field) {
  const std::string value = text_at(wanted, {"metadata", field});
  return !value.empty() && value != text_at(object, {"metadata", field});
}

std::string query(const kube::Request& request, std::string_view name) {
  for (const auto& [key, value] : request.query) {
    if (key == name) return value;
  }
  return "";
}

bool is_selected(const kube::Request& request, const Node& object) {
  if (!query(request, "fieldSelector").empty()) return false;
  const std::string label = query(request, "labelSelector");
  return label.empty() || !text_at(object, {"metadata", "labels", label}).empty();
}

}  // namespace

Node text_node(std::string_view text) {
  Node node;
  node.kind = Node::Kind::String;
  node.text = text;
  return node;
}

Node number_node(std::int64_t number) {
  Node node;
  node.kind = Node::Kind::Int;
  node.integer = number;
  node.text = std::to_string(number);
  return node;
}

Node json_node(std::string_view json) {
  auto node = parse_json(json);
  if (!node) throw std::invalid_argument(node.error().message);
  return std::move(*node);
}

void put(Node& map, std::initializer_list<std::string_view> path, Node value) {
  Node* at = &map;
  for (const std::string_view name : path) {
    at->kind = Node::Kind::Map;
    auto found = std::ranges::find(at->entries, name, &Node::Entry::key);
    if (found == at->entries.end()) {
      at->entries.push_back({std::string(name), {}, Node{}});
      found = at->entries.end() - 1;
    }
    at = &found->value;
  }
  *at = std::move(value);
}

std::string text_at(const Node& node, std::initializer_list<std::string_view> path) {
  const Node* at = &node;
  for (const std::string_view name : path) {
    at = at->kind == Node::Kind::Map ? at->find(name) : nullptr;
    if (at == nullptr) return "";
  }
  return at->text;
}

void MemoryApi::note(std::string type, const std::string& path, Node object) {
  events_.push_back({version_, std::move(type), path, std::move(object)});
  changed_.notify_all();
}

void MemoryApi::store(std::string type, const std::string& path, Node object) {
  put(object, {"metadata", "resourceVersion"}, text_node(std::to_string(++version_)));
  objects_.insert_or_assign(path, object);
  note(std::move(type), path, std::move(object));
}

void MemoryApi::create(const std::string& collection, std::string_view json) {
  kube::Request request;
  request.method = Method::Post;
  request.path = collection;
  request.body = json;
  const std::lock_guard lock(mutex_);
  if (!post(request)) throw std::invalid_argument("it exists already");
}

void MemoryApi::change(const std::string& path, const std::function<void(Node&)>& change) {
  const std::lock_guard lock(mutex_);
  Node object = objects_.at(path);
  change(object);
  store("MODIFIED", path, std::move(object));
}

void MemoryApi::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  Node object = objects_.at(path);
  put(object, {"metadata", "resourceVersion"}, text_node(std::to_string(++version_)));
  objects_.erase(path);
  note("DELETED", path, std::move(object));
}

std::optional<Node> MemoryApi::find(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(path);
  if (found == objects_.end()) return std::nullopt;
  return found->second;
}

std::vector<Node> MemoryApi::list(const std::string& collection) const {
  const std::lock_guard lock(mutex_);
  std::vector<Node> out;
  for (const auto& [path, object] : objects_) {
    if (Path(collection).holds(Path(path))) out.push_back(object);
  }
  return out;
}

void MemoryApi::mutate(std::function<void(Node&)> webhook) {
  const std::lock_guard lock(mutex_);
  webhook_ = std::move(webhook);
}
void MemoryApi::fail_before(Fault fault) {
  const std::lock_guard lock(mutex_);
  before_ = std::move(fault);
}
void MemoryApi::fail_after(Fault fault) {
  const std::lock_guard lock(mutex_);
  after_ = std::move(fault);
}

std::vector<std::string> MemoryApi::writes() const {
  const std::lock_guard lock(mutex_);
  return writes_;
}

std::vector<std::string> MemoryApi::reads() const {
  const std::lock_guard lock(mutex_);
  return reads_;
}

bool MemoryApi::wait_for(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(5));
  }
  return true;
}

kube::Result<kube::Response> MemoryApi::roundtrip(const kube::Request& request,
                                                  std::stop_token stop) {
  if (stop.stop_requested()) return refuse(ErrorKind::Cancelled, 0, "Cancelled");
  const std::lock_guard lock(mutex_);
  auto& calls = request.method == Method::Get ? reads_ : writes_;
  calls.push_back(std::string(kube::to_string(request.method)) + " " + request.path);
  if (before_) {
    if (auto error = before_(request)) return std::unexpected(std::move(*error));
  }
  auto answer = handle(request);
  if (after_) {
    if (auto error = after_(request)) return std::unexpected(std::move(*error));
  }
  return answer;
}

kube::Result<kube::Response> MemoryApi::handle(const kube::Request& request) {
  switch (request.method) {
    case Method::Get: {
      const Path path(request.path);
      if (path.name.empty()) return list_of(request);
      const auto found = objects_.find(path.object());
      if (found == objects_.end()) return refuse(ErrorKind::NotFound, 404, "NotFound");
      return kube::Response{200, write(found->second)};
    }
    case Method::Post:
      return post(request);
    case Method::Patch:
      return patch(request);
    case Method::Delete:
      return erase(request);
    case Method::Put:
      break;
  }
  return refuse(ErrorKind::Invalid, 405, "MethodNotAllowed");
}

kube::Response MemoryApi::list_of(const kube::Request& request) const {
  std::string body = R"({"kind":"List","metadata":{"resourceVersion":")" +
                     std::to_string(version_) + R"("},"items":[)";
  bool first = true;
  for (const auto& [path, object] : objects_) {
    if (!Path(request.path).holds(Path(path)) || !is_selected(request, object)) continue;
    body += std::exchange(first, false) ? "" : ",";
    body += write(object);
  }
  return {200, body + "]}"};
}

kube::Result<kube::Response> MemoryApi::post(const kube::Request& request) {
  Node object = json_node(request.body);
  Path path(request.path);
  path.name = text_at(object, {"metadata", "name"});
  if (objects_.contains(path.object())) {
    return refuse(ErrorKind::AlreadyExists, 409, "AlreadyExists");
  }
  if (webhook_) webhook_(object);
  const auto now = std::chrono::floor<Milliseconds>(std::chrono::system_clock::now());
  put(object, {"metadata", "namespace"}, text_node(path.space));
  put(object, {"metadata", "uid"}, text_node("uid-" + std::to_string(version_ + 1)));
  put(object, {"metadata", "generation"}, number_node(1));
  put(object, {"metadata", "creationTimestamp"}, text_node(format_time(now)));
  if (path.plural == "pods") put(object, {"status", "phase"}, text_node("Pending"));
  store("ADDED", path.object(), std::move(object));
  return kube::Response{201, write(objects_.at(path.object()))};
}

kube::Result<kube::Response> MemoryApi::patch(const kube::Request& request) {
  const Path path(request.path);
  const Node body = json_node(request.body);
  if (request.content_type.contains("apply-patch")) {
    return apply(path.object(), body, path.sub == "status");
  }
  const auto found = objects_.find(path.object());
  if (found == objects_.end()) return refuse(ErrorKind::NotFound, 404, "NotFound");
  if (differs(found->second, body, "uid") || differs(found->second, body, "resourceVersion")) {
    return refuse(ErrorKind::Conflict, 409, "Conflict");
  }
  Node object = found->second;
  merge(object, body);
  store("MODIFIED", path.object(), std::move(object));
  return kube::Response{200, write(objects_.at(path.object()))};
}

kube::Result<kube::Response> MemoryApi::apply(const std::string& path, const Node& body,
                                              bool status) {
  const auto found = objects_.find(path);
  if (found == objects_.end()) {
    if (status) return refuse(ErrorKind::NotFound, 404, "NotFound");
    Node object = body;
    if (webhook_) webhook_(object);
    put(object, {"metadata", "uid"}, text_node("uid-" + std::to_string(version_ + 1)));
    store("ADDED", path, std::move(object));
    return kube::Response{201, write(objects_.at(path))};
  }
  if (differs(found->second, body, "uid") || differs(found->second, body, "resourceVersion")) {
    return refuse(ErrorKind::Conflict, 409, "Conflict");
  }
  Node object = found->second;
  const std::string_view part = status ? "status" : "spec";
  if (const Node* value = body.find(part)) put(object, {part}, *value);
  if (webhook_ && !status) webhook_(object);
  if (write(object) != write(found->second)) store("MODIFIED", path, std::move(object));
  return kube::Response{200, write(objects_.at(path))};
}

kube::Result<kube::Response> MemoryApi::erase(const kube::Request& request) {
  const Path path(request.path);
  const auto found = objects_.find(path.object());
  if (found == objects_.end()) return refuse(ErrorKind::NotFound, 404, "NotFound");
  const Node body = request.body.empty() ? json_node("{}") : json_node(request.body);
  for (const std::string_view field : {"uid", "resourceVersion"}) {
    const std::string wanted = text_at(body, {"preconditions", field});
    if (!wanted.empty() && wanted != text_at(found->second, {"metadata", field})) {
      return refuse(ErrorKind::Conflict, 409, "Conflict");
    }
  }
  Node object = found->second;
  put(object, {"metadata", "resourceVersion"}, text_node(std::to_string(++version_)));
  objects_.erase(found);
  note("DELETED", path.object(), std::move(object));
  return kube::Response{200, "{}"};
}

kube::Result<kube::StreamEnd> MemoryApi::stream(const kube::Request& request,
                                                const kube::LineSink& sink, std::stop_token stop) {
  if (!query(request, "sendInitialEvents").empty()) {
    return refuse(ErrorKind::Invalid, 422, "Invalid");
  }
  const Path wanted(request.path);
  const std::int64_t since = std::stoll(query(request, "resourceVersion"));
  std::size_t next = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, stop, [&] { return next < events_.size(); });
    if (stop.stop_requested()) return refuse(ErrorKind::Cancelled, 0, "Cancelled");
    const Event event = events_[next++];
    if (event.version <= since || !wanted.holds(Path(event.path)) ||
        !is_selected(request, event.object)) {
      continue;
    }
    lock.unlock();
    const bool on =
        sink(R"({"type":")" + event.type + R"(","object":)" + write(event.object) + "}");
    lock.lock();
    if (!on) return kube::StreamEnd::Stopped;
  }
}

}  // namespace sandboxrun::test
