#include "sandbox-image/agent/parser_child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/base/fd.h"
#include "sandbox-image/agent/child_message.h"
#include "sandbox-image/agent/confine.h"
#include "sandbox-image/agent/entry_name.h"
#include "sandbox-image/agent/extract_tar.h"
#include "sandbox-image/agent/utf8_locale.h"

namespace sandboxrun::agent {

namespace {

using protocol::ArchiveFormat;

/// argv[0] by which the program knows that it is to be the child.
constexpr const char* kChildName = "sandboxrun-parser";
constexpr int kArchive = 3;
constexpr int kDestination = 4;
constexpr int kReports = 5;
constexpr std::size_t kKeptStderr = 1024;

// --- The child's side -------------------------------------------------------------------------

/// What the child is told, as its arguments in this order.
struct ChildOrder {
  ArchiveFormat format = ArchiveFormat::Auto;
  protocol::ArchiveLimits limits;
  std::optional<std::pair<uid_t, gid_t>> owner;
  std::string pixi_unpack;
};

std::vector<std::string> to_arguments(const ChildOrder& order) {
  const auto [user, group] = order.owner.value_or(std::pair<uid_t, gid_t>{});
  return {kChildName,
          std::to_string(static_cast<int>(order.format)),
          std::to_string(order.limits.max_bytes),
          std::to_string(order.limits.max_entries),
          std::to_string(order.limits.max_depth),
          order.owner ? "1" : "0",
          std::to_string(user),
          std::to_string(group),
          order.pixi_unpack};
}
constexpr int kArguments = 9;

template <typename T>
T number(const char* text) {
  T value{};
  std::from_chars(text, text + std::strlen(text), value);
  return value;
}

ChildOrder from_arguments(char** argv) {
  ChildOrder order;
  order.format = static_cast<ArchiveFormat>(number<int>(argv[1]));
  order.limits.max_bytes = number<std::int64_t>(argv[2]);
  order.limits.max_entries = number<std::int64_t>(argv[3]);
  order.limits.max_depth = number<int>(argv[4]);
  if (*argv[5] == '1') order.owner = {number<uid_t>(argv[6]), number<gid_t>(argv[7])};
  order.pixi_unpack = argv[8];
  return order;
}

void send(const ChildMessage& message) {
  if (::write(kReports, &message, sizeof(message)) < 0) ::_exit(1);  // nobody listens any more
}

/// Sends how far it is, at most twenty times a second.
class Reporter {
 public:
  void operator()(const Unpacked& so_far) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(50)) return;
    last_ = now;
    send(progress_message(so_far));
  }

 private:
  std::chrono::steady_clock::time_point last_;
};

Result<Unpacked> parse_tar(const ChildOrder& order) {
  const Utf8Locale utf8;
  const Confinement confinement{.destination = kDestination,
                                .owner = order.owner,
                                .max_file_bytes = order.limits.max_bytes,
                                .runs_programs = false};
  if (auto confined = confine(confinement); !confined) return std::unexpected(confined.error());
  auto source = open_archive(kArchive, order.format);
  if (!source) return std::unexpected(source.error());
  TreeWriter writer(kDestination);
  Reporter reporter;
  return extract_tar(**source, writer, order.limits,
                     [&](const Unpacked& so_far) { reporter(so_far); });
}

/// Comes back only if the program could not be started.
Error become_pixi_unpack(const ChildOrder& order) {
  const Confinement confinement{.destination = kDestination,
                                .owner = order.owner,
                                .max_file_bytes = order.limits.max_bytes,
                                .runs_programs = true};
  if (auto confined = confine(confinement); !confined) return confined.error();
  ::mkdir(kPixiTemporary, 0700);
  std::array<char, 4096> here{};
  if (::getcwd(here.data(), here.size()) == nullptr) {
    return system_failure("finding the destination", errno).error();
  }
  const std::string temporary = std::string(here.data()) + '/' + kPixiTemporary;
  std::string tmpdir = "TMPDIR=" + temporary;
  std::string home = "HOME=" + temporary;
  std::string path = "PATH=/usr/bin:/bin";
  std::string archive = "/proc/self/fd/" + std::to_string(kArchive);
  std::string program = order.pixi_unpack;
  char* const arguments[] = {program.data(), archive.data(), nullptr};
  char* const environment[] = {tmpdir.data(), home.data(), path.data(), nullptr};
  ::umask(022);
  ::fcntl(kDestination, F_SETFD, FD_CLOEXEC);
  ::fcntl(kReports, F_SETFD, FD_CLOEXEC);
  ::execve(program.c_str(), arguments, environment);
  const std::string cause =
      system_failure("pixi-unpack could not be started", errno).error().message;
  return {.kind = ErrorKind::Unavailable, .message = cause};
}

