// Row G4: whatever the guard inherited, the run gets descriptors 0 to 2 only.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/guard_process.h"

namespace sandboxrun::test {
namespace {

/// Lists the open descriptors of the program that runs it, without /proc: "0 1 2".
const std::vector<std::string> kList = {"--", built_program("guard_tests/descriptors")};

/// Opens 500 descriptors, one of them at a high number.
void open_many() {
  rlimit limit{.rlim_cur = 4096, .rlim_max = 4096};
  setrlimit(RLIMIT_NOFILE, &limit);
  for (int i = 3; i < 503; ++i) {
    int fd = open("/dev/null", O_RDONLY);
    if (fd != i) dup2(fd, i);
  }
  dup2(0, 4000);
}

void limit_to_32() {
  rlimit limit{.rlim_cur = 32, .rlim_max = 32};
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// A full table: more descriptors open than the limit now allows, so that nothing can be opened.
void fill_table() {
  open_many();
  limit_to_32();
}

/// close_range(2) answers ENOSYS, as on kernels before 5.9.
void refuse_close_range() {
  sock_filter code[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_close_range},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  sock_fprog program{.len = 4, .filter = code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(98);
}

/// Hides /proc in a mount namespace of the child's own.
void hide_proc() {
  if (unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("none", "/proc", "tmpfs", 0, nullptr) != 0) {
    _exit(97);
  }
}

std::string descriptors_after(std::function<void()> before_exec) {
  DirectGuard guard(kList, {}, std::move(before_exec));
  auto end = guard.wait();
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_EQ(field(guard.record(), "cause"), "exited");
  return end.out;
}

TEST(GuardDescriptors, G4_ClosesFiveHundred) {
  EXPECT_EQ(descriptors_after(open_many), "0 1 2\n");
}

TEST(GuardDescriptors, G4_WorksWithAFullTableUnderALimitOf32) {
  EXPECT_EQ(descriptors_after(fill_table), "0 1 2\n");
}

TEST(GuardDescriptors, G4_WorksWithAFullTableWhenCloseRangeIsRefused) {
  EXPECT_EQ(descriptors_after([] {
              fill_table();
              refuse_close_range();
            }),
            "0 1 2\n");
}

TEST(GuardDescriptors, G4_WorksWithAFullTableWhenProcIsMissing) {
  EXPECT_EQ(descriptors_after([] {
              hide_proc();
              fill_table();
            }),
            "0 1 2\n");
}

TEST(GuardDescriptors, G4_WorksWithAFullTableWhenCloseRangeIsRefusedAndProcIsMissing) {
  EXPECT_EQ(descriptors_after([] {
              hide_proc();
              fill_table();
              refuse_close_range();
            }),
            "0 1 2\n");
}

TEST(GuardDescriptors, G4_ClosedStandardDescriptorsBecomeDevNull) {
  DirectGuard guard({"--", "/bin/sh", "-c",
                     "links=$(for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done); "
                     "echo \"$links\" > $FOLDER/links"},
                    {}, [] {
                      close(0);
                      close(1);
                      close(2);
                    });
  EXPECT_EQ(guard.wait().code, 0);
  EXPECT_EQ(read_file(guard.folder() / "links"), "/dev/null\n/dev/null\n/dev/null\n");
}

class GuardRecordDescriptor : public testing::TestWithParam<int> {};

TEST_P(GuardRecordDescriptor, G4_StaysWithTheGuardAndGetsTheRecord) {
  TempFolder folder;
  auto path = folder.path() / "record";
  const int number = GetParam();
  ProcessSpec spec{.argv = {built_program("guard"), "--unsafe-skip-environment-checks",
                            "--record-fd", std::to_string(number)},
                   .before_exec = [&] {
                     open_many();
                     int fd = open(path.c_str(), O_RDWR | O_CREAT, 0600);
                     if (fd < 0 || dup2(fd, number) != number) _exit(96);
                     limit_to_32();
                   }};
  spec.argv.insert(spec.argv.end(), kList.begin(), kList.end());
  auto end = run_process(spec);
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_EQ(end.out, "0 1 2\n");
  auto record = parse_record(read_file(path));
  EXPECT_EQ(field(record, "cause"), "exited");
  EXPECT_EQ(field(record, "message"), "");
}

INSTANTIATE_TEST_SUITE_P(Numbers, GuardRecordDescriptor, testing::Values(3, 4, 5, 64, 4000));

TEST(GuardDescriptors, G4_ARecordDescriptorMayBeAPipe) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ProcessSpec spec{.argv = {built_program("guard"), "--unsafe-skip-environment-checks",
                            "--record-fd", std::to_string(ends[1]), "--", "/bin/sh", "-c",
                            "exit 5"}};
  EXPECT_EQ(run_process(spec).code, 5);
  char line[8192];
  ssize_t count = read(ends[0], line, sizeof line);
  close(ends[0]);
  close(ends[1]);
  ASSERT_GT(count, 0);
  EXPECT_EQ(field(parse_record(std::string(line, static_cast<std::size_t>(count))), "code"), "5");
}

}  // namespace
}  // namespace sandboxrun::test
