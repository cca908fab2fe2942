#include "tests/support/served_namespace.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "operator/base/fd.h"
#include "tests/charts/helm.h"
#include "tests/support/setup_cache.h"

namespace sandboxrun::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr milliseconds kPoll{100};
constexpr seconds kReadyPatience{30};
constexpr seconds kStopPatience{40};
constexpr std::size_t kLogTail = 6000;

int free_port() {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port on 127.0.0.1");
  }
  return ntohs(address.sin_port);
}

std::string loopback(int port, const std::string& path) {
  return "http://127.0.0.1:" + std::to_string(port) + path;
}

std::string tail_of(const std::string& text) {
  return text.size() <= kLogTail ? text : "..." + text.substr(text.size() - kLogTail);
}

bool answers_ok(const std::string& url) {
  try {
    run_program({"/usr/bin/curl", "--silent", "--fail", "--max-time", "2", url});
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

/// The chart's objects but for those that start the operator in the cluster.
std::string without_the_program(const std::string& chart) {
  constexpr std::string_view kBetween = "\n---\n";
  std::string out;
  for (std::size_t begin = 0; begin < chart.size();) {
    const std::size_t end = std::min(chart.find(kBetween, begin), chart.size());
    const std::string object = chart.substr(begin, end - begin);
    if (!object.contains("\nkind: Deployment\n") && !object.contains("\nkind: Service\n") &&
        !object.contains("\nkind: PodDisruptionBudget\n")) {
      out += object + std::string(kBetween);
    }
    begin = end + kBetween.size();
  }
  return out;
}

Node parse(const std::string& text) {
  Result<Node> node = parse_json(text, {.max_bytes = 64 << 20, .max_depth = 64});
  if (!node) throw std::runtime_error("kubectl's JSON: " + node.error().message);
  return *std::move(node);
}

std::string name_of_flag(const std::string& flag) {
  return flag.substr(0, flag.find('='));
}

/// Adds flags, in the place of those of the same name.
void replace_flags(std::vector<std::string>& flags, const std::vector<std::string>& more) {
  for (const std::string& each : more) {
    std::erase_if(flags, [&](const std::string& old) {
      return name_of_flag(old) == name_of_flag(each) && std::ranges::find(more, old) == more.end();
    });
    flags.push_back(each);
  }
}

}  // namespace

OperatorProcess::OperatorProcess(std::string kubeconfig, std::string log_file,
                                 std::vector<std::string> flags)
    : log_file_(std::move(log_file)), probe_port_(free_port()), metrics_port_(free_port()) {
  // It ends with the test, however that ends.
  std::vector<std::string> argv = {
      "/usr/bin/setpriv",
      "--pdeathsig",
      "KILL",
      SANDBOXRUN_BINARY_DIR "/bin/operator",
      "--kubeconfig=" + kubeconfig,
      "--health-probe-bind-address=127.0.0.1:" + std::to_string(probe_port_),
      "--metrics-bind-address=127.0.0.1:" + std::to_string(metrics_port_),
      "--log-level=debug",
      "--log-format=text"};
  replace_flags(argv, flags);
  process_ = std::make_unique<ChildProcess>(argv, log_file_);
  const auto until = steady_clock::now() + kReadyPatience;
  while (!answers_ok(loopback(probe_port_, "/readyz"))) {
    if (!process_->is_running() || steady_clock::now() > until) {
      throw std::runtime_error("the operator does not get ready:\n" + tail_of(log()));
    }
    std::this_thread::sleep_for(kPoll);
  }
}

void OperatorProcess::kill() {
  process_.reset();
}

milliseconds OperatorProcess::stop() {
  const auto began = steady_clock::now();
  ::kill(process_->pid(), SIGTERM);
  while (process_->is_running()) {
    if (steady_clock::now() > began + kStopPatience) {
      throw std::runtime_error("the operator does not stop:\n" + tail_of(log()));
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - began);
}

std::string OperatorProcess::metrics() const {
  return run_program({"/usr/bin/curl", "--silent", "--fail", "--max-time", "5",
                      loopback(metrics_port_, "/metrics")});
}

std::string OperatorProcess::log() const {
  return read_file(log_file_);
}

ServedNamespace::ServedNamespace(const std::string& name, OperatorSettings settings)
    : space_(cluster_, name), settings_(std::move(settings)) {
  cluster_.install_crds();
  std::vector<std::string> arguments = {
      "template", space_.name(), SANDBOXRUN_SOURCE_DIR "/charts/sandboxrun", "--namespace",
      space_.name(), "--kube-version", "1.37", "--values", cluster_.folder() + "/values.yaml",
      "--set-json", "watchNamespaces=[\"" + space_.name() + "\"]",
      // As the flags say: without the rights of the probe.
      "--set", "networkIsolation=Assume"};
  for (const std::string& each : settings_.set) arguments.insert(arguments.end(), {"--set", each});
  const HelmResult chart = helm(arguments);
  if (chart.exit_code != 0) throw std::runtime_error("helm template: " + chart.err);
  chart_ = without_the_program(chart.out);
  cluster_.apply(chart_);
  start_operator();
}

ServedNamespace::~ServedNamespace() {
  operator_.reset();
  cluster_.kubectl({"delete", "--wait=false", "-f", "-"}, chart_);
}

std::string ServedNamespace::account() const {
  return "system:serviceaccount:" + name() + ":" + name() + "-sandboxrun";
}

std::vector<std::string> ServedNamespace::usual_flags() const {
  std::vector<std::string> flags = {
      "--sandbox-image=" + cluster_.image("sandbox"),
      "--watch-namespace=" + name(),
      "--network-isolation=Assume",
      "--transfer-allow-http",
      "--transfer-allow=" + std::string(Cluster::kNodeAddress) + "/32",
      "--leader-election-namespace=" + name()};
  replace_flags(flags, settings_.flags);
  return flags;
}

std::string ServedNamespace::new_file(const std::string& kind) const {
  const auto others = std::distance(std::filesystem::directory_iterator(work_.path()), {});
  return work_ / (kind + "-" + std::to_string(others));
}

std::string ServedNamespace::account_kubeconfig() const {
  std::string file = new_file("kubeconfig");
  std::string token = output({"create", "token", name() + "-sandboxrun", "--duration=2h"});
  while (token.ends_with('\n')) token.pop_back();
  // The administrator's file, with the account's token in the place of the certificate.
  write_file(file, read_file(cluster_.kubeconfig()));
  const std::string user = "operator";
  for (const std::vector<std::string>& change :
       std::vector<std::vector<std::string>>{{"set-credentials", user, "--token=" + token},
                                             {"set-context", "--current", "--user=" + user}}) {
    std::vector<std::string> argv = {setup_cache() + "/tools/bin/kubectl", "--kubeconfig", file,
                                     "config"};
    argv.insert(argv.end(), change.begin(), change.end());
    run_program(argv);
  }
  return file;
}

std::unique_ptr<OperatorProcess> ServedNamespace::another(
    const std::vector<std::string>& flags) const {
  std::vector<std::string> all = usual_flags();
  replace_flags(all, flags);
  std::string kubeconfig = account_kubeconfig();
  return std::make_unique<OperatorProcess>(std::move(kubeconfig), new_file("log"), all);
}

void ServedNamespace::start_operator() {
  operator_ = another();
}

void ServedNamespace::kill_operator() {
  operator_->kill();
}

void ServedNamespace::forbid(const std::string& resource, const std::string& verb) {
  const std::string role = name() + "-sandboxrun";
  const Node rules = parse(output({"get", "role", role, "--output", "json"}));
  std::string patch;
  std::size_t rule = 0;
  for (const Node& each : rules.find("rules")->items) {
    const auto& verbs = each.find("verbs")->items;
    for (std::size_t i = 0; at(each, "resources.0") == resource && i < verbs.size(); ++i) {
      if (verbs[i].text != verb) continue;
      patch = R"([{"op":"remove","path":"/rules/)" + std::to_string(rule);
      // A rule without verbs may not be.
      if (verbs.size() > 1) patch += "/verbs/" + std::to_string(i);
      patch += R"("}])";
    }
    ++rule;
  }
  if (patch.empty()) throw std::runtime_error("the role has no " + verb + " on " + resource);
  output({"patch", "role", role, "--type", "json", "--patch", patch});
  forbidden_.emplace_back(resource, verb);
  wait_until_allowed(resource, verb, false);
}

