#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/kube/api.h"
#include "operator/kube/backoff.h"
#include "operator/kube/clock.h"

/// What `kubectl describe` shows under "Events" (events.k8s.io/v1), and how many of them are worth
/// a call.
namespace sandboxrun::kube {

/// What an event is about.
struct ObjectReference {
  std::string api_version;
  std::string kind;
  ObjectName name;
  std::string uid;
  std::string resource_version;

  /// The same object, in whatever version.
  friend bool operator==(const ObjectReference& a, const ObjectReference& b) {
    return a.uid == b.uid && a.name == b.name && a.kind == b.kind;
  }
};

struct EventFacts {
  bool warning = false;
  std::string reason;  ///< a specific CamelCase word, at most 128 bytes
  std::string action;  ///< what was done or tried, in one CamelCase word
  /// For people; cut to 1024 bytes. Never a secret, never a program's output.
  std::string note;
  ObjectReference regarding;
  std::optional<ObjectReference> related;
};

/// Who writes them.
struct EventSource {
  std::string controller;  ///< "sandboxrun.dev/operator"
  std::string instance;    ///< the process, e.g. its pod's name
};

/// A call to make: POST of `create_body`, or a merge patch of the series; if the event to be
/// patched is gone, it is created anew.
struct EventWrite {
  ObjectName name;
  std::string create_body;
  std::string patch_body;  ///< empty: create

  bool is_create() const { return patch_body.empty(); }
};

/// Joins events that repeat themselves into series, as client-go does: the first is created, the
/// second makes it a series of two, further ones are only counted, and the count is written every
/// 30 minutes and once 6 minutes after the last.
/// Guarantees: pure but for its own memory, which is bounded (kMaxSeries, kMaxSources). An object
/// gets 25 writes at once and one more in 5 minutes; the rest is dropped and counted.
/// Caveats: not thread safe. A process that ends loses counts that were not yet written.
class EventSeries {
 public:
  explicit EventSeries(EventSource source);

  /// The write that this event asks for, if any.
  std::optional<EventWrite> observe(const EventFacts& facts, Instant now, WallTime wall);
  /// Writes that are due by time alone; to be called about once a minute.
  std::vector<EventWrite> due(Instant now);

  std::uint64_t dropped() const { return dropped_; }
  std::size_t size() const { return entries_.size(); }

  static constexpr std::chrono::minutes kRefresh{30};
  static constexpr std::chrono::minutes kSilence{6};
  static constexpr double kBurst = 25;
  static constexpr std::chrono::minutes kRefill{5};
  static constexpr std::size_t kMaxSeries = 4096;
  static constexpr std::size_t kMaxSources = 4096;
  static constexpr std::size_t kMaxNote = 1024;

 private:
  using Key = std::vector<std::string>;
  struct Entry {
    EventFacts facts;
    ObjectName name;
    std::string event_time;
    int count = 1;  // 1: no series yet
    int written = 1;
    std::string last_time;
    Instant last_seen;
    Instant last_written;
  };
  struct Source {
    TokenBucket bucket;
    Instant last_used;
  };

  static Key key_of(const EventFacts& facts);
  bool may_write(const ObjectReference& regarding, Instant now);
  EventWrite create(const Entry& entry) const;
  EventWrite patch(Entry& entry, Instant now);
  std::string body(const Entry& entry) const;

  const EventSource source_;
  std::map<Key, Entry> entries_;
  std::map<std::string, Source> sources_;
  std::uint64_t dropped_ = 0;
  std::uint64_t created_ = 0;
};

}  // namespace sandboxrun::kube