[[noreturn]] void child_main(char** argv) {
  const ChildOrder order = from_arguments(argv);
  if (order.format == ArchiveFormat::PixiPack) {
    send(failed_message(become_pixi_unpack(order)));
  } else {
    const auto unpacked = parse_tar(order);
    send(unpacked ? done_message(*unpacked) : failed_message(unpacked.error()));
  }
  ::_exit(0);
}

/// Runs before main() in every program that can unpack, so that none can forget to make way for the
/// child that it is executed as.
__attribute__((constructor)) void make_way_for_child(int argc, char** argv,
                                                     char** /*environment*/) {
  if (argc == kArguments && std::string_view(argv[0]) == kChildName) child_main(argv);
}

// --- The parent's side ------------------------------------------------------------------------

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_failure("making a pipe", errno);
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// Descriptors as the child is to have them; taken by value across fork.
struct ChildFiles {
  int archive;
  int destination;
  int reports;
  int errors;  ///< -1: /dev/null
};

/// Between fork and exec: only calls that are safe after a fork of many threads.
[[noreturn]] void execute_child(const ChildFiles& files, char* const* arguments) {
  constexpr int kBeyond = 16;  // above every number that is given out below
  ::setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const int wanted[] = {
      null,         null, files.errors < 0 ? null : files.errors, files.archive, files.destination,
      files.reports};
  int moved[6];
  for (int i = 0; i < 6; ++i) moved[i] = ::fcntl(wanted[i], F_DUPFD_CLOEXEC, kBeyond);
  bool ready = true;
  for (int i = 0; i < 6; ++i) ready = ready && ::dup2(moved[i], i) == i;
  char* const no_environment[] = {nullptr};
  if (ready && ::close_range(6, ~0U, 0) == 0) {
    ::execve("/proc/self/exe", arguments, no_environment);
  }
  ChildMessage message;
  message.kind = ChildMessage::Failed;
  message.error_kind = static_cast<std::uint32_t>(ErrorKind::Unavailable);
  constexpr std::string_view kText = "the parser process could not be started from /proc/self/exe";
  message.text_size = kText.size();
  std::memcpy(message.text, kText.data(), kText.size());
  [[maybe_unused]] const ssize_t sent =
      ::write(ready ? kReports : files.reports, &message, sizeof(message));
  ::_exit(1);
}

/// A started child and its process group. The group is killed before the child is reaped, while
/// its number cannot belong to anybody else.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() { finish(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid == pid_;
  }
  void wait_for_end() const {
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 &&
           errno == EINTR) {
    }
  }
  /// Kills what is left of the group, reaps the child and gives its wait status; that of a kill if
  /// somebody else reaped it, since then its end is unknown.
  int finish() {
    if (status_) return *status_;
    ::kill(-pid_, SIGKILL);
    int status = 0;
    pid_t got = 0;
    do {
      got = ::waitpid(pid_, &status, 0);
    } while (got < 0 && errno == EINTR);
    status_ = got == pid_ ? status : SIGKILL;
    return *status_;
  }
  /// Whether all that the child started is gone, too; waits a little for it.
  bool group_is_gone() const {
    for (int tries = 0; tries < 200; ++tries) {
      if (::kill(-pid_, 0) != 0 && errno == ESRCH) return true;
      ::usleep(10'000);
    }
    return false;
  }

 private:
  pid_t pid_;
  std::optional<int> status_;
};

/// What came over the pipes.
class Conversation {
 public:
  explicit Conversation(const UnpackOptions& options) : options_(options) {}

