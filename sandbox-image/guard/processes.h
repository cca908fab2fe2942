#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Prepares the guard to be told of every orphan: nothing to do for PID 1, a subreaper otherwise. */
int processes_adopt_orphans(void);

/* Reaps whatever has ended. True once `child` has, with its wait status; -1 never matches. */
bool processes_reap(pid_t child, int* status);

/* Sends SIGTERM to every process of the run. `child` is the one that was started last and has not
 * been reaped. */
void processes_terminate(pid_t child);

/* Kills and reaps every process of the run. When `child` is among them its wait status is stored
 * and *child_ended set. False if some did not go away within ten seconds of SIGKILL (stuck in the
 * kernel; they never run code of their own again). */
bool processes_end_all(pid_t child, int* status, bool* child_ended);
