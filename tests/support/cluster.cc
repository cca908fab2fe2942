#include "tests/support/cluster.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <sstream>
#include <stdexcept>

#include "tests/support/child_process.h"
#include "tests/support/setup_cache.h"

namespace sandboxrun::test {
namespace {

std::string cluster_root() {
  const char* given = std::getenv("SANDBOXRUN_CLUSTER");
  return given != nullptr ? given : "/var/lib/sandboxrun-cluster";
}

/// Runs a program with files as its three standard streams; its exit code, 128 + N for signal N.
int run_with_files(const std::vector<std::string>& argv, const std::string& in,
                   const std::string& out, const std::string& err) {
  std::vector<char*> pointers;
  for (const std::string& each : argv) pointers.push_back(const_cast<char*>(each.c_str()));
  pointers.push_back(nullptr);
  constexpr int kCreate = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), kCreate, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), kCreate, 0600);
  pid_t pid = -1;
  const int failed =
      ::posix_spawn(&pid, argv[0].c_str(), &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    throw std::runtime_error("cannot start " + argv[0] + ": " + std::strerror(failed));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Cluster::Cluster() {
  run_program({SANDBOXRUN_SOURCE_DIR "/tests/cluster/up.sh", "tests"});
}

std::string Cluster::kubeconfig() const {
  return cluster_root() + "/kubeconfig";
}

std::string Cluster::registry() const {
  std::string address = read_file(cluster_root() + "/registry");
  while (address.ends_with('\n')) address.pop_back();
  return address;
}

std::string Cluster::folder() const {
  return cluster_root();
}

std::string Cluster::image(const std::string& name) const {
  std::istringstream lines(read_file(folder() + "/images"));
  std::string each;
  for (std::string reference; lines >> each >> reference;) {
    if (each == name) return reference;
  }
  throw std::runtime_error("no image \"" + name +
                           "\" has been published; tests/cluster/publish.sh");
}

std::string Cluster::with_layer(const std::string& name, const std::string& layer) const {
  const std::string file = work_ / "layer.tar";
  write_file(file, layer);
  const std::string tag =
      registry() + "/test/" + name + ":" + std::to_string(std::hash<std::string>()(layer));
  run_program({setup_cache() + "/tools/bin/crane", "append", "--insecure", "--base", image(name),
               "--new_layer", file, "--new_tag", tag});
  std::string digest =
      run_program({setup_cache() + "/tools/bin/crane", "digest", "--insecure", tag});
  while (digest.ends_with('\n')) digest.pop_back();
  return registry() + "/test/" + name + "@" + digest;
}

KubectlResult Cluster::kubectl(const std::vector<std::string>& arguments,
                               std::string_view input) const {
  std::vector<std::string> argv = {setup_cache() + "/tools/bin/kubectl", "--kubeconfig",
                                   kubeconfig(), "--cache-dir", work_ / "discovery"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  write_file(work_ / "in", input);
  KubectlResult result;
  result.exit_code = run_with_files(argv, work_ / "in", work_ / "out", work_ / "err");
  result.out = read_file(work_ / "out");
  result.err = read_file(work_ / "err");
  return result;
}

std::string Cluster::kubectl_output(const std::vector<std::string>& arguments,
                                    std::string_view input) const {
  KubectlResult result = kubectl(arguments, input);
  if (result.exit_code == 0) return std::move(result.out);
  std::string call = "kubectl";
  for (const std::string& each : arguments) call += " " + each;
  throw std::runtime_error(call + " failed: " + result.err);
}

void Cluster::apply(std::string_view manifest) const {
  kubectl_output({"apply", "--server-side", "--force-conflicts", "-f", "-"}, manifest);
}

Node Cluster::get(const std::string& resource, const std::string& name_space,
                  const std::string& name) const {
  std::vector<std::string> arguments = {"get",      resource,   "--namespace",
                                        name_space, "--output", "json"};
  if (!name.empty()) arguments.push_back(name);
  Result<Node> object = parse_json(kubectl_output(arguments));
  if (!object) throw std::runtime_error("kubectl get: " + object.error().message);
  return *std::move(object);
}

void Cluster::install_crds() const {
  kubectl_output(
      {"apply", "--server-side", "--force-conflicts", "-f", SANDBOXRUN_SOURCE_DIR "/crds"});
  kubectl_output(
      {"wait", "--for=condition=Established", "--timeout=30s", "crd/sandboxruns.sandboxrun.dev"});
}

TestNamespace::TestNamespace(const Cluster& cluster, const std::string& name)
    : cluster_(cluster),
      name_(name + "-" +
            std::to_string(std::chrono::system_clock::now().time_since_epoch().count())) {
  cluster_.apply("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + name_ +
                 "\n  labels: {pod-security.kubernetes.io/enforce: restricted}\n");
}

TestNamespace::~TestNamespace() {
  cluster_.kubectl({"delete", "namespace", name_, "--wait=false"});
}

}  // namespace sandboxrun::test
