#include "operator/cli/summary.h"

#include <fmt/format.h>

#include "operator/base/document.h"
#include "operator/base/json_writer.h"
#include "operator/base/yaml_writer.h"
#include "operator/cli/pretty_json.h"
#include "operator/cli/text.h"
#include "operator/run/spec.h"

namespace sandboxrun::cli {
namespace {

std::string_view message_of(const run::Status& status, run::ConditionType type) {
  const run::Condition* condition = status.find(type);
  return condition == nullptr ? std::string_view{} : std::string_view{condition->message};
}

// The condition Succeeded says what ended the run; the one that it rests on may say more.
std::string explain(const run::Status& status) {
  std::string why = one_line(message_of(status, run::ConditionType::Succeeded));
  for (const auto type : {run::ConditionType::EnvironmentVerified, run::ConditionType::AssetsPlaced,
                          run::ConditionType::ResultsStored}) {
    const run::Condition* condition = status.find(type);
    if (condition == nullptr || condition->status != run::ConditionStatus::False) continue;
    // Nobody asked for it, or the run didn't come that far: no cause of anything.
    if (condition->reason == "Skipped" || condition->reason == "NotRequested" ||
        condition->reason == "NotReached") {
      continue;
    }
    const std::string more = one_line(condition->message);
    if (more.empty() || why.find(more) != std::string::npos) continue;
    why += (why.empty() ? "" : "\n") + more;
  }
  const std::string_view advice = run::info(status.reason()).advice;
  if (!advice.empty() && advice != "Nothing.")
    why += (why.empty() ? "" : "\n") + std::string(advice);
  return why;
}

}  // namespace

Summary summarize(const launch::Outcome& outcome, std::chrono::milliseconds total) {
  const run::Status& status = outcome.status;
  Summary summary{.good = status.succeeded()};
  summary.outcome = summary.good ? "Succeeded" : "Failed";
  if (!summary.good) {
    summary.text = std::string(to_string(status.reason())) + "   ";
    summary.why = explain(status);
  }
  summary.text += outcome.started ? fmt::format("exit {}   ", outcome.exit_code) : "not started   ";
  summary.text += "total " + human_duration(total);
  return summary;
}

int exit_code(const launch::Outcome& outcome) {
  const bool lies = outcome.exit_code == 0 && !outcome.status.succeeded();
  return lies ? kExitNotStarted : outcome.exit_code;
}

std::string status_document(std::string_view name, const run::Status& status, Format format) {
  JsonWriter json;
  json.begin_object();
  json.member("apiVersion", run::kApiVersion).member("kind", run::kKind);
  json.key("metadata").begin_object().member("name", name).end_object();
  json.key("status").raw(run::encode_status(status)).end_object();
  if (format == Format::Yaml) return json_to_yaml(json.text()).value_or(json.text() + "\n");
  const auto node = parse_json(json.text());
  return node ? pretty_json(*node) : json.text() + "\n";
}

}  // namespace sandboxrun::cli
