#include "operator/kube/reflector.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

namespace sandboxrun::kube {
namespace {

double seconds_between(Instant from, Instant to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

// One run of the loop.
struct WatchLoop::Session {
  WatchLoop& loop;
  const OnChange& on_change;
  const ReflectorHooks& hooks;
  const std::stop_token& stop;
  WatchState state;
  Backoff backoff;
  WatchReader reader;
  bool must_wait = false;
  std::chrono::milliseconds asked_wait{0};  // Retry-After

  // Takes a step and gives on what it brought. False: the stream is over.
  bool advance(Input input) {
    Step result = step(std::move(state), std::move(input));
    state = std::move(result.state);
    for (const Change& change : result.changes) {
      on_change(change);
      if (!change.resource_version.empty()) publish_version(change.resource_version);
    }
    if (result.problem) {
      asked_wait = result.problem->retry_after.value_or(std::chrono::seconds(0));
      if (hooks.on_problem) hooks.on_problem(*result.problem);
    }
    must_wait = result.back_off;
    return !result.end_stream;
  }

  void publish_version(std::string_view version) {
    if (const auto number = version_number(version)) {
      loop.metrics_.set(metric::kReflectorVersion, loop.options_.name,
                        static_cast<double>(*number));
    }
  }

  void pause() {
    if (!std::exchange(must_wait, false)) return;
    const auto wait = std::max(backoff.next(loop.clock_.now()), asked_wait);
    asked_wait = {};
    loop.clock_.sleep(wait, stop);
  }

  void list(const ListCall& call) {
    const auto& name = loop.options_.name;
    const Instant begun = loop.clock_.now();
    const auto request = list_request(loop.options_.resource, loop.options_.selection,
                                      {.resource_version = call.resource_version,
                                       .limit = call.limit,
                                       .continue_token = call.continue_token});
    std::size_t items = 0;
    const WatchReader::ListSink sink{.item =
                                         [&](Item item) {
                                           ++items;
                                           advance(ListItem{std::move(item)});
                                         },
                                     .skipped =
                                         [this](const std::string& why) {
                                           if (hooks.on_bad_object) hooks.on_bad_object({}, why);
                                         }};
    Result<void> readable;
    const auto taken = loop.transport_.download(
        request,
        [&](std::string_view piece) {
          readable = reader.read_list(piece, sink);
          return readable && !stop.stop_requested();
        },
        stop);
    auto page = reader.end_list();
    if (stop.stop_requested()) return;
    loop.metrics_.add(metric::kReflectorLists, name, 1);
    loop.metrics_.observe(metric::kReflectorListDuration, name,
                          seconds_between(begun, loop.clock_.now()));
    if (!taken) return fail(taken.error());
    if (!readable) return fail(readable.error());
    if (!page) return fail(page.error());
    loop.metrics_.observe(metric::kReflectorItemsPerList, name, static_cast<double>(items));
    advance(std::move(*page));
  }

  void fail(const Error& error) { advance(CallFailed{error}); }

  std::chrono::seconds watch_time() {
    const auto& options = loop.options_;
    const auto spread = static_cast<double>((options.max_watch - options.min_watch).count());
    return options.min_watch +
           std::chrono::seconds(static_cast<std::int64_t>(spread * loop.random_()));
  }

  void watch(const WatchCall& call) {
    const auto& options = loop.options_;
    const auto request = watch_request(options.resource, options.selection,
                                       {.resource_version = call.resource_version,
                                        .timeout = watch_time(),
                                        .send_initial_events = call.send_initial_events});
    // A stop of its own, so that a WatchList which gives nothing can be given up.
    std::stop_source stream_stop;
    const std::stop_callback forward(stop, [&stream_stop] { stream_stop.request_stop(); });
    std::atomic<bool> all_there = !call.send_initial_events;
    std::optional<std::jthread> patience;
    if (call.send_initial_events) {
      patience.emplace([&, this](const std::stop_token& token) {
        if (loop.clock_.sleep(options.initial_patience, token) && !all_there) {
          stream_stop.request_stop();
        }
      });
    }
    bool left = false;
    std::size_t events = 0;
    const Instant begun = loop.clock_.now();
    const auto sink = [&](std::string_view line) {
      if (stop.stop_requested()) return false;
      ++events;
      left = !advance(reader.read_event(line));
      if (state.phase == WatchState::Phase::Watching) all_there = true;
      return !left;
    };
    const auto end = loop.transport_.stream(request, sink, stream_stop.get_token());
    patience.reset();
    if (stop.stop_requested()) return;
    count_watch(begun, events);
    if (left) return;
    if (end) {
      const auto lived = loop.clock_.now() - begun;
      advance(WatchEnded{*end, std::chrono::duration_cast<std::chrono::milliseconds>(lived)});
    } else if (end.error().kind == ErrorKind::Cancelled) {
      advance(WatchEnded{StreamEnd::Idle, options.initial_patience});
    } else {
      advance(CallFailed{end.error()});
    }
  }

  void count_watch(Instant begun, std::size_t events) {
    const auto& name = loop.options_.name;
    const auto lived = loop.clock_.now() - begun;
    loop.metrics_.add(metric::kReflectorWatches, name, 1);
    if (events == 0 && lived < kVeryShortWatch) {
      loop.metrics_.add(metric::kReflectorShortWatches, name, 1);
    }
    loop.metrics_.observe(metric::kReflectorWatchDuration, name,
                          std::chrono::duration<double>(lived).count());
    loop.metrics_.observe(metric::kReflectorItemsPerWatch, name, static_cast<double>(events));
  }
};

WatchLoop::WatchLoop(ReflectorOptions options, Transport& transport, Clock& clock, Random random,
                     Metrics& metrics)
    : options_(std::move(options)),
      transport_(transport),
      clock_(clock),
      random_(std::move(random)),
      metrics_(metrics) {}

void WatchLoop::run(const OnChange& on_change, const ReflectorHooks& hooks,
                    const std::stop_token& stop) {
  Session session{.loop = *this,
                  .on_change = on_change,
                  .hooks = hooks,
                  .stop = stop,
                  .state = {.watch_list = options_.watch_list},
                  .backoff = Backoff(options_.backoff, [this] { return random_(); })};
  while (options_.begin_when && !options_.begin_when()) {
    if (!clock_.sleep(std::chrono::milliseconds(10), stop)) return;
  }
  while (!stop.stop_requested()) {
    const Call call = next_call(session.state);
    if (const auto* list = std::get_if<ListCall>(&call)) {
      session.list(*list);
    } else {
      session.watch(std::get<WatchCall>(call));
    }
    session.pause();
  }
}

}  // namespace sandboxrun::kube
