#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { kMaxRecord = 4096, kMaxMessage = 2048, kMaxToken = 128, kMaxDetail = 256 };

struct guard_features {
  const char* no_new_privs;
  const char* seccomp;
  const char* network;
  const char* store_bypass;
  const char* indirect_branch;
  const char* user_namespace;
  int landlock;
};

/* What happened; docs/reference/guard.md gives the JSON form. -1 in a number means absent. */
struct guard_record {
  char token[kMaxToken + 1];
  const char* stage;
  const char* cause;
  int code;
  bool started;
  int step;
  int child_code;
  int signal;
  struct guard_features features;
  char detail[kMaxDetail + 1];
};

void record_init(struct guard_record* record);

/* Takes SANDBOXRUN_TOKEN out of the environment and wipes it from the memory that /proc/PID/environ
 * shows. False if it is longer than kMaxToken. */
bool record_take_token(struct guard_record* record, char** environment);

/* Opens the termination log, an existing regular file, and empties it. Close-on-exec. -1 and errno
 * on failure. */
int record_open(const char* path);

/* Reads the last kMaxMessage bytes that the run wrote into the open termination log. */
size_t record_read_message(int fd, char message[kMaxMessage]);

/* Renders the record as one line of at most kMaxRecord bytes; returns its length. The message loses
 * its beginning where it would not fit. */
size_t record_render(const struct guard_record* record, const char* message, size_t message_length,
                     char line[kMaxRecord]);

/* Replaces what `fd` holds by the record. With `keep_message` what was there becomes its message.
 */
bool record_write(const struct guard_record* record, int fd, bool keep_message);
