#include "operator/launch/host.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "operator/launch/files.h"

namespace sandboxrun::launch {
namespace {

constexpr std::uint32_t kDefaultBase = 200000;

bool only_root_may_change(const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0 || info.st_uid != 0) return false;
  const bool writable = (info.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  return !writable || (S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0);
}

template <typename Number>
std::optional<Number> number(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The start of root's first range of at least kMappedIds ids in a file of subuid(5).
std::optional<std::uint32_t> range_of_root(const char* file) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string name;
    std::string first;
    std::string count;
    std::getline(fields, name, ':');
    std::getline(fields, first, ':');
    std::getline(fields, count, ':');
    const auto start = number<std::uint32_t>(first);
    const auto size = number<std::uint32_t>(count);
    if ((name == "root" || name == "0") && start && size && *size >= kMappedIds) return start;
  }
  return std::nullopt;
}

}  // namespace

Result<Program> open_program(const std::string& path, std::string_view what) {
  const std::string name(what);
  if (path.empty()) return failure(ErrorKind::InvalidInput, name + " is required");
  if (!is_plain_absolute(path)) {
    return failure(ErrorKind::InvalidInput,
                   name +
                       " must be an absolute path without empty, \".\" and \"..\" components; it "
                       "is never looked up in PATH");
  }
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr),
                                                         &std::free);
  if (!real) {
    return failure(ErrorKind::Unavailable, name +
                                               " does not exist there; install it or name "
                                               "another by its absolute path");
  }
  std::string resolved = real.get();
  for (std::size_t end = resolved.size(); end != 0 && end != std::string::npos;
       end = resolved.rfind('/', end - 1)) {
    if (!only_root_may_change(resolved.substr(0, end))) {
      return failure(ErrorKind::Denied,
                     name +
                         ": the program and the folders above it must belong to root and be "
                         "writable by no one else");
    }
  }
  struct stat info{};
  if (lstat(resolved.c_str(), &info) != 0) return system_failure(name, errno);
  if (!S_ISREG(info.st_mode) || (info.st_mode & S_IXUSR) == 0) {
    return failure(ErrorKind::Denied, name + " is not an executable file");
  }
  return Program{.path = std::move(resolved)};
}

Result<std::uint32_t> subordinate_base(std::uint32_t configured) {
  std::uint32_t base = configured;
  if (base == 0) {
    const auto users = range_of_root("/etc/subuid");
    const auto groups = range_of_root("/etc/subgid");
    if (users != groups) {
      return failure(ErrorKind::Unavailable,
                     "root's ranges in /etc/subuid and /etc/subgid differ; give both files the "
                     "same line, e.g. root:200000:65536");
    }
    base = users.value_or(kDefaultBase);
  }
  if (base < kMappedIds || base > UINT32_MAX - 2 * kMappedIds) {
    return failure(ErrorKind::InvalidInput,
                   "the first subordinate id must lie between 65536 and 4294836223");
  }
  return base;
}

Result<void> check_kernel() {
  if (geteuid() != 0) {
    return failure(ErrorKind::Unavailable,
                   "running a sandbox needs root here (mounts, user ids, cgroups); start it with "
                   "sudo");
  }
  if (access("/proc/self/ns/user", F_OK) != 0) {
    return failure(ErrorKind::Unavailable,
                   "the kernel has no user namespaces (CONFIG_USER_NS); nothing runs without them");
  }
  std::ifstream limit("/proc/sys/user/max_user_namespaces");
  std::int64_t allowed = 1;
  if (limit >> allowed; allowed == 0) {
    return failure(ErrorKind::Unavailable,
                   "user namespaces are switched off; set the sysctl user.max_user_namespaces "
                   "above 0");
  }
  return {};
}

}  // namespace sandboxrun::launch
