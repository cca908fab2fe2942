/* The first process of a run: checks the sandbox, seals it, supervises setup steps and command, and
 * leaves a record. docs/reference/guard.md is its manual. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fds.h"
#include "options.h"
#include "record.h"
#include "sandbox.h"
#include "supervise.h"

extern char** environ;

enum { kCodeGuard = 125 };

/* One line on stderr. Not stdio: it allocates, and its buffers would be copied into children. */
static void say(const char* text) {
  char line[kMaxDetail + 16];
  int length = snprintf(line, sizeof line, "guard: %s\n", text);
  ssize_t ignored = length > 0 ? write(STDERR_FILENO, line, (size_t)length) : 0;
  (void)ignored;
}

static int print(const char* text) {
  return write(STDOUT_FILENO, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : kCodeGuard;
}

static void set_detail_errno(struct guard_record* record, const char* what) {
  snprintf(record->detail, sizeof record->detail, "%s: %s", what, strerror(errno));
}

/* A kubelet tells every container where the API server is, whatever its pod says of services. */
static void drop_service_variables(char** environment) {
  static const char* const kPrefixes[] = {"KUBERNETES_SERVICE_", "KUBERNETES_PORT"};
  char** kept = environment;
  for (char** entry = environment; *entry != NULL; ++entry) {
    bool told = false;
    for (size_t i = 0; i < sizeof kPrefixes / sizeof *kPrefixes; ++i) {
      told = told || strncmp(*entry, kPrefixes[i], strlen(kPrefixes[i])) == 0;
    }
    if (!told) *kept++ = *entry;
  }
  *kept = NULL;
}

/* Leaves only 0 to 2 and the record's descriptor open. Returns the latter, or -1 with the cause in
 * the record. */
static int prepare_descriptors(const struct guard_options* options, struct guard_record* record) {
  int fd = options->record_fd;
  if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    set_detail_errno(record, "--record-fd");
    return -1;
  }
  /* Closed before anything is opened: with a full table nothing can be. */
  fds_close_all_but(fd);
  if (fds_fill_standard() != 0) {
    set_detail_errno(record, "/dev/null");
    return -1;
  }
  if (fd >= 0) return fd;
  fd = record_open(options->termination_log);
  if (fd < 0) set_detail_errno(record, "the termination log cannot be opened as a file");
  return fd;
}

/* Everything between the command line and the record. */
static void run(const struct guard_options* options, struct guard_record* record) {
  if (!sandbox_check(options, &record->features, record->detail, sizeof record->detail)) return;
  if (!sandbox_seal(options, &record->features, record->detail, sizeof record->detail)) return;
  supervise(options, record);
}

int main(int argc, char** argv) {
  static struct guard_options options;
  static struct guard_record record;
  char error[kMaxDetail] = "";
  record_init(&record);
  bool token_fits = record_take_token(&record, environ);

  if (argc <= 1) {
    ssize_t ignored = write(STDERR_FILENO, kGuardUsage, strlen(kGuardUsage));
    (void)ignored;
    return kCodeGuard;
  }
  enum parse_result parsed = guard_parse_options(argc, argv, &options, error, sizeof error);
  if (parsed == kParseHelp) return print(kGuardUsage);
  if (parsed == kParseVersion) return print("guard " GUARD_VERSION "\n");

  if (options.no_service_variables) drop_service_variables(environ);
  int record_fd = prepare_descriptors(&options, &record);
  if (record_fd < 0) {
    say(parsed == kParseError ? error : record.detail);
    return kCodeGuard;
  }
  if (parsed == kParseError) {
    snprintf(record.detail, sizeof record.detail, "%s", error);
  } else if (!token_fits) {
    snprintf(record.detail, sizeof record.detail, "SANDBOXRUN_TOKEN is longer than %d bytes",
             kMaxToken);
  } else {
    run(&options, &record);
  }
  if (record.detail[0] != '\0') say(record.detail);
  if (!record_write(&record, record_fd, options.record_fd < 0)) {
    set_detail_errno(&record, "the record cannot be written");
    say(record.detail);
  }
  return record.code;
}
