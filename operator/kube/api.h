#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "operator/kube/transport.h"

/// Requests of the Kubernetes API, built and nothing more: each function gives a Request for
/// Transport::roundtrip (watch: Transport::stream). Objects go in as JSON text.
namespace sandboxrun::kube {

/// A kind as its URLs name it.
struct Resource {
  std::string group;  ///< "" for the core group
  std::string version;
  std::string plural;

  friend bool operator==(const Resource&, const Resource&) = default;
};

/// `namespace_name` empty: of the whole cluster, or of a kind without namespaces.
struct ObjectName {
  std::string namespace_name;
  std::string name;

  friend auto operator<=>(const ObjectName&, const ObjectName&) = default;
};

/// "/apis/sandboxrun.dev/v1alpha1/namespaces/x/sandboxruns", percent-encoded.
std::string collection_path(const Resource& resource, std::string_view namespace_name);
/// The same with "/name" and, if not empty, "/subresource".
std::string object_path(const Resource& resource, const ObjectName& name,
                        std::string_view subresource = "");

Request get_request(const Resource& resource, const ObjectName& name);

/// Which objects, by selectors in kubectl's syntax; empty: all.
struct Selection {
  std::string namespace_name;
  std::string label_selector;
  std::string field_selector;
};

struct ListOptions {
  std::string resource_version;  ///< "0": any; "": the newest, from etcd
  int limit = 0;                 ///< 0: all at once
  std::string continue_token;
};
Request list_request(const Resource& resource, const Selection& selection,
                     const ListOptions& options);

struct WatchOptions {
  std::string resource_version;
  std::chrono::seconds timeout{290};
  bool send_initial_events = false;  ///< WatchList (KEP-3157)
};
/// Bookmarks are always asked for; the idle timeout is 5 s over the server's own end.
Request watch_request(const Resource& resource, const Selection& selection,
                      const WatchOptions& options);

/// POST; never repeated by the transport, since the name may be generated and the reply lost.
Request create_request(const Resource& resource, std::string_view namespace_name,
                       std::string object_json);

/// PUT of a whole object; it must carry metadata.resourceVersion, which makes it idempotent.
Request update_request(const Resource& resource, const ObjectName& name, std::string object_json,
                       std::string_view subresource = "");

/// Server-side apply of the fields in `object_json`, which names apiVersion, kind and
/// metadata.name. Fields of this manager that are absent are removed. `subresource` "status"
/// applies the status. Force takes over fields that others own.
struct ApplyOptions {
  std::string field_manager;
  bool force = true;
  std::string subresource;
};
Request apply_request(const Resource& resource, const ObjectName& name, std::string object_json,
                      const ApplyOptions& options);

/// RFC 7386. `idempotent` is true: the same merge twice gives the same object.
Request merge_patch_request(const Resource& resource, const ObjectName& name,
                            std::string patch_json, std::string_view subresource = "");
/// RFC 6902. Not idempotent: begin with a `test` and treat a 422 as a conflict.
Request json_patch_request(const Resource& resource, const ObjectName& name, std::string patch_json,
                           std::string_view subresource = "");

struct DeleteOptions {
  std::string uid;               ///< delete only this very object
  std::string resource_version;  ///< delete only this very version
  std::optional<std::int64_t> grace_period_seconds;
  std::string propagation = "Background";
};
/// Idempotent if a uid is given.
Request delete_request(const Resource& resource, const ObjectName& name,
                       const DeleteOptions& options);

}  // namespace sandboxrun::kube
