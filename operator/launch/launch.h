#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/error.h"
#include "operator/run/plan.h"
#include "operator/run/status.h"
#include "sandbox-image/agent/agent.h"
#include "sandbox-image/protocol/work_order.h"

/// The embedded launcher: one plan becomes one OCI bundle, is run by an OCI runtime and leaves
/// nothing behind. There is no mode without a sandbox.
namespace sandboxrun::launch {

/// What the machine and the person who starts a run decide; nothing of it comes from a manifest.
struct Options {
  std::string runtime = "/usr/sbin/runc";  ///< absolute path; never looked up in PATH
  std::string guard;                       ///< absolute path of the static guard program
  std::string cache_dir;                   ///< verified images and environments, kept between runs
  std::string state_dir;    ///< stages live here while a run does; on a local file system
  std::string base_dir;     ///< against which relative `file:` sources are resolved
  std::string results_dir;  ///< where the results archive is stored; empty: it is not kept
  std::vector<std::string> image_layouts;      ///< OCI layout folders searched by digest, in order
  std::string skopeo = "/usr/bin/skopeo";      ///< fetches an image that no layout holds
  std::map<std::string, std::string> secrets;  ///< Secret name -> folder, one file a key
  std::map<std::string, std::string> config_maps;  ///< ConfigMap name -> folder, one file a key
  protocol::TransferPolicy transfer;
  std::uint32_t subordinate_id = 0;  ///< first host id of 65536 that only runs use; 0: from
                                     ///< /etc/subuid for root, else 200000
  std::stop_token hurry;  ///< asked for by whoever cancelled and doesn't want to wait: the run is
                          ///< killed without grace and its results are given up; all is cleaned up
  /// Called in the thread that called launch(), which has nothing else to do: to return when the
  /// descriptor `over` becomes readable, which it does once the run has ended.
  std::function<void(int over)> meanwhile;
};

/// Which part of a run is under way.
enum class Stage { Image, Environment, Assets, Setup, Running, Results, CleanUp };

/// Called from the launcher's own thread while it works; none may block for long.
struct Events {
  /// A stage began.
  std::function<void(Stage)> began;
  /// How far it is; `unit` is "bytes" or "entries", `total` 0 while unknown.
  std::function<void(Stage, std::int64_t done, std::int64_t total, std::string_view unit)> progress;
  /// It ended; `summary` is what a person wants to know, e.g. "fetched 48.2 MB, 2,014 files".
  std::function<void(Stage, std::string_view summary, std::chrono::milliseconds took)> ended;
  /// Bytes that the program wrote, as they came; `is_stderr` tells the stream. Untrusted.
  std::function<void(bool is_stderr, std::string_view bytes)> output;
  /// An attempt ended and another one follows; `message` says why and when.
  std::function<void(std::string_view message)> retrying;
};

/// How a run ended.
struct Outcome {
  run::Status status;        ///< what a cluster would have written
  bool started = false;      ///< the command was executed
  int exit_code = 125;       ///< for our own exit: the command's, or 125 if it never started
  std::string results_file;  ///< where the archive was stored, or empty
};

/// Runs a validated plan to its end: stage, prepare, run, collect, clean up; again, as
/// `spec.backoffLimit` and run::decide() say, each attempt with a stage of its own.
/// Guarantees: the command is started at most once an attempt; when it returns, stage, mounts,
/// cgroup and copies of secrets are gone (a failure to remove something is in `status` and does not
/// change the reason); nothing half-written is ever taken for whole. `cancel` stops the run as
/// `spec.cancel` would: results are still collected, and no attempt follows. Errors never echo the
/// host's paths of the stage nor a secret; the reason is in the status.
Outcome launch(const run::Plan& plan, const Options& options, const Events& events,
               std::stop_token cancel);

/// The config.json that launch() would use, as JSON text, without staging anything.
Result<std::string> render_bundle(const run::Plan& plan, const Options& options);

/// Removes what dead launchers left in `state_dir`: a stage whose lock is free.
/// Returns how many were removed. Errors: System, naming what could not be removed.
Result<int> reap(const std::string& state_dir, const std::string& runtime);

}  // namespace sandboxrun::launch
