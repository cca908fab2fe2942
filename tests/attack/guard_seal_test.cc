// The matrix of calls that the guard's filter lets through and denies, made by a probe program: as
// root on the machine itself (where only the filter can be what denies), under runc and under
// runsc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "tests/support/oci_container.h"

namespace sandboxrun::test {
namespace {

using Matrix = std::map<std::string, std::string>;

enum class Place { Machine, Runc, Runsc };

std::string to_string(Place place) {
  return place == Place::Machine ? "Machine" : place == Place::Runc ? "Runc" : "Runsc";
}
void PrintTo(Place place, std::ostream* out) {
  *out << to_string(place);
}

Matrix parse_matrix(const std::string& text) {
  Matrix matrix;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    auto equals = line.find('=');
    if (equals != std::string::npos) matrix[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return matrix;
}

/// What the probe reports when it runs under the guard with these flags.
Matrix probe(Place place, const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = flags;
  ProcessEnd end;
  if (place == Place::Machine) {
    const std::string probe = "exec " + built_program("guard_tests/probe") + " $PPID";
    arguments.insert(arguments.end(), {"--", "/bin/sh", "-c", probe});
    DirectGuard guard(arguments);
    end = guard.wait();
  } else {
    arguments.insert(arguments.end(), {"--", "/test/probe", "1"});
    Container container({.runtime = place == Place::Runc ? Runtime::Runc : Runtime::Runsc,
                         .guard_arguments = arguments});
    end = container.wait();
  }
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_TRUE(end.out.ends_with("end\n")) << end.out << end.err;
  return parse_matrix(end.out);
}

/// What differs from `expected`, as "name: RESULT instead of RESULT".
std::vector<std::string> differences(const Matrix& matrix, const Matrix& expected) {
  std::vector<std::string> lines;
  for (const auto& [name, result] : expected) {
    auto found = matrix.find(name);
    const std::string seen = found == matrix.end() ? "not probed" : found->second;
    if (seen != result) lines.push_back(name + ": " + seen + " instead of " + result);
  }
  return lines;
}

Matrix all(const std::string& result, const std::vector<std::string>& names) {
  Matrix matrix;
  for (const auto& name : names) matrix[name] = result;
  return matrix;
}

class GuardSeal : public testing::TestWithParam<Place> {
 protected:
  void expect(const Matrix& expected, const std::vector<std::string>& flags = {}) {
    EXPECT_THAT(differences(probe(GetParam(), flags), expected), testing::IsEmpty());
  }
};

INSTANTIATE_TEST_SUITE_P(Places, GuardSeal,
                         testing::Values(Place::Machine, Place::Runc, Place::Runsc),
                         [](const auto& parameter) { return to_string(parameter.param); });

TEST_P(GuardSeal, N3_S3_OnlyUnixSocketsWithoutNetwork) {
  auto expected = all("EPERM", {"socket_inet",
                                "socketpair_inet",
                                "socket_inet_high_bits",
                                "socketpair_inet_high_bits",
                                "socket_inet6",
                                "socketpair_inet6",
                                "socket_netlink_route",
                                "socketpair_netlink_route",
                                "socket_packet",
                                "socketpair_packet",
                                "socket_vsock",
                                "socketpair_vsock",
                                "socket_alg",
                                "socketpair_alg",
                                "socket_key",
                                "socketpair_key",
                                "socket_rxrpc",
                                "socketpair_rxrpc",
                                "socket_tipc",
                                "socketpair_tipc",
                                "socket_unspec",
                                "socketpair_unspec",
                                "socket_negative",
                                "socketpair_negative",
                                "socket_netlink_audit"});
  expected.merge(all("ok", {"socket_unix", "socketpair_unix", "socket_unix_high_bits",
                            "socketpair_unix_high_bits"}));
  expect(expected);
}

TEST_P(GuardSeal, N3_NetworkAnyAddsInternetAndRouteSocketsOnly) {
  auto expected =
      all("EPERM", {"socket_packet", "socket_vsock", "socket_alg", "socket_key", "socket_rxrpc",
                    "socket_tipc", "socket_unspec", "socket_negative", "socket_netlink_audit",
                    "socketpair_vsock", "socketpair_alg", "socketpair_tipc"});
  expected.merge(all("ok", {"socket_unix", "socket_inet", "socket_inet6", "socket_netlink_route",
                            "socketpair_unix"}));
  expect(expected, {"--network", "any"});
}

TEST_P(GuardSeal, N3_SignalsReachTheRunsOwnProcessesButNotTheGuard) {
  auto expected = all(
      "EPERM", {"kill_check_guard", "kill_high_bits_guard", "tkill_guard", "tgkill_guard",
                "rt_sigqueueinfo_guard", "rt_tgsigqueueinfo_guard", "pidfd_open_guard",
                "tgkill_thread_of_guard", "kill_term_guard", "kill_stop_guard", "kill_kill_guard",
                "pidfd_send_signal_proc_guard", "fcntl_setown_guard", "fcntl_setown_guard_group",
                "fcntl_setown_ex", "ioctl_fiosetown", "ioctl_siocspgrp"});
  expected.merge(all("ok", {"kill_check_self", "kill_high_bits_self", "tkill_self", "tgkill_self",
                            "rt_sigqueueinfo_self", "rt_tgsigqueueinfo_self", "kill_own_group",
                            "fcntl_setown_self", "ioctl_fionread"}));
  if (GetParam() != Place::Runsc) expected["pidfd_open_self"] = "ok";
  expect(expected);
}

TEST_P(GuardSeal, N3_PtraceLimitsAndSchedulerCallsReachTheRunsOwnProcessesButNotTheGuard) {
  auto expected =
      all("EPERM", {"prlimit_guard", "sched_setaffinity_guard", "sched_setscheduler_guard",
                    "sched_setparam_guard", "sched_setattr_guard", "setpriority_guard",
                    "setpriority_guard_group", "setpriority_user", "ioprio_set_guard",
                    "ioprio_set_guard_group", "ioprio_set_user", "process_vm_readv_guard",
                    "process_vm_writev_guard", "kcmp_guard", "migrate_pages_guard",
                    "move_pages_guard", "ptrace_attach_guard", "ptrace_seize_guard"});
  expected.merge(
      all("ok", {"prlimit_self", "prlimit_zero", "sched_setaffinity_self",
                 "sched_setscheduler_self", "setpriority_self", "ptrace_attach_own_child"}));
  expect(expected);
}

TEST_P(GuardSeal, N3_NoNamespaceCanBeMade) {
  auto expected = all(
      "EPERM", {"clone_newns", "clone_newcgroup", "clone_newuts", "clone_newipc", "clone_newuser",
                "clone_newpid", "clone_newnet", "clone_newuser_high_bits", "unshare_nothing",
                "unshare_newuser", "unshare_newuser_newnet", "unshare_newtime", "setns"});
  expected["clone3"] = "ENOSYS";
  expected["clone_plain"] = "ok";
  expect(expected);
}

TEST_P(GuardSeal, N3_MountsKeyringsIoUringAndTheMachineAreOutOfReach) {
  auto expected = all("EPERM", {"mount",
                                "umount2",
                                "pivot_root",
                                "chroot",
                                "open_tree",
                                "open_tree_attr",
                                "move_mount",
                                "fsopen",
                                "fsconfig",
                                "fsmount",
                                "fspick",
                                "mount_setattr",
                                "bpf",
                                "perf_event_open",
                                "userfaultfd",
                                "add_key",
                                "request_key",
                                "keyctl",
                                "vmsplice",
                                "fanotify_init",
                                "kexec_load",
                                "kexec_file_load",
                                "init_module",
                                "finit_module",
                                "delete_module",
                                "reboot",
                                "swapon",
                                "swapoff",
                                "acct",
                                "quotactl",
                                "quotactl_fd",
                                "syslog",
                                "settimeofday",
                                "clock_settime",
                                "adjtimex",
                                "clock_adjtime",
                                "sethostname",
                                "setdomainname",
                                "ioperm",
                                "iopl",
                                "modify_ldt",
                                "lookup_dcookie",
                                "uselib",
                                "ustat",
                                "sysfs",
                                "_sysctl",
                                "create_module",
                                "get_kernel_syms",
                                "query_module",
                                "nfsservctl",
                                "tiocsti",
                                "tiocsti_high_bits",
                                "tioclinux",
                                "tiocsetd",
                                "open_by_handle_at",
                                "personality_read_implies_exec"});
  expected.merge(all("ENOSYS", {"io_uring_setup", "io_uring_enter", "io_uring_register"}));
  expected.merge(all("ok", {"memfd_create", "personality_query"}));
  // gVisor knows no other personality than the usual one.
  expected["personality_no_randomize"] = GetParam() == Place::Runsc ? "EINVAL" : "ok";
  expect(expected);
}

TEST_P(GuardSeal, N3_ForeignSystemCallNumbersKill) {
  expect(all("SYS", {"x32_getpid", "x32_socket", "int80_getpid", "int80_socketcall"}));
}

TEST_P(GuardSeal, T26_TheGuardsProcFilesAreClosed) {
  if (GetParam() == Place::Machine) {
    // Root may read there, but not its memory: the Landlock domain forbids it.
    expect(all("EACCES", {"proc_mem", "proc_fd"}));
  } else {
    expect(
        all("EACCES", {"proc_environ", "proc_mem", "proc_maps", "proc_oom_score_adj", "proc_fd"}));
  }
}

}  // namespace
}  // namespace sandboxrun::test
