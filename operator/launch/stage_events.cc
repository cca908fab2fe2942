#include "operator/launch/stage_events.h"

#include <array>
#include <cstdio>

namespace sandboxrun::launch {
namespace {

using protocol::Step;
using protocol::Subject;

std::string_view unit_of(Step step) {
  return step == Step::Unpack || step == Step::Archive ? "entries" : "bytes";
}

std::string describe(const protocol::Placed& placed) {
  std::string text = human_size(placed.bytes);
  if (placed.entries > 0) text += ", " + std::to_string(placed.entries) + " entries";
  return text;
}

}  // namespace

std::string_view to_string(Stage stage) {
  switch (stage) {
    case Stage::Image:
      return "image";
    case Stage::Environment:
      return "environment";
    case Stage::Assets:
      return "assets";
    case Stage::Setup:
      return "setup";
    case Stage::Running:
      return "running";
    case Stage::Results:
      return "results";
    case Stage::CleanUp:
      return "clean-up";
  }
  return "setup";
}

std::string human_size(std::int64_t bytes) {
  constexpr std::array units = {"kB", "MB", "GB", "TB"};
  if (bytes < 1000) return std::to_string(bytes) + " bytes";
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.1f %s", value, units[unit]);
  return text.data();
}

StageEvents::StageEvents(const Events& events, Stage stage, bool begin_now)
    : events_(events), stage_(stage), start_(std::chrono::steady_clock::now()) {
  if (begin_now) begin();
}

void StageEvents::begin() {
  start_ = std::chrono::steady_clock::now();
  if (events_.began) events_.began(stage_);
}

void StageEvents::progress(std::int64_t done, std::int64_t total, std::string_view unit) const {
  if (events_.progress) events_.progress(stage_, done, total, unit);
}

void StageEvents::ended(std::string_view summary) {
  const auto took = std::chrono::steady_clock::now() - start_;
  if (events_.ended) {
    events_.ended(stage_, summary, std::chrono::duration_cast<std::chrono::milliseconds>(took));
  }
}

PrepareEvents::PrepareEvents(const Events& events, const run::Plan& plan)
    : events_(events), plan_(plan) {
  enter(plan.archive ? Stage::Environment : Stage::Assets);
}

void PrepareEvents::enter(Stage stage) {
  if (current_ && stage_ == stage) return;
  if (current_) current_->ended("");
  stage_ = stage;
  current_.emplace(events_, stage);
}

void PrepareEvents::progress(const agent::AgentProgress& progress) {
  enter(progress.subject == Subject::Environment ? Stage::Environment : Stage::Assets);
  current_->progress(progress.done, progress.total, unit_of(progress.step));
}

void PrepareEvents::ended(const protocol::PrepareReport& report, bool cached) {
  if (report.failure) return;
  std::string summary;
  if (stage_ == Stage::Environment && report.environment) {
    summary = cached ? "cached" : describe(*report.environment);
  } else if (stage_ == Stage::Assets) {
    std::int64_t bytes = 0;
    for (const protocol::Placed& placed : report.assets) bytes += placed.bytes;
    summary = std::to_string(report.assets.size()) + " placed, " + human_size(bytes);
  }
  current_->ended(summary);
}

void CollectEvents::progress(const agent::AgentProgress& progress) const {
  stage_.progress(progress.done, progress.total, unit_of(progress.step));
}

void CollectEvents::ended(const protocol::CollectReport& report, const std::string& file) {
  if (report.failure) return;
  std::string summary =
      human_size(report.bytes) + ", " + std::to_string(report.entries) + " entries";
  if (!file.empty()) summary += ", " + file;
  stage_.ended(summary);
}

}  // namespace sandboxrun::launch
