#include "seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define GUARD_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define GUARD_ARCH AUDIT_ARCH_AARCH64
#else
#error "the guard knows the system calls of x86_64 and aarch64 only"
#endif

/* Newer than the kernel headers that this is built with. */
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif

enum {
  kX32Bit = 0x40000000,
  kMaxInstructions = 512,
  kFSetOwnEx = 15,        /* fcntl F_SETOWN_EX */
  kIoprioProcess = 1,     /* ioprio_set IOPRIO_WHO_PROCESS */
  kIoprioGroup = 2,       /* IOPRIO_WHO_PGRP */
  kPersonalityQuery = -1, /* personality(0xffffffff) */
  kTiocSetLineDiscipline = 0x5423,
  kFioSetOwn = 0x8901,
  kSiocSetGroup = 0x8902,
  kNetlinkRoute = 0
};

/* Clone flags that make a namespace; CLONE_NEWTIME exists for clone3 and unshare only. */
static const uint32_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                        CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

/* Denied whatever the arguments. */
static const struct {
  int number;
  int error;
} kDenied[] = {
    /* The arguments lie in memory, where a filter cannot look; the C library then uses clone. */
    {SYS_clone3, ENOSYS},
    /* It makes other calls behind the filter's back. */
    {SYS_io_uring_setup, ENOSYS},
    {SYS_io_uring_enter, ENOSYS},
    {SYS_io_uring_register, ENOSYS},
    /* Namespaces and mounts. */
    {SYS_unshare, EPERM},
    {SYS_setns, EPERM},
    {SYS_mount, EPERM},
    {SYS_umount2, EPERM},
    {SYS_pivot_root, EPERM},
    {SYS_chroot, EPERM},
    {SYS_open_tree, EPERM},
    {SYS_open_tree_attr, EPERM},
    {SYS_move_mount, EPERM},
    {SYS_fsopen, EPERM},
    {SYS_fsconfig, EPERM},
    {SYS_fsmount, EPERM},
    {SYS_fspick, EPERM},
    {SYS_mount_setattr, EPERM},
    /* Kernel interfaces that a run has no use for, with a history of holes. */
    {SYS_bpf, EPERM},
    {SYS_perf_event_open, EPERM},
    {SYS_userfaultfd, EPERM},
    {SYS_add_key, EPERM},
    {SYS_request_key, EPERM},
    {SYS_keyctl, EPERM},
    {SYS_vmsplice, EPERM},
    {SYS_fanotify_init, EPERM},
    {SYS_open_by_handle_at, EPERM}, /* also a way to a pidfd of any process */
    {SYS_lookup_dcookie, EPERM},
    /* Every pidfd_send_signal: /proc/1 is a pidfd too, and a filter sees only its number. */
    {SYS_pidfd_send_signal, EPERM},
    /* The machine. */
    {SYS_kexec_load, EPERM},
    {SYS_kexec_file_load, EPERM},
    {SYS_init_module, EPERM},
    {SYS_finit_module, EPERM},
    {SYS_delete_module, EPERM},
    {SYS_reboot, EPERM},
    {SYS_swapon, EPERM},
    {SYS_swapoff, EPERM},
    {SYS_acct, EPERM},
    {SYS_quotactl, EPERM},
    {SYS_quotactl_fd, EPERM},
    {SYS_syslog, EPERM},
    {SYS_vhangup, EPERM},
    {SYS_settimeofday, EPERM},
    {SYS_clock_settime, EPERM},
    {SYS_adjtimex, EPERM},
    {SYS_clock_adjtime, EPERM},
    {SYS_sethostname, EPERM},
    {SYS_setdomainname, EPERM},
    {SYS_nfsservctl, EPERM},
#if defined(__x86_64__)
    {SYS_ioperm, EPERM},
    {SYS_iopl, EPERM},
    {SYS_modify_ldt, EPERM},
    {SYS_uselib, EPERM},
    {SYS_ustat, EPERM},
    {SYS_sysfs, EPERM},
    {SYS__sysctl, EPERM},
    {SYS_create_module, EPERM},
    {SYS_get_kernel_syms, EPERM},
    {SYS_query_module, EPERM},
#endif
};

