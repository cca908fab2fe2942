#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/document.h"
#include "operator/kube/transport.h"

namespace sandboxrun::test {

/// An API server's storage without a network: objects with uids and resourceVersions, POST (409 if
/// it exists), GET, LIST, watches that wait, merge patches, server-side apply by one owner, and
/// DELETE with preconditions.
/// Guarantees: thread safe; every call is on record; watches give every change in order.
/// Caveats: no schema, defaults, admission or garbage collection; deletion is at once; a field
/// selector finds nothing.
class MemoryApi final : public kube::Transport {
 public:
  kube::Result<kube::Response> roundtrip(const kube::Request& request,
                                         std::stop_token stop) override;
  kube::Result<kube::StreamEnd> stream(const kube::Request& request, const kube::LineSink& sink,
                                       std::stop_token stop) override;

  // What others do to the cluster. Paths are those of the API.
  void create(const std::string& collection, std::string_view json);
  void change(const std::string& path, const std::function<void(Node&)>& change);
  void remove(const std::string& path);
  std::optional<Node> find(const std::string& path) const;
  std::vector<Node> list(const std::string& collection) const;

  /// Changes what is POSTed, as a webhook would.
  void mutate(std::function<void(Node&)> webhook);
  /// Answers with an error before a call is made (`Before`), or after it was (`After`: the reply is
  /// lost), as long as `fault` gives one.
  using Fault = std::function<std::optional<kube::Error>(const kube::Request&)>;
  void fail_before(Fault fault);
  void fail_after(Fault fault);

  /// "POST /api/v1/namespaces/..." of every call but GETs, in order; those that failed too.
  std::vector<std::string> writes() const;

  /// The same of GETs: objects, and lists without the watches.
  std::vector<std::string> reads() const;

  /// Waits until `condition` holds after some change; false after 30 s.
  bool wait_for(const std::function<bool()>& condition);

 private:
  struct Event {
    std::int64_t version;
    std::string type;
    std::string path;
    Node object;
  };

  kube::Result<kube::Response> handle(const kube::Request& request);
  kube::Result<kube::Response> post(const kube::Request& request);
  kube::Result<kube::Response> patch(const kube::Request& request);
  kube::Result<kube::Response> erase(const kube::Request& request);
  kube::Result<kube::Response> apply(const std::string& path, const Node& body, bool status);
  kube::Response list_of(const kube::Request& request) const;
  void note(std::string type, const std::string& path, Node object);
  void store(std::string type, const std::string& path, Node object);

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Node> objects_;
  std::vector<Event> events_;
  std::vector<std::string> writes_;
  std::vector<std::string> reads_;
  std::int64_t version_ = 1000;
  std::function<void(Node&)> webhook_;
  Fault before_;
  Fault after_;
};

// Nodes by hand.
Node text_node(std::string_view text);
Node number_node(std::int64_t number);
Node json_node(std::string_view json);
/// Sets a member of a map, made if need be, at a path of names.
void put(Node& map, std::initializer_list<std::string_view> path, Node value);
std::string text_at(const Node& node, std::initializer_list<std::string_view> path);

}  // namespace sandboxrun::test
