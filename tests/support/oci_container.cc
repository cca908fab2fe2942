#include "tests/support/oci_container.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

#include "operator/base/json_writer.h"

namespace sandboxrun::test {
namespace {

namespace fs = std::filesystem;

constexpr int kMappedBase = 200000;
constexpr int kUser = 1000;

std::string runtime_path(Runtime runtime) {
  if (runtime == Runtime::Runc) {
    for (const char* path : {"/usr/sbin/runc", "/usr/bin/runc"}) {
      if (fs::exists(path)) return path;
    }
    throw std::runtime_error("runc is missing: install the package runc");
  }
  const char* cache = std::getenv("SANDBOXRUN_CACHE");
  const char* home = std::getenv("HOME");
  fs::path root = cache != nullptr
                      ? fs::path(cache)
                      : fs::path(home != nullptr ? home : "/root") / ".cache/sandboxrun";
  fs::path path = root / "tools/bin/runsc";
  if (!fs::exists(path)) {
    throw std::runtime_error(path.string() + " is missing: run tests/tools/build.sh runsc");
  }
  return path;
}

void write_strings(JsonWriter& json, const std::string& key, const std::vector<std::string>& list) {
  json.key(key).begin_array();
  for (const auto& item : list) json.string(item);
  json.end_array();
}

void write_mount(JsonWriter& json, const std::string& target, const std::string& type,
                 const std::string& source, const std::vector<std::string>& options) {
  json.begin_object().member("destination", target).member("type", type).member("source", source);
  write_strings(json, "options", options);
  json.end_object();
}

void write_process(JsonWriter& json, const ContainerSpec& spec) {
  json.key("process").begin_object().member("terminal", false).member("cwd", "/work");
  json.key("user").begin_object().member("uid", kUser).member("gid", kUser).end_object();
  std::vector<std::string> argv = {"/test/guard"};
  argv.insert(argv.end(), spec.guard_arguments.begin(), spec.guard_arguments.end());
  write_strings(json, "args", argv);
  std::vector<std::string> env = {"PATH=/usr/bin:/bin", "HOME=/work", "TMPDIR=/tmp"};
  env.insert(env.end(), spec.env.begin(), spec.env.end());
  write_strings(json, "env", env);
  json.key("capabilities").begin_object();
  if (spec.capabilities) {
    for (const char* set : {"bounding", "effective", "permitted", "inheritable", "ambient"}) {
      write_strings(json, set, {"CAP_NET_BIND_SERVICE"});
    }
  }
  json.end_object().member("noNewPrivileges", true).end_object();
}

void write_mounts(JsonWriter& json, const fs::path& folder) {
  json.key("mounts").begin_array();
  write_mount(json, "/proc", "proc", "proc", {"nosuid", "noexec", "nodev"});
  write_mount(json, "/dev", "tmpfs", "tmpfs", {"nosuid", "mode=755", "size=65536k"});
  write_mount(json, "/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777"});
  for (const char* target : {"/tmp", "/work"}) {
    write_mount(json, target, "tmpfs", "tmpfs", {"nosuid", "nodev", "mode=1777"});
  }
  write_mount(json, "/usr", "bind", "/usr", {"bind", "ro", "nosuid"});
  write_mount(json, "/etc", "bind", "/etc", {"bind", "ro", "nosuid"});
  write_mount(json, "/test", "bind", (folder / "test").string(), {"bind", "ro", "nosuid"});
  write_mount(json, "/dev/termination-log", "bind", (folder / "termination-log").string(),
              {"bind", "rw", "nosuid"});
  json.end_array();
}

void write_linux(JsonWriter& json, const ContainerSpec& spec) {
  json.key("linux").begin_object();
  std::vector<std::string> namespaces = {"pid", "mount", "network", "ipc", "uts", "cgroup"};
  if (spec.user_namespace) {
    namespaces.push_back("user");
    for (const char* key : {"uidMappings", "gidMappings"}) {
      json.key(key).begin_array().begin_object();
      json.member("containerID", 0).member("hostID", kMappedBase).member("size", 65536);
      json.end_object().end_array();
    }
  }
  json.key("namespaces").begin_array();
  for (const auto& name : namespaces) json.begin_object().member("type", name).end_object();
  json.end_array();
  if (spec.seccomp_profile) {
    // One harmless rule: what the tests see denied, the guard's own filter denied.
    json.key("seccomp").begin_object().member("defaultAction", "SCMP_ACT_ALLOW");
    json.key("syscalls").begin_array().begin_object();
    write_strings(json, "names", {"remap_file_pages"});
    json.member("action", "SCMP_ACT_ERRNO").end_object().end_array().end_object();
  }
  json.end_object();
}

std::string render_config(const ContainerSpec& spec, const fs::path& folder) {
  JsonWriter json;
  json.begin_object().member("ociVersion", "1.0.2").member("hostname", "sandbox");
  write_process(json, spec);
  json.key("root").begin_object().member("path", "rootfs");
  json.member("readonly", spec.read_only_root).end_object();
  write_mounts(json, folder);
  write_linux(json, spec);
  json.end_object();
  return json.take();
}

void make_rootfs(const fs::path& rootfs) {
  for (const char* name : {"proc", "dev", "sys", "tmp", "work", "usr", "etc", "test"}) {
    fs::create_directories(rootfs / name);
  }
  for (const char* name : {"bin", "sbin", "lib", "lib64"}) {
    fs::create_symlink(fs::path("usr") / name, rootfs / name);
  }
  for (const char* name : {"tmp", "work"}) {
    fs::permissions(rootfs / name, fs::perms(01777));  // runc gives a tmpfs the folder's mode
  }
  write_file(rootfs / "dev/termination-log", "");  // runsc's mount point
}

/// The programs that the build made for the guard's tests.
void copy_programs(const fs::path& folder) {
  fs::create_directories(folder);
  fs::copy_file(built_program("guard"), folder / "guard");
  for (const auto& entry : fs::directory_iterator(built_program("guard_tests"))) {
    if (entry.is_regular_file()) fs::copy_file(entry.path(), folder / entry.path().filename());
  }
}

}  // namespace

