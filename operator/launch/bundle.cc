#include "operator/launch/bundle.h"

#include <algorithm>
#include <array>

#include "operator/base/json_writer.h"
#include "operator/launch/host.h"
#include "operator/launch/seccomp_profile.h"
#include "operator/run/orders.h"

namespace sandboxrun::launch {
namespace {

constexpr std::string_view kSpecVersion = "1.0.2";
constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::int64_t kCpuPeriodMicroseconds = 100'000;
constexpr std::int64_t kOpenFiles = 16'384;

constexpr std::array<std::string_view, 5> kCapabilitySets = {"bounding", "effective", "inheritable",
                                                             "permitted", "ambient"};
constexpr std::array<std::string_view, 7> kNamespaces = {"pid", "network", "mount", "ipc",
                                                         "uts", "cgroup",  "user"};
// What tells about the host or reaches its kernel.
constexpr std::array<std::string_view, 14> kMaskedPaths = {
    "/proc/acpi",    "/proc/asound",     "/proc/interrupts",    "/proc/kcore",
    "/proc/keys",    "/proc/key-users",  "/proc/latency_stats", "/proc/sched_debug",
    "/proc/scsi",    "/proc/timer_list", "/proc/timer_stats",   "/sys/devices/virtual/powercap",
    "/sys/firmware", "/sys/fs/cgroup"};
constexpr std::array<std::string_view, 5> kReadonlyPaths = {"/proc/bus", "/proc/fs", "/proc/irq",
                                                            "/proc/sys", "/proc/sysrq-trigger"};

template <typename Texts>
void write_texts(JsonWriter& json, std::string_view name, const Texts& texts) {
  json.key(name).begin_array();
  for (const auto& text : texts) json.string(text);
  json.end_array();
}

void write_rlimit(JsonWriter& json, std::string_view type, std::int64_t value) {
  json.begin_object();
  json.member("type", type).member("hard", value).member("soft", value);
  json.end_object();
}

/// No file can be larger than the volumes are together.
std::int64_t largest_file(const run::Plan& plan) {
  return plan.scratch.size_bytes + (plan.results ? plan.results->max_bytes : 0);
}

void write_process(JsonWriter& json, const BundleInput& input) {
  json.key("process").begin_object();
  json.member("terminal", false);
  json.key("user").begin_object();
  json.member("uid", static_cast<std::int64_t>(kRunId))
      .member("gid", static_cast<std::int64_t>(kRunId));
  json.member("umask", 0077);
  json.end_object();
  std::vector<std::string> args = {guard_path()};
  const run::GuardOptions options{.nofile = kOpenFiles,
                                  .fsize_bytes = largest_file(input.plan),
                                  .require_userns = true,
                                  .record_fd = kRecordFd};
  std::ranges::move(run::guard_arguments(input.plan, options), std::back_inserter(args));
  write_texts(json, "args", args);
  write_texts(json, "env", input.env);
  json.member("cwd", input.plan.working_dir);
  json.key("capabilities").begin_object();
  for (const std::string_view set : kCapabilitySets) json.key(set).begin_array().end_array();
  json.end_object();
  json.key("rlimits").begin_array();
  write_rlimit(json, "RLIMIT_CORE", 0);
  write_rlimit(json, "RLIMIT_MEMLOCK", 0);
  json.end_array();
  json.member("noNewPrivileges", true);
  json.end_object();
}

void write_mounts(JsonWriter& json, const BundleInput& input) {
  json.key("mounts").begin_array();
  for (const BundleMount& mount : input.mounts) {
    json.begin_object();
    json.member("destination", mount.destination).member("type", mount.type);
    json.member("source", mount.source);
    write_texts(json, "options", mount.options);
    json.end_object();
  }
  json.end_array();
}

void write_mapping(JsonWriter& json, std::string_view name, std::uint32_t base) {
  json.key(name).begin_array().begin_object();
  json.member("containerID", 0).member("hostID", static_cast<std::int64_t>(base));
  json.member("size", static_cast<std::int64_t>(kMappedIds));
  json.end_object().end_array();
}

void write_resources(JsonWriter& json, const BundleInput& input) {
  const run::PlanResourceList& limits = input.plan.limits;
  json.key("resources").begin_object();
  json.key("devices").begin_array().begin_object();
  json.member("allow", false).member("access", "rwm");
  json.end_object().end_array();
  json.key("memory").begin_object();
  json.member("limit", limits.memory_bytes);
  if (input.limit_swap) json.member("swap", limits.memory_bytes);  // memory and swap together
  json.end_object();
  json.key("cpu").begin_object();
  json.member("quota", limits.cpu_millis * kCpuPeriodMicroseconds / 1000);
  json.member("period", kCpuPeriodMicroseconds);
  json.end_object();
  json.key("pids").begin_object();
  json.member("limit", kMaxProcesses);
  json.end_object();
  json.end_object();
}

void write_seccomp(JsonWriter& json) {
  json.key("seccomp").begin_object();
  json.member("defaultAction", "SCMP_ACT_ERRNO").member("defaultErrnoRet", 1);
#if defined(__x86_64__)
  write_texts(json, "architectures",
              std::array<std::string_view, 2>{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"});
#else
  write_texts(json, "architectures", std::array<std::string_view, 1>{"SCMP_ARCH_AARCH64"});
#endif
  json.key("syscalls").begin_array();
  json.begin_object();
  write_texts(json, "names", allowed_system_calls());
  json.member("action", "SCMP_ACT_ALLOW");
  json.end_object();
  for (const unsigned persona : allowed_personalities()) {
    json.begin_object();
    write_texts(json, "names", std::array<std::string_view, 1>{"personality"});
    json.member("action", "SCMP_ACT_ALLOW");
    json.key("args").begin_array().begin_object();
    json.member("index", 0).member("value", static_cast<std::int64_t>(persona));
    json.member("op", "SCMP_CMP_EQ");
    json.end_object().end_array();
    json.end_object();
  }
  json.end_array();
  json.end_object();
}

void write_linux(JsonWriter& json, const BundleInput& input) {
  json.key("linux").begin_object();
  json.key("namespaces").begin_array();
  for (const std::string_view name : kNamespaces) {
    json.begin_object().member("type", name).end_object();
  }
  json.end_array();
  write_mapping(json, "uidMappings", input.id_base);
  write_mapping(json, "gidMappings", input.id_base);
  json.member("cgroupsPath", input.cgroup_path);
  write_resources(json, input);
  write_seccomp(json);
  write_texts(json, "maskedPaths", kMaskedPaths);
  write_texts(json, "readonlyPaths", kReadonlyPaths);
  json.member("rootfsPropagation", "private");
  json.end_object();
}

void set_variable(std::vector<std::string>& env, std::string_view name, std::string_view value) {
  const std::string prefix = std::string(name) + "=";
  const auto there = std::ranges::find_if(
      env, [&](const std::string& variable) { return variable.starts_with(prefix); });
  if (there != env.end()) {
    *there = prefix + std::string(value);
  } else {
    env.push_back(prefix + std::string(value));
  }
}

}  // namespace

std::string render_config(const BundleInput& input) {
  JsonWriter json;
  json.begin_object();
  json.member("ociVersion", kSpecVersion);
  json.member("hostname", kHostname);
  json.key("root").begin_object();
  json.member("path", "rootfs").member("readonly", true);
  json.end_object();
  write_process(json, input);
  write_mounts(json, input);
  write_linux(json, input);
  json.end_object();
  return json.take();
}

std::vector<std::string> run_environment(const ImageConfig& image,
                                         const std::vector<EnvValue>& values,
                                         std::string_view token) {
  std::vector<std::string> env;
  set_variable(env, "PATH", kDefaultPath);
  set_variable(env, "HOME", run::kWorkDir);
  for (const std::string& variable : image.env) {
    const auto equals = variable.find('=');
    set_variable(env, variable.substr(0, equals), variable.substr(equals + 1));
  }
  for (const auto& [name, value] : values) set_variable(env, name, value);
  if (!token.empty()) set_variable(env, "SANDBOXRUN_TOKEN", token);
  return env;
}

}  // namespace sandboxrun::launch