  /// False at the pipe's end.
  bool read_reports(int fd) {
    const ssize_t got =
        ::read(fd, reinterpret_cast<char*>(&partial_) + filled_, sizeof(partial_) - filled_);
    if (got < 0) return errno == EINTR;
    filled_ += static_cast<std::size_t>(got);
    if (filled_ == sizeof(partial_)) {
      filled_ = 0;
      take(partial_);
    }
    return got > 0;
  }
  bool read_errors(int fd) {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0) return errno == EINTR;
    errors_.append(buffer.data(), static_cast<std::size_t>(got));
    if (errors_.size() > kKeptStderr) errors_.erase(0, errors_.size() - kKeptStderr);
    return got > 0;
  }

  const std::optional<Result<Unpacked>>& outcome() const { return outcome_; }
  const std::string& errors() const { return errors_; }

 private:
  void take(const ChildMessage& message) {
    if (outcome_) return;
    const Unpacked tally{.entries = std::max<std::int64_t>(message.entries, 0),
                         .bytes = std::max<std::int64_t>(message.bytes, 0)};
    if (message.kind == ChildMessage::Done) outcome_ = tally;
    if (message.kind == ChildMessage::Failed) outcome_ = std::unexpected(error_of(message));
    if (message.kind != ChildMessage::Failed && options_.progress) {
      options_.progress(tally.entries, tally.bytes);
    }
  }

  const UnpackOptions& options_;
  ChildMessage partial_;
  std::size_t filled_ = 0;
  std::optional<Result<Unpacked>> outcome_;
  std::string errors_;
};

/// Listens until the child has ended. False if it was cancelled.
bool listen(Child& child, Conversation& conversation, const Pipe& reports, const Pipe& errors,
            const UnpackOptions& options) {
  const UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  const std::stop_callback on_stop(options.stop, [&] { ::eventfd_write(wake.get(), 1); });
  std::array<pollfd, 3> watched = {pollfd{wake.get(), POLLIN, 0},
                                   pollfd{reports.read.get(), POLLIN, 0},
                                   pollfd{errors.read.get(), POLLIN, 0}};
  // A program keeps no pipe open that would tell its end, so it is looked after in between.
  const int timeout = errors.read ? 20 : -1;
  while (!options.stop.stop_requested()) {
    ::poll(watched.data(), watched.size(), timeout);
    if (watched[1].revents != 0 && !conversation.read_reports(reports.read.get())) {
      watched[1].fd = -1;
      if (!errors.read) return true;
    }
    if (watched[2].revents != 0 && !conversation.read_errors(errors.read.get())) watched[2].fd = -1;
    const bool quiet = watched[1].revents == 0 && watched[2].revents == 0;
    if (errors.read && quiet && child.ended()) return true;
  }
  return false;
}

Result<Unpacked> pixi_outcome(int status, const Conversation& conversation) {
  if (conversation.outcome()) return *conversation.outcome();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Unpacked{};
  std::string text =
      WIFEXITED(status) ? "pixi-unpack failed with exit code " + std::to_string(WEXITSTATUS(status))
                        : "pixi-unpack was ended by signal " + std::to_string(WTERMSIG(status));
  if (!conversation.errors().empty()) text += ": " + escaped(conversation.errors());
  return failure(ErrorKind::ArchiveCorrupt, std::move(text));
}

Result<Unpacked> tar_outcome(int status, const Conversation& conversation) {
  if (WIFSIGNALED(status)) {
    return failure(ErrorKind::ArchiveCorrupt,
                   "the archive made its parser end by signal " + std::to_string(WTERMSIG(status)));
  }
  if (conversation.outcome()) return *conversation.outcome();
  return failure(ErrorKind::Internal, "the archive's parser ended without saying how it went");
}

}  // namespace

Result<Unpacked> run_parser_child(int archive_fd, int destination_fd,
                                  const UnpackOptions& options) {
  const bool pixi = options.format == ArchiveFormat::PixiPack;
  auto reports = make_pipe();
  if (!reports) return std::unexpected(reports.error());
  Pipe errors;
  if (pixi) {
    auto made = make_pipe();
    if (!made) return std::unexpected(made.error());
    errors = std::move(*made);
  }
  auto arguments =
      to_arguments({options.format, options.limits, options.owner, options.pixi_unpack});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const ChildFiles files{archive_fd, destination_fd, reports->write.get(), errors.write.get()};
  const pid_t pid = ::fork();
  if (pid < 0) return system_failure("starting the parser process", errno);
  if (pid == 0) execute_child(files, argv.data());
  ::setpgid(pid, pid);  // here too, so that the group exists before it may have to be killed
  Child child(pid);
  reports->write.reset();
  errors.write.reset();
  Conversation conversation(options);
  if (!listen(child, conversation, *reports, errors, options)) {
    return failure(ErrorKind::Cancelled, "unpacking was cancelled");
  }
  child.wait_for_end();
  const int status = child.finish();
  if (!child.group_is_gone()) {
    return failure(ErrorKind::System, "processes that pixi-unpack started could not be ended");
  }
  return pixi ? pixi_outcome(status, conversation) : tar_outcome(status, conversation);
}

}  // namespace sandboxrun::agent
