#include "processes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* kill(-1) means "all of this run" for PID 1 only. Anywhere else it would be all of the user's
 * processes, so there the guard keeps to its own children. */
static bool is_init(void) {
  return getpid() == 1;
}

int processes_adopt_orphans(void) {
  return is_init() ? 0 : prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

bool processes_reap(pid_t child, int* status) {
  bool ended = false;
  for (;;) {
    int state = 0;
    pid_t pid = waitpid(-1, &state, WNOHANG | __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return ended;
    /* A child that asked to be traced reports its stops too. */
    if (pid == child && (WIFEXITED(state) || WIFSIGNALED(state))) {
      *status = state;
      ended = true;
    }
  }
}

void processes_terminate(pid_t child) {
  if (is_init()) {
    kill(-1, SIGTERM);
  } else if (kill(-child, SIGTERM) != 0) {
    kill(child, SIGTERM);
  }
}

/* Children not yet reaped keep their number, so no other process can be meant. */
static void kill_own_children(void) {
  char path[64];
  char list[4096];
  snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t count = read(fd, list, sizeof list - 1);
  close(fd);
  if (count <= 0) return;
  list[count] = '\0';
  char* at = list;
  for (;;) {
    char* next = NULL;
    long pid = strtol(at, &next, 10);
    /* The last number may be cut off when the list is longer than the buffer. */
    if (next == at || *next != ' ') return;
    if (pid > 1) kill((pid_t)pid, SIGKILL);
    at = next;
  }
}

static bool has_children(void) {
  siginfo_t info;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 || errno != ECHILD;
}

bool processes_end_all(pid_t child, int* status, bool* child_ended) {
  const struct timespec kFirstPause = {.tv_nsec = 200000};
  const long kLongestPause = 20000000;
  struct timespec pause = kFirstPause;
  long long waited = 0;
  for (;;) {
    if (is_init()) {
      kill(-1, SIGKILL);
    } else {
      kill_own_children();
    }
    if (processes_reap(child, status)) *child_ended = true;
    if (!has_children()) return true;
    if (waited > 10000000000LL) return false;
    nanosleep(&pause, NULL);
    waited += pause.tv_nsec;
    if (pause.tv_nsec < kLongestPause) pause.tv_nsec *= 2;
  }
}
