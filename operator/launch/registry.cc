#include "operator/launch/registry.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "operator/base/fd.h"
#include "operator/launch/files.h"
#include "operator/launch/host.h"

namespace sandboxrun::launch {
namespace {

constexpr int kPollMilliseconds = 100;
constexpr std::size_t kMaxSaid = 4096;  // the last words of skopeo that are kept

bool is_on_loopback(std::string_view reference) {
  const std::string_view host = reference.substr(0, reference.find('/'));
  return host == "localhost" || host.starts_with("localhost:") || host.starts_with("127.") ||
         host.starts_with("[::1]");
}

/// In the child.
[[noreturn]] void become_skopeo(const std::string& program, int said, const std::string& directory,
                                const std::string& reference, const char* selection,
                                std::uint32_t user, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  dup2(said, 1);
  dup2(said, 2);
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (setgroups(0, nullptr) != 0 || setresgid(user, user, user) != 0 ||
      setresuid(user, user, user) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      chdir(directory.c_str()) != 0) {
    _exit(125);
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(125);
  std::vector<std::string> words = {"skopeo",
                                    "--insecure-policy",  // signatures: the caller has a digest
                                    "--override-os",
                                    "linux",
                                    "--tmpdir",
                                    directory,
                                    "copy",
                                    "--quiet",
                                    "--preserve-digests",
                                    selection};
  // As everywhere else, a registry on this machine needs no TLS; what it sends is verified anyhow.
  if (is_on_loopback(reference)) words.emplace_back("--src-tls-verify=false");
  words.push_back("docker://" + reference);
  words.push_back("oci:" + directory + "/layout:image");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::string home = "HOME=" + directory;
  std::array<char*, 2> environment = {home.data(), nullptr};
  execve(program.c_str(), argv.data(), environment.data());
  _exit(127);
}

/// Collects the output's end until the child closes it. False: cancelled.
bool listen(int channel, const std::stop_token& stop, std::string& said) {
  std::array<char, 1024> buffer;
  while (!stop.stop_requested()) {
    pollfd waiting{.fd = channel, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, kPollMilliseconds) <= 0) continue;
    const ssize_t got = read(channel, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    said.append(buffer.data(), static_cast<std::size_t>(got));
    if (said.size() > 2 * kMaxSaid) said.erase(0, said.size() - kMaxSaid);
  }
  return false;
}

/// What skopeo's own words mean. Matched from the top; they are never shown, since they quote the
/// registry.
struct Cause {
  std::string_view words;
  ErrorKind kind;
  std::string_view sentence;
};

constexpr std::string_view kUnreachable =
    "cannot be reached; check the name and the network, or give the image with --images";
constexpr std::string_view kUnknown = "does not have it; check the repository and the digest";
constexpr std::string_view kRefused =
    "wants a login, which the launcher never has; copy the image with skopeo into a folder "
    "(skopeo copy docker://... oci:FOLDER) and give that with --images";
constexpr std::string_view kUntrusted =
    "could not prove who it is (TLS); add its authority to this machine's";
constexpr std::string_view kOtherBytes =
    "sent other bytes than the digest says; nothing was unpacked";

constexpr Cause kCauses[] = {
    {"manifest unknown", ErrorKind::NotFound, kUnknown},
    {"name unknown", ErrorKind::NotFound, kUnknown},
    {"repository name not known", ErrorKind::NotFound, kUnknown},
    {"unauthorized", ErrorKind::Denied, kRefused},
    {"authentication required", ErrorKind::Denied, kRefused},
    {"denied", ErrorKind::Denied, kRefused},
    {"(Unauthorized)", ErrorKind::Denied, kRefused},
    {"x509:", ErrorKind::Denied, kUntrusted},
    {"HTTP response to HTTPS client", ErrorKind::Denied, kUntrusted},
    {"did not match", ErrorKind::DigestMismatch, kOtherBytes},
    {"does not match", ErrorKind::DigestMismatch, kOtherBytes},
    {"(Not Found)", ErrorKind::NotFound, "has only a part of it; push the image again"},
    {"no such host", ErrorKind::Transport, kUnreachable},
    {"dial tcp", ErrorKind::Transport, kUnreachable},
    {"timeout", ErrorKind::Transport, kUnreachable},
    {"connection re", ErrorKind::Transport, kUnreachable},
    {"EOF", ErrorKind::Transport, "broke off in the middle; try again"},
    {"no space left", ErrorKind::System,
     "gave more than the state folder's disk (--state-dir) holds"},
};

void erase_all(std::string& text, std::string_view part) {
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part)) {
    text.erase(at, part.size());
  }
}

std::unexpected<Error> refusal(const std::string& reference, std::string said) {
  // The image's name is quoted, and must not be taken for a cause.
  erase_all(said, reference.substr(0, reference.find('@')));
  const std::string subject = "no image folder (--images) holds " + reference +
                              ", and its registry " + reference.substr(0, reference.find('/')) +
                              " ";
  for (const Cause& cause : kCauses) {
    if (said.find(cause.words) != std::string::npos) {
      return failure(cause.kind, subject + std::string(cause.sentence));
    }
  }
  return failure(ErrorKind::Rejected,
                 subject + "did not give it; `skopeo inspect docker://" + reference + "` says why");
}

/// One copy by skopeo; `selection` says what of an image for many platforms.
Result<void> copy(const std::string& program, const std::string& directory,
                  const std::string& reference, const char* selection,
                  const RegistryOptions& options) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return system_failure("fetching an image", errno);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return system_failure("fetching an image", errno);
  if (child == 0) {
    become_skopeo(program, writing.get(), directory, reference, selection, options.user, parent);
  }
  writing.reset();
  std::string said;
  const bool ended = listen(reading.get(), options.stop, said);
  if (!ended) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) return failure(ErrorKind::Cancelled, "cancelled");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return refusal(reference, std::move(said));
  return {};
}

}  // namespace

Result<std::string> fetch_to_layout(const std::string& reference, const RegistryOptions& options) {
  auto skopeo = open_program(options.skopeo, "skopeo (--skopeo), which fetches images");
  if (!skopeo) {
    return failure(ErrorKind::Unavailable, "no image folder (--images) holds " + reference +
                                               ", and " + skopeo.error().message);
  }
  const auto made = make_owned_directory(options.scratch, "image", 0700, options.user);
  if (!made) return std::unexpected(made.error());
  const std::string directory = options.scratch_dir + "/image";
  std::string layout = directory + "/layout";

  auto copied = copy(skopeo->path, directory, reference, "--multi-arch=system", options);
  const std::string named = layout + "/blobs/sha256/" + reference.substr(reference.rfind(':') + 1);
  if (copied && access(named.c_str(), F_OK) != 0) {
    // The digest is that of an index; what was copied is the one manifest of it for this machine.
    copied = copy(skopeo->path, directory, reference, "--multi-arch=index-only", options);
  }
  if (!copied) return std::unexpected(copied.error());
  return layout;
}

}  // namespace sandboxrun::launch
