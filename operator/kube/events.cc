#include "operator/kube/events.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "operator/base/json_writer.h"

namespace sandboxrun::kube {
namespace {

constexpr std::size_t kMaxWord = 128;  // of reason, action and reportingInstance
constexpr std::size_t kMaxName = 253;

// At most `limit` bytes of UTF-8, no character cut in two.
std::string clipped(const std::string& text, std::size_t limit) {
  std::string valid = to_valid_utf8(text);
  if (valid.size() <= limit) return valid;
  constexpr std::string_view kEllipsis = "...";
  std::size_t end = limit - kEllipsis.size();
  while (end > 0 && (static_cast<unsigned char>(valid[end]) & 0xC0) == 0x80) --end;
  valid.resize(end);
  return valid += kEllipsis;
}

void write_reference(JsonWriter& json, const ObjectReference& object) {
  json.begin_object()
      .member("apiVersion", object.api_version)
      .member("kind", object.kind)
      .member("name", object.name.name);
  if (!object.name.namespace_name.empty()) json.member("namespace", object.name.namespace_name);
  if (!object.uid.empty()) json.member("uid", object.uid);
  if (!object.resource_version.empty()) json.member("resourceVersion", object.resource_version);
  json.end_object();
}

void write_series(JsonWriter& json, int count, const std::string& last_time) {
  json.key("series")
      .begin_object()
      .member("count", count)
      .member("lastObservedTime", last_time)
      .end_object();
}

// Makes room for one more, at the cost of what was not used for the longest time.
template <typename Map, typename LastUse>
void make_room(Map& map, std::size_t limit, LastUse last_use) {
  if (map.size() < limit) return;
  map.erase(
      std::ranges::min_element(map, {}, [&](const auto& entry) { return last_use(entry.second); }));
}

}  // namespace

EventSeries::EventSeries(EventSource source) : source_(std::move(source)) {}

std::optional<EventWrite> EventSeries::observe(const EventFacts& facts, Instant now,
                                               WallTime wall) {
  Key key = key_of(facts);
  auto found = entries_.find(key);
  if (found != entries_.end() && now - found->second.last_seen >= kSilence &&
      found->second.count == found->second.written) {
    entries_.erase(found);  // that series was over
    found = entries_.end();
  }
  if (found == entries_.end()) {
    if (!may_write(facts.regarding, now)) return std::nullopt;
    make_room(entries_, kMaxSeries, [](const Entry& entry) { return entry.last_seen; });
    char suffix[40];
    std::snprintf(suffix, sizeof suffix, ".%llx.%llx",
                  static_cast<unsigned long long>(wall.time_since_epoch().count()),
                  static_cast<unsigned long long>(++created_));
    const auto& about = facts.regarding.name;
    Entry entry{.facts = facts,
                .name = {about.namespace_name.empty() ? "default" : about.namespace_name,
                         about.name.substr(0, kMaxName - sizeof suffix) + suffix},
                .event_time = format_micro_time(wall),
                .last_time = format_micro_time(wall),
                .last_seen = now,
                .last_written = now};
    return create(entries_.emplace(std::move(key), std::move(entry)).first->second);
  }
  Entry& entry = found->second;
  ++entry.count;
  entry.last_seen = now;
  entry.last_time = format_micro_time(wall);
  if (entry.count != 2 || !may_write(facts.regarding, now)) return std::nullopt;
  return patch(entry, now);
}

std::vector<EventWrite> EventSeries::due(Instant now) {
  std::vector<EventWrite> writes;
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    const bool over = now - entry.last_seen >= kSilence;
    const bool unwritten = entry.count != entry.written;
    if (unwritten && (over || now - entry.last_written >= kRefresh)) {
      writes.push_back(patch(entry, now));
    }
    at = over ? entries_.erase(at) : std::next(at);
  }
  return writes;
}

EventSeries::Key EventSeries::key_of(const EventFacts& facts) {
  Key key{facts.warning ? "Warning" : "Normal", facts.action, facts.reason};
  const auto add = [&key](const ObjectReference& object) {
    key.insert(key.end(), {object.kind, object.name.namespace_name, object.name.name, object.uid});
  };
  add(facts.regarding);
  if (facts.related) add(*facts.related);
  return key;
}

bool EventSeries::may_write(const ObjectReference& regarding, Instant now) {
  const std::string id =
      regarding.kind + "/" + regarding.name.namespace_name + "/" + regarding.name.name;
  auto found = sources_.find(id);
  if (found == sources_.end()) {
    make_room(sources_, kMaxSources, [](const Source& source) { return source.last_used; });
    found = sources_.emplace(id, Source{TokenBucket(kBurst, kRefill), now}).first;
  }
  found->second.last_used = now;
  if (found->second.bucket.take(now)) return true;
  ++dropped_;
  return false;
}

EventWrite EventSeries::create(const Entry& entry) const {
  return {.name = entry.name, .create_body = body(entry)};
}

EventWrite EventSeries::patch(Entry& entry, Instant now) {
  entry.written = entry.count;
  entry.last_written = now;
  JsonWriter json;
  json.begin_object();
  write_series(json, entry.count, entry.last_time);
  json.end_object();
  return {.name = entry.name, .create_body = body(entry), .patch_body = json.take()};
}

std::string EventSeries::body(const Entry& entry) const {
  const EventFacts& facts = entry.facts;
  JsonWriter json;
  json.begin_object()
      .member("apiVersion", "events.k8s.io/v1")
      .member("kind", "Event")
      .key("metadata")
      .begin_object()
      .member("name", entry.name.name)
      .member("namespace", entry.name.namespace_name)
      .end_object()
      .member("eventTime", entry.event_time)
      .member("reportingController", source_.controller)
      .member("reportingInstance", clipped(source_.instance, kMaxWord))
      .member("type", facts.warning ? "Warning" : "Normal")
      .member("reason", clipped(facts.reason, kMaxWord))
      .member("action", clipped(facts.action, kMaxWord))
      .member("note", clipped(facts.note, kMaxNote));
  json.key("regarding");
  write_reference(json, facts.regarding);
  if (facts.related) {
    json.key("related");
    write_reference(json, *facts.related);
  }
  if (entry.count > 1) write_series(json, entry.count, entry.last_time);
  json.end_object();
  return json.take();
}

}  // namespace sandboxrun::kube