std::string to_string(Runtime runtime) {
  return runtime == Runtime::Runc ? "Runc" : "Runsc";
}

void PrintTo(Runtime runtime, std::ostream* out) {
  *out << to_string(runtime);
}

Container::Container(const ContainerSpec& spec)
    : runtime_(spec.runtime), id_("sandboxrun-" + folder_.path().extension().string().substr(1)) {
  const fs::path& folder = folder_.path();
  make_rootfs(folder / "bundle/rootfs");
  copy_programs(folder / "test");
  write_file(folder / "termination-log", "");
  fs::permissions(folder / "termination-log", fs::perms(0666));
  write_file(folder / "bundle/config.json", render_config(spec, folder));
  process_ = std::make_unique<Process>(
      ProcessSpec{.argv = runtime_command({"run", "--bundle", (folder / "bundle").string(), id_})});
}

Container::~Container() {
  process_.reset();
  run_process({.argv = runtime_command({"delete", "--force", id_})});
  umount2((folder_.path() / "state/null-netns").c_str(), MNT_DETACH);  // runsc leaves it mounted
}

void Container::kill(const std::string& signal_name) const {
  run_process({.argv = runtime_command({"kill", id_, signal_name})});
}

std::vector<std::string> Container::runtime_command(
    const std::vector<std::string>& arguments) const {
  std::vector<std::string> command = {runtime_path(runtime_), "--root",
                                      (folder_.path() / "state").string()};
  if (runtime_ == Runtime::Runsc) {
    command.insert(command.end(), {"--network=none", "--ignore-cgroups"});
  }
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace sandboxrun::test
