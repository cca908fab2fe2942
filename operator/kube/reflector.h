#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "operator/kube/backoff.h"
#include "operator/kube/clock.h"
#include "operator/kube/metrics_hooks.h"
#include "operator/kube/projection.h"
#include "operator/kube/store.h"
#include "operator/kube/transport.h"
#include "operator/kube/watch_step.h"

namespace sandboxrun::kube {

struct ReflectorOptions {
  std::string name;  ///< for metrics and messages: "pods"
  Resource resource;
  Selection selection;
  bool watch_list = true;  ///< ask for a WatchList at first; lists are the fallback
  BackoffOptions backoff;
  /// A watch is asked for this long, evenly spread, so that watches do not all end at once.
  std::chrono::seconds min_watch{240};
  std::chrono::seconds max_watch{290};
  /// How long a WatchList may take to give all objects before they are listed instead.
  std::chrono::milliseconds initial_patience{10000};
  /// If set, the first call is made once this is true; looked at every 10 ms.
  std::function<bool()> begin_when;
};

/// What a reflector reports besides objects. Both are called on its own thread.
struct ReflectorHooks {
  /// The server refuses or breaks something; the reflector goes on by itself.
  std::function<void(const Error&)> on_problem;
  /// An object, or an item of a list, that could not be decoded. The others are not affected.
  std::function<void(const ObjectName&, const std::string& why)> on_bad_object;
};

/// Drives the steps of watch_step.h over a transport: lists, watches, waits, for ever.
/// Guarantees: `on_change` gets every change in order, on the thread that called `run`; `run`
/// returns only when stopped, whatever the server does.
/// Caveats: a slow `on_change` slows the stream down.
class WatchLoop {
 public:
  WatchLoop(ReflectorOptions options, Transport& transport, Clock& clock, Random random,
            Metrics& metrics);

  using OnChange = std::function<void(const Change&)>;
  void run(const OnChange& on_change, const ReflectorHooks& hooks, const std::stop_token& stop);

 private:
  struct Session;

  ReflectorOptions options_;
  Transport& transport_;
  Clock& clock_;
  Random random_;
  Metrics& metrics_;
};

/// Keeps a Store equal to what the API server has, from a thread of its own.
/// Guarantees: an object that cannot be decoded is in the store with its key and error, and stops
/// no other; the handler is called after the store has changed, one event at a time, in order; a
/// relist decodes only what changed and gives events only for that.
/// Assumptions: transport, clock and metrics outlive it.
/// Caveats: the handler runs on the reflector's thread: it should put a key into a queue, no more.
/// Destroying it stops the thread and waits for it; the store stays readable until then.
template <typename T>
class Reflector {
 public:
  using Handler = std::function<void(const StoreEvent<T>&)>;

  Reflector(ReflectorOptions options, Decoder<T> decoder, Transport& transport, Clock& clock,
            Metrics& metrics, Random random = system_random())
      : loop_(std::move(options), transport, clock, std::move(random), metrics),
        decoder_(std::move(decoder)) {}

  /// Starts the thread. Call once.
  void start(Handler handler, ReflectorHooks hooks) {
    handler_ = std::move(handler);
    hooks_ = std::move(hooks);
    thread_ = std::jthread([this](const std::stop_token& stop) {
      loop_.run([this](const Change& change) { take(change); }, hooks_, stop);
    });
  }

  void stop() { thread_.request_stop(); }

  /// Stops and waits until the thread has ended; the store stays.
  void stop_and_wait() {
    stop();
    if (thread_.joinable()) thread_.join();
  }

  const Store<T>& store() const { return store_; }

  /// See Store::replace.
  bool replace(const typename Store<T>::Object& held, typename Store<T>::Object other) {
    return store_.replace(held, std::move(other));
  }

 private:
  using Object = typename Store<T>::Object;

  void take(const Change& change) {
    switch (change.kind) {
      case Change::Kind::Init:
        staging_ = true;
        return store_.begin();
      case Change::Kind::InitApply:
        return store_.stage(decode(change.item));
      case Change::Kind::InitDone:
        staging_ = false;
        for (const auto& event : store_.commit(change.resource_version)) tell(event);
        return;
      case Change::Kind::Apply:
        return tell(store_.apply(decode(change.item)));
      case Change::Kind::Delete:
        if (staging_) return store_.unstage(change.item.meta.name);
        if (auto event = store_.remove(decode(change.item)); event.before) tell(event);
        return;
      case Change::Kind::Seen:
        return store_.saw(change.resource_version);
    }
  }

  Object decode(const Item& item) {
    if (auto held = store_.find(item.meta.name); held && held->meta == item.meta) return held;
    auto object = std::make_shared<Cached<T>>();
    object->meta = item.meta;
    auto value = decoder_(item.meta, reader_.padded(item.json));
    if (value) {
      object->value = std::move(*value);
    } else {
      object->error = value.error().message;
      if (hooks_.on_bad_object) hooks_.on_bad_object(item.meta.name, object->error);
    }
    return object;
  }

  void tell(const StoreEvent<T>& event) {
    if (handler_) handler_(event);
  }

  WatchLoop loop_;
  Decoder<T> decoder_;
  Handler handler_;
  ReflectorHooks hooks_;
  Store<T> store_;
  WatchReader reader_;
  bool staging_ = false;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace sandboxrun::kube
