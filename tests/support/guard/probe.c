/* Makes one system call per line of a table and prints "name=RESULT": "ok", the name of an errno,
 * or the signal that ended it. Arguments are such that an unfiltered call does no harm. usage:
 * probe TARGET_PID (the guard's own number as the run sees it) */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long target;

static void report(const char* name, long result) {
  printf("%s=%s\n", name, result >= 0 ? "ok" : strerrorname_np(errno));
}

static void report_call(const char* name, long number, long a, long b, long c, long d) {
  errno = 0;
  report(name, syscall(number, a, b, c, d, 0L, 0L));
}

#define HIGH (1L << 32)

static void sockets(void) {
  static const struct {
    const char* name;
    long family;
  } kFamilies[] = {{"unix", AF_UNIX},     {"unix_high_bits", AF_UNIX | HIGH},
                   {"inet", AF_INET},     {"inet_high_bits", AF_INET | HIGH},
                   {"inet6", AF_INET6},   {"netlink_route", AF_NETLINK},
                   {"packet", AF_PACKET}, {"vsock", AF_VSOCK},
                   {"alg", AF_ALG},       {"key", AF_KEY},
                   {"rxrpc", AF_RXRPC},   {"tipc", AF_TIPC},
                   {"unspec", AF_UNSPEC}, {"negative", -1}};
  char name[64];
  for (size_t i = 0; i < sizeof kFamilies / sizeof kFamilies[0]; ++i) {
    snprintf(name, sizeof name, "socket_%s", kFamilies[i].name);
    report_call(name, SYS_socket, kFamilies[i].family, SOCK_DGRAM, 0, 0);
    int pair[2];
    snprintf(name, sizeof name, "socketpair_%s", kFamilies[i].name);
    report_call(name, SYS_socketpair, kFamilies[i].family, SOCK_DGRAM, 0, (long)pair);
  }
  report_call("socket_netlink_audit", SYS_socket, AF_NETLINK, SOCK_RAW, 9, 0);
}

static void signals_at(const char* suffix, long pid) {
  siginfo_t info = {.si_signo = SIGCONT, .si_code = SI_QUEUE};
  char name[64];
#define NAMED(text) (snprintf(name, sizeof name, "%s_%s", text, suffix), name)
  report_call(NAMED("kill_check"), SYS_kill, pid, 0, 0, 0);
  report_call(NAMED("kill_high_bits"), SYS_kill, (pid & 0xFFFFFFFFL) | HIGH, 0, 0, 0);
  report_call(NAMED("tkill"), SYS_tkill, pid, 0, 0, 0);
  report_call(NAMED("tgkill"), SYS_tgkill, pid, pid, 0, 0);
  report_call(NAMED("rt_sigqueueinfo"), SYS_rt_sigqueueinfo, pid, SIGCONT, (long)&info, 0);
  report_call(NAMED("rt_tgsigqueueinfo"), SYS_rt_tgsigqueueinfo, pid, pid, SIGCONT, (long)&info);
  report_call(NAMED("pidfd_open"), SYS_pidfd_open, pid, 0, 0, 0);
}

static void aimed_signals(void) {
  char path[32];
  signals_at("guard", target);
  signals_at("self", getpid());
  report_call("tgkill_thread_of_guard", SYS_tgkill, getpid(), target, 0, 0);
  report_call("kill_term_guard", SYS_kill, target, SIGTERM, 0, 0);
  report_call("kill_stop_guard", SYS_kill, target, SIGSTOP, 0, 0);
  report_call("kill_kill_guard", SYS_kill, target, SIGKILL, 0, 0);
  report_call("kill_own_group", SYS_kill, 0, 0, 0, 0);
  snprintf(path, sizeof path, "/proc/%ld", target);
  long folder = open(path, O_RDONLY | O_DIRECTORY);
  report_call("pidfd_send_signal_proc_guard", SYS_pidfd_send_signal, folder, SIGTERM, 0, 0);
  int ends[2];
  if (pipe(ends) != 0) exit(1);
  report_call("fcntl_setown_guard", SYS_fcntl, ends[0], F_SETOWN, target, 0);
  report_call("fcntl_setown_guard_group", SYS_fcntl, ends[0], F_SETOWN, -target, 0);
  report_call("fcntl_setown_self", SYS_fcntl, ends[0], F_SETOWN, getpid(), 0);
  int owner[2] = {1, (int)target};
  report_call("fcntl_setown_ex", SYS_fcntl, ends[0], 15, (long)owner, 0);
  report_call("ioctl_fiosetown", SYS_ioctl, ends[0], 0x8901, (long)&owner[1], 0);
  report_call("ioctl_siocspgrp", SYS_ioctl, ends[0], 0x8902, (long)&owner[1], 0);
  report_call("ioctl_fionread", SYS_ioctl, ends[0], FIONREAD, (long)&owner[0], 0);
}

