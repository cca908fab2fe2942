#include "operator/launch/run_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <memory>
#include <vector>

#include "operator/launch/bundle.h"
#include "operator/launch/disk_watch.h"
#include "operator/launch/files.h"
#include "operator/launch/wall_clock.h"
#include "sandbox-image/protocol/guard_record.h"

namespace sandboxrun::launch {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr const char* kPidFile = "pid";
constexpr std::size_t kMaxHeld = 64 * 1024;  // of stderr before the sandbox runs
constexpr std::chrono::seconds kKillSlack{5};
// How often the start is looked for. A watch would tell at once, but to remove it costs more than a
// tenth of what the shortest run takes: the kernel waits until nobody can still be using it.
constexpr std::chrono::milliseconds kStartInterval{5};
constexpr std::chrono::milliseconds kLongestWait{3'600'000};

int pidfd_of(int pid) {
  return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
}

struct Pipe {
  UniqueFd reading;
  UniqueFd writing;

  static Result<Pipe> make() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return system_failure("making a pipe", errno);
    Pipe made{UniqueFd(ends[0]), UniqueFd(ends[1])};
    fcntl(made.reading.get(), F_SETFL, O_NONBLOCK);
    return made;
  }
};

/// In the child, which has the launcher's memory until it is the runtime: writes to nothing but its
/// own variables. Nothing of the launcher's is left but what `fds` lists, as 0 to 3.
[[noreturn]] void become_runtime(const Program& runtime, std::vector<char*>& argv,
                                 std::array<int, 4> fds, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(125);
  setsid();
  sigset_t none;
  sigemptyset(&none);
  struct sigaction usual{};
  usual.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &usual, nullptr);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int& fd : fds) fd = fcntl(fd, F_DUPFD_CLOEXEC, 16);
  for (int i = 0; i < static_cast<int>(fds.size()); ++i) dup2(fds[static_cast<std::size_t>(i)], i);
  close_range(static_cast<unsigned>(fds.size()), ~0U, CLOSE_RANGE_CLOEXEC);
  char* no_environment[] = {nullptr};
  execve(runtime.path.c_str(), argv.data(), no_environment);
  _exit(127);
}

class Process {
 public:
  explicit Process(const RunRequest& request) : request_(request) {}

  Result<RunEnd> run();

 private:
  Result<void> prepare();
  Result<void> start();
  void loop();
  int poll_timeout() const;
  void check_times();
  void watch_disk();
  void wake() const;
  void drain(bool is_stderr);
  void look_for_start();
  void ask_to_stop(StopKind kind);
  void signal_sandbox(int number);
  void finish();
  void emit(bool is_stderr, std::string_view bytes) const {
    if (request_.output && !bytes.empty()) request_.output(is_stderr, bytes);
  }

  const RunRequest& request_;
  RunEnd end_;
  Pipe out_;
  Pipe err_;
  UniqueFd record_;
  UniqueFd wake_;
  UniqueFd bundle_;
  UniqueFd process_;  // pidfd of the runtime
  UniqueFd sandbox_;  // pidfd of the sandbox's first process
  pid_t pid_ = -1;
  std::string held_;  // of stderr, until we know whose words they are
  std::atomic<bool> disk_exceeded_ = false;
  Clock::time_point begin_;
  Clock::time_point started_at_;
  Clock::time_point limit_;  // of the present phase
  std::optional<Clock::time_point> kill_at_;
  bool hurried_ = false;
  Clock::time_point disk_watch_at_;
  std::unique_ptr<DiskWatch> disk_watch_;  // last: its thread uses the above
};

Result<void> Process::prepare() {
  auto out = Pipe::make();
  auto err = Pipe::make();
  if (!out || !err) return std::unexpected((out ? err : out).error());
  out_ = std::move(*out);
  err_ = std::move(*err);
  record_.reset(memfd_create("record", MFD_CLOEXEC));
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  bundle_.reset(open(request_.bundle_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!record_ || !wake_ || !bundle_) return system_failure("preparing a run", errno);
  return {};
}

Result<void> Process::start() {
  std::vector<std::string> words = {"runtime",
                                    "--root",
                                    request_.bundle_path + "/runtime",
                                    "run",
                                    "--keep",
                                    "--preserve-fds",
                                    "1",
                                    "--pid-file",
                                    request_.bundle_path + "/" + kPidFile,
                                    "--bundle",
                                    request_.bundle_path,
                                    request_.id};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const pid_t parent = getpid();
  begin_ = Clock::now();
  disk_watch_at_ = begin_ + DiskWatch::kInterval;
  end_.start = wall_clock();
  // fork() would copy the launcher's memory tables for a program that replaces them at once: a
  // thirtieth of the shortest run's time.
  // posix_spawn() cannot let the runtime die with us.
  // NOLINTNEXTLINE(*vfork,bugprone-unsafe-functions)
  pid_ = vfork();
  if (pid_ < 0) return system_failure("starting the runtime", errno);
  if (pid_ == 0) {
    become_runtime(request_.runtime, argv,
                   {null.get(), out_.writing.get(), err_.writing.get(), record_.get()}, parent);
  }
  out_.writing.reset();
  err_.writing.reset();
  process_.reset(pidfd_of(pid_));
  limit_ = begin_ + request_.start_allowance;
  return {};
}

/// The runtime writes the pid file, whole, once the guard was executed.
void Process::look_for_start() {
  if (end_.started) return;
  const auto text = read_small_file(bundle_.get(), kPidFile, 32, "the pid file");
  int pid = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), pid).ec != std::errc{}) {
    return;
  }
  sandbox_.reset(pidfd_of(pid));
  end_.started = true;
  end_.start = wall_clock();
  started_at_ = Clock::now();
  limit_ = started_at_ + request_.run_allowance;
  if (request_.began) request_.began();
  emit(true, std::exchange(held_, {}));
  if (end_.stop) signal_sandbox(SIGTERM);
}

