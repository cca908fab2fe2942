#include "sandbox-image/protocol/guard_record.h"

#include <array>
#include <utility>

#include "sandbox-image/protocol/fields.h"

namespace sandboxrun::protocol {
namespace {

constexpr std::array kStages = {
    std::pair{GuardStage::Guard, std::string_view("guard")},
    std::pair{GuardStage::Setup, std::string_view("setup")},
    std::pair{GuardStage::Run, std::string_view("run")},
};

constexpr std::array kCauses = {
    std::pair{GuardCause::GuardFailed, std::string_view("guard-failed")},
    std::pair{GuardCause::SetupFailed, std::string_view("setup-failed")},
    std::pair{GuardCause::SetupTimeout, std::string_view("setup-timeout")},
    std::pair{GuardCause::Stopped, std::string_view("stopped")},
    std::pair{GuardCause::Exited, std::string_view("exited")},
    std::pair{GuardCause::Signaled, std::string_view("signaled")},
    std::pair{GuardCause::Deadline, std::string_view("deadline")},
    std::pair{GuardCause::NotFound, std::string_view("not-found")},
    std::pair{GuardCause::NotExecutable, std::string_view("not-executable")},
};

void read_code(Fields& fields, std::string_view name, std::optional<int>& out, int highest) {
  fields.with(name, [&](const Node& node, const std::string&) {
    if (node.kind != Node::Kind::Int || node.integer < 0 || node.integer > highest) {
      fields.fail(name, "expected an integer from 0 to " + std::to_string(highest));
    } else {
      out = static_cast<int>(node.integer);
    }
  });
}

void read_features(const Node& node, const std::string& path, std::string& error,
                   std::map<std::string, std::string>& out) {
  if (node.kind != Node::Kind::Map && error.empty()) error = path + ": expected a map";
  for (const Node::Entry& entry : node.entries) out[entry.key] = entry.value.text;
}

}  // namespace

std::string_view to_string(GuardStage stage) {
  return name_in(kStages, stage);
}
std::string_view to_string(GuardCause cause) {
  return name_in(kCauses, cause);
}

Result<GuardRecord> decode_guard_record(std::string_view json) {
  constexpr std::string_view kWhat = "guard record";
  auto node = parse_message(json, kWhat, kGuardRecordVersion, kMaxGuardRecordBytes);
  if (!node) return std::unexpected(node.error());
  GuardRecord record;
  std::string error;
  std::int64_t version = 0;
  std::optional<int> code;
  std::optional<int> signal;
  Fields fields(*node, "", error);
  fields.integer("v", version).text("token", record.token);
  read_name(fields, kStages, "stage", record.stage);
  read_name(fields, kCauses, "cause", record.cause);
  read_code(fields, "code", code, 255);
  read_code(fields, "childCode", record.child_code, 255);
  read_code(fields, "signal", signal, 64);
  read_code(fields, "step", record.step, 63);
  fields.boolean("started", record.started);
  fields.text("detail", record.detail).text("message", record.message);
  fields.with("features", [&](const Node& inner, const std::string& at) {
    read_features(inner, at, error, record.features);
  });
  fields.finish();
  if (!code) fields.fail("code", "required");
  if (!error.empty()) return failure(ErrorKind::InvalidInput, std::string(kWhat) + ": " + error);
  record.code = *code;
  record.signal = signal.value_or(0);
  return record;
}

}  // namespace sandboxrun::protocol
