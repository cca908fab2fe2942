#include "operator/kube/watch_step.h"

#include <charconv>
#include <functional>
#include <utility>

namespace sandboxrun::kube {
namespace {

using Phase = WatchState::Phase;

Error problem(ErrorKind kind, std::string message) {
  Error error;
  error.kind = kind;
  error.message = std::move(message);
  return error;
}

// True if `version` is not newer than what is known already.
bool is_old(std::string_view version, std::string_view known) {
  const auto number = version_number(version);
  const auto last = version_number(known);
  return number && last && *number <= *last;
}

class Stepper {
 public:
  explicit Stepper(WatchState state) : result_{.state = std::move(state)} {}

  void operator()(ListPage&& page) {
    auto& state = result_.state;
    if (page.resource_version.empty()) {
      return relist(problem(ErrorKind::Malformed, "The list has no metadata.resourceVersion."));
    }
    begin_page();
    state.in_page = false;
    if (state.phase != Phase::Paging) state.list_version = page.resource_version;
    for (auto& item : page.items) {
      emit({.kind = Change::Kind::InitApply, .item = std::move(item)});
    }
    if (!page.continue_token.empty()) {
      state.phase = Phase::Paging;
      state.continue_token = std::move(page.continue_token);
      return;
    }
    // A list that was continued is only complete up to its first page.
    watch_from(std::exchange(state.list_version, {}));
    emit({.kind = Change::Kind::InitDone, .resource_version = state.resource_version});
  }

  void operator()(ListItem&& item) {
    begin_page();
    emit({.kind = Change::Kind::InitApply, .item = std::move(item.item)});
  }

  void operator()(WatchItem&& event) {
    auto& state = result_.state;
    if (event.item.meta.resource_version.empty()) {
      return relist(problem(ErrorKind::Malformed, "A watch event's object \"" +
                                                      event.item.meta.name.name +
                                                      "\" has no metadata.resourceVersion."));
    }
    ++state.watch_events;
    const bool deleted = event.type == WatchItem::Type::Deleted;
    if (state.phase != Phase::Watching) {
      begin_initial();
      emit({.kind = deleted ? Change::Kind::Delete : Change::Kind::InitApply,
            .item = std::move(event.item)});
      return;
    }
    if (is_old(event.item.meta.resource_version, state.resource_version)) return;
    state.resource_version = event.item.meta.resource_version;
    emit({.kind = deleted ? Change::Kind::Delete : Change::Kind::Apply,
          .item = std::move(event.item)});
  }

  void operator()(Bookmark&& bookmark) {
    auto& state = result_.state;
    if (bookmark.resource_version.empty()) {
      return relist(problem(ErrorKind::Malformed, "A bookmark has no metadata.resourceVersion."));
    }
    ++state.watch_events;
    if (state.phase != Phase::Watching) {
      begin_initial();
      if (!bookmark.initial_events_end) return;
      watch_from(std::move(bookmark.resource_version));
      state.watch_events = 1;
      return emit({.kind = Change::Kind::InitDone, .resource_version = state.resource_version});
    }
    if (is_old(bookmark.resource_version, state.resource_version)) return;
    state.resource_version = std::move(bookmark.resource_version);
    emit({.kind = Change::Kind::Seen, .resource_version = state.resource_version});
  }

  void operator()(WatchError&& event) { watch_failed(std::move(event.error)); }

  void operator()(CallFailed&& failed) {
    auto& state = result_.state;
    // A first page is begun anew; of another one, the same items come once more.
    state.in_page = false;
    if (std::holds_alternative<WatchCall>(next_call(state))) {
      return watch_failed(std::move(failed.error));
    }
    const bool too_old = failed.error.kind == ErrorKind::Gone;
    if (state.phase == Phase::Paging) {
      if (failed.error.is_transient() && !too_old) return retry(std::move(failed.error));
      // The token has expired, or is not liked: everything at once.
      state.unpaged = state.from_etcd = true;
      return again(std::move(failed.error), /*back_off=*/!too_old);
    }
    if ((too_old || failed.error.kind == ErrorKind::VersionTooLarge) && !state.from_etcd) {
      state.from_etcd = true;
      return again(std::move(failed.error), /*back_off=*/false);
    }
    retry(std::move(failed.error));
  }

  void operator()(WatchEnded&& ended) {
    auto& state = result_.state;
    if (state.phase != Phase::Watching) {
      return list_instead(problem(ErrorKind::Malformed,
                                  "The watch ended before it had given all objects; listing."));
    }
    const bool nothing = state.watch_events == 0;
    state.watch_events = 0;
    if (nothing && ended.lived < kVeryShortWatch && ended.end != StreamEnd::Idle) {
      retry(problem(ErrorKind::Unreachable,
                    "The server ended a watch within a second and without an event."));
    }
  }

