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

/// In the child.
[[noreturn]] void become_skopeo(const std::string& program, int said, const std::string& directory,
                                const std::string& reference, std::uint32_t user, pid_t parent) {
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
                                    "docker://" + reference,
                                    "oci:" + directory + "/layout:image"};
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

/// The last line, printable, without the folder's path.
std::string last_line(std::string said, const std::string& directory) {
  while (!said.empty() && said.back() == '\n') said.pop_back();
  said.erase(0, said.rfind('\n') + 1);
  for (auto at = said.find(directory); at != std::string::npos; at = said.find(directory)) {
    said.erase(at, directory.size());
  }
  std::ranges::replace_if(said, [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return said.substr(0, 500);
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

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return system_failure("fetching an image", errno);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return system_failure("fetching an image", errno);
  if (child == 0) {
    become_skopeo(skopeo->path, writing.get(), directory, reference, options.user, parent);
  }
  writing.reset();
  std::string said;
  const bool ended = listen(reading.get(), options.stop, said);
  if (!ended) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) return failure(ErrorKind::Cancelled, "cancelled");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return failure(ErrorKind::NotFound,
                   "no image folder (--images) holds " + reference +
                       ", and its registry did not give it: " + last_line(said, directory));
  }
  return directory + "/layout";
}

}  // namespace sandboxrun::launch
