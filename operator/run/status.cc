#include "operator/run/status.h"

#include <algorithm>
#include <array>

#include "operator/base/json_writer.h"
#include "operator/run/text.h"

namespace sandboxrun::run {
namespace {

constexpr std::array<std::string_view, kConditionCount> kConditionNames = {
    "Succeeded",       "EnvironmentVerified", "AssetsPlaced", "ResultsStored",
    "NetworkIsolated", "Suspended",           "Reconciling",  "Stalled",
};

void time_member(JsonWriter& json, std::string_view name, const std::optional<TimePoint>& time) {
  if (time) json.member(name, format_time(*time));
}

template <typename Number>
void number_member(JsonWriter& json, std::string_view name, const std::optional<Number>& number) {
  if (number) json.member(name, std::int64_t{*number});
}

void text_member(JsonWriter& json, std::string_view name, std::string_view text) {
  if (!text.empty()) json.member(name, text);
}

void write_conditions(JsonWriter& json, const std::vector<Condition>& conditions) {
  json.key("conditions").begin_array();
  for (const Condition& condition : conditions) {
    json.begin_object()
        .member("type", to_string(condition.type))
        .member("status", to_string(condition.status))
        .member("reason", condition.reason)
        .member("message", condition.message)
        .member("lastTransitionTime", format_time(condition.last_transition))
        .member("observedGeneration", condition.observed_generation)
        .end_object();
  }
  json.end_array();
}

void write_run(JsonWriter& json, const RunResult& run) {
  json.key("run").begin_object();
  number_member(json, "exitCode", run.exit_code);
  number_member(json, "signal", run.signal);
  text_member(json, "message", run.message);
  time_member(json, "startTime", run.start);
  time_member(json, "finishTime", run.finish);
  json.end_object();
}

void write_environment(JsonWriter& json, const Status& status) {
  if (!status.image && !status.archive) return;
  json.key("environment").begin_object();
  if (status.image) {
    json.key("image").begin_object().member("reference", status.image->reference);
    text_member(json, "imageID", status.image->image_id);
    json.end_object();
  }
  if (status.archive) {
    json.key("archive")
        .begin_object()
        .member("digest", status.archive->digest)
        .member("bytes", status.archive->bytes)
        .member("entries", status.archive->entries)
        .end_object();
  }
  json.end_object();
}

void write_assets(JsonWriter& json, const std::vector<AssetStatus>& assets) {
  if (assets.empty()) return;
  json.key("assets").begin_array();
  for (const AssetStatus& asset : assets) {
    json.begin_object().member("name", asset.name);
    text_member(json, "digest", asset.digest);
    json.member("bytes", asset.bytes).end_object();
  }
  json.end_array();
}

void write_results(JsonWriter& json, const ResultsStatus& results) {
  json.key("results").begin_object();
  text_member(json, "digest", results.digest);
  json.member("bytes", results.bytes)
      .member("entries", results.entries)
      .member("stored", results.stored)
      .end_object();
}

void write_timings(JsonWriter& json, const Timings& timings) {
  if (timings == Timings{}) return;
  json.key("timings").begin_object();
  number_member(json, "waitingSeconds", timings.waiting_seconds);
  number_member(json, "runSeconds", timings.run_seconds);
  number_member(json, "totalSeconds", timings.total_seconds);
  number_member(json, "prepareMilliseconds", timings.prepare_milliseconds);
  number_member(json, "runMilliseconds", timings.run_milliseconds);
  number_member(json, "collectMilliseconds", timings.collect_milliseconds);
  json.end_object();
}

void write_attempts(JsonWriter& json, const std::vector<AttemptStatus>& attempts) {
  if (attempts.empty()) return;
  json.key("attempts").begin_array();
  for (const AttemptStatus& attempt : attempts) {
    json.begin_object().member("podName", attempt.pod_name);
    text_member(json, "podUID", attempt.pod_uid);
    text_member(json, "nodeName", attempt.node_name);
    if (attempt.reason) json.member("reason", to_string(*attempt.reason));
    number_member(json, "exitCode", attempt.exit_code);
    time_member(json, "startTime", attempt.start);
    time_member(json, "finishTime", attempt.finish);
    json.end_object();
  }
  json.end_array();
}

}  // namespace

std::string_view to_string(ConditionType type) {
  return kConditionNames[static_cast<std::size_t>(type)];
}

std::string_view to_string(ConditionStatus status) {
  switch (status) {
    case ConditionStatus::True:
      return "True";
    case ConditionStatus::False:
      return "False";
    case ConditionStatus::Unknown:
      break;
  }
  return "Unknown";
}

const Condition* Status::find(ConditionType type) const {
  const auto found = std::ranges::find(conditions, type, &Condition::type);
  return found == conditions.end() ? nullptr : &*found;
}

bool Status::ended() const {
  const Condition* condition = find(ConditionType::Succeeded);
  return condition != nullptr && condition->status != ConditionStatus::Unknown;
}

bool Status::succeeded() const {
  const Condition* condition = find(ConditionType::Succeeded);
  return condition != nullptr && condition->status == ConditionStatus::True;
}

Reason Status::reason() const {
  const Condition* condition = find(ConditionType::Succeeded);
  if (condition == nullptr) return Reason::Pending;
  return parse_reason(condition->reason).value_or(Reason::Pending);
}

void set_condition(Status& status, ConditionType type, const ConditionChange& change, TimePoint now,
                   std::int64_t generation) {
  auto place = std::ranges::lower_bound(status.conditions, type, {}, &Condition::type);
  if (place == status.conditions.end() || place->type != type) {
    place = status.conditions.insert(place, Condition{.type = type,
                                                      .status = change.status,
                                                      .reason = {},
                                                      .message = {},
                                                      .last_transition = whole_seconds(now),
                                                      .observed_generation = 0});
  }
  if (place->status != change.status) place->last_transition = whole_seconds(now);
  place->status = change.status;
  place->reason = change.reason;
  place->message = clean_text(change.message, kMaxConditionMessage);
  place->observed_generation = generation;
}

std::string encode_status(const Status& status) {
  JsonWriter json;
  json.begin_object().member("observedGeneration", status.observed_generation);
  write_conditions(json, status.conditions);
  if (status.run) write_run(json, *status.run);
  write_environment(json, status);
  write_assets(json, status.assets);
  if (status.results) write_results(json, *status.results);
  text_member(json, "duration", status.duration);
  write_timings(json, status.timings);
  write_attempts(json, status.attempts);
  json.end_object();
  return json.take();
}

}  // namespace sandboxrun::run
