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

// "2,014 files"; folders and links count too, but nobody calls them entries.
std::string count_of(std::int64_t count, std::string_view noun) {
  std::string digits = std::to_string(count);
  for (std::size_t i = digits.size(); i > 3;) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits + " " + std::string(noun) + (count == 1 ? "" : "s");
}

// "sha256:9c1e2a..41": enough to compare by eye; the status has all of it.
std::string short_digest(std::string_view digest) {
  constexpr std::size_t kFront = 13;
  if (digest.size() <= kFront + 4) return std::string(digest);
  return std::string(digest.substr(0, kFront)) + ".." +
         std::string(digest.substr(digest.size() - 2));
}

}  // namespace

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

StageEvents::~StageEvents() {
  if (open_) ended("did not finish");
}

void StageEvents::begin() {
  open_ = true;
  start_ = std::chrono::steady_clock::now();
  if (events_.began) events_.began(stage_);
}

void StageEvents::progress(std::int64_t done, std::int64_t total, std::string_view unit) const {
  if (events_.progress) events_.progress(stage_, done, total, unit);
}

void StageEvents::ended(std::string_view summary) {
  open_ = false;
  const auto took = std::chrono::steady_clock::now() - start_;
  if (events_.ended) {
    events_.ended(stage_, summary, std::chrono::duration_cast<std::chrono::milliseconds>(took));
  }
}

PrepareEvents::PrepareEvents(const Events& events, const run::Plan& plan, bool cached)
    : events_(events), plan_(plan), cached_(cached) {
  enter(plan.archive ? Stage::Environment : Stage::Assets);
}

void PrepareEvents::enter(Stage stage) {
  if (current_ && stage_ == stage) return;
  // Assets come after the environment, which is then in its place.
  if (current_) current_->ended(environment_summary());
  stage_ = stage;
  current_.emplace(events_, stage);
}

void PrepareEvents::progress(const agent::AgentProgress& progress) {
  const bool environment = progress.subject == Subject::Environment;
  enter(environment ? Stage::Environment : Stage::Assets);
  if (environment && progress.step == Step::Fetch) fetched_bytes_ = progress.done;
  if (environment && progress.step == Step::Unpack) unpacked_entries_ = progress.done;
  current_->progress(progress.done, progress.total, unit_of(progress.step));
}

void PrepareEvents::ended(const protocol::PrepareReport& report) {
  if (report.failure) return;
  if (report.environment) unpacked_entries_ = report.environment->entries;
  if (stage_ == Stage::Environment && !plan_.assets.empty()) enter(Stage::Assets);
  current_->ended(stage_ == Stage::Environment ? environment_summary() : assets_summary(report));
}

std::string PrepareEvents::environment_summary() const {
  const std::string verified = "verified " + short_digest(plan_.archive->digest);
  if (cached_) return "cached   " + verified;
  return "fetched " + human_size(fetched_bytes_) + "   " + verified + "   unpacked " +
         count_of(unpacked_entries_, "file");
}

std::string PrepareEvents::assets_summary(const protocol::PrepareReport& report) const {
  std::int64_t bytes = 0;
  for (const protocol::Placed& placed : report.assets) bytes += placed.bytes;
  std::string verified;
  for (const run::PlanAsset& asset : plan_.assets) {
    if (!asset.digest.empty()) verified += (verified.empty() ? "" : ", ") + asset.name;
  }
  std::string text = std::to_string(report.assets.size()) + " placed, " + human_size(bytes);
  if (!verified.empty()) text += " (" + verified + " verified)";
  return text;
}

void CollectEvents::progress(const agent::AgentProgress& progress) const {
  stage_.progress(progress.done, progress.total, unit_of(progress.step));
}

void CollectEvents::ended(const protocol::CollectReport& report, const std::string& file) {
  if (report.failure) return;
  std::string summary = count_of(report.entries, "file") + ", " + human_size(report.bytes);
  if (!file.empty()) summary += " -> " + file;
  stage_.ended(summary);
}

}  // namespace sandboxrun::launch