void ServedNamespace::permit_all() {
  cluster_.apply(chart_);
  for (const auto& [resource, verb] : forbidden_) wait_until_allowed(resource, verb, true);
  forbidden_.clear();
}

// The authorizer follows roles by a watch.
void ServedNamespace::wait_until_allowed(const std::string& resource, const std::string& verb,
                                         bool allowed) const {
  const std::size_t slash = resource.find('/');
  std::vector<std::string> question = {"auth", "can-i",  verb, resource.substr(0, slash),
                                       "--as", account()};
  if (slash != std::string::npos) {
    question.push_back("--subresource=" + resource.substr(slash + 1));
  }
  const auto until = steady_clock::now() + kReadyPatience;
  while (kubectl(question).out != (allowed ? "yes\n" : "no\n")) {
    if (steady_clock::now() > until) {
      throw std::runtime_error("the right to " + verb + " " + resource + " does not change");
    }
    std::this_thread::sleep_for(kPoll);
  }
}

KubectlResult ServedNamespace::kubectl(std::vector<std::string> arguments,
                                       std::string_view input) const {
  arguments.insert(arguments.begin(), {"--namespace", name()});
  return cluster_.kubectl(arguments, input);
}

std::string ServedNamespace::output(std::vector<std::string> arguments,
                                    std::string_view input) const {
  arguments.insert(arguments.begin(), {"--namespace", name()});
  return cluster_.kubectl_output(arguments, input);
}