static void aimed_controls(void) {
  struct rlimit limit;
  uint64_t mask[16];
  struct sched_param parameter = {.sched_priority = 0};
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t prio;
    uint64_t rest[3];
  } attributes = {.size = 48};
  char byte = 0;
  struct {
    void* at;
    size_t size;
  } memory = {&byte, 1};
  memset(mask, 0xFF, sizeof mask);
  report_call("prlimit_guard", SYS_prlimit64, target, RLIMIT_NOFILE, 0, (long)&limit);
  report_call("prlimit_self", SYS_prlimit64, getpid(), RLIMIT_NOFILE, 0, (long)&limit);
  report_call("prlimit_zero", SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit);
  report_call("sched_setaffinity_guard", SYS_sched_setaffinity, target, sizeof mask, (long)mask, 0);
  report_call("sched_setaffinity_self", SYS_sched_setaffinity, 0, sizeof mask, (long)mask, 0);
  report_call("sched_setscheduler_guard", SYS_sched_setscheduler, target, SCHED_OTHER,
              (long)&parameter, 0);
  report_call("sched_setscheduler_self", SYS_sched_setscheduler, 0, SCHED_OTHER, (long)&parameter,
              0);
  report_call("sched_setparam_guard", SYS_sched_setparam, target, (long)&parameter, 0, 0);
  report_call("sched_setattr_guard", SYS_sched_setattr, target, (long)&attributes, 0, 0);
  report_call("setpriority_guard", SYS_setpriority, PRIO_PROCESS, target, 19, 0);
  report_call("setpriority_guard_group", SYS_setpriority, PRIO_PGRP, target, 19, 0);
  report_call("setpriority_user", SYS_setpriority, PRIO_USER, 0, 19, 0);
  report_call("setpriority_self", SYS_setpriority, PRIO_PROCESS, 0, 19, 0);
  report_call("ioprio_set_guard", SYS_ioprio_set, 1, target, 3 << 13, 0);
  report_call("ioprio_set_guard_group", SYS_ioprio_set, 2, target, 3 << 13, 0);
  report_call("ioprio_set_user", SYS_ioprio_set, 3, getuid(), 3 << 13, 0);
  report_call("process_vm_readv_guard", SYS_process_vm_readv, target, (long)&memory, 1,
              (long)&memory);
  report_call("process_vm_writev_guard", SYS_process_vm_writev, target, (long)&memory, 1,
              (long)&memory);
  report_call("kcmp_guard", SYS_kcmp, getpid(), target, 1, 0);
  report_call("migrate_pages_guard", SYS_migrate_pages, target, 0, 0, 0);
  report_call("move_pages_guard", SYS_move_pages, target, 0, 0, 0);
  report_call("ptrace_attach_guard", SYS_ptrace, PTRACE_ATTACH, target, 0, 0);
  report_call("ptrace_seize_guard", SYS_ptrace, PTRACE_SEIZE, target, 0, 0);
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  report_call("ptrace_attach_own_child", SYS_ptrace, PTRACE_ATTACH, child, 0, 0);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