/* Denied when one of the arguments in the mask (bit n: argument n) names the guard. */
static const struct {
  int number;
  unsigned arguments;
} kAimed[] = {
    {SYS_tkill, 1u << 0},
    {SYS_tgkill, 1u << 0 | 1u << 1},
    {SYS_rt_sigqueueinfo, 1u << 0},
    {SYS_rt_tgsigqueueinfo, 1u << 0 | 1u << 1},
    {SYS_pidfd_open, 1u << 0},
    {SYS_ptrace, 1u << 1},
    {SYS_process_vm_readv, 1u << 0},
    {SYS_process_vm_writev, 1u << 0},
    {SYS_kcmp, 1u << 0 | 1u << 1},
    {SYS_prlimit64, 1u << 0},
    {SYS_sched_setaffinity, 1u << 0},
    {SYS_sched_setscheduler, 1u << 0},
    {SYS_sched_setparam, 1u << 0},
    {SYS_sched_setattr, 1u << 0},
    {SYS_migrate_pages, 1u << 0},
    {SYS_move_pages, 1u << 0},
};

struct program {
  struct sock_filter code[kMaxInstructions];
  unsigned short length;
  bool overflow;
};

static void emit(struct program* program, uint16_t code, uint32_t k, uint8_t if_true,
                 uint8_t if_false) {
  if (program->length == kMaxInstructions) {
    program->overflow = true;
    return;
  }
  program->code[program->length++] =
      (struct sock_filter){.code = code, .jt = if_true, .jf = if_false, .k = k};
}

static void emit_return(struct program* program, uint32_t action) {
  emit(program, BPF_RET | BPF_K, action, 0, 0);
}

static void emit_load(struct program* program, size_t offset) {
  emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The low word: all these arguments are ints to the kernel, which ignores the upper half. */
static void load_argument(struct program* program, unsigned index) {
  size_t low = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4;
  emit_load(program, offsetof(struct seccomp_data, args) + index * sizeof(uint64_t) + low);
}

static uint32_t error_action(int error) {
  return SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA);
}

