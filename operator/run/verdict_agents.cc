#include "operator/run/text.h"
#include "operator/run/verdict.h"

// What the agents' reports mean.
namespace sandboxrun::run {
namespace {

using protocol::ReportFailure;
using protocol::Step;
using protocol::Subject;

constexpr std::size_t kMaxQuoted = 1024;

struct SubjectReasons {
  Reason fetch;
  Reason digest;
  Reason place;
};

constexpr SubjectReasons kEnvironment = {Reason::EnvironmentFetchFailed,
                                         Reason::EnvironmentDigestMismatch,
                                         Reason::EnvironmentUnpackFailed};
constexpr SubjectReasons kAsset = {Reason::AssetFetchFailed, Reason::AssetDigestMismatch,
                                   Reason::AssetPlaceFailed};

Reason choose(const SubjectReasons& reasons, const ReportFailure& failure) {
  if (failure.kind == ErrorKind::DigestMismatch) return reasons.digest;
  switch (failure.step) {
    case Step::Read:
    case Step::Fetch:
    case Step::Verify:
      return reasons.fetch;
    default:
      return reasons.place;
  }
}

std::string subject_name(const Plan& plan, const ReportFailure& failure) {
  if (failure.subject == Subject::Environment) return "environment.archive";
  const auto at = static_cast<std::size_t>(failure.index);
  if (failure.index >= 0 && at < plan.assets.size()) return "asset " + plan.assets[at].name;
  return "an asset";
}

std::string explain(const ReportFailure& failure) {
  std::string text = clean_text(failure.message, kMaxQuoted);
  // An agent's own sentence names both; one that was cut, or another agent's, may not.
  const bool named = text.find(failure.expected) != std::string::npos &&
                     text.find(failure.found) != std::string::npos;
  if (failure.kind == ErrorKind::DigestMismatch && !named) {
    text += " (expected " + clean_text(failure.expected, kMaxQuoted) + ", found " +
            clean_text(failure.found, kMaxQuoted) + ")";
  }
  return text;
}

Verdict judge_prepare_failure(const Plan& plan, const ReportFailure& failure) {
  if (failure.kind == ErrorKind::Cancelled) {
    return {Reason::Disrupted, "prepare was asked to stop from outside, and not by us"};
  }
  if (failure.subject != Subject::Environment && failure.subject != Subject::Asset) {
    return {Reason::AgentReportInvalid, "prepare could not read its order: " + explain(failure)};
  }
  const bool environment = failure.subject == Subject::Environment;
  return {choose(environment ? kEnvironment : kAsset, failure),
          subject_name(plan, failure) + ": " + explain(failure)};
}

std::optional<Verdict> mismatch(Reason reason, const std::string& name, const std::string& expected,
                                const std::string& found) {
  if (expected.empty() || expected == found) return std::nullopt;
  return Verdict{reason, name + ": expected " + expected + ", found " +
                             (found.empty() ? "no digest" : clean_text(found, kMaxQuoted))};
}

// Whether a report of success covers all that the plan asks for.
std::optional<Verdict> check_against_plan(const Plan& plan, const protocol::PrepareReport& report) {
  if (plan.archive) {
    if (!report.environment) {
      return Verdict{Reason::AgentReportInvalid, "prepare's report lacks the environment archive"};
    }
    if (auto bad = mismatch(Reason::EnvironmentDigestMismatch, "environment.archive",
                            plan.archive->digest, report.environment->digest)) {
      return bad;
    }
  }
  if (report.assets.size() != plan.assets.size()) {
    return Verdict{Reason::AgentReportInvalid, "prepare's report has " +
                                                   std::to_string(report.assets.size()) + " of " +
                                                   std::to_string(plan.assets.size()) + " assets"};
  }
  for (std::size_t i = 0; i < plan.assets.size(); ++i) {
    if (report.assets[i].digest.empty()) continue;  // declared ones are left out of the report
    if (auto bad = mismatch(Reason::AssetDigestMismatch, "asset " + plan.assets[i].name,
                            plan.assets[i].digest, report.assets[i].digest)) {
      return bad;
    }
  }
  return std::nullopt;
}

bool ran_out_of_memory(const StepFacts& step, const Ended& ended) {
  return step.oom || ended.runtime_reason == "OOMKilled";
}

}  // namespace

std::optional<Verdict> judge_prepare(const Plan& plan, const AttemptFacts& facts,
                                     const Evidence& evidence) {
  const Ended* ended = facts.prepare.ended();
  if (ended == nullptr) {
    const bool run_began = facts.run.started() != nullptr || facts.run.ended() != nullptr;
    if (!run_began || (!plan.archive && plan.assets.empty())) return std::nullopt;
    return Verdict{Reason::AgentReportInvalid, "nothing shows that prepare has run"};
  }
  if (ended->runtime_reason == "StartError") {
    return Verdict{Reason::SandboxStartFailed,
                   "the runtime could not start prepare: " +
                       clean_text(ended->termination_message, kMaxQuoted)};
  }
  if (evidence.prepare && evidence.prepare->failure) {
    return judge_prepare_failure(plan, *evidence.prepare->failure);
  }
  if (ran_out_of_memory(facts.prepare, *ended)) {
    return Verdict{Reason::OOMKilled, "prepare reached its memory limit"};
  }
  if (is_invented(*ended)) {
    return Verdict{Reason::PodLost, "the runtime lost prepare's container and cannot tell its end"};
  }
  if (!evidence.prepare) {
    return Verdict{Reason::AgentReportInvalid, "prepare ended with exit code " +
                                                   std::to_string(ended->exit_code) + " and " +
                                                   evidence.prepare_problem};
  }
  if (ended->exit_code != 0) {
    return Verdict{Reason::AgentReportInvalid, "prepare ended with exit code " +
                                                   std::to_string(ended->exit_code) +
                                                   ", but its report names no failure"};
  }
  return check_against_plan(plan, *evidence.prepare);
}

std::optional<Verdict> judge_collect(const AttemptFacts& facts, const Evidence& evidence) {
  const Ended* ended = facts.collect.ended();
  if (ended != nullptr && is_invented(*ended) && facts.collect.earlier) {
    return Verdict{Reason::CollectorFailed, "the collector ended with exit code " +
                                                std::to_string(facts.collect.earlier->exit_code) +
                                                " before the command had ended"};
  }
  if (ended == nullptr || is_invented(*ended)) {
    return Verdict{Reason::CollectorFailed, "the collector's end was not seen"};
  }
  if (evidence.collect && evidence.collect->failure) {
    const ReportFailure& failure = *evidence.collect->failure;
    const bool ours = failure.kind == ErrorKind::System || failure.kind == ErrorKind::Internal ||
                      failure.kind == ErrorKind::Cancelled || failure.kind == ErrorKind::Timeout ||
                      failure.kind == ErrorKind::Unavailable;
    if (failure.subject == Subject::Results && failure.step == Step::Upload) {
      return Verdict{Reason::ResultsUploadFailed, explain(failure)};
    }
    const bool rejected = failure.subject == Subject::Results && !ours;
    return Verdict{rejected ? Reason::ResultsRejected : Reason::CollectorFailed, explain(failure)};
  }
  if (ran_out_of_memory(facts.collect, *ended)) {
    return Verdict{Reason::CollectorFailed, "the collector reached its memory limit"};
  }
  if (!evidence.collect) {
    const bool wordless = ended->termination_message.empty();
    return Verdict{wordless ? Reason::CollectorFailed : Reason::AgentReportInvalid,
                   "the collector ended with exit code " + std::to_string(ended->exit_code) +
                       " and " + evidence.collect_problem};
  }
  if (ended->exit_code != 0 || !evidence.collect->stored) {
    return Verdict{Reason::CollectorFailed,
                   "the collector ended with exit code " + std::to_string(ended->exit_code) +
                       ", and its report says that results are " +
                       (evidence.collect->stored ? "stored" : "not stored")};
  }
  return std::nullopt;
}

}  // namespace sandboxrun::run