void ServedNamespace::create(const std::string& run, const std::string& spec) const {
  std::string manifest =
      "apiVersion: sandboxrun.dev/v1alpha1\nkind: SandboxRun\nmetadata: {name: " + run +
      "}\nspec:\n";
  if (!spec.contains("  environment:")) {
    manifest += "  environment: {image: \"" + cluster_.image("sandbox-base") + "\"}\n";
  }
  output({"create", "-f", "-"}, manifest + spec);
}

Node ServedNamespace::status(const std::string& run) const {
  const Node object = parse(output({"get", "sandboxrun", run, "--output", "json"}));
  const Node* status = object.find("status");
  return status == nullptr ? Node{} : *status;
}

Node ServedNamespace::wait_for(const std::string& run, const std::string& what, seconds patience,
                               bool (*met)(const Node& status, const std::string& what)) const {
  const auto until = steady_clock::now() + patience;
  for (;;) {
    Node seen = status(run);
    if (met(seen, what)) return seen;
    if (steady_clock::now() > until) {
      throw std::runtime_error("run " + run + " has not come to \"" + what + "\" but to " +
                               condition(seen, "Succeeded") + ", " + condition_message(seen) +
                               "\nthe operator's log:\n" + tail_of(operator_->log()) + "\npods:\n" +
                               kubectl({"get", "pods", "--output", "wide"}).out);
    }
    std::this_thread::sleep_for(kPoll);
  }
}

Node ServedNamespace::wait_for_end(const std::string& run, seconds patience) const {
  return wait_for(run, "Reconciling=False", patience, [](const Node& seen, const std::string&) {
    return condition(seen, "Reconciling").starts_with("False");
  });
}

Node ServedNamespace::wait_for_reason(const std::string& run, const std::string& reason,
                                      seconds patience) const {
  return wait_for(run, reason, patience, [](const Node& seen, const std::string& wanted) {
    return condition(seen, "Succeeded").ends_with(" " + wanted);
  });
}

std::vector<Node> ServedNamespace::pods() const {
  return parse(output({"get", "pods", "--output", "json"})).find("items")->items;
}

Node ServedNamespace::pod_of(const std::string& run) const {
  const Node seen = status(run);
  const Node* attempts = seen.find("attempts");
  if (attempts == nullptr || attempts->items.empty()) {
    throw std::runtime_error("run " + run + " has no attempt");
  }
  return parse(output({"get", "pod", at(attempts->items.back(), "podName"), "--output", "json"}));
}

std::string ServedNamespace::log_of(const std::string& run, const std::string& container) const {
  return output({"logs", at(pod_of(run), "metadata.name"), "--container", container});
}

void ServedNamespace::make_secret(
    const std::string& secret, const std::vector<std::pair<std::string, std::string>>& data) const {
  std::vector<std::string> arguments = {"create", "secret", "generic", secret};
  const TempDir files;
  for (const auto& [key, value] : data) {
    write_file(files / key, value);
    arguments.push_back("--from-file=" + key + "=" + (files / key));
  }
  output(arguments);
}

std::string at(const Node& node, const std::string& path) {
  const Node* here = &node;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    const std::string key = path.substr(begin, end - begin);
    begin = end + 1;
    if (here->kind == Node::Kind::List) {
      const std::size_t index = std::stoul(key);
      if (index >= here->items.size()) return "";
      here = &here->items[index];
    } else if ((here = here->find(key)) == nullptr) {
      return "";
    }
  }
  return here->kind == Node::Kind::Bool ? (here->boolean ? "true" : "false") : here->text;
}

namespace {

const Node* find_condition(const Node& status, const std::string& type) {
  const Node* conditions = status.find("conditions");
  if (conditions == nullptr) return nullptr;
  for (const Node& each : conditions->items) {
    if (at(each, "type") == type) return &each;
  }
  return nullptr;
}

}  // namespace

std::string condition(const Node& status, const std::string& type) {
  const Node* found = find_condition(status, type);
  return found == nullptr ? "" : at(*found, "status") + " " + at(*found, "reason");
}

std::string condition_message(const Node& status, const std::string& type) {
  const Node* found = find_condition(status, type);
  return found == nullptr ? "" : at(*found, "message");
}

}  // namespace sandboxrun::test