/* "If the loaded word is `value`: fail with `error`." */
static void fail_if(struct program* program, uint32_t value, int error) {
  emit(program, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
  emit_return(program, error_action(error));
}

/* "If the loaded word is `value`: go ahead." */
static void allow_if(struct program* program, uint32_t value) {
  emit(program, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
  emit_return(program, SECCOMP_RET_ALLOW);
}

/* A block that runs only for system call `number`. It ends with a return, so what follows the block
 * still has the number loaded. */
static unsigned short begin(struct program* program, int number) {
  emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 0);
  return (unsigned short)(program->length - 1);
}

static void end(struct program* program, unsigned short start, uint32_t action) {
  emit_return(program, action);
  int skip = program->length - start - 1;
  if (skip > UINT8_MAX) {
    program->overflow = true;
  } else {
    program->code[start].jf = (uint8_t)skip;
  }
}

static void check_architecture(struct program* program) {
  emit_load(program, offsetof(struct seccomp_data, arch));
  emit(program, BPF_JMP | BPF_JEQ | BPF_K, GUARD_ARCH, 1, 0);
  emit_return(program, SECCOMP_RET_KILL_PROCESS);
  emit_load(program, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
  emit(program, BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1);
  emit_return(program, SECCOMP_RET_KILL_PROCESS);
#endif
}

static void deny_always(struct program* program) {
  for (size_t i = 0; i < sizeof kDenied / sizeof kDenied[0]; ++i) {
    fail_if(program, (uint32_t)kDenied[i].number, kDenied[i].error);
  }
}

static void protect_guard(struct program* program, uint32_t guard) {
  for (size_t i = 0; i < sizeof kAimed / sizeof kAimed[0]; ++i) {
    unsigned short start = begin(program, kAimed[i].number);
    for (unsigned argument = 0; argument < 6; ++argument) {
      if ((kAimed[i].arguments & 1u << argument) == 0) continue;
      load_argument(program, argument);
      fail_if(program, guard, EPERM);
    }
    end(program, start, SECCOMP_RET_ALLOW);
  }

  /* kill(-1) reaches everything but PID 1; kill(-n) the guard's group when it isn't PID 1. */
  unsigned short start = begin(program, SYS_kill);
  load_argument(program, 0);
  fail_if(program, guard, EPERM);
  if (guard != 1) fail_if(program, -guard, EPERM);
  end(program, start, SECCOMP_RET_ALLOW);

  /* A descriptor's owner gets its signals. */
  start = begin(program, SYS_fcntl);
  load_argument(program, 1);
  fail_if(program, kFSetOwnEx, EPERM);
  emit(program, BPF_JMP | BPF_JEQ | BPF_K, F_SETOWN, 1, 0);
  emit_return(program, SECCOMP_RET_ALLOW);
  load_argument(program, 2);
  fail_if(program, guard, EPERM);
  fail_if(program, -guard, EPERM);
  end(program, start, SECCOMP_RET_ALLOW);
}

/* setpriority and ioprio_set: by process or by group, not all processes of a user. */
static void protect_priority(struct program* program, int number, uint32_t process, uint32_t group,
                             uint32_t guard) {
  unsigned short start = begin(program, number);
  load_argument(program, 0);
  emit(program, BPF_JMP | BPF_JEQ | BPF_K, process, 2, 0);
  emit(program, BPF_JMP | BPF_JEQ | BPF_K, group, 1, 0);
  emit_return(program, error_action(EPERM));
  load_argument(program, 1);
  fail_if(program, guard, EPERM);
  end(program, start, SECCOMP_RET_ALLOW);
}

static void limit_terminal(struct program* program) {
  unsigned short start = begin(program, SYS_ioctl);
  load_argument(program, 1);
  fail_if(program, TIOCSTI, EPERM);
  fail_if(program, TIOCLINUX, EPERM);
  fail_if(program, kTiocSetLineDiscipline, EPERM);
  fail_if(program, kFioSetOwn, EPERM);
  fail_if(program, kSiocSetGroup, EPERM);
  end(program, start, SECCOMP_RET_ALLOW);
}

static void limit_namespaces(struct program* program) {
  unsigned short start = begin(program, SYS_clone);
  load_argument(program, 0);
  emit(program, BPF_JMP | BPF_JSET | BPF_K, kNamespaceFlags, 0, 1);
  emit_return(program, error_action(EPERM));
  end(program, start, SECCOMP_RET_ALLOW);
}

/* Personalities that change nothing but the layout or the reported name: what
 * debuggers and setarch use. */
static void limit_personality(struct program* program) {
  static const uint32_t kAllowed[] = {0x0,     0x8,     0x20000,
                                      0x20008, 0x40000, (uint32_t)kPersonalityQuery};
  unsigned short start = begin(program, SYS_personality);
  load_argument(program, 0);
  for (size_t i = 0; i < sizeof kAllowed / sizeof kAllowed[0]; ++i) {
    allow_if(program, kAllowed[i]);
  }
  end(program, start, error_action(EPERM));
}

static void limit_sockets(struct program* program, int number, bool network_any) {
  unsigned short start = begin(program, number);
  load_argument(program, 0);
  allow_if(program, AF_UNIX);
  if (network_any) {
    allow_if(program, AF_INET);
    allow_if(program, AF_INET6);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 3);
    load_argument(program, 2);
    allow_if(program, kNetlinkRoute);
  }
  end(program, start, error_action(EPERM));
}

int seccomp_install(bool network_any, pid_t guard_pid) {
  struct program program = {.length = 0, .overflow = false};
  uint32_t guard = (uint32_t)guard_pid;
  check_architecture(&program);
  limit_sockets(&program, SYS_socket, network_any);
  limit_sockets(&program, SYS_socketpair, network_any);
  limit_namespaces(&program);
  limit_terminal(&program);
  limit_personality(&program);
  protect_guard(&program, guard);
  protect_priority(&program, SYS_setpriority, PRIO_PROCESS, PRIO_PGRP, guard);
  protect_priority(&program, SYS_ioprio_set, kIoprioProcess, kIoprioGroup, guard);
  deny_always(&program);
  emit_return(&program, SECCOMP_RET_ALLOW);
  if (program.overflow) {
    errno = E2BIG;
    return -1;
  }
  struct sock_fprog filter = {.len = program.length, .filter = program.code};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
}
