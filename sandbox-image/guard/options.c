#include "options.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

const char kGuardUsage[] =
    "usage: guard [--deadline SECONDS] [--grace SECONDS] [--network none|any] [--nofile N]\n"
    "             [--nproc N] [--fsize BYTES] [--activate FILE] [--require-userns]\n"
    "             [--strict-speculation] [--no-service-variables]\n"
    "             [--termination-log PATH | --record-fd N]\n"
    "             [--step TIMEOUT ARGC ARG...]... -- COMMAND [ARG...]\n";

enum flag {
  kDeadline,
  kGrace,
  kNetwork,
  kNofile,
  kNproc,
  kFsize,
  kActivate,
  kRequireUserns,
  kStrictSpeculation,
  kNoServiceVariables,
  kTerminationLog,
  kRecordFd,
  kStep,
  kSkipChecks,
  kFlagCount
};

static const struct {
  const char* name;
  bool has_value;
  long long minimum; /* of a number; maximum 0: the value is text */
  long long maximum;
} kFlags[kFlagCount] = {
    [kDeadline] = {"--deadline", true, 1, INT_MAX},
    [kGrace] = {"--grace", true, 0, 3600},
    [kNetwork] = {"--network", true, 0, 0},
    [kNofile] = {"--nofile", true, 16, 1048576},
    [kNproc] = {"--nproc", true, 1, 4194304},
    [kFsize] = {"--fsize", true, 0, LLONG_MAX},
    [kActivate] = {"--activate", true, 0, 0},
    [kRequireUserns] = {"--require-userns", false, 0, 0},
    [kStrictSpeculation] = {"--strict-speculation", false, 0, 0},
    [kNoServiceVariables] = {"--no-service-variables", false, 0, 0},
    [kTerminationLog] = {"--termination-log", true, 0, 0},
    [kRecordFd] = {"--record-fd", true, 3, 1048575},
    [kStep] = {"--step", true, 1, INT_MAX},
    [kSkipChecks] = {"--unsafe-skip-environment-checks", false, 0, 0},
};

/* Decimal digits and nothing else, inside the bounds. strtoll would take blanks, signs and a
 * tail. */