void Process::signal_sandbox(int number) {
  if (sandbox_) {
    syscall(SYS_pidfd_send_signal, sandbox_.get(), number, nullptr, 0);
  } else if (number == SIGKILL) {
    kill(pid_, SIGKILL);
    request_.cgroup.kill_all();
  }
}

void Process::ask_to_stop(StopKind kind) {
  if (end_.stop) return;
  end_.stop = RunStop{kind, wall_clock()};
  kill_at_ = Clock::now() + request_.grace + kKillSlack;
  signal_sandbox(SIGTERM);
}

void Process::check_times() {
  if (request_.cancel.stop_requested()) ask_to_stop(StopKind::Cancelled);
  if (request_.hurry.stop_requested() && kill_at_ && !hurried_) {
    hurried_ = true;
    kill_at_ = Clock::now();
  }
  if (disk_exceeded_) ask_to_stop(StopKind::DiskExceeded);
  if (Clock::now() >= limit_) {
    ask_to_stop(end_.started ? StopKind::Deadline : StopKind::StartDeadline);
  }
  if (kill_at_ && Clock::now() >= *kill_at_) {
    signal_sandbox(SIGKILL);
    kill_at_ = Clock::now() + kKillSlack;
  }
}

// Not before its first look is due: a run that ends sooner would only wait for the thread's end.
void Process::watch_disk() {
  if (request_.max_disk_bytes == 0 || disk_watch_ || Clock::now() < disk_watch_at_) return;
  disk_watch_ =
      std::make_unique<DiskWatch>(request_.disk, request_.max_disk_bytes, request_.cgroup, [this] {
        disk_exceeded_ = true;
        wake();
      });
}

int Process::poll_timeout() const {
  auto next = kill_at_ ? *kill_at_ : limit_;
  if (request_.max_disk_bytes > 0 && !disk_watch_) next = std::min(next, disk_watch_at_);
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
  const auto longest = end_.started ? kLongestWait : kStartInterval;
  return static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, longest.count()));
}

/// From any thread: the loop looks at everything anew.
void Process::wake() const {
  const std::uint64_t one = 1;
  static_cast<void>(write(wake_.get(), &one, sizeof one));
}

void Process::drain(bool is_stderr) {
  UniqueFd& from = is_stderr ? err_.reading : out_.reading;
  std::array<char, 65536> buffer;
  while (from) {
    const ssize_t got = read(from.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return;
    if (got == 0) {
      from.reset();
      return;
    }
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
    if (is_stderr && !end_.started) {
      held_ += bytes.substr(0, std::min(bytes.size(), kMaxHeld - std::min(kMaxHeld, held_.size())));
    } else {
      emit(is_stderr, bytes);
    }
    if (static_cast<std::size_t>(got) < buffer.size()) return;
  }
}

void Process::loop() {
  bool ended = false;
  while (!ended) {
    std::array<pollfd, 4> waiting = {
        pollfd{.fd = process_.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = wake_.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = out_.reading.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = err_.reading.get(), .events = POLLIN, .revents = 0},
    };
    if (poll(waiting.data(), waiting.size(), poll_timeout()) < 0 && errno != EINTR) return;
    if (waiting[1].revents != 0) {
      std::uint64_t count = 0;
      static_cast<void>(read(wake_.get(), &count, sizeof count));
    }
    look_for_start();
    if (waiting[2].revents != 0) drain(false);
    if (waiting[3].revents != 0) drain(true);
    check_times();
    ended = (waiting[0].revents & POLLIN) != 0;
    if (!ended) watch_disk();
  }
}

void Process::finish() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  end_.finish = wall_clock();
  look_for_start();
  // The runtime was the only writer: what is in the pipes is all that comes.
  for (const bool is_stderr : {false, true}) {
    const UniqueFd& from = is_stderr ? err_.reading : out_.reading;
    pollfd left{.fd = from.get(), .events = POLLIN, .revents = 0};
    while (from && poll(&left, 1, 0) > 0) drain(is_stderr);
  }
  end_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (!end_.started) end_.runtime_words = std::move(held_);
  const auto from = end_.started ? started_at_ : begin_;
  end_.milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - from).count();
  std::string record(protocol::kMaxGuardRecordBytes + 1, '\0');
  const ssize_t got = pread(record_.get(), record.data(), record.size(), 0);
  record.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  end_.record = std::move(record);
  end_.oom = request_.cgroup.oom_killed();
  end_.peak_memory = request_.cgroup.peak_memory();
}

Result<RunEnd> Process::run() {
  if (auto ready = prepare(); !ready) return std::unexpected(ready.error());
  if (auto started = start(); !started) return std::unexpected(started.error());
  {
    const auto woken = [this] { wake(); };
    const std::stop_callback on_cancel(request_.cancel, woken);
    const std::stop_callback on_hurry(request_.hurry, woken);
    loop();
    disk_watch_.reset();
  }
  finish();
  return std::move(end_);
}

}  // namespace

Result<RunEnd> run_bundle(const RunRequest& request) {
  return Process(request).run();
}

}  // namespace sandboxrun::launch
