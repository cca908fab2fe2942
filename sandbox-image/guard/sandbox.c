#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "seccomp.h"

enum { kLandlockScopesVersion = 6, kLandlockVersionFlag = 1, kLastCapability = 63 };

/* struct landlock_ruleset_attr as of version 6, which the build machine's headers may lack. */
struct ruleset {
  uint64_t handled_access_fs;
  uint64_t handled_access_net;
  uint64_t scoped;
};
static const uint64_t kScopeAbstractSockets = 1u << 0;
static const uint64_t kScopeSignals = 1u << 1;

static bool complain(char* detail, size_t size, const char* what) {
  snprintf(detail, size, "%s", what);
  return false;
}

static bool complain_errno(char* detail, size_t size, const char* what) {
  snprintf(detail, size, "%s: %s", what, strerror(errno));
  return false;
}

/* gVisor is a kernel of its own: it applies neither the OCI seccomp profile nor a user namespace
 * that could be seen from inside, because the run never reaches the host's kernel. An image cannot
 * forge uname. */
static bool on_gvisor(void) {
  struct utsname name;
  return uname(&name) == 0 && strstr(name.release, "gvisor") != NULL;
}

static bool has_no_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
  if (syscall(SYS_capget, &header, sets) != 0) return false;
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; ++i) {
    if ((sets[i].effective | sets[i].permitted | sets[i].inheritable) != 0) return false;
  }
  for (int capability = 0; capability <= kLastCapability; ++capability) {
    if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) > 0) return false;
  }
  return true;
}

/* True unless the one line of /proc/self/uid_map maps every id to itself. */
static bool user_ids_are_mapped(bool* known) {
  char map[256];
  unsigned inside = 0, outside = 0, length = 0;
  int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
  ssize_t count = fd < 0 ? -1 : read(fd, map, sizeof map - 1);
  if (fd >= 0) close(fd);
  *known = count > 0;
  if (count <= 0) return false;
  map[count] = '\0';
  if (sscanf(map, "%u %u %u", &inside, &outside, &length) != 3) return false;
  return !(inside == 0 && outside == 0 && length == UINT32_MAX);
}

/* A working directory that a descriptor leaked from outside gave would be a way out of the root;
 * its path cannot be told from inside. */
static bool working_directory_is_inside(void) {
  char path[4096];
  return getcwd(path, sizeof path) != NULL && path[0] == '/';
}

bool sandbox_check(const struct guard_options* options, struct guard_features* features,
                   char* detail, size_t detail_size) {
  const bool gvisor = on_gvisor();
  bool known = false;
  bool mapped = user_ids_are_mapped(&known);
  features->user_namespace = gvisor || !known ? "n/a" : mapped ? "yes" : "no";
  if (!working_directory_is_inside()) {
    return complain(detail, detail_size, "the working directory lies outside the root");
  }
  if (options->skip_environment_checks) return true;

  struct statvfs root;
  if (getpid() != 1) return complain(detail, detail_size, "the guard is not PID 1");
  if (!has_no_capabilities()) {
    return complain(detail, detail_size, "the sandbox has capabilities; all sets must be empty");
  }
  if (!gvisor && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER) {
    return complain(detail, detail_size, "the runtime's seccomp profile is off");
  }
  if (statvfs("/", &root) != 0 || (root.f_flag & ST_RDONLY) == 0) {
    return complain(detail, detail_size, "the root filesystem is writable");
  }
  if (options->require_userns && !gvisor && !mapped) {
    return complain(detail, detail_size,
                    known ? "user ids are not mapped: there is no user namespace"
                          : "user ids may not be mapped: /proc/self/uid_map cannot be read");
  }
  return true;
}

static const char* disable_speculation(unsigned long what) {
  if (prctl(PR_SET_SPECULATION_CTRL, what, PR_SPEC_FORCE_DISABLE, 0, 0) == 0) return "yes";
  int state = prctl(PR_GET_SPECULATION_CTRL, what, 0, 0, 0);
  if (state < 0) return "n/a";
  if (state == PR_SPEC_NOT_AFFECTED || ((unsigned)state & PR_SPEC_FORCE_DISABLE) != 0) return "yes";
  return "no";
}

bool sandbox_seal(const struct guard_options* options, struct guard_features* features,
                  char* detail, size_t detail_size) {
  umask(077);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return complain_errno(detail, detail_size, "PR_SET_NO_NEW_PRIVS");
  }
  features->no_new_privs = "yes";
  features->store_bypass = disable_speculation(PR_SPEC_STORE_BYPASS);
  features->indirect_branch = disable_speculation(PR_SPEC_INDIRECT_BRANCH);
  if (options->strict_speculation && (strcmp(features->store_bypass, "yes") != 0 ||
                                      strcmp(features->indirect_branch, "yes") != 0)) {
    return complain(detail, detail_size,
                    "this kernel or processor cannot disable speculation for the run");
  }
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return complain_errno(detail, detail_size, "PR_SET_DUMPABLE");
  }
  features->network = options->network_any ? "any" : "none";
  if (seccomp_install(options->network_any, getpid()) != 0) {
    return complain_errno(detail, detail_size, "the guard's seccomp filter");
  }
  features->seccomp = "yes";
  return true;
}

int sandbox_landlock_version(void) {
  long version = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, kLandlockVersionFlag);
  return version >= kLandlockScopesVersion ? (int)version : 0;
}

static int restrict_scopes(void) {
  struct ruleset attributes = {.scoped = kScopeAbstractSockets | kScopeSignals};
  int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
  if (ruleset < 0) return -1;
  int result = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
  int saved = errno;
  close(ruleset);
  errno = saved;
  return result;
}

/* Sets soft and hard limit; one above the present hard limit becomes that one. */
static int limit(int resource, long long wanted) {
  struct rlimit now;
  if (wanted < 0) return 0;
  if (getrlimit((__rlimit_resource_t)resource, &now) != 0) return -1;
  rlim_t value = (rlim_t)wanted < now.rlim_max ? (rlim_t)wanted : now.rlim_max;
  struct rlimit set = {.rlim_cur = value, .rlim_max = value};
  return setrlimit((__rlimit_resource_t)resource, &set);
}

int sandbox_confine_child(const struct guard_options* options, int landlock) {
  if (limit(RLIMIT_CORE, 0) != 0 || limit(RLIMIT_NOFILE, options->nofile) != 0 ||
      limit(RLIMIT_NPROC, options->nproc) != 0 || limit(RLIMIT_FSIZE, options->fsize) != 0) {
    return -1;
  }
  return landlock > 0 ? restrict_scopes() : 0;
}
