#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Installs the guard's filter in the calling process; its children inherit it. NO_NEW_PRIVS must be
 * on. `guard_pid` is the process that no signal, ptrace, limit or scheduler call may aim at.
 * 0, or -1 and errno. docs/reference/guard.md explains every rule. */
int seccomp_install(bool network_any, pid_t guard_pid);
