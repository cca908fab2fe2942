#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { kMaxSteps = 64, kMaxStepArguments = 4096 };

struct guard_step {
  long timeout_seconds;
  int argc;
  char** argv; /* inside the guard's own argv, not null-terminated */
};

/* The command line. docs/reference/guard.md lists flags and bounds; -1 means not given. */
struct guard_options {
  long deadline_seconds;
  long grace_seconds;
  long long nofile;
  long long nproc;
  long long fsize;
  bool network_any;
  bool require_userns;
  bool strict_speculation;
  bool no_service_variables;
  bool skip_environment_checks;
  const char* activate;        /* NULL: no script */
  const char* termination_log; /* used when record_fd is -1 */
  int record_fd;
  int step_count;
  struct guard_step steps[kMaxSteps];
  int command_argc;
  char** command; /* null-terminated */
};

enum parse_result { kParseOk, kParseHelp, kParseVersion, kParseError };

/* Reads the whole command line. After kParseError `error` holds one printable line, and `options`
 * what was understood before it. */
enum parse_result guard_parse_options(int argc, char** argv, struct guard_options* options,
                                      char* error, size_t error_size);

extern const char kGuardUsage[];
