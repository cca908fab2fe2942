#include "tests/support/run/world.h"

#include "operator/base/json_writer.h"

namespace sandboxrun::run::testing {
namespace {

Plan full_plan() {
  Plan plan;
  plan.name = "weather";
  plan.image = "registry.example/base@" + kDigest;
  plan.archive = PlanArchive{.source = InlineSource{"x"}, .digest = kDigest, .activate = {}};
  plan.argv = {"/bin/true"};
  plan.assets = {PlanAsset{.name = "model",
                           .source = InlineSource{"x"},
                           .target = "/work/model.bin",
                           .digest = kDigest}};
  plan.results = PlanResults{
      .path = "/results",
      .max_bytes = 1 << 20,
      .max_entries = 100,
      .timeout_seconds = 300,
      .upload = HttpsSource{
          .url = "https://store.example/put", .url_secret = {}, .headers_secret = {}, .ca = {}}};
  plan.active_deadline_seconds = 600;
  plan.start_deadline_seconds = 3600;
  return plan;
}

}  // namespace

TimePoint at(double seconds) {
  return *parse_time("2026-05-01T08:00:00Z") +
         Milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

std::string write(const Record& record) {
  JsonWriter json;
  json.begin_object()
      .member("v", 1)
      .member("token", record.token)
      .member("stage", record.stage)
      .member("cause", record.cause)
      .member("code", record.code)
      .member("started", record.started);
  if (record.step >= 0) json.member("step", record.step);
  if (record.child_code >= 0) json.member("childCode", record.child_code);
  if (record.signal > 0) json.member("signal", record.signal);
  json.key("features")
      .begin_object()
      .end_object()
      .member("detail", record.detail)
      .member("message", record.message)
      .end_object();
  return json.take();
}

std::string good_prepare_report() {
  protocol::PrepareReport report;
  report.environment = protocol::Placed{.digest = kDigest, .bytes = 1000, .entries = 10};
  report.assets = {protocol::Placed{.digest = "", .bytes = 7, .entries = 0}};
  report.milliseconds = 1200;
  return protocol::encode(report);
}

std::string good_collect_report() {
  protocol::CollectReport report;
  report.digest = kOtherDigest;
  report.bytes = 500;
  report.entries = 3;
  report.stored = true;
  report.milliseconds = 800;
  return protocol::encode(report);
}

namespace {

protocol::ReportFailure failure_of(protocol::Subject subject, protocol::Step step, ErrorKind kind) {
  const bool digest = kind == ErrorKind::DigestMismatch;
  return {.subject = subject,
          .index = subject == protocol::Subject::Asset ? 0 : -1,
          .step = step,
          .kind = kind,
          .message = "what went wrong",
          .expected = digest ? kDigest : "",
          .found = digest ? kOtherDigest : ""};
}

}  // namespace

std::string failed_prepare_report(protocol::Subject subject, protocol::Step step, ErrorKind kind) {
  protocol::PrepareReport report;
  report.failure = failure_of(subject, step, kind);
  return protocol::encode(report);
}

std::string failed_collect_report(protocol::Step step, ErrorKind kind) {
  protocol::CollectReport report;
  report.failure = failure_of(protocol::Subject::Results, step, kind);
  return protocol::encode(report);
}

Ended ended(int exit_code, double start, double finish, std::string message,
            std::string runtime_reason) {
  return Ended{.exit_code = exit_code,
               .signal = 0,
               .runtime_reason = std::move(runtime_reason),
               .start = at(start),
               .finish = at(finish),
               .termination_message = std::move(message)};
}

World::World() : plan(full_plan()) {
  seen.wishes.created = at(0);
  pod().presence = Presence::Present;
  pod().name = "weather-1";
  pod().uid = "uid-1";
  pod().node = "node-1";
  pod().created = at(1);
  pod().scheduled = at(2);
  pod().token = kToken;
  pod().run.image_id = "registry.example/base@" + kOtherDigest;

  running();
  previous = run::decide(plan, seen, {}, at(10)).status;

  pod().over = true;
  pod().run.state = ended(0, 10, 20, write({}), "Completed");
  pod().collect.state = ended(0, 3, 25, good_collect_report(), "Completed");
  now = at(100);
}

void World::exits(int code) {
  run().exit_code = code;
  run().runtime_reason = code == 0 ? "Completed" : "Error";
  run().termination_message = write({.code = code, .child_code = code});
}

void World::not_created() {
  seen.attempt = AttemptFacts{};
  pod().presence = Presence::Absent;
  previous = {};
  now = at(1);
}

void World::not_scheduled() {
  pod().over = false;
  pod().node.clear();
  pod().scheduled.reset();
  pod().prepare = pod().run = pod().collect = {};
  previous = {};
  now = at(2);
}

void World::preparing() {
  pod().over = false;
  pod().prepare.state = Started{at(3)};
  pod().run = {};
  pod().run.state = Waiting{"PodInitializing", ""};
  pod().collect.state = Started{at(3)};
  previous = {};
  now = at(5);
}

void World::running() {
  pod().over = false;
  pod().prepare.state = ended(0, 3, 9, good_prepare_report(), "Completed");
  pod().run.state = Started{at(10)};
  pod().collect.state = Started{at(3)};
  now = at(15);
}

void World::collecting() {
  pod().over = false;
  pod().collect.state = Started{at(3)};
  now = at(22);
}

void World::never_started() {
  preparing();
  pod().over = true;
  pod().prepare.state = ended(1, 3, 9, "", "Error");
}

void World::only_a_command() {
  plan.archive.reset();
  plan.assets.clear();
  plan.results.reset();
  pod().prepare = {};
  pod().collect = {};
}

void World::stopped(Reason reason, double when) {
  pod().stop = StopRequest{reason, at(when)};
}

void World::interrupted(InterruptionKind kind, std::optional<double> when) {
  Interruption interruption;
  interruption.kind = kind;
  if (when) interruption.at = at(*when);
  pod().interruptions.push_back(interruption);
}

Decision World::step() {
  Decision decision = decide();
  previous = decision.status;
  return decision;
}

}  // namespace sandboxrun::run::testing
