#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "processes.h"
#include "sandbox.h"
#include "spawn.h"
#include "text.h"

enum {
  kCodeSetupFailed = 123,
  kCodeDeadline = 124,
  kCodeGuard = 125,
  kCodeNotExecutable = 126,
  kCodeNotFound = 127,
  kCodeStopped = 128 + SIGTERM
};

static const int64_t kNever = INT64_MAX;

/* Why a child is being ended. The first reason stays. */
enum ending { kOnItsOwn, kTimedOut, kStopped };

/* One step or the command, from its start to its end. */
struct child {
  pid_t pid;
  int error_pipe; /* -1 once it has told what it can tell */
  bool executed;
  bool failed;
  struct spawn_failure failure;
  bool ended;
  int status;
  enum ending ending;
  int stop_signal;    /* that asked for it */
  int64_t timeout_at; /* milliseconds, monotonic */
  int64_t kill_at;
};

static int64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* All signals but those that a fault of the guard's own code raises arrive on one descriptor. */
static int open_signals(void) {
  sigset_t set;
  static const int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
  sigfillset(&set);
  for (size_t i = 0; i < sizeof kFaults / sizeof kFaults[0]; ++i) sigdelset(&set, kFaults[i]);
  if (sigprocmask(SIG_SETMASK, &set, NULL) != 0) return -1;
  /* An inherited SIG_IGN for SIGCHLD would lose exit codes. */
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A signal from outside the run. Seen from PID 1, a sender outside its namespace has no number, and
 * SI_USER cannot be forged. Which signal it is matters little: an image chooses the one that
 * runtimes stop it with. But not SIGURG: runtimes written in Go send it to themselves, and runc
 * passes it on. */
static bool asks_to_stop(const struct signalfd_siginfo* info) {
  if (info->ssi_signo == SIGCHLD || info->ssi_signo == SIGURG) return false;
  return getpid() != 1 || (info->ssi_code == SI_USER && info->ssi_pid == 0);
}

/* What was waiting on the descriptor of signals, all of it now read. */
struct arrived {
  bool any;
  int stop_signal; /* the first that asks to stop, or 0 */
};

static struct arrived read_signals(int signals) {
  struct signalfd_siginfo info;
  struct arrived arrived = {.any = false, .stop_signal = 0};
  while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
    arrived.any = true;
    if (arrived.stop_signal == 0 && asks_to_stop(&info)) arrived.stop_signal = (int)info.ssi_signo;
  }
  return arrived;
}

static void read_error_pipe(struct child* child) {
  if (child->error_pipe < 0) return;
  ssize_t count = read(child->error_pipe, &child->failure, sizeof child->failure);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  child->failed = count == (ssize_t)sizeof child->failure;
  child->executed = !child->failed;
  close(child->error_pipe);
  child->error_pipe = -1;
}

static void start_ending(struct child* child, enum ending ending, int64_t grace_ms) {
  if (child->ending != kOnItsOwn) return;
  child->ending = ending;
  child->kill_at = now_ms() + grace_ms;
  if (grace_ms > 0 && !child->ended) processes_terminate(child->pid);
}

static void wait_for_event(const struct child* child, int signals) {
  int64_t next = child->kill_at < child->timeout_at ? child->kill_at : child->timeout_at;
  int64_t wait = next == kNever ? -1 : next - now_ms();
  if (wait < -1) wait = 0;
  if (wait > INT_MAX) wait = INT_MAX;
  struct pollfd polled[] = {{.fd = signals, .events = POLLIN},
                            {.fd = child->error_pipe, .events = POLLIN}};
  poll(polled, 2, (int)wait);
}

static void watch(struct child* child, int signals, int64_t timeout_grace_ms,
                  int64_t stop_grace_ms) {
  for (;;) {
    read_error_pipe(child);
    if (processes_reap(child->pid, &child->status)) child->ended = true;
    /* Read after reaping: an end that a request preceded is not the child's own. */
    const struct arrived arrived = read_signals(signals);
    if (arrived.stop_signal != 0) {
      if (child->ending == kOnItsOwn) child->stop_signal = arrived.stop_signal;
      start_ending(child, kStopped, stop_grace_ms);
    }
    if (child->ended) return;
    int64_t now = now_ms();
    if (now >= child->timeout_at) {
      child->timeout_at = kNever;
      start_ending(child, kTimedOut, timeout_grace_ms);
    }
    if (now >= child->kill_at) return;
    /* What was read may be the SIGCHLD of an end after the reaping: nothing else would tell of it.
     */
    if (!arrived.any) wait_for_event(child, signals);
  }
}

/* Starts one child, sees it end, and ends whatever it left behind. False if it couldn't be started,
 * with errno, or if a process outlived SIGKILL, with errno 0. */
static bool run_child(const struct guard_options* options, int argc, char** argv, int landlock,
                      int signals, long timeout_seconds, int64_t timeout_grace_ms,
                      struct child* child) {
  *child = (struct child){.error_pipe = -1, .timeout_at = kNever, .kill_at = kNever};
  child->stop_signal = read_signals(signals).stop_signal;
  if (child->stop_signal != 0) {
    child->ending = kStopped;
    return true;
  }
  child->pid = spawn_child(options, argc, argv, landlock, &child->error_pipe);
  if (child->pid < 0) return false;
  fcntl(child->error_pipe, F_SETFL, O_NONBLOCK);
  if (timeout_seconds >= 0) child->timeout_at = now_ms() + (int64_t)timeout_seconds * 1000;
  watch(child, signals, timeout_grace_ms, (int64_t)options->grace_seconds * 1000);
  bool gone = processes_end_all(child->pid, &child->status, &child->ended);
  read_error_pipe(child);
  if (child->error_pipe >= 0) close(child->error_pipe);
  errno = 0;
  return gone;
}

