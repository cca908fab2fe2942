#include "operator/launch/launcher.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "operator/base/random.h"
#include "operator/launch/bundle.h"
#include "operator/launch/files.h"
#include "operator/launch/mounts.h"
#include "operator/launch/references.h"
#include "operator/launch/results_file.h"
#include "operator/launch/run_process.h"
#include "operator/launch/stage_events.h"
#include "operator/launch/wall_clock.h"
#include "sandbox-image/protocol/guard_record.h"

namespace sandboxrun::launch {
namespace {

constexpr std::chrono::seconds kDeadlineSlack{10};  // what the guard's own deadline gets on top
constexpr int kNeverStarted = 125;

/// The guard is executed inside the sandbox only, but by every run: nobody else may change it.
Result<UniqueFd> open_guard(const std::string& path) {
  if (!is_plain_absolute(path)) {
    return failure(ErrorKind::InvalidInput, "the guard (--guard) must be an absolute path");
  }
  UniqueFd guard(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info{};
  if (!guard || fstat(guard.get(), &info) != 0) {
    return failure(ErrorKind::Unavailable,
                   "the guard program is missing; install it or name it "
                   "with --guard");
  }
  if (!S_ISREG(info.st_mode) || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
      (info.st_mode & 0555) != 0555) {
    return failure(ErrorKind::Denied,
                   "the guard must be a file of mode 0555 that nobody else can "
                   "change");
  }
  return guard;
}

protocol::PrepareReport lost_environment(const Error& error) {
  return {.failure = protocol::ReportFailure{.subject = protocol::Subject::Environment,
                                             .step = protocol::Step::Place,
                                             .kind = error.kind,
                                             .message = error.message}};
}

}  // namespace

Launcher::Launcher(const run::Plan& plan, const Options& options, const Events& events,
                   std::stop_token cancel, History history)
    : plan_(plan),
      options_(options),
      events_(events),
      cancel_(std::move(cancel)),
      begun_(wall_clock()),
      token_(random_hex(16)),
      observer_(plan, plan.name, token_, begun_, std::move(history)),
      deadline_(std::chrono::seconds(plan.start_deadline_seconds), cancel_) {}

Outcome Launcher::run() {
  if (plan_.network.mode != run::NetworkMode::None) {
    outcome_.status = observer_.refuse_network(wall_clock());
    return std::move(outcome_);
  }
  if (check_host() && make_stage() && get_image() && get_environment() && fill_volumes() &&
      make_bundle() && execute()) {
    collect();
  }
  note_stop();
  clean_up();
  outcome_.status = observer_.conclude(wall_clock());
  // The exit code of a shell's `&&` must not say more than the status does.
  if (outcome_.exit_code == 0 && !outcome_.status.succeeded()) outcome_.exit_code = kNeverStarted;
  return std::move(outcome_);
}

bool Launcher::fail(Obstacle obstacle, const Error& error) {
  observer_.failed(obstacle, error);
  return false;
}

void Launcher::note_stop() {
  if (end_.started) return;  // what came later changed nothing
  if (cancel_.stop_requested()) {
    observer_.stopped(run::Reason::Cancelled, begun_);
  } else if (deadline_.passed()) {
    observer_.stopped(run::Reason::StartDeadlineExceeded, begun_);
  }
}

bool Launcher::check_host() {
  auto runtime = open_program(options_.runtime, "the OCI runtime (--runtime)");
  if (!runtime) return fail(Obstacle::Runtime, runtime.error());
  runtime_ = std::move(*runtime);
  if (auto kernel = check_kernel(); !kernel) return fail(Obstacle::Sandbox, kernel.error());
  auto guard = open_guard(options_.guard);
  if (!guard) return fail(Obstacle::Sandbox, guard.error());
  guard_ = std::move(*guard);
  auto base = subordinate_base(options_.subordinate_id);
  if (!base) return fail(Obstacle::Sandbox, base.error());
  id_base_ = *base;
  if (auto known = check_references(plan_, options_); !known) {
    return fail(Obstacle::Reference, known.error());
  }
  auto values = resolve_environment(plan_, options_);
  if (!values) return fail(Obstacle::Reference, values.error());
  values_ = std::move(*values);
  return true;
}

bool Launcher::make_stage() {
  auto stage = StageFolder::create(options_.state_dir, id_base_);
  if (!stage) return fail(Obstacle::Sandbox, stage.error());
  stage_.emplace(std::move(*stage));
  observer_.name(stage_->id());
  if (run::needs_prepare(plan_) || plan_.results) {
    if (auto added = stage_->add_scratch(); !added) return fail(Obstacle::Sandbox, added.error());
  }
  auto cgroup = Cgroup::for_run(stage_->id());
  if (!cgroup) return fail(Obstacle::Sandbox, cgroup.error());
  cgroup_.emplace(std::move(*cgroup));
  return true;
}

bool Launcher::get_image() {
  StageEvents stage(events_, Stage::Image);
  ImageStoreOptions store{
      .cache_dir = options_.cache_dir,
      .layouts = options_.image_layouts,
      .skopeo = options_.skopeo,
      .scratch_dir = stage_->path(),
      .scratch = stage_->directory(),
      .id_base = id_base_,
      .stop = [&] { return deadline_.token(); },
      .progress = [&](std::int64_t entries) { stage.progress(entries, 0, "entries"); }};
  auto rootfs = get_rootfs(plan_.image, store);
  if (!rootfs) return fail(Obstacle::Image, rootfs.error());
  stage.ended(rootfs->cached ? "cached" : "verified and unpacked");
  rootfs_.emplace(std::move(*rootfs));
  return true;
}

bool Launcher::get_environment() {
  if (!plan_.archive) return true;
  auto slot =
      EnvironmentSlot::acquire(options_.cache_dir, *plan_.archive, id_base_, deadline_.token());
  if (!slot) return fail(Obstacle::Sandbox, slot.error());
  environment_.emplace(std::move(*slot));
  return true;
}

Result<void> Launcher::add_mounts() {
  std::vector<std::string> made;
  for (const run::Mount& mount : run::mounts_for(plan_)) {
    const std::string name(run::to_string(mount.volume));
    if (mount.volume == run::Volume::Env || std::ranges::find(made, name) != made.end()) continue;
    made.push_back(name);
    auto added = mount.volume == run::Volume::Assets
                     ? stage_->add_placed(name)
                     : stage_->add_volume(name, plan_.scratch.medium, plan_.scratch.size_bytes);
    if (!added) return added;
  }
  return {};
}

run::Layout Launcher::layout() const {
  run::Layout layout;
  layout.work_dir = stage_->path_of("work");
  layout.data_dir = stage_->path_of("data");
  layout.assets_dir = stage_->path_of("assets");
  layout.results_dir = stage_->path_of("results");
  if (environment_) layout.env_dir = environment_->build_path();
  layout.secret_folders = options_.secrets;
  layout.config_map_folders = options_.config_maps;
  layout.files_dir = options_.base_dir;
  layout.transfer = options_.transfer;
  return layout;
}

bool Launcher::fill_volumes() {
  if (auto added = add_mounts(); !added) return fail(Obstacle::Sandbox, added.error());
  if (!run::needs_prepare(plan_)) return true;
  const bool cached = environment_ && environment_->placed();
  PrepareEvents events(events_, plan_, cached);
  agent::AgentContext context{
      .staging_dir = stage_->scratch_path(),
      .owner = std::pair(id_base_ + kPrepareId, id_base_ + kPrepareId),
      .stop = deadline_.token(),
      .progress = [&](const agent::AgentProgress& progress) { events.progress(progress); },
      .have_environment =
          [&](const protocol::EnvironmentOrder&) { return environment_->placed(); }};
  const TimePoint start = wall_clock();
  auto report = agent::prepare(run::prepare_order(plan_, layout()), context);
  if (environment_ && !cached && report.environment) {
    report.environment->digest = plan_.archive->digest;
    if (auto kept = environment_->publish(*report.environment); !kept) {
      report = lost_environment(kept.error());
    }
  }
  note_stop();
  observer_.prepared(report, start, wall_clock());
  events.ended(report);
  return !report.failure;
}

bool Launcher::make_bundle() {
  StageEvents events(events_, Stage::Setup);
  const BundleInput input{.plan = plan_,
                          .env = run_environment(rootfs_->config, values_, token_),
                          .mounts = bundle_mounts(plan_),
                          .id_base = id_base_,
                          .cgroup_path = cgroup_->path(),
                          .limit_swap = cgroup_->limits_swap()};
  const auto make = [&]() -> Result<void> {
    for (const char* name : {kUpper, "runtime"}) {
      const mode_t mode = name == kUpper ? 0755 : 0700;
      const std::uint32_t owner = name == kUpper ? id_base_ : 0;
      auto made = make_owned_directory(stage_->bundle(), name, mode, owner);
      if (!made) return made;
    }
    auto upper = open_directory(stage_->bundle(), kUpper, "opening the upper layer");
    if (!upper) return std::unexpected(upper.error());
    auto made = make_mount_points(input.mounts, rootfs_->tree.get(), upper->get(), id_base_);
    if (made) made = stage_->add_rootfs(rootfs_->tree.get());
    if (made) made = stage_->add_guard(guard_.get());
    if (made && environment_) made = stage_->add_read_only("env", environment_->tree());
    if (!made) return made;
    return write_new_file(stage_->bundle(), "config.json", render_config(input), 0400,
                          "writing the bundle");
  };
  if (auto made = make(); !made) return fail(Obstacle::Sandbox, made.error());
  events.ended("");
  return true;
}

bool Launcher::execute() {
  if (deadline_.over()) return false;
  StageEvents events(events_, Stage::Running, /*begin_now=*/false);
  std::chrono::seconds allowance =
      std::chrono::seconds(plan_.active_deadline_seconds + run::kGraceSeconds) + kDeadlineSlack;
  for (const run::PlanStep& step : plan_.setup)
    allowance += std::chrono::seconds(step.timeout_seconds);
  std::int64_t disk = 0;
  if (plan_.scratch.medium == run::Medium::Disk) {
    disk = plan_.scratch.size_bytes + (plan_.results ? plan_.results->max_bytes : 0);
  }
  const RunRequest request{.runtime = runtime_,
                           .bundle_path = stage_->bundle_path(),
                           .id = stage_->id(),
                           .cgroup = *cgroup_,
                           .start_allowance = deadline_.left(),
                           .run_allowance = allowance,
                           .grace = std::chrono::seconds(run::kGraceSeconds),
                           .disk = stage_->disk(),
                           .max_disk_bytes = disk,
                           .cancel = cancel_,
                           .hurry = options_.hurry,
                           .began = [&] { events.begin(); },
                           .output = events_.output};
  auto end = run_bundle(request);
  if (!end) return fail(Obstacle::Sandbox, end.error());
  end_ = std::move(*end);
  observer_.ran(end_, stage_->path());
  if (!end_.started) return false;
  events.ended("exit code " + std::to_string(end_.exit_code));
  const auto record = protocol::decode_guard_record(end_.record);
  outcome_.started = !record || record->started;
  outcome_.exit_code = end_.exit_code;
  return true;
}

void Launcher::collect() {
  const bool upload = run::needs_collect(plan_);
  if (!plan_.results || (!upload && options_.results_dir.empty())) return;
  if (options_.hurry.stop_requested()) return;
  CollectEvents events(events_);
  agent::AgentContext context{
      .staging_dir = stage_->scratch_path(),
      .stop = options_.hurry,
      .progress = [&](const agent::AgentProgress& progress) { events.progress(progress); }};
  const TimePoint start = wall_clock();
  auto collected = agent::collect(run::collect_order(plan_, layout()), context);
  protocol::CollectReport& report = collected.report;
  if (collected.archive && !options_.results_dir.empty()) {
    auto file = store_archive(collected.archive.get(), report.bytes, options_.results_dir, plan_);
    if (file) {
      outcome_.results_file = std::move(*file);
      report.stored = report.stored || !upload;
    } else if (!report.failure) {
      report.stored = false;
      report.failure = protocol::ReportFailure{.subject = protocol::Subject::Results,
                                               .step = protocol::Step::Upload,
                                               .kind = file.error().kind,
                                               .message = file.error().message};
    }
  }
  observer_.collected(report, start, wall_clock());
  events.ended(report, outcome_.results_file);
}

void Launcher::clean_up() {
  environment_.reset();
  rootfs_.reset();
  if (!stage_) return;
  StageEvents events(events_, Stage::CleanUp);
  if (cgroup_) {
    if (auto removed = cgroup_->remove(); !removed) clean_up_problem_ = removed.error().message;
  }
  if (auto removed = stage_->remove(); !removed) clean_up_problem_ = removed.error().message;
  events.ended(clean_up_problem_.empty() ? "" : clean_up_problem_ + "; the next run tries again");
}

}  // namespace sandboxrun::launch
