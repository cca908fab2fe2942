#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "operator/kube/projection.h"
#include "operator/kube/watch_step.h"

namespace sandboxrun::kube {

/// What happened to one object of a store.
template <typename T>
struct StoreEvent {
  enum class Kind { Added, Updated, Deleted };
  using Object = std::shared_ptr<const Cached<T>>;

  Kind kind = Kind::Added;
  Object before;  ///< what the store held; empty when Added
  Object after;   ///< what it holds now; when Deleted the object's last state, or empty if that
                  ///< was never seen (the deletion was noticed by a list)
  bool initial = false;  ///< it came with all the others, not by itself

  // NOLINTNEXTLINE(clang-analyzer-core.uninitialized.UndefReturn): one of the two is there
  const ObjectMeta& meta() const { return after ? after->meta : before->meta; }
};

/// The objects of a kind, as projections, as the API server last told.
/// Guarantees: thread safe; readers see a list of all objects either wholly or not at all; what
/// was read stays valid and unchanged for as long as it is held; an object that did not change
/// keeps its projection through a relist. After the return of a write that stored version v,
/// seen_version() >= v, and a reader that saw that value sees everything up to it.
/// Assumptions: one writer at a time (a Reflector), replace() apart.
/// Caveats: it lags behind the server; WriteGate tells by how much for one's own writes.
template <typename T>
class Store {
 public:
  using Object = std::shared_ptr<const Cached<T>>;
  using Event = StoreEvent<T>;

  /// The object, or nullptr.
  Object find(const ObjectName& name) const {
    const std::shared_lock lock(mutex_);
    return find_in(content_, name);
  }

  /// All of them, in no order.
  std::vector<Object> all() const {
    const std::shared_lock lock(mutex_);
    return {content_.begin(), content_.end()};
  }

  std::size_t size() const {
    const std::shared_lock lock(mutex_);
    return content_.size();
  }

  /// True once all objects were there.
  bool is_synced() const {
    const std::shared_lock lock(mutex_);
    return synced_;
  }

  /// Everything up to this version is in the store; 0 before the first sync.
  std::uint64_t seen_version() const {
    const std::shared_lock lock(mutex_);
    return seen_;
  }

  /// Puts an equivalent, smaller projection in the place of `held`, unless the store holds another
  /// one by now. False: it does. No event comes of it. From any thread.
  bool replace(const Object& held, Object other) {
    const std::unique_lock lock(mutex_);
    const auto found = content_.find(held->meta.name);
    if (found == content_.end() || *found != held) return false;
    content_.erase(found);
    content_.insert(std::move(other));
    return true;
  }

  // The writer's side.

  /// All objects follow, by stage(); readers see the old ones until commit().
  void begin() { staged_ = {}; }
  void stage(Object object) { put(staged_, std::move(object)); }
  void unstage(const ObjectName& name) { take(staged_, name); }

  /// Puts what was staged in place of everything. Gives what that changed.
  std::vector<Event> commit(std::string_view version) {
    Objects old = std::exchange(staged_, {});
    {
      const std::unique_lock lock(mutex_);
      std::swap(content_, old);
      // Also downwards: a restored etcd counts from an older version.
      seen_ = version_number(version).value_or(seen_);
      synced_ = true;
    }
    return changes_since(old);
  }

  Event apply(Object object) {
    const std::unique_lock lock(mutex_);
    see(object->meta.resource_version);
    auto before = take(content_, object->meta.name);
    put(content_, object);
    const auto kind = before ? Event::Kind::Updated : Event::Kind::Added;
    return {.kind = kind, .before = std::move(before), .after = std::move(object)};
  }

  /// `last` is the object as it was when it was deleted. The event's `before` is empty if the store
  /// did not hold it.
  Event remove(Object last) {
    const std::unique_lock lock(mutex_);
    see(last->meta.resource_version);
    return {.kind = Event::Kind::Deleted,
            .before = take(content_, last->meta.name),
            .after = std::move(last)};
  }

  /// A bookmark: nothing else happened up to here.
  void saw(std::string_view version) {
    const std::unique_lock lock(mutex_);
    see(version);
  }

 private:
  struct Hash : ObjectNameHash {
    using ObjectNameHash::operator();
    std::size_t operator()(const Object& object) const { return (*this)(object->meta.name); }
  };
  struct Same {
    using is_transparent = void;
    bool operator()(const Object& a, const Object& b) const { return a->meta.name == b->meta.name; }
    bool operator()(const Object& a, const ObjectName& b) const { return a->meta.name == b; }
    bool operator()(const ObjectName& a, const Object& b) const { return a == b->meta.name; }
  };
  using Objects = std::unordered_set<Object, Hash, Same>;

  static Object find_in(const Objects& objects, const ObjectName& name) {
    const auto found = objects.find(name);
    return found == objects.end() ? nullptr : *found;
  }

  static Object take(Objects& objects, const ObjectName& name) {
    const auto found = objects.find(name);
    if (found == objects.end()) return nullptr;
    Object object = *found;
    objects.erase(found);
    return object;
  }

  static void put(Objects& objects, Object object) {
    take(objects, object->meta.name);
    objects.insert(std::move(object));
  }

  void see(std::string_view version) {
    if (const auto number = version_number(version)) seen_ = std::max(seen_, *number);
  }

  std::vector<Event> changes_since(const Objects& old) const {
    const std::shared_lock lock(mutex_);
    std::vector<Event> events;
    for (const Object& object : content_) {
      auto before = find_in(old, object->meta.name);
      if (before == object) continue;
      if (before && before->meta.uid != object->meta.uid) {  // another object of the same name
        events.push_back(
            {.kind = Event::Kind::Deleted, .before = std::move(before), .initial = true});
        before = nullptr;
      }
      const auto kind = before ? Event::Kind::Updated : Event::Kind::Added;
      events.push_back(
          {.kind = kind, .before = std::move(before), .after = object, .initial = true});
    }
    for (const Object& object : old) {
      if (content_.contains(object->meta.name)) continue;
      events.push_back({.kind = Event::Kind::Deleted, .before = object, .initial = true});
    }
    return events;
  }

  mutable std::shared_mutex mutex_;
  Objects content_;
  Objects staged_;  // the writer's own
  std::uint64_t seen_ = 0;
  bool synced_ = false;
};

}  // namespace sandboxrun::kube
