#include <algorithm>
#include <array>
#include <map>

#include "operator/run/check.h"
#include "operator/run/limits.h"
#include "operator/run/path.h"
#include "operator/run/plan.h"
#include "operator/run/wording.h"

namespace sandboxrun::run {
namespace {

/// Places that belong to the sandbox itself or to the kernel.
constexpr std::array<std::string_view, 5> kReserved = {"/proc", "/sys", "/dev", "/sandboxrun",
                                                       "/env"};

void check_activate(Check& check, const std::string& path, std::string_view activate) {
  if (activate.empty()) return;
  const std::string normal = normalise(activate);
  if (activate.starts_with('/') || normal.substr(1) != activate) {
    return check.invalid(path, quoted(activate) +
                                   " must be a path inside the archive in its shortest form, such "
                                   "as activate.sh or bin/activate");
  }
  check.plain_text(path, activate, kMaxPath);
}

/// Reports the second of two items that have the same name.
template <typename Items>
void check_unique_names(Check& check, const std::string& path, const Items& items) {
  std::map<std::string_view, std::size_t> first;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto [found, fresh] = first.emplace(items[i].name, i);
    if (fresh) continue;
    check.invalid(item_path(path, i) + ".name", quoted(items[i].name) + " is also the name of " +
                                                    item_path(path, found->second) +
                                                    "; names are unique in a list");
  }
}

/// True: the target may be compared with others.
bool check_target(Check& check, const std::string& path, std::string_view target) {
  if (target.starts_with('/')) {
    const std::string normal = normalise(target);
    if (!is_below(normal, kWorkDir) && !is_below(normal, kDataDir)) {
      const bool is_root = normal == kWorkDir || normal == kDataDir;
      check.invalid(path, quoted(target) + (is_root ? " is one of the roots itself; name a file or "
                                                      "folder below it"
                                                    : " leaves the allowed roots /work and /data"));
      return false;
    }
  }
  return check.absolute_path(path, target);
}

void check_overlaps(Check& check, const Spec& spec, const std::vector<bool>& comparable) {
  for (std::size_t i = 0; i < spec.assets.size(); ++i) {
    const std::string& target = spec.assets[i].target;
    const std::string path = item_path("spec.assets", i) + ".target";
    if (!comparable[i]) continue;
    if (spec.results) {
      const std::string_view results = results_path(*spec.results);
      if (is_within(target, results) || is_within(results, target)) {
        check.invalid(path, quoted(target) + " overlaps the results folder " + quoted(results) +
                                "; choose another place for one of them");
      }
    }
    for (std::size_t j = 0; j < i; ++j) {
      const std::string& other = spec.assets[j].target;
      if (!comparable[j] || (!is_within(target, other) && !is_within(other, target))) continue;
      check.invalid(path,
                    quoted(target) +
                        (target == other ? " is also the target of " : " and the target of ") +
                        item_path("spec.assets", j) +
                        (target == other ? "; give each asset a place of its own"
                                         : " lie inside one another; move one of them"));
      break;
    }
  }
}

void check_mode(Check& check, const std::string& path, const Asset& asset) {
  if (!asset.mode) return;
  if (*asset.mode < 0 || *asset.mode > 0777) {
    return check.invalid(path, std::to_string(*asset.mode) +
                                   " is not a file mode; write permission bits in octal, such as "
                                   "0444 or 0555 (in JSON: 292 or 365)");
  }
  const std::int64_t needed = asset.read_only.value_or(true) ? 04 : 06;
  if ((*asset.mode & needed) == needed) return;
  check.invalid(path, needed == 04
                          ? "keeps the run from reading the asset, which belongs to another user; "
                            "add 0004"
                          : "keeps the run from changing the asset, which belongs to another user; "
                            "add 0006");
}

void check_asset(Check& check, const std::string& path, const Asset& asset) {
  check.label(path + ".name", asset.name);
  check_source(check, path + ".source", asset.source, SourceUse::Asset);
  if (!asset.digest.empty()) check.digest(path + ".digest", asset.digest);
  check_mode(check, path + ".mode", asset);
  if (asset.unpack.value_or(false) && asset.mode) {
    check.invalid(path + ".mode", "has no meaning with unpack: the archive says the modes");
  }
  if (asset.unpack.value_or(false) && asset.source.inline_text) {
    check.invalid(path + ".unpack", "has no meaning with inline text, which is no archive");
  }
}

bool is_env_name(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && name.size() <= kMaxEnvName && letter(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

void check_env_var(Check& check, const std::string& path, const EnvVar& env) {
  if (!is_env_name(env.name)) {
    check.invalid(path + ".name", quoted(env.name) +
                                      " is not a variable's name: letters, digits and _, not "
                                      "beginning with a digit, at most 256");
  } else if (env.name.starts_with("SANDBOXRUN_")) {
    check.invalid(path + ".name",
                  quoted(env.name) + " is reserved: the sandbox sets SANDBOXRUN_* itself");
  }
  if (env.value && (env.secret || env.config_map)) {
    check.invalid(path, "has both value and valueFrom; keep one");
  }
  if (env.secret && env.config_map) {
    check.invalid(path + ".valueFrom", "has both secretKeyRef and configMapKeyRef; keep one");
  }
  if (env.value) {
    check.argument(path + ".value", env.value->size() + env.name.size() + 1 > kMaxArgumentBytes
                                        ? std::string(kMaxArgumentBytes + 1, ' ')
                                        : *env.value);
  }
  if (env.secret) check.key_reference(path + ".valueFrom.secretKeyRef", *env.secret);
  if (env.config_map) check.key_reference(path + ".valueFrom.configMapKeyRef", *env.config_map);
}

void check_working_dir(Check& check, const std::string& path, const Spec& spec) {
  if (spec.working_dir.empty() || !check.absolute_path(path, spec.working_dir)) return;
  for (const std::string_view reserved : kReserved) {
    // The environment archive is a fine place to work in.
    if (reserved == kEnvDir || !is_within(spec.working_dir, reserved)) continue;
    check.invalid(path, quoted(spec.working_dir) +
                            " belongs to the system; use a folder of the "
                            "image, /work or below it");
  }
}

}  // namespace

std::string_view results_path(const Results& results) {
  return results.path.empty() ? kDefaultResultsDir : std::string_view(results.path);
}

void check_environment(Check& check, const Environment& environment) {
  check.image("spec.environment.image", environment.image);
  if (!environment.archive) return;
  const EnvironmentArchive& archive = *environment.archive;
  check_source(check, "spec.environment.archive.source", archive.source, SourceUse::Archive);
  check.digest("spec.environment.archive.digest", archive.digest);
  check_activate(check, "spec.environment.archive.activate", archive.activate);
}

void check_assets(Check& check, const Spec& spec) {
  check.max_items("spec.assets", spec.assets.size(), kMaxAssets, "assets");
  // What is over the limit is not compared pair by pair.
  if (spec.assets.size() > kMaxAssets) return;
  std::vector<bool> comparable(spec.assets.size(), false);
  std::size_t inline_bytes = 0;
  for (std::size_t i = 0; i < spec.assets.size(); ++i) {
    const std::string path = item_path("spec.assets", i);
    check_asset(check, path, spec.assets[i]);
    comparable[i] = check_target(check, path + ".target", spec.assets[i].target);
    inline_bytes += spec.assets[i].source.inline_text.value_or("").size();
  }
  check_unique_names(check, "spec.assets", spec.assets);
  check_overlaps(check, spec, comparable);
  if (inline_bytes <= kMaxInlineTotalBytes) return;
  check.invalid("spec.assets", "hold " + std::to_string(inline_bytes) +
                                   " bytes of inline text together; at most " +
                                   std::to_string(kMaxInlineTotalBytes) +
                                   " are allowed: use a ConfigMap, https or s3");
}

void check_results(Check& check, const Spec& spec) {
  if (!spec.results) return;
  const Results& results = *spec.results;
  const std::string_view path = results_path(results);
  if (check.absolute_path("spec.results.path", path) && path != kDefaultResultsDir &&
      !is_below(path, kDefaultResultsDir) && !is_below(path, kWorkDir) &&
      !is_below(path, kDataDir)) {
    check.invalid("spec.results.path", quoted(path) +
                                           " cannot be a results folder; use /results or a folder "
                                           "below /results, /work or /data");
  }
  check.range("spec.results.maxBytes", results.max_bytes, 1, kMaxResultsBytes);
  check.range("spec.results.maxEntries", results.max_entries, 1, kMaxResultsEntries);
  check.range("spec.results.timeoutSeconds", results.timeout_seconds, 1, kMaxResultsTimeout);
  const bool skip = results.skip_upload.value_or(false);
  if (!results.upload && !skip) {
    check.invalid("spec.results",
                  "needs upload, or skipUpload: true if the results are not to be "
                  "stored anywhere");
  }
  if (results.upload && skip) {
    check.invalid("spec.results.skipUpload", "excludes upload; remove one of them");
  }
  if (results.upload) check_upload(check, "spec.results.upload", *results.upload);
}

void check_process(Check& check, const Spec& spec) {
  check.command("spec.command", spec.command);
  check.max_items("spec.args", spec.args.size(), kMaxArguments, "strings");
  for (std::size_t i = 0; i < spec.args.size(); ++i) {
    check.argument(item_path("spec.args", i), spec.args[i]);
  }
  check_working_dir(check, "spec.workingDir", spec);
  check.max_items("spec.env", spec.env.size(), kMaxEnv, "variables");
  for (std::size_t i = 0; i < spec.env.size(); ++i) {
    check_env_var(check, item_path("spec.env", i), spec.env[i]);
  }
  check_unique_names(check, "spec.env", spec.env);
  check.max_items("spec.setup", spec.setup.size(), kMaxSteps, "steps");
  for (std::size_t i = 0; i < spec.setup.size(); ++i) {
    const std::string path = item_path("spec.setup", i);
    check.label(path + ".name", spec.setup[i].name);
    check.command(path + ".command", spec.setup[i].command);
    check.range(path + ".timeoutSeconds", spec.setup[i].timeout_seconds, 1, kMaxStepTimeout);
  }
  check_unique_names(check, "spec.setup", spec.setup);
  check.range("spec.activeDeadlineSeconds", spec.active_deadline_seconds, 1, kMaxSeconds);
  check.range("spec.startDeadlineSeconds", spec.start_deadline_seconds, 1, kMaxSeconds);
  check.range("spec.ttlSecondsAfterFinished", spec.ttl_seconds_after_finished, 0, kMaxSeconds);
  check.range("spec.backoffLimit", spec.backoff_limit, 0, kMaxBackoffLimit);
}

}  // namespace sandboxrun::run
