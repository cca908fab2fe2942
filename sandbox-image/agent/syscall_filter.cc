#include "sandbox-image/agent/syscall_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sandboxrun::agent {

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif
constexpr std::uint32_t kX32Bit = 0x40000000;

constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t kKill = SECCOMP_RET_KILL_PROCESS;
constexpr std::uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kAbsent = SECCOMP_RET_ERRNO | ENOSYS;

/// What the parser does: read the archive, make files and folders below the destination, report,
/// and run one more thread. mmap, mprotect and clone are looked at more closely.
constexpr long kParserCalls[] = {
    SYS_read,
    SYS_write,
    SYS_pread64,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    SYS_lseek,
    SYS_openat,
    SYS_openat2,
    SYS_mkdirat,
    SYS_symlinkat,
    SYS_linkat,
    SYS_fchmod,
    SYS_utimensat,
    SYS_getdents64,
    SYS_fcntl,
    SYS_munmap,
    SYS_mremap,
    SYS_brk,
    SYS_madvise,
    SYS_futex,
    SYS_sched_yield,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_gettid,
    SYS_getpid,
    SYS_tgkill,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_getrandom,
    SYS_sched_getaffinity,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
};

/// What no unpacker needs.
constexpr long kRefusedCalls[] = {
    SYS_socket,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_unshare,
    SYS_setns,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsmount,
    SYS_fsconfig,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_setsid,
    SYS_setpgid,
    SYS_open_by_handle_at,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
};

class Program {
 public:
  Program() {
    load(offsetof(seccomp_data, arch));
    jump_unless_equal(kArchitecture, kKill);
    load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
    // From x32's first number on, all are x32's.
    add(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1));
    give(kKill);
#endif
  }

  void on_call(long number, std::uint32_t verdict) {
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
    give(verdict);
  }

  /// For call `number`: `verdict_set` if the low word of the argument has any of `bits`, else
  /// `verdict_clear`.
  void on_bits(long number, unsigned argument, std::uint32_t bits, std::uint32_t verdict_set,
               std::uint32_t verdict_clear) {
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 4));
    load_argument(argument);
    add(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1));
    give(verdict_set);
    give(verdict_clear);
  }

  /// For call `number`: allowed if the low word of the argument equals `value`, else refused.
  void on_equal(long number, unsigned argument, std::uint32_t value) {
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 4));
    load_argument(argument);
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    give(kAllow);
    give(kRefuse);
  }

  void give(std::uint32_t verdict) { add(BPF_STMT(BPF_RET | BPF_K, verdict)); }

  std::span<sock_filter> code() { return code_; }

 private:
  void add(sock_filter instruction) { code_.push_back(instruction); }
  void load(std::size_t offset) {
    add(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
  }
  void load_argument(unsigned index) {
    load(offsetof(seccomp_data, args) + index * sizeof(std::uint64_t));  // little-endian: low word
  }
  void jump_unless_equal(std::uint32_t value, std::uint32_t verdict) {
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0));
    give(verdict);
  }

  std::vector<sock_filter> code_;
};

void add_parser_rules(Program& program) {
  for (const long call : kParserCalls) program.on_call(call, kAllow);
  program.on_bits(SYS_mmap, 2, PROT_EXEC, kRefuse, kAllow);
  program.on_bits(SYS_mprotect, 2, PROT_EXEC, kRefuse, kAllow);
  program.on_bits(SYS_clone, 0, CLONE_THREAD, kAllow, kRefuse);
  program.give(kRefuse);
}

void add_program_rules(Program& program) {
  constexpr std::uint32_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                        CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  for (const long call : kRefusedCalls) program.on_call(call, kRefuse);
  // Asynchronous runtimes wake themselves through a pair; it reaches nobody else.
  program.on_equal(SYS_socketpair, 0, AF_UNIX);
  program.on_bits(SYS_clone, 0, kNamespaces, kRefuse, kAllow);
  program.give(kAllow);
}

}  // namespace

Result<void> install_filter(FilterKind kind) {
  Program program;
  // Its flags are behind a pointer; libraries fall back to clone.
  program.on_call(SYS_clone3, kAbsent);
  if (kind == FilterKind::Parser) {
    add_parser_rules(program);
  } else {
    add_program_rules(program);
  }
  const auto code = program.code();
  const sock_fprog filter{.len = static_cast<unsigned short>(code.size()), .filter = code.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0) return {};
  return failure(ErrorKind::Unavailable,
                 "the kernel refuses a seccomp filter; archives are not unpacked without one");
}

}  // namespace sandboxrun::agent
