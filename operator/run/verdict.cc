#include "operator/run/verdict.h"

#include "operator/run/text.h"

namespace sandboxrun::run {
namespace {

using protocol::GuardCause;
using protocol::GuardRecord;

constexpr std::size_t kMaxQuoted = 1024;
// With this code runc ends a container whose first program the kernel would not execute.
constexpr int kExecRefused = 255;

std::string quoted(std::string_view text) {
  return clean_text(text, kMaxQuoted);
}

std::string with_detail(std::string sentence, std::string_view detail) {
  if (!detail.empty()) sentence += ": " + quoted(detail);
  return sentence;
}

Verdict judge_never_started(const AttemptFacts& facts) {
  if (const auto trouble = find_start_trouble(facts)) return trouble->verdict;
  const auto unknown = [](const StepFacts& step) {
    return std::holds_alternative<std::monostate>(step.state);
  };
  if (unknown(facts.prepare) && unknown(facts.run) && unknown(facts.collect)) {
    return {Reason::NodeRejected,
            with_detail("the node refused the attempt: " + quoted(facts.over_reason),
                        facts.over_message)};
  }
  return {Reason::SandboxStartFailed,
          with_detail("the attempt ended before its command could start", facts.over_message)};
}

// An end of which there is no record of the guard's.
Verdict judge_without_record(const Ended& ended, const Evidence& evidence) {
  if (ended.runtime_reason == "ContainerStatusUnknown") {
    return {Reason::PodLost, "the runtime lost the command's container and cannot tell its end"};
  }
  if (ended.exit_code == kExecRefused) {
    return {Reason::SandboxStartFailed,
            "the runtime could not execute the guard (exit code 255, no record); an argument or "
            "environment value of 128 KiB or more does that"};
  }
  return {Reason::GuardFailed, "the guard ended with exit code " + std::to_string(ended.exit_code) +
                                   " and " + evidence.record_problem};
}

std::string step_name(const Plan& plan, const std::optional<int>& index) {
  if (!index || *index < 0) return "a setup step";
  const auto at = static_cast<std::size_t>(*index);
  if (at >= plan.setup.size()) return "setup step " + std::to_string(*index + 1);
  return "setup step \"" + plan.setup[at].name + "\"";
}

std::string how_it_ended(const GuardRecord& record) {
  if (record.signal != 0) return "was ended by signal " + std::to_string(record.signal);
  return "ended with exit code " + std::to_string(record.child_code.value_or(record.code));
}

// A record that can be believed, of an end that isn't a success.
Verdict judge_record(const Plan& plan, const GuardRecord& record) {
  switch (record.cause) {
    case GuardCause::GuardFailed:
      return {Reason::GuardFailed, with_detail("the guard refused to go on", record.detail)};
    case GuardCause::SetupFailed:
      return {
          Reason::SetupFailed,
          with_detail(step_name(plan, record.step) + " " + how_it_ended(record), record.detail)};
    case GuardCause::SetupTimeout:
      return {Reason::SetupFailed, step_name(plan, record.step) + " ran out of time"};
    case GuardCause::Stopped:
      return {Reason::Disrupted, "the sandbox was asked to stop from outside, and not by us"};
    case GuardCause::Deadline:
      return {Reason::DeadlineExceeded,
              "the command was stopped after " +
                  format_duration(std::chrono::seconds(plan.active_deadline_seconds))};
    case GuardCause::NotFound:
      return {Reason::StartFailed, with_detail("the command was not found", record.detail)};
    case GuardCause::NotExecutable:
      return {Reason::StartFailed, with_detail("the command cannot be executed", record.detail)};
    case GuardCause::Signaled:
      return {Reason::Signaled, "the command " + how_it_ended(record)};
    case GuardCause::Exited:
      break;
  }
  return {Reason::NonZeroExit, "the command " + how_it_ended(record)};
}

bool is_clean_exit(const Ended& ended, const GuardRecord& record) {
  return ended.exit_code == 0 && ended.signal == 0 && record.cause == GuardCause::Exited &&
         record.stage == protocol::GuardStage::Run && record.started && record.code == 0 &&
         record.child_code.value_or(0) == 0 && record.signal == 0 &&
         (ended.runtime_reason.empty() || ended.runtime_reason == "Completed");
}

bool claims_success(const GuardRecord& record) {
  return record.cause == GuardCause::Exited && record.code == 0;
}

Verdict judge_results(const Plan& plan, const AttemptFacts& facts, const Evidence& evidence) {
  if (!has_collector(plan, facts)) {
    return {Reason::Completed, "the command ended with exit code 0"};
  }
  if (auto bad = judge_collect(facts, evidence)) return *bad;
  return {Reason::Completed, "the command ended with exit code 0 and its results are stored"};
}

// The command's container has ended, and nothing asked it to before.
Verdict judge_own_end(const Plan& plan, const AttemptFacts& facts, const Ended& ended,
                      const Evidence& evidence) {
  if (auto bad = judge_prepare(plan, facts, evidence)) return *bad;
  if (facts.run.oom || ended.runtime_reason == "OOMKilled") {
    return {Reason::OOMKilled, "the memory limit was reached and the kernel killed a process"};
  }
  if (!evidence.record) return judge_without_record(ended, evidence);
  const GuardRecord& record = *evidence.record;
  if (record.code != ended.exit_code || (claims_success(record) && !is_clean_exit(ended, record))) {
    return {Reason::GuardFailed, "the guard's record says exit code " +
                                     std::to_string(record.code) + ", the runtime says " +
                                     std::to_string(ended.exit_code) +
                                     with_detail("", ended.runtime_reason)};
  }
  if (is_clean_exit(ended, record)) return judge_results(plan, facts, evidence);
  return judge_record(plan, record);
}

}  // namespace

bool has_collector(const Plan& plan, const AttemptFacts& facts) {
  return facts.collects || needs_collect(plan);
}

bool is_invented(const Ended& ended) {
  return ended.runtime_reason == "ContainerStatusUnknown" || ended.runtime_reason == "StartError";
}

std::optional<Verdict> find_tampering(const AttemptFacts& facts) {
  const auto tampered = [](std::string_view what) {
    return Verdict{Reason::PodTampered, std::string(what)};
  };
  if (facts.run.image_differs || facts.prepare.image_differs || facts.collect.image_differs) {
    return tampered("the image of a container is not the one that was admitted");
  }
  const Ended* ended = facts.run.ended();
  // An evicted pod's lost containers are counted as restarted once although nothing restarted.
  const bool lost = ended != nullptr && ended->runtime_reason == "ContainerStatusUnknown" &&
                    !ended->start.has_value();
  const bool real_earlier = facts.run.earlier && !is_invented(*facts.run.earlier);
  if (real_earlier || facts.run.restarts > (lost ? 1 : 0)) {
    return tampered("the command's container was started a second time");
  }
  if (!facts.mutations.empty() && (facts.run.started() != nullptr || ended != nullptr)) {
    return tampered("the pod was changed after it was admitted: " +
                    quoted(facts.mutations.front()));
  }
  return std::nullopt;
}

Verdict judge(const Plan& plan, const AttemptFacts& facts, const Evidence& evidence,
              const std::optional<StopCause>& asked) {
  if (auto tampering = find_tampering(facts)) return *tampering;
  if (!facts.mutations.empty()) {
    return {Reason::PodMutated, "the admitted pod differs in " + quoted(facts.mutations.front())};
  }
  const Ended* ended = facts.run.ended();
  if (ended == nullptr) {
    const Ended* prepared = facts.prepare.ended();
    const auto until = prepared == nullptr ? std::nullopt : prepared->finish;
    const auto prepare_verdict = judge_prepare(plan, facts, evidence);
    if (const auto stop = first_stop(facts, asked, prepare_verdict ? until : std::nullopt)) {
      return {stop->reason, stop->message};
    }
    return prepare_verdict ? *prepare_verdict : judge_never_started(facts);
  }
  if (ended->runtime_reason == "StartError") {
    return {Reason::SandboxStartFailed,
            with_detail("the runtime could not start the sandbox", ended->termination_message)};
  }
  const auto finish = is_invented(*ended) ? std::nullopt : ended->finish;
  if (const auto stop = first_stop(facts, asked, finish)) {
    return {stop->reason, stop->message};
  }
  return judge_own_end(plan, facts, *ended, evidence);
}

}  // namespace sandboxrun::run
