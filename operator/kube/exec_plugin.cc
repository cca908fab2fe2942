#include "operator/kube/exec_plugin.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "operator/base/document.h"
#include "operator/base/fd.h"
#include "operator/base/json_writer.h"
#include "operator/kube/credentials.h"
#include "operator/kube/url.h"

namespace sandboxrun::kube {
namespace {

constexpr std::size_t kMaxOutput = 1u << 20;

std::unexpected<Error> plugin_failure(const ExecPlugin& plugin, const std::string& what) {
  return failure(ErrorKind::NoCredentials,
                 "the exec plugin " + plugin.command + " " + what +
                     (plugin.install_hint.empty() ? "" : "; hint: " + plugin.install_hint));
}

std::vector<std::string> plugin_environment(const ExecPlugin& plugin, const Config& config) {
  std::map<std::string, std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (equals != std::string_view::npos) {
      merged[std::string(text.substr(0, equals))] = text.substr(equals + 1);
    }
  }
  for (const auto& [name, value] : plugin.env) merged[name] = value;
  merged["KUBERNETES_EXEC_INFO"] = exec_info(plugin, config);
  std::vector<std::string> list;
  list.reserve(merged.size());
  for (const auto& [name, value] : merged) list.push_back(name + "=" + value);
  return list;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (auto& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

/// A started plugin; killed with its group and reaped when it goes out of scope.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    kill(-pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  /// Its wait status, or nothing if it still runs.
  std::optional<int> ended() {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

Result<pid_t> spawn(const ExecPlugin& plugin, const Config& config, int output) {
  std::vector<std::string> argv = {plugin.command};
  argv.insert(argv.end(), plugin.args.begin(), plugin.args.end());
  std::vector<std::string> environment = plugin_environment(plugin, config);

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, plugin.command.c_str(), &files, &attributes,
                                 pointers(argv).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return plugin_failure(plugin, std::string("cannot be started: ") + std::strerror(error));
  }
  return pid;
}

/// When a plugin has to be given up.
struct Patience {
  std::chrono::steady_clock::time_point deadline;
  std::stop_token stop;

  Result<void> check(const ExecPlugin& plugin) const {
    if (stop.stop_requested()) return failure(ErrorKind::Cancelled, "stopped");
    if (std::chrono::steady_clock::now() < deadline) return {};
    return plugin_failure(plugin, "takes too long and was stopped");
  }
};

/// All that comes out of `fd` until its end.
Result<Secret> read_output(const ExecPlugin& plugin, int fd, const Patience& patience) {
  constexpr int kPollMilliseconds = 50;  // how late a stop request may be noticed
  std::string output(kMaxOutput + 1, '\0');
  std::size_t size = 0;
  for (;;) {
    if (auto checked = patience.check(plugin); !checked) return std::unexpected(checked.error());
    pollfd ready = {.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, kPollMilliseconds) <= 0) continue;
    const ssize_t got = read(fd, output.data() + size, output.size() - size);
    if (got == 0) break;
    if (got < 0) continue;
    size += static_cast<std::size_t>(got);
    if (size > kMaxOutput) return plugin_failure(plugin, "prints more than 1 MiB");
  }
  output.resize(size);
  return Secret(std::move(output));
}

/// A plugin may close its output before it ends.
Result<int> wait_for_end(const ExecPlugin& plugin, Child& child, const Patience& patience) {
  constexpr std::chrono::milliseconds kPause(5);
  for (;;) {
    if (const auto status = child.ended()) return *status;
    if (auto checked = patience.check(plugin); !checked) return std::unexpected(checked.error());
    std::this_thread::sleep_for(kPause);
  }
}

std::string base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

void write_cluster(JsonWriter& writer, const Config& config) {
  const Endpoint& endpoint = config.endpoint;
  writer.key("cluster").begin_object();
  writer.member("server", (endpoint.tls ? "https://" : "http://") +
                              authority(endpoint.host, endpoint.port) + endpoint.path_prefix);
  if (!config.tls_server_name.empty()) writer.member("tls-server-name", config.tls_server_name);
  if (config.skip_verify) writer.member("insecure-skip-tls-verify", true);
  if (const auto ca = read_pem(config.certificate_authority, "CA"); ca && !ca->empty()) {
    writer.member("certificate-authority-data", base64(ca->reveal()));
  }
  writer.end_object();
}

std::string text_at(const Node& node, std::string_view key) {
  const Node* found = node.find(key);
  return found != nullptr && found->kind == Node::Kind::String ? found->text : std::string();
}

}  // namespace

std::string exec_info(const ExecPlugin& plugin, const Config& config) {
  JsonWriter writer;
  writer.begin_object()
      .member("apiVersion", plugin.api_version)
      .member("kind", "ExecCredential")
      .key("spec")
      .begin_object();
  if (plugin.provide_cluster_info) write_cluster(writer, config);
  writer.member("interactive", false).end_object().end_object();
  return writer.take();
}

Result<ExecCredential> parse_exec_credential(std::string_view json, std::string_view api_version) {
  const auto parsed = parse_json(json);
  if (!parsed) return failure(ErrorKind::NoCredentials, "did not print JSON");
  if (text_at(*parsed, "kind") != "ExecCredential") {
    return failure(ErrorKind::NoCredentials, "did not print an ExecCredential");
  }
  if (text_at(*parsed, "apiVersion") != api_version) {
    return failure(ErrorKind::NoCredentials, "printed an ExecCredential of another version than " +
                                                 std::string(api_version) +
                                                 ", which the kubeconfig asks for");
  }
  const Node* status = parsed->find("status");
  if (status == nullptr) return failure(ErrorKind::NoCredentials, "printed no status");
  ExecCredential credential;
  credential.token = Secret(text_at(*status, "token"));
  credential.certificate_pem = Secret(text_at(*status, "clientCertificateData"));
  credential.key_pem = Secret(text_at(*status, "clientKeyData"));
  if (credential.certificate_pem.empty() != credential.key_pem.empty()) {
    return failure(ErrorKind::NoCredentials, "gave a certificate without a key, or the reverse");
  }
  if (credential.token.empty() && credential.certificate_pem.empty()) {
    return failure(ErrorKind::NoCredentials, "gave neither a token nor a certificate");
  }
  if (const std::string text = text_at(*status, "expirationTimestamp"); !text.empty()) {
    credential.expires = parse_time(text);
    if (!credential.expires) {
      return failure(ErrorKind::NoCredentials,
                     "gave an expirationTimestamp that is not RFC 3339 in UTC");
    }
  }
  return credential;
}

Result<ExecCredential> run_exec_plugin(const ExecPlugin& plugin, const Config& config,
                                       std::chrono::milliseconds timeout, std::stop_token stop) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return plugin_failure(plugin, std::string("cannot be started: ") + std::strerror(errno));
  }
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const auto pid = spawn(plugin, config, writing.get());
  if (!pid) return std::unexpected(pid.error());
  Child child(*pid);
  writing.reset();
  const Patience patience{std::chrono::steady_clock::now() + timeout, std::move(stop)};
  const auto output = read_output(plugin, reading.get(), patience);
  if (!output) return std::unexpected(output.error());
  const auto status = wait_for_end(plugin, child, patience);
  if (!status) return std::unexpected(status.error());
  if (!WIFEXITED(*status) || WEXITSTATUS(*status) != 0) {
    return plugin_failure(
        plugin, WIFEXITED(*status) ? "ended with exit code " + std::to_string(WEXITSTATUS(*status))
                                   : "was killed by signal " + std::to_string(WTERMSIG(*status)));
  }
  auto credential = parse_exec_credential(output->reveal(), plugin.api_version);
  if (!credential) return plugin_failure(plugin, credential.error().message);
  return credential;
}

}  // namespace sandboxrun::kube
