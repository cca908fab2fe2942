#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sandbox.h"

static void restore_signals(void) {
  sigset_t none;
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* argv as a null-terminated array, behind the shell that sources the script. The arguments stay
 * separate strings: no shell ever reads them as its language. */
static char** full_argv(const char* activate, int argc, char** argv) {
  static char* const kShell[] = {"/bin/sh", "-c", ". \"$1\" && shift && exec \"$@\"", "sh"};
  enum { kShellCount = sizeof kShell / sizeof kShell[0] };
  char** full = calloc((size_t)argc + kShellCount + 2, sizeof *full);
  size_t at = 0;
  if (full == NULL) return NULL;
  if (activate != NULL) {
    memcpy(full, kShell, sizeof kShell);
    at = kShellCount;
    full[at++] = (char*)activate;
  }
  memcpy(full + at, argv, (size_t)argc * sizeof *argv);
  return full;
}

static void run_child(const struct guard_options* options, int argc, char** argv, int landlock,
                      int error_pipe) {
  struct spawn_failure failure = {.stage = kSpawnConfine, .error = 0};
  char** full = full_argv(options->activate, argc, argv);
  if (full != NULL && setsid() >= 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
      sandbox_confine_child(options, landlock) == 0) {
    restore_signals();
    failure.stage = kSpawnExec;
    execvp(full[0], full);
  }
  failure.error = errno;
  /* A pipe takes this few bytes whole. */
  ssize_t written = write(error_pipe, &failure, sizeof failure);
  _exit(written == (ssize_t)sizeof failure ? 127 : 125);
}

pid_t spawn_child(const struct guard_options* options, int argc, char** argv, int landlock,
                  int* error_pipe) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  pid_t child = fork();
  if (child == 0) run_child(options, argc, argv, landlock, ends[1]);
  int saved = errno;
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    errno = saved;
    return -1;
  }
  *error_pipe = ends[0];
  return child;
}
