#pragma once

#include <stdbool.h>

#include "options.h"
#include "record.h"

/* Looks from inside whether the sandbox is what was promised: PID 1, no capability, a system call
 * filter, a read-only root, a working directory inside it, mapped user ids where required. Fills
 * features->user_namespace. On false `detail` says what is missing. */
bool sandbox_check(const struct guard_options* options, struct guard_features* features,
                   char* detail, size_t detail_size);

/* Seals the guard itself, and with it every process that it starts: NO_NEW_PRIVS, speculation
 * controls, not dumpable, the system call filter last. Fills features. On false `detail` says what
 * failed. */
bool sandbox_seal(const struct guard_options* options, struct guard_features* features,
                  char* detail, size_t detail_size);

/* The version of Landlock if it can scope signals and abstract sockets, else 0. */
int sandbox_landlock_version(void);

/* In a child before it executes anything: limits, and the Landlock scopes if `landlock` is not 0.
 * 0, or -1 and errno. */
int sandbox_confine_child(const struct guard_options* options, int landlock);