static void set_detail(struct guard_record* record, const char* what, int error) {
  snprintf(record->detail, sizeof record->detail, "%s%s%s", what, error == 0 ? "" : ": ",
           error == 0 ? "" : strerror(error));
}

static void set_cannot_execute(struct guard_record* record, const char* name, int error) {
  char printable[96];
  char what[128];
  text_printable(name, printable, sizeof printable);
  snprintf(what, sizeof what, "cannot execute \"%s\"", printable);
  set_detail(record, what, error);
}

static void set_end(struct guard_record* record, const char* stage, const char* cause, int code) {
  record->stage = stage;
  record->cause = cause;
  record->code = code;
}

static void set_child_end(struct guard_record* record, const struct child* child) {
  if (!child->ended) return;
  if (WIFSIGNALED(child->status)) {
    record->signal = WTERMSIG(child->status);
  } else {
    record->child_code = WEXITSTATUS(child->status);
  }
}

/* True if a missing file kept `error` from being a matter of rights or format. */
static bool is_not_found(int error) {
  return error == ENOENT || error == ENOTDIR;
}

static void guard_broke(struct guard_record* record, const char* what, int error) {
  set_end(record, "guard", "guard-failed", kCodeGuard);
  set_detail(record, what, error);
}

static void set_stopped(struct guard_record* record, const char* stage, const struct child* child) {
  set_end(record, stage, "stopped", kCodeStopped);
  snprintf(record->detail, sizeof record->detail, "stopped from outside by signal %d",
           child->stop_signal);
  if (!child->failed) set_child_end(record, child);
}

/* The child could not confine itself: a fault of the sandbox, not of the run. */
static bool confinement_failed(struct guard_record* record, const struct child* child) {
  if (!child->failed || child->failure.stage != kSpawnConfine) return false;
  guard_broke(record, "a process of the run could not be confined", child->failure.error);
  return true;
}

/* True if the step succeeded. Otherwise the record says how it ended. */
static bool run_step(const struct guard_options* options, int index, int landlock, int signals,
                     struct guard_record* record) {
  const struct guard_step* step = &options->steps[index];
  struct child child;
  if (!run_child(options, step->argc, step->argv, landlock, signals, step->timeout_seconds, 0,
                 &child)) {
    guard_broke(record,
                errno != 0 ? "a setup step could not be started"
                           : "processes of a setup step outlived SIGKILL",
                errno);
    return false;
  }
  if (confinement_failed(record, &child)) return false;
  record->step = index;
  if (child.ending == kStopped) {
    set_stopped(record, "setup", &child);
    return false;
  }
  if (child.ending == kTimedOut) {
    set_end(record, "setup", "setup-timeout", kCodeSetupFailed);
    set_child_end(record, &child);
    return false;
  }
  if (child.failed) {
    set_end(record, "setup", "setup-failed", kCodeSetupFailed);
    record->child_code = is_not_found(child.failure.error) ? kCodeNotFound : kCodeNotExecutable;
    set_cannot_execute(record, step->argv[0], child.failure.error);
    return false;
  }
  if (WIFEXITED(child.status) && WEXITSTATUS(child.status) == 0) {
    record->step = -1;
    return true;
  }
  set_end(record, "setup", "setup-failed", kCodeSetupFailed);
  set_child_end(record, &child);
  return false;
}

static void run_command(const struct guard_options* options, int landlock, int signals,
                        struct guard_record* record) {
  struct child child;
  bool clean = run_child(options, options->command_argc, options->command, landlock, signals,
                         options->deadline_seconds, (int64_t)options->grace_seconds * 1000, &child);
  if (!clean && errno != 0) {
    guard_broke(record, "the command could not be started", errno);
    return;
  }
  if (confinement_failed(record, &child)) return;
  record->started = child.executed;
  if (!clean) set_detail(record, "processes outlived SIGKILL", 0);
  if (child.ending == kStopped) {
    set_stopped(record, "run", &child);
    return;
  }
  if (child.ending == kTimedOut) {
    set_end(record, "run", "deadline", kCodeDeadline);
    if (!child.failed) set_child_end(record, &child);
    return;
  }
  if (child.failed) {
    bool missing = is_not_found(child.failure.error);
    set_end(record, "run", missing ? "not-found" : "not-executable",
            missing ? kCodeNotFound : kCodeNotExecutable);
    set_cannot_execute(record, options->command[0], child.failure.error);
    return;
  }
  set_child_end(record, &child);
  if (WIFSIGNALED(child.status)) {
    set_end(record, "run", "signaled", 128 + WTERMSIG(child.status));
  } else {
    set_end(record, "run", "exited", WEXITSTATUS(child.status));
  }
}

void supervise(const struct guard_options* options, struct guard_record* record) {
  int signals = open_signals();
  if (signals < 0 || processes_adopt_orphans() != 0) {
    guard_broke(record, "signals", errno);
    return;
  }
  const int landlock = sandbox_landlock_version();
  record->features.landlock = landlock;
  for (int index = 0; index < options->step_count; ++index) {
    if (!run_step(options, index, landlock, signals, record)) return;
  }
  run_command(options, landlock, signals, record);
}
