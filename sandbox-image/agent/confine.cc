#include "sandbox-image/agent/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>

#include "operator/base/fd.h"
#include "sandbox-image/agent/syscall_filter.h"

namespace sandboxrun::agent {

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOXRUN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOXRUN_SANITIZED 1
#endif
#endif
#ifdef SANDBOXRUN_SANITIZED
constexpr bool kSanitized = true;  // shadow memory needs terabytes of addresses and more calls
#else
constexpr bool kSanitized = false;
#endif

/// Windows of 64 MiB, buffers, thread stacks and the libraries of a large program fit.
constexpr rlim_t kMaxAddressSpace = rlim_t{1} << 30;

/// The kernel's landlock_ruleset_attr as of version 6; Debian 12's header knows only the first.
struct RulesetAttributes {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
  std::uint64_t scoped = 0;
};
constexpr std::uint64_t kLandlockTruncate = std::uint64_t{1} << 14;  // since version 3
constexpr std::uint64_t kLandlockDevices = std::uint64_t{1} << 15;   // since version 5
constexpr std::uint64_t kLandlockScopes = 3;  // abstract sockets and signals, since version 6

constexpr std::uint64_t kReading =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kWriting =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
    LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER;

Result<void> limit(int resource, rlim_t value, const char* name) {
  rlimit now{};
  ::getrlimit(static_cast<__rlimit_resource>(resource), &now);
  if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value) value = now.rlim_max;
  const rlimit wanted{value, value};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &wanted) == 0) return {};
  return system_failure(name, errno);
}

Result<void> set_limits(const Confinement& confinement) {
  ::signal(SIGXFSZ, SIG_IGN);  // a file over the limit is an error to report, not a death
  auto done = limit(RLIMIT_CORE, 0, "setting RLIMIT_CORE");
  if (done) {
    done = limit(RLIMIT_FSIZE, static_cast<rlim_t>(confinement.max_file_bytes),
                 "setting RLIMIT_FSIZE");
  }
  if (confinement.runs_programs || kSanitized) return done;
  if (done) done = limit(RLIMIT_NOFILE, 64, "setting RLIMIT_NOFILE");
  if (done) done = limit(RLIMIT_AS, kMaxAddressSpace, "setting RLIMIT_AS");
  return done;
}

int allow_beneath(int ruleset, int folder, std::uint64_t access) {
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = folder;
  return static_cast<int>(
      ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
}

/// Nothing where the kernel has no Landlock, or one that forbids every link across folders.
Result<void> restrict_files(const Confinement& confinement) {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 2) return {};
  RulesetAttributes attributes;
  attributes.files = kWriting;
  if (version >= 3) attributes.files |= kLandlockTruncate;
  if (version >= 5) attributes.files |= kLandlockDevices;
  if (!confinement.runs_programs) attributes.files |= kReading;
  if (version >= 6) attributes.scoped = kLandlockScopes;
  const std::size_t size = version >= 6   ? sizeof(attributes)
                           : version >= 4 ? offsetof(RulesetAttributes, scoped)
                                          : offsetof(RulesetAttributes, network);
  const UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
  if (!ruleset) return system_failure("making a Landlock ruleset", errno);
  if (allow_beneath(ruleset.get(), confinement.destination, attributes.files) != 0) {
    return system_failure("allowing the destination in Landlock", errno);
  }
  if (confinement.runs_programs) {
    const UniqueFd null(::open("/dev/null", O_PATH | O_CLOEXEC));
    if (null) allow_beneath(ruleset.get(), null.get(), LANDLOCK_ACCESS_FS_WRITE_FILE);
  }
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    return system_failure("entering the Landlock ruleset", errno);
  }
  return {};
}

Result<void> become_owner(const Confinement& confinement) {
  if (!confinement.owner) return {};
  const auto [user, group] = *confinement.owner;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(group, group, group) != 0 ||
      ::setresuid(user, user, user) != 0) {
    return system_failure("becoming the owner of what is unpacked", errno);
  }
  return {};
}

}  // namespace

Result<void> confine(const Confinement& confinement) {
  ::umask(0);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return failure(ErrorKind::Unavailable, "the kernel refuses PR_SET_NO_NEW_PRIVS");
  }
  if (auto limited = set_limits(confinement); !limited) return limited;
  if (::fchdir(confinement.destination) != 0) {
    return system_failure("entering the destination", errno);
  }
  // Behind Landlock, and in its place where there is none: root can leave the other files behind.
  if (!confinement.runs_programs && ::geteuid() == 0 && ::chroot(".") != 0 && errno != EPERM) {
    return system_failure("making the destination the root", errno);
  }
  if (auto became = become_owner(confinement); !became) return became;
  if (auto restricted = restrict_files(confinement); !restricted) return restricted;
  // A change of user clears it, so it is set last: no parser outlives whoever waits for it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  const bool parser = !confinement.runs_programs && !kSanitized;
  return install_filter(parser ? FilterKind::Parser : FilterKind::Programs);
}

}  // namespace sandboxrun::agent
