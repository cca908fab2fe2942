#include "fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  kFirst = 3,
  /* Room that is made before /proc/self/fd is opened: with a full table nothing can be opened. */
  kFirstSweepEnd = 16,
  /* The kernel's default fs.nr_open; only a raised one allows descriptors beyond it. */
  kSweepEnd = 1048576
};

struct directory_entry { /* getdents64(2) */
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

static bool close_ranges(int keep) {
  if (keep < kFirst) return syscall(SYS_close_range, kFirst, ~0U, 0) == 0;
  if (keep > kFirst && syscall(SYS_close_range, kFirst, keep - 1, 0) != 0) return false;
  return syscall(SYS_close_range, keep + 1, ~0U, 0) == 0;
}

static void sweep(int from, int to, int keep) {
  for (int fd = from; fd < to; ++fd) {
    if (fd != keep) close(fd);
  }
}

/* The number that `name` is, or -1. */
static int descriptor_of(const char* name) {
  int fd = 0;
  if (*name == '\0') return -1;
  for (; *name != '\0'; ++name) {
    if (*name < '0' || *name > '9' || fd > (INT32_MAX - 9) / 10) return -1;
    fd = fd * 10 + (*name - '0');
  }
  return fd;
}

/* One pass over an open /proc/self/fd: descriptors closed, or -1 if it cannot be read. */
static int close_listed(int directory, int keep) {
  _Alignas(8) char buffer[4096];
  int closed = 0;
  if (lseek(directory, 0, SEEK_SET) != 0) return -1;
  for (;;) {
    long count = syscall(SYS_getdents64, directory, buffer, sizeof buffer);
    if (count < 0) return -1;
    if (count == 0) return closed;
    for (long at = 0; at < count;) {
      const struct directory_entry* entry = (const struct directory_entry*)(void*)(buffer + at);
      int fd = descriptor_of(entry->name);
      if (fd >= kFirst && fd != keep && fd != directory && close(fd) == 0) ++closed;
      at += entry->length;
    }
  }
}

static bool walk(int keep) {
  int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return false;
  int closed;
  do {
    closed = close_listed(directory, keep);
  } while (closed > 0);
  close(directory);
  return closed == 0;
}

void fds_close_all_but(int keep) {
  if (close_ranges(keep)) return;
  sweep(kFirst, kFirstSweepEnd, keep);
  if (walk(keep)) return;
  sweep(kFirst, kSweepEnd, keep);
}

int fds_fill_standard(void) {
  for (int fd = 0; fd < kFirst; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    int opened = open("/dev/null", O_RDWR | O_NOCTTY);
    if (opened < 0) return -1;
    if (opened != fd) { /* never: the lowest free number is taken */
      close(opened);
      errno = EBADF;
      return -1;
    }
  }
  return 0;
}
