#include <algorithm>

#include "operator/run/decide_context.h"
#include "operator/run/text.h"

// From a decision to the status: what was seen of the attempt.
namespace sandboxrun::run {

namespace {

using std::chrono::seconds;

constexpr std::size_t kMaxUserText = 4096;
constexpr std::size_t kMaxImageId = 1024;

// Containers that never began carry the epoch.
std::optional<TimePoint> real_time(const std::optional<TimePoint>& time) {
  if (!time || *time < TimePoint(std::chrono::years(1))) return std::nullopt;
  return time;
}

std::int64_t whole(Milliseconds duration) {
  return std::max<std::int64_t>(0, std::chrono::floor<seconds>(duration).count());
}

AttemptStatus& entry_of(const Context& context, Status& status) {
  const auto at = static_cast<std::size_t>(context.facts.number - 1);
  if (at >= status.attempts.size()) {
    status.attempts.resize(at + 1);
    // What an earlier attempt left is not this one's.
    status.run.reset();
    status.results.reset();
    status.archive.reset();
    status.assets.clear();
    status.timings = {};
    status.duration.clear();
  }
  return status.attempts[at];
}

void write_run(const Context& context, Status& status, AttemptStatus& entry) {
  const StepFacts& run = context.facts.run;
  if (const Started* started = run.started()) {
    status.run = RunResult{};
    status.run->start = real_time(started->at);
    entry.start = status.run->start;
  }
  const Ended* ended = run.ended();
  if (ended == nullptr) return;
  RunResult result;
  result.start = real_time(ended->start);
  result.finish = real_time(ended->finish);
  if (!is_invented(*ended)) result.exit_code = ended->exit_code;
  if (ended->signal != 0) result.signal = ended->signal;
  if (context.evidence.record) {
    if (context.evidence.record->signal != 0) result.signal = context.evidence.record->signal;
    result.message = clean_text(context.evidence.record->message, kMaxUserText);
  }
  if (!result.start && status.run) result.start = status.run->start;
  entry.start = result.start;
  entry.exit_code = result.exit_code;
  status.run = std::move(result);
}

void write_environment(const Context& context, Status& status) {
  if (!status.image) status.image = ImageStatus{};
  status.image->reference = context.plan.image;
  if (!context.facts.run.image_id.empty()) {
    status.image->image_id = clean_text(context.facts.run.image_id, kMaxImageId);
  }
  const auto& report = context.evidence.prepare;
  if (!report) return;
  if (report->environment) {
    status.archive = ArchiveStatus{.digest = report->environment->digest,
                                   .bytes = report->environment->bytes,
                                   .entries = report->environment->entries};
  }
  status.assets.clear();
  const std::size_t count = std::min(report->assets.size(), context.plan.assets.size());
  for (std::size_t i = 0; i < count; ++i) {
    const protocol::Placed& placed = report->assets[i];
    const PlanAsset& asset = context.plan.assets[i];
    status.assets.push_back({.name = asset.name,
                             .digest = placed.digest.empty() ? asset.digest : placed.digest,
                             .bytes = placed.bytes});
  }
}

void write_results(const Context& context, Status& status) {
  const auto& report = context.evidence.collect;
  if (!report || (report->digest.empty() && !report->stored)) return;
  status.results = ResultsStatus{.digest = report->digest,
                                 .bytes = report->bytes,
                                 .entries = report->entries,
                                 .stored = report->stored && !report->failure};
}

void write_timings(const Context& context, const Outcome& outcome, Status& status) {
  Timings& timings = status.timings;
  const AttemptFacts& facts = context.facts;
  const TimePoint created = context.observation.wishes.created;
  std::optional<TimePoint> first;
  for (const StepFacts* step : {&facts.run, &facts.prepare}) {
    if (const Started* started = step->started()) first = real_time(started->at);
    if (const Ended* ended = step->ended()) first = real_time(ended->start);
  }
  if (first) timings.waiting_seconds = whole(*first - created);
  if (context.evidence.prepare) {
    timings.prepare_milliseconds = context.evidence.prepare->milliseconds;
  }
  if (context.evidence.collect) {
    timings.collect_milliseconds = context.evidence.collect->milliseconds;
  }
  if (facts.run.milliseconds) timings.run_milliseconds = facts.run.milliseconds;
  if (status.run && status.run->start && status.run->finish) {
    timings.run_seconds = whole(*status.run->finish - *status.run->start);
  }
  if (!outcome.ended) return;
  timings.total_seconds = whole(context.now - created);
  if (timings.run_seconds) status.duration = format_duration(seconds(*timings.run_seconds));
}

void write_attempt(const Context& context, const Outcome& outcome, Status& status) {
  const AttemptFacts& facts = context.facts;
  if (facts.presence != Presence::Present && context.recorded() == nullptr) return;
  AttemptStatus& entry = entry_of(context, status);
  const bool known =
      facts.presence == Presence::Present && (entry.pod_uid.empty() || entry.pod_uid == facts.uid);
  if (known) {
    entry.pod_name = facts.name;
    entry.pod_uid = facts.uid;
    if (!facts.node.empty()) entry.node_name = facts.node;
  }
  write_run(context, status, entry);
  write_environment(context, status);
  write_results(context, status);
  write_timings(context, outcome, status);
  entry.reason = outcome.attempt_over ? std::optional(outcome.verdict.reason) : outcome.asked;
  if (!outcome.attempt_over) return;
  const Ended* ended = facts.run.ended();
  const auto finish = ended == nullptr ? std::nullopt : real_time(ended->finish);
  entry.finish = whole_seconds(finish.value_or(context.now));
}

// An attempt that ended, of a run that goes on.
Outcome as_retry(const Outcome& outcome, int number) {
  const auto delay = retry_delay(number);
  return stage(Reason::Retrying, "attempt " + std::to_string(number) + " ended with " +
                                     std::string(to_string(outcome.verdict.reason)) + ": " +
                                     outcome.verdict.message + "; the next one follows after " +
                                     format_duration(delay));
}

}  // namespace

Status write_status(const Context& context, const Outcome& outcome) {
  Status status = context.previous;
  if (outcome.passing) return status;
  status.observed_generation = context.observation.wishes.generation;
  write_attempt(context, outcome, status);
  const bool retrying = outcome.attempt_over && !outcome.ended;
  const Outcome shown = retrying ? as_retry(outcome, context.facts.number) : outcome;
  write_conditions(&context, shown, context.observation.wishes, context.now, status);
  return status;
}

Status write_refusal(const Status& previous, const Wishes& wishes, const Verdict& verdict,
                     TimePoint now) {
  Status status = previous;
  status.observed_generation = wishes.generation;
  write_conditions(nullptr, end(verdict), wishes, now, status);
  return status;
}

}  // namespace sandboxrun::run
