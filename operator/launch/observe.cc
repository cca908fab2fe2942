#include "operator/launch/observe.h"

#include <algorithm>

#include "operator/launch/oci_layout.h"

namespace sandboxrun::launch {
namespace {

constexpr std::size_t kMaxWords = 400;

run::Ended ended_step(std::string message, bool failed, TimePoint start, TimePoint finish) {
  return {.exit_code = failed ? 1 : 0,
          .runtime_reason = failed ? "Error" : "Completed",
          .start = start,
          .finish = finish,
          .termination_message = std::move(message)};
}

run::StopRequest to_request(const RunStop& stop) {
  switch (stop.kind) {
    case StopKind::StartDeadline:
      return {run::Reason::StartDeadlineExceeded, stop.at};
    case StopKind::Deadline:
      return {run::Reason::DeadlineExceeded, stop.at};
    default:
      return {run::Reason::Cancelled, stop.at};
  }
}

}  // namespace

Observer::Observer(const run::Plan& plan, std::string id, std::string token, TimePoint begun,
                   History history)
    : plan_(plan), previous_(std::move(history.status)) {
  observation_.wishes.created = history.created;
  facts_.number = run::attempt_to_observe(previous_);
  facts_.presence = run::Presence::Present;
  facts_.token = std::move(token);
  facts_.created = begun;
  facts_.scheduled = begun;
  facts_.over = true;
  facts_.run.image_id = digest_of_reference(plan.image);
  // Its network namespace has no interface that is up.
  if (plan.network.mode == run::NetworkMode::None) {
    observation_.isolation = run::Isolation::Enforced;
  }
  name(std::move(id));
}

void Observer::failed(Obstacle obstacle, const Error& error) {
  if (error.kind == ErrorKind::Cancelled) return;  // stopped() tells who did
  switch (obstacle) {
    case Obstacle::Image:
      facts_.run.state = run::Waiting{"ErrImagePull", error.message};
      return;
    case Obstacle::Runtime:
      facts_.trouble = run::Trouble{run::TroubleKind::RuntimeClass, error.message};
      return;
    case Obstacle::Reference:
      facts_.trouble = run::Trouble{run::TroubleKind::ReferenceMissing, error.message};
      return;
    case Obstacle::Sandbox:
      facts_.trouble = run::Trouble{run::TroubleKind::Sandbox, error.message};
      return;
  }
}

void Observer::stopped(run::Reason reason, TimePoint at) {
  if (!facts_.stop) facts_.stop = run::StopRequest{reason, at};
}

void Observer::prepared(const protocol::PrepareReport& report, TimePoint start, TimePoint finish) {
  facts_.prepare.state =
      ended_step(protocol::encode(report), report.failure.has_value(), start, finish);
  facts_.prepare.milliseconds = report.milliseconds;
}

void Observer::ran(const RunEnd& end, const std::string& stage_path) {
  if (end.stop && end.stop->kind == StopKind::DiskExceeded) {
    facts_.interruptions.push_back(
        {.kind = run::InterruptionKind::StorageExceeded,
         .at = end.stop->at,
         .message = "its volumes on disk hold more than scratch.sizeLimit and results.maxBytes"});
  } else if (end.stop) {
    facts_.stop = to_request(*end.stop);
  }
  run::Ended state{.exit_code = end.exit_code, .start = end.start, .finish = end.finish};
  if (end.started) {
    state.runtime_reason = end.exit_code == 0 ? "Completed" : "Error";
    state.termination_message = end.record;
    facts_.run.milliseconds = end.milliseconds;
    facts_.run.oom = end.oom;
  } else {
    state.runtime_reason = "StartError";
    state.termination_message = clean_runtime_words(end.runtime_words, stage_path);
  }
  facts_.run.state = std::move(state);
}

void Observer::collected(const protocol::CollectReport& report, TimePoint start, TimePoint finish) {
  facts_.collects = true;
  facts_.collect.state =
      ended_step(protocol::encode(report), report.failure.has_value(), start, finish);
  facts_.collect.milliseconds = report.milliseconds;
}

run::Status Observer::conclude(TimePoint now) {
  return run::decide(plan_, observation_, previous_, now).status;
}

run::Status Observer::refuse_network(TimePoint now) {
  facts_.presence = run::Presence::Absent;
  facts_.over = false;
  observation_.isolation = run::Isolation::NotEnforced;
  return run::decide(plan_, observation_, previous_, now).status;
}

run::Decision decide_next(const run::Plan& plan, const History& history, bool cancel,
                          TimePoint now) {
  run::Observation observation;
  observation.wishes.created = history.created;
  observation.wishes.cancel = cancel;
  observation.isolation = run::Isolation::Enforced;
  observation.attempt.number = run::attempt_to_observe(history.status);
  observation.attempt.presence = run::Presence::Absent;
  return run::decide(plan, observation, history.status, now);
}

std::string clean_runtime_words(std::string words, const std::string& stage_path) {
  while (!words.empty() && (words.back() == '\n' || words.back() == ' ')) words.pop_back();
  words.erase(0, words.rfind('\n') + 1);
  // Every path of ours begins with the stage's.
  for (auto at = words.find(stage_path); !stage_path.empty() && at != std::string::npos;
       at = words.find(stage_path)) {
    const auto end = std::min(words.find_first_of(" \":,;)", at), words.size());
    words.replace(at, end - at, "[stage]");
  }
  std::ranges::replace_if(words, [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return words.empty() ? "it ended without a word" : words.substr(0, kMaxWords);
}

}  // namespace sandboxrun::launch
