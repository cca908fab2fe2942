#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

static const char kTokenName[] = "SANDBOXRUN_TOKEN=";

void record_init(struct guard_record* record) {
  memset(record, 0, sizeof *record);
  record->stage = "guard";
  record->cause = "guard-failed";
  record->code = 125;
  record->step = -1;
  record->child_code = -1;
  record->signal = -1;
  record->features = (struct guard_features){
      .no_new_privs = "no",
      .seccomp = "no",
      .network = "none",
      .store_bypass = "n/a",
      .indirect_branch = "n/a",
      .user_namespace = "n/a",
      .landlock = 0,
  };
}

bool record_take_token(struct guard_record* record, char** environment) {
  const size_t name_length = sizeof kTokenName - 1;
  bool fits = true;
  char** kept = environment;
  for (char** entry = environment; *entry != NULL; ++entry) {
    if (strncmp(*entry, kTokenName, name_length) != 0) {
      *kept++ = *entry;
      continue;
    }
    size_t length = strlen(*entry + name_length);
    if (length > kMaxToken) {
      fits = false;
    } else {
      memcpy(record->token, *entry + name_length, length + 1);
    }
    explicit_bzero(*entry, name_length + length);
  }
  *kept = NULL;
  return fits;
}

int record_open(const char* path) {
  int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
  struct stat status;
  if (fd < 0) return -1;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || ftruncate(fd, 0) != 0) {
    close(fd);
    errno = EINVAL;
    return -1;
  }
  return fd;
}

size_t record_read_message(int fd, char message[kMaxMessage]) {
  off_t end = lseek(fd, 0, SEEK_END);
  if (end <= 0) return 0;
  off_t start = end > kMaxMessage ? end - kMaxMessage : 0;
  size_t length = 0;
  while (length < kMaxMessage) {
    ssize_t count = pread(fd, message + length, kMaxMessage - length, start + (off_t)length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    length += (size_t)count;
  }
  /* Where the file was cut, a character may have lost its first bytes. */
  size_t skip = 0;
  while (start > 0 && skip < 3 && skip < length && ((unsigned char)message[skip] & 0xC0) == 0x80) {
    ++skip;
  }
  memmove(message, message + skip, length - skip);
  return length - skip;
}

static void append_pair(struct text* text, const char* key, const char* value) {
  text_append_string(text, "\"");
  text_append_string(text, key);
  text_append_string(text, "\":\"");
  text_append_json(text, value, strlen(value));
  text_append_string(text, "\",");
}

static void append_number(struct text* text, const char* key, int value) {
  if (value < 0) return;
  text_append_string(text, "\"");
  text_append_string(text, key);
  text_append_string(text, "\":");
  text_append_number(text, value);
  text_append_string(text, ",");
}

static void append_features(struct text* text, const struct guard_features* features) {
  text_append_string(text, "\"features\":{");
  append_pair(text, "noNewPrivs", features->no_new_privs);
  append_pair(text, "seccomp", features->seccomp);
  append_pair(text, "network", features->network);
  append_pair(text, "speculationStoreBypass", features->store_bypass);
  append_pair(text, "speculationIndirectBranch", features->indirect_branch);
  append_number(text, "landlock", features->landlock);
  append_pair(text, "userNamespace", features->user_namespace);
  --text->length; /* the last comma */
  text_append_string(text, "},");
}

size_t record_render(const struct guard_record* record, const char* message, size_t message_length,
                     char line[kMaxRecord]) {
  static const char kEnd[] = "\"}\n";
  struct text text = {.data = line, .size = kMaxRecord - (sizeof kEnd - 1)};
  text_append_string(&text, "{");
  append_number(&text, "v", 1);
  append_pair(&text, "token", record->token);
  append_pair(&text, "stage", record->stage);
  append_pair(&text, "cause", record->cause);
  append_number(&text, "code", record->code);
  text_append_string(&text, record->started ? "\"started\":true," : "\"started\":false,");
  append_number(&text, "step", record->step);
  append_number(&text, "childCode", record->child_code);
  append_number(&text, "signal", record->signal);
  append_features(&text, &record->features);
  append_pair(&text, "detail", record->detail);
  text_append_string(&text, "\"message\":\"");

  size_t needed = 0;
  for (size_t at = 0, consumed = 0; at < message_length; at += consumed) {
    needed += text_json_cost(message + at, message_length - at, &consumed);
  }
  size_t start = 0;
  while (needed > text.size - text.length) {
    size_t consumed = 0;
    needed -= text_json_cost(message + start, message_length - start, &consumed);
    start += consumed;
  }
  text_append_json(&text, message + start, message_length - start);
  text.size = kMaxRecord;
  text_append(&text, kEnd, sizeof kEnd - 1);
  return text.length;
}

bool record_write(const struct guard_record* record, int fd, bool keep_message) {
  char message[kMaxMessage];
  char line[kMaxRecord];
  size_t message_length = keep_message ? record_read_message(fd, message) : 0;
  size_t length = record_render(record, message, message_length, line);
  struct stat status;
  /* A passed descriptor may be a pipe, or a file opened for appending. */
  bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  if (regular && (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0)) return false;
  for (size_t written = 0; written < length;) {
    ssize_t count = write(fd, line + written, length - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    written += (size_t)count;
  }
  return true;
}