static void namespaces(void) {
  static const struct {
    const char* name;
    long flag;
  } kFlags[] = {{"plain", 0},
                {"newns", CLONE_NEWNS},
                {"newcgroup", CLONE_NEWCGROUP},
                {"newuts", CLONE_NEWUTS},
                {"newipc", CLONE_NEWIPC},
                {"newuser", CLONE_NEWUSER},
                {"newpid", CLONE_NEWPID},
                {"newnet", CLONE_NEWNET},
                {"newuser_high_bits", CLONE_NEWUSER | HIGH}};
  char name[64];
  for (size_t i = 0; i < sizeof kFlags / sizeof kFlags[0]; ++i) {
    snprintf(name, sizeof name, "clone_%s", kFlags[i].name);
    errno = 0;
    long child = syscall(SYS_clone, kFlags[i].flag | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    report(name, child);
    if (child > 0) waitpid((pid_t)child, NULL, 0);
  }
  report_call("clone3", SYS_clone3, 0, 0, 0, 0);
  report_call("unshare_nothing", SYS_unshare, 0, 0, 0, 0);
  report_call("unshare_newuser", SYS_unshare, CLONE_NEWUSER, 0, 0, 0);
  report_call("unshare_newuser_newnet", SYS_unshare, CLONE_NEWUSER | CLONE_NEWNET, 0, 0, 0);
  report_call("unshare_newtime", SYS_unshare, 0x80, 0, 0, 0);
}

#define PLAIN(name) {#name, SYS_##name}
static void denied(void) {
  static const struct {
    const char* name;
    long number;
  } kCalls[] = {PLAIN(setns),
                PLAIN(mount),
                PLAIN(umount2),
                PLAIN(pivot_root),
                PLAIN(chroot),
                PLAIN(open_tree),
                {"open_tree_attr", 467},
                PLAIN(move_mount),
                PLAIN(fsopen),
                PLAIN(fsconfig),
                PLAIN(fsmount),
                PLAIN(fspick),
                PLAIN(mount_setattr),
                PLAIN(io_uring_setup),
                PLAIN(io_uring_enter),
                PLAIN(io_uring_register),
                PLAIN(bpf),
                PLAIN(perf_event_open),
                PLAIN(userfaultfd),
                PLAIN(add_key),
                PLAIN(request_key),
                PLAIN(keyctl),
                PLAIN(vmsplice),
                PLAIN(fanotify_init),
                PLAIN(open_by_handle_at),
                PLAIN(kexec_load),
                PLAIN(kexec_file_load),
                PLAIN(init_module),
                PLAIN(finit_module),
                PLAIN(delete_module),
                PLAIN(reboot),
                PLAIN(swapon),
                PLAIN(swapoff),
                PLAIN(quotactl),
                PLAIN(quotactl_fd),
                PLAIN(settimeofday),
                PLAIN(clock_settime),
                PLAIN(adjtimex),
                PLAIN(clock_adjtime),
                PLAIN(sethostname),
                PLAIN(setdomainname),
                PLAIN(ioperm),
                PLAIN(iopl),
                PLAIN(modify_ldt),
                PLAIN(lookup_dcookie),
                PLAIN(uselib),
                PLAIN(ustat),
                PLAIN(sysfs),
                PLAIN(_sysctl),
                PLAIN(create_module),
                PLAIN(get_kernel_syms),
                PLAIN(query_module),
                PLAIN(nfsservctl)};
  for (size_t i = 0; i < sizeof kCalls / sizeof kCalls[0]; ++i) {
    report_call(kCalls[i].name, kCalls[i].number, -1, 0, 0, 0);
  }
  report_call("syslog", SYS_syslog, 99, 0, 0, 0);
  report_call("acct", SYS_acct, 1, 0, 0, 0);
  report_call("tiocsti", SYS_ioctl, 0, TIOCSTI, (long)"x", 0);
  report_call("tiocsti_high_bits", SYS_ioctl, 0, TIOCSTI | HIGH, (long)"x", 0);
  report_call("tioclinux", SYS_ioctl, 0, TIOCLINUX, 0, 0);
  report_call("tiocsetd", SYS_ioctl, 0, TIOCSETD, 0, 0);
  report_call("personality_query", SYS_personality, 0xFFFFFFFF, 0, 0, 0);
  report_call("personality_no_randomize", SYS_personality, 0x40000, 0, 0, 0);
  report_call("personality_read_implies_exec", SYS_personality, 0x400000, 0, 0, 0);
  report_call("memfd_create", SYS_memfd_create, (long)"x", 0, 0, 0);
}

/* A call that must end the process: what ended it, or that it lived. */
static void fatal(const char* name, void (*call)(void)) {
  int status = 0;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    call();
    _exit(0);
  }
  waitpid(child, &status, 0);
  printf("%s=%s\n", name, WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "lived");
}

static void int80_getpid(void) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
}

static void int80_socketcall(void) {
  static unsigned arguments[3] = {AF_INET, SOCK_STREAM, 0};
  long result;
  /* socketcall(SYS_SOCKET); the arguments' address needs 32 bits only in a non-PIE program. */
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(102L), "b"(1L), "c"((long)arguments)
                   : "memory", "r8", "r9", "r10", "r11");
}

static void x32_getpid(void) {
  syscall(0x40000000L | SYS_getpid);
}
static void x32_socket(void) {
  syscall(0x40000000L | SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void report_open(const char* name, const char* file, int flags) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%ld/%s", target, file);
  errno = 0;
  int fd = open(path, flags);
  char byte;
  /* Some files open and then refuse to be read. */
  report(name, fd < 0 ? fd : flags == O_RDONLY && read(fd, &byte, 1) < 0 ? -1 : fd);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  target = atol(argv[1]);
  setvbuf(stdout, NULL, _IOLBF, 0);
  sockets();
  aimed_signals();
  aimed_controls();
  namespaces();
  denied();
  fatal("int80_getpid", int80_getpid);
  fatal("int80_socketcall", int80_socketcall);
  fatal("x32_getpid", x32_getpid);
  fatal("x32_socket", x32_socket);
  report_open("proc_environ", "environ", O_RDONLY);
  report_open("proc_mem", "mem", O_RDWR);
  report_open("proc_maps", "maps", O_RDONLY);
  report_open("proc_oom_score_adj", "oom_score_adj", O_WRONLY);
  report_open("proc_fd", "fd/3", O_RDWR);
  puts("end");
  return 0;
}
