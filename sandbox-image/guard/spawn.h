#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "options.h"

/* Where a child stood when it could not go on; what it writes to the error pipe. */
struct spawn_failure {
  enum { kSpawnConfine, kSpawnExec } stage;
  int error;
};

/* Starts `argv` (`argc` strings, through the script of --activate if there is one) in a session of
 * its own, confined. *error_pipe is the read end of a pipe that brings a spawn_failure, or its end
 * once the program was executed. Returns the child's pid, or -1 and errno. */
pid_t spawn_child(const struct guard_options* options, int argc, char** argv, int landlock,
                  int* error_pipe);
