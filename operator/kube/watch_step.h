#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "operator/kube/api.h"
#include "operator/kube/error.h"
#include "operator/kube/transport.h"

/// Following a kind of objects, as a pure step: what to ask next, and what an answer means. The
/// states are those of kube-rs' watcher, the rules those of client-go's reflector.
namespace sandboxrun::kube {

/// What every object has.
struct ObjectMeta {
  ObjectName name;
  std::string uid;
  std::string resource_version;
  std::string owner_uid;  ///< of the owner reference with controller=true; else empty

  friend bool operator==(const ObjectMeta&, const ObjectMeta&) = default;
};

struct ObjectNameHash {
  using is_transparent = void;
  std::size_t operator()(const ObjectName& name) const;
};

/// Resource versions are integers of one order within a kind (KEP-5505). Nothing if it isn't one.
std::optional<std::uint64_t> version_number(std::string_view resource_version);

/// An object's metadata with its whole JSON, a view into the answer.
struct Item {
  ObjectMeta meta;
  std::string_view json;
};

// What can come from the server.
struct ListPage {
  std::string resource_version;
  std::string continue_token;
  std::vector<Item> items;  ///< those that did not come as ListItems before
};
/// An item of a page that is still on its way; its ListPage follows, or CallFailed.
struct ListItem {
  Item item;
};
struct WatchItem {
  enum class Type { Added, Modified, Deleted };
  Type type = Type::Added;
  Item item;
};
struct Bookmark {
  std::string resource_version;
  bool initial_events_end = false;
};
/// An ERROR event.
struct WatchError {
  Error error;
};
/// The list failed, or the watch never began.
struct CallFailed {
  Error error;
};
/// The stream ended by itself, `lived` after it was asked for.
struct WatchEnded {
  StreamEnd end = StreamEnd::Closed;
  std::chrono::milliseconds lived{0};
};
/// An event that is no event.
struct Unreadable {
  std::string why;
};
using Input = std::variant<ListPage, ListItem, WatchItem, Bookmark, WatchError, CallFailed,
                           WatchEnded, Unreadable>;

// What can be asked of it.
struct ListCall {
  std::string resource_version;
  int limit = 0;
  std::string continue_token;
  friend bool operator==(const ListCall&, const ListCall&) = default;
};
struct WatchCall {
  std::string resource_version;
  bool send_initial_events = false;
  friend bool operator==(const WatchCall&, const WatchCall&) = default;
};
using Call = std::variant<ListCall, WatchCall>;

/// What happened to the objects. Between Init and InitDone come all objects there are, as
/// InitApply; those that did not come are gone. A new Init drops one that was not done.
struct Change {
  enum class Kind { Init, InitApply, InitDone, Apply, Delete, Seen };
  Kind kind = Kind::Seen;
  Item item;                     ///< InitApply, Apply, Delete
  std::string resource_version;  ///< InitDone, Seen: everything up to here is known
};

/// Where following a kind stands.
struct WatchState {
  enum class Phase {
    Empty,     ///< the next call gives all objects
    Paging,    ///< some pages of a list came
    Initial,   ///< a WatchList stream has given something, but not all
    Watching,  ///< all is known up to resource_version
  };
  Phase phase = Phase::Empty;
  bool watch_list = true;          ///< the server may be asked for a WatchList; once refused, never
  std::string resource_version;    ///< the last one known; kept for a relist
  bool from_etcd = false;          ///< the next list must not come from a cache
  bool unpaged = false;            ///< the next list must come in one page
  std::string list_version;        ///< Paging: the first page's
  bool in_page = false;            ///< some items of a page came, but not its end
  std::string continue_token;      ///< Paging
  std::uint64_t watch_events = 0;  ///< of this stream

  friend bool operator==(const WatchState&, const WatchState&) = default;
};

struct Step {
  WatchState state;
  std::vector<Change> changes;
  std::optional<Error> problem;  ///< to be logged; its retry_after is to be kept
  bool back_off = false;         ///< wait before the next call
  bool end_stream = false;       ///< leave the stream; the state says what to call next
};

/// The call that this state needs.
Call next_call(const WatchState& state);

/// What an input makes of a state.
/// Guarantees: pure. An object never goes back to an older version; no object is left out without
/// a relist; nothing that the server says ends it for good. Views in `changes` are the input's.
/// Assumptions: while Watching, the server gives events in the order of their versions, so one
/// that is not newer than the last is a repetition and is dropped.
Step step(WatchState state, Input input);

/// A page of a list asked for from etcd.
inline constexpr int kPageLimit = 500;
/// A watch shorter than this that gave nothing counts as a failure.
inline constexpr std::chrono::milliseconds kVeryShortWatch{1000};

}  // namespace sandboxrun::kube