static bool parse_number(const char* text, long long minimum, long long maximum,
                         long long* number) {
  long long value = 0;
  if (*text == '\0') return false;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') return false;
    int digit = *text - '0';
    if (value > (LLONG_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  if (value < minimum || value > maximum) return false;
  *number = value;
  return true;
}

static enum flag find_flag(const char* text) {
  enum flag flag = kDeadline;
  while (flag < kFlagCount && strcmp(text, kFlags[flag].name) != 0) ++flag;
  return flag;
}

static enum parse_result bad_value(char* error, size_t size, const char* name, const char* found,
                                   const char* wanted) {
  char quoted[64];
  text_printable(found, quoted, sizeof quoted);
  snprintf(error, size, "%s: \"%s\" is not %s", name, quoted, wanted);
  return kParseError;
}

static enum parse_result bad_number(char* error, size_t size, const char* name, const char* found,
                                    long long minimum, long long maximum) {
  char wanted[80];
  snprintf(wanted, sizeof wanted, "a whole number from %lld to %lld", minimum, maximum);
  return bad_value(error, size, name, found, wanted);
}

/* Takes TIMEOUT ARGC ARG... that begin at argv[*at]; leaves *at behind them. */
static enum parse_result parse_step(int argc, char** argv, int* at, struct guard_options* options,
                                    char* error, size_t error_size) {
  long long timeout = 0;
  long long count = 0;
  if (options->step_count == kMaxSteps) {
    snprintf(error, error_size, "--step: more than %d steps", kMaxSteps);
    return kParseError;
  }
  if (!parse_number(argv[*at], 1, INT_MAX, &timeout)) {
    return bad_number(error, error_size, "--step", argv[*at], 1, INT_MAX);
  }
  if (*at + 1 >= argc) {
    snprintf(error, error_size, "--step: the number of arguments is missing");
    return kParseError;
  }
  if (!parse_number(argv[*at + 1], 1, kMaxStepArguments, &count)) {
    return bad_number(error, error_size, "--step", argv[*at + 1], 1, kMaxStepArguments);
  }
  if (count > argc - (*at + 2)) {
    snprintf(error, error_size, "--step: %lld arguments announced, %d found", count,
             argc - (*at + 2));
    return kParseError;
  }
  struct guard_step* step = &options->steps[options->step_count++];
  step->timeout_seconds = (long)timeout;
  step->argc = (int)count;
  step->argv = &argv[*at + 2];
  *at += 2 + (int)count;
  return kParseOk;
}

static enum parse_result set_flag(enum flag flag, const char* value, struct guard_options* options,
                                  char* error, size_t size) {
  const char* name = kFlags[flag].name;
  long long number = 0;
  if (kFlags[flag].maximum != 0 &&
      !parse_number(value, kFlags[flag].minimum, kFlags[flag].maximum, &number)) {
    return bad_number(error, size, name, value, kFlags[flag].minimum, kFlags[flag].maximum);
  }
  if ((flag == kActivate || flag == kTerminationLog) && value[0] != '/') {
    return bad_value(error, size, name, value, "an absolute path");
  }
  switch (flag) {
    case kDeadline:
      options->deadline_seconds = (long)number;
      break;
    case kGrace:
      options->grace_seconds = (long)number;
      break;
    case kNofile:
      options->nofile = number;
      break;
    case kNproc:
      options->nproc = number;
      break;
    case kFsize:
      options->fsize = number;
      break;
    case kRecordFd:
      options->record_fd = (int)number;
      break;
    case kActivate:
      options->activate = value;
      break;
    case kTerminationLog:
      options->termination_log = value;
      break;
    case kRequireUserns:
      options->require_userns = true;
      break;
    case kStrictSpeculation:
      options->strict_speculation = true;
      break;
    case kNoServiceVariables:
      options->no_service_variables = true;
      break;
    case kSkipChecks:
      options->skip_environment_checks = true;
      break;
    case kNetwork:
      if (strcmp(value, "any") != 0 && strcmp(value, "none") != 0) {
        return bad_value(error, size, name, value, "none or any");
      }
      options->network_any = strcmp(value, "any") == 0;
      break;
    case kStep:
    case kFlagCount:
      break;
  }
  return kParseOk;
}

static void set_defaults(struct guard_options* options) {
  memset(options, 0, sizeof *options);
  options->deadline_seconds = -1;
  options->grace_seconds = 5;
  options->nofile = -1;
  options->nproc = -1;
  options->fsize = -1;
  options->termination_log = "/dev/termination-log";
  options->record_fd = -1;
}

enum parse_result guard_parse_options(int argc, char** argv, struct guard_options* options,
                                      char* error, size_t error_size) {
  bool seen[kFlagCount] = {false};
  set_defaults(options);
  int at = 1;
  while (at < argc && strcmp(argv[at], "--") != 0) {
    const char* name = argv[at++];
    if (strcmp(name, "--help") == 0) return kParseHelp;
    if (strcmp(name, "--version") == 0) return kParseVersion;
    enum flag flag = find_flag(name);
    if (flag == kFlagCount) {
      return bad_value(error, error_size, "command line", name,
                       "a flag of the guard (the command follows --)");
    }
    if (seen[flag] && flag != kStep) {
      snprintf(error, error_size, "%s: given twice", name);
      return kParseError;
    }
    seen[flag] = true;
    if (seen[kTerminationLog] && seen[kRecordFd]) {
      snprintf(error, error_size, "--termination-log and --record-fd exclude each other");
      return kParseError;
    }
    if (kFlags[flag].has_value && at >= argc) {
      snprintf(error, error_size, "%s: its value is missing", name);
      return kParseError;
    }
    enum parse_result result =
        flag == kStep
            ? parse_step(argc, argv, &at, options, error, error_size)
            : set_flag(flag, kFlags[flag].has_value ? argv[at] : "", options, error, error_size);
    if (result != kParseOk) return result;
    if (kFlags[flag].has_value && flag != kStep) ++at;
  }
  if (at + 1 >= argc || argv[at + 1][0] == '\0') {
    snprintf(error, error_size, "the command is missing: -- COMMAND [ARG...] ends the line");
    return kParseError;
  }
  options->command = &argv[at + 1];
  options->command_argc = argc - (at + 1);
  return kParseOk;
}