  void operator()(Unreadable&& event) {
    // Which object it was is unknown, so only a list tells what was missed.
    relist(problem(ErrorKind::Malformed, "A watch event cannot be read: " + event.why));
  }

  Step take() { return std::move(result_); }

 private:
  void emit(Change change) { result_.changes.push_back(std::move(change)); }

  void begin_page() {
    auto& state = result_.state;
    if (!state.in_page && state.phase != Phase::Paging) emit({.kind = Change::Kind::Init});
    state.in_page = true;
  }

  void begin_initial() {
    if (result_.state.phase == Phase::Initial) return;
    result_.state.phase = Phase::Initial;
    emit({.kind = Change::Kind::Init});
  }

  void watch_from(std::string version) {
    auto& state = result_.state;
    state.phase = Phase::Watching;
    state.resource_version = std::move(version);
    state.continue_token.clear();
    state.from_etcd = state.unpaged = false;
    state.watch_events = 0;
  }

  // An ERROR event, or a watch that never began.
  void watch_failed(Error error) {
    auto& state = result_.state;
    if (state.phase != Phase::Watching) return list_instead(std::move(error));
    state.watch_events = 0;
    switch (error.kind) {
      case ErrorKind::VersionTooLarge:
        // After a restore of etcd its versions begin again below ours.
        state.from_etcd = true;
        return again(std::move(error), /*back_off=*/true);
      case ErrorKind::Gone:
      case ErrorKind::NotFound:
      case ErrorKind::Invalid:
      case ErrorKind::Malformed:  // e.g. a line over the limit, which would only come again
        return again(std::move(error), /*back_off=*/true);
      default:
        return retry(std::move(error));
    }
  }

  // The same call once more, later.
  void retry(Error error) {
    result_.problem = std::move(error);
    result_.back_off = result_.end_stream = true;
  }

  // All objects anew.
  void again(Error error, bool back_off) {
    auto& state = result_.state;
    state.phase = Phase::Empty;
    state.continue_token.clear();
    state.list_version.clear();
    state.in_page = false;
    state.watch_events = 0;
    result_.problem = std::move(error);
    result_.back_off = back_off;
    result_.end_stream = true;
  }

  void relist(Error error) {
    auto& state = result_.state;
    if (state.phase != Phase::Watching) state.watch_list = false;
    again(std::move(error), /*back_off=*/true);
  }

  // The WatchList did not work out. A list may, at once; but not where it would meet the same.
  void list_instead(Error error) {
    auto& state = result_.state;
    const bool same_for_a_list =
        error.kind == ErrorKind::Unreachable || error.kind == ErrorKind::TooManyRequests ||
        error.kind == ErrorKind::Unauthorized || error.kind == ErrorKind::NoCredentials;
    if (state.phase == Phase::Empty && same_for_a_list) return retry(std::move(error));
    state.watch_list = false;
    again(std::move(error), /*back_off=*/false);
  }

  Step result_;
};

}  // namespace

std::size_t ObjectNameHash::operator()(const ObjectName& name) const {
  const std::hash<std::string_view> hash;
  return hash(name.namespace_name) * 31 + hash(name.name);
}

std::optional<std::uint64_t> version_number(std::string_view resource_version) {
  std::uint64_t number = 0;
  const char* end = resource_version.data() + resource_version.size();
  const auto [stopped, error] = std::from_chars(resource_version.data(), end, number);
  if (error != std::errc{} || stopped != end) return std::nullopt;
  return number;
}

Call next_call(const WatchState& state) {
  switch (state.phase) {
    case Phase::Paging:
      return ListCall{.limit = kPageLimit, .continue_token = state.continue_token};
    case Phase::Watching:
      return WatchCall{.resource_version = state.resource_version};
    case Phase::Empty:
    case Phase::Initial:
      break;
  }
  if (state.from_etcd) return ListCall{.limit = state.unpaged ? 0 : kPageLimit};
  // A version that is not "0" together with a limit would bypass the server's cache.
  if (!state.resource_version.empty()) return ListCall{.resource_version = state.resource_version};
  if (state.watch_list) return WatchCall{.send_initial_events = true};
  return ListCall{.resource_version = "0", .limit = kPageLimit};
}

Step step(WatchState state, Input input) {
  Stepper stepper(std::move(state));
  std::visit(stepper, std::move(input));
  return stepper.take();
}

}  // namespace sandboxrun::kube
