#include "operator/run/evidence.h"

#include "operator/run/text.h"

namespace sandboxrun::run {
namespace {

constexpr std::size_t kMaxQuoted = 512;

template <typename Report, typename Decode>
void read_report(const StepFacts& step, Decode decode, std::optional<Report>& report,
                 std::string& problem) {
  const Ended* ended = step.ended();
  if (ended == nullptr) {
    problem = "has not ended";
  } else if (ended->termination_message.empty()) {
    problem = "left no report";
  } else if (auto decoded = decode(ended->termination_message)) {
    report = std::move(*decoded);
  } else {
    problem =
        "left a report that cannot be read: " + clean_text(decoded.error().message, kMaxQuoted);
  }
}

void read_record(const AttemptFacts& facts, Evidence& evidence) {
  std::optional<protocol::GuardRecord> record;
  read_report(facts.run, protocol::decode_guard_record, record, evidence.record_problem);
  if (!record) return;
  if (facts.token.empty() || record->token != facts.token) {
    evidence.record_problem = "left a report with a token that is not this attempt's";
    return;
  }
  evidence.record = std::move(record);
}

}  // namespace

Evidence read_evidence(const AttemptFacts& facts) {
  Evidence evidence;
  read_record(facts, evidence);
  read_report(facts.prepare, protocol::decode_prepare_report, evidence.prepare,
              evidence.prepare_problem);
  read_report(facts.collect, protocol::decode_collect_report, evidence.collect,
              evidence.collect_problem);
  return evidence;
}

}  // namespace sandboxrun::run
