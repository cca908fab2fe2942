#include "operator/launch/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include "operator/base/random.h"

namespace sandboxrun::launch {
namespace {

constexpr int kMaxOpenLevels = 32;  // of remove_tree; deeper folders are moved up first

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

int open_beneath(int directory, const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how));
}

/// Empties a folder. Folders below kMaxOpenLevels are moved to `top` and `again` is set.
Result<void> empty_directory(int top, int directory, int level, bool& again) {
  const int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return system_failure("removing a folder", errno);
  const Directory stream(fdopendir(copy));
  if (!stream) {
    close(copy);
    return system_failure("removing a folder", errno);
  }
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (entry->d_type != DT_DIR && unlinkat(directory, name.c_str(), 0) == 0) continue;
    const UniqueFd child(
        openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) {
      if (errno == ENOENT) continue;
      return system_failure("removing a folder", errno);
    }
    if (level >= kMaxOpenLevels) {
      const std::string flat = ".remove-" + random_hex(8);
      if (renameat(directory, name.c_str(), top, flat.c_str()) != 0) {
        return system_failure("removing a deep folder", errno);
      }
      again = true;
      continue;
    }
    if (auto emptied = empty_directory(top, child.get(), level + 1, again); !emptied) {
      return emptied;
    }
    if (unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return system_failure("removing a folder", errno);
    }
  }
  return {};
}

bool others_may_change(const struct stat& info) {
  const bool foreign = info.st_uid != 0 && info.st_uid != geteuid();
  const bool writable = (info.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  const bool sticky_of_root = info.st_uid == 0 && (info.st_mode & S_ISVTX) != 0;
  return foreign || (writable && !sticky_of_root);
}

std::vector<std::string> components_of(std::string_view path) {
  std::vector<std::string> components;
  std::size_t begin = 1;
  while (begin < path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    components.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return components;
}

}  // namespace

Result<std::string> read_small_file(int directory, const std::string& name, std::size_t max_bytes,
                                    std::string_view what) {
  const UniqueFd file(
      openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT) {
      return failure(ErrorKind::NotFound, std::string(what) + " does not exist");
    }
    return system_failure(what, errno);
  }
  return read_open_file(file.get(), max_bytes, what);
}

Result<std::string> read_open_file(int file, std::size_t max_bytes, std::string_view what) {
  struct stat info{};
  if (fstat(file, &info) != 0) return system_failure(what, errno);
  if (!S_ISREG(info.st_mode)) {
    return failure(ErrorKind::Denied, std::string(what) + " is not a regular file");
  }
  std::string text;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t got = read(file, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure(what, errno);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > max_bytes) {
      return failure(ErrorKind::LimitExceeded,
                     std::string(what) + " is larger than " + std::to_string(max_bytes) + " bytes");
    }
  }
}

Result<void> write_new_file(int directory, const std::string& name, std::string_view text,
                            mode_t mode, std::string_view what) {
  const UniqueFd file(
      openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file) return system_failure(what, errno);
  while (!text.empty()) {
    const ssize_t put = write(file.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return system_failure(what, errno);
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  if (fchmod(file.get(), mode) != 0) return system_failure(what, errno);
  return {};
}

Result<void> make_owned_directory(int directory, const std::string& name, mode_t mode,
                                  uid_t owner) {
  if (mkdirat(directory, name.c_str(), 0700) != 0) return system_failure("making a folder", errno);
  const UniqueFd made(
      openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!made) return system_failure("making a folder", errno);
  if (owner != geteuid() && fchown(made.get(), owner, owner) != 0) {
    return system_failure("giving a folder its owner", errno);
  }
  if (fchmod(made.get(), mode) != 0) return system_failure("making a folder", errno);
  return {};
}

Result<UniqueFd> open_directory(int directory, const std::string& path, std::string_view what) {
  UniqueFd opened(open_beneath(directory, path, O_RDONLY | O_DIRECTORY));
  if (!opened) return system_failure(what, errno);
  return opened;
}

Result<void> remove_tree(int directory, const std::string& name) {
  if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  const UniqueFd top(
      openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top) return system_failure("removing a folder", errno);
  bool again = true;
  while (again) {
    again = false;
    if (auto emptied = empty_directory(top.get(), top.get(), 0, again); !emptied) return emptied;
  }
  if (unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return system_failure("removing a folder", errno);
  }
  return {};
}

bool is_plain_absolute(std::string_view path) {
  if (path.empty() || path.front() != '/' || path.find('\0') != path.npos) return false;
  for (const std::string& component : components_of(path)) {
    if (component.empty() || component == "." || component == "..") return false;
  }
  return path.size() == 1 || path.back() != '/';
}

Result<UniqueFd> open_trusted_directory(const std::string& path, std::string_view what) {
  const auto denied = [&](std::string_view rule) {
    return failure(ErrorKind::Denied, std::string(what) + " " + std::string(rule));
  };
  if (!is_plain_absolute(path)) {
    return denied("must be an absolute path without empty, \".\" and \"..\" components");
  }
  UniqueFd at(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!at) return system_failure(what, errno);
  for (const std::string& component : components_of(path)) {
    UniqueFd next(open_beneath(at.get(), component, O_RDONLY | O_DIRECTORY));
    if (!next && errno == ENOENT) {
      if (mkdirat(at.get(), component.c_str(), 0711) != 0 && errno != EEXIST) {
        return system_failure(what, errno);
      }
      next.reset(open_beneath(at.get(), component, O_RDONLY | O_DIRECTORY));
      if (next && fchmod(next.get(), 0711) != 0) return system_failure(what, errno);  // no umask
    }
    if (!next && errno == ELOOP) return denied("must not lie behind a symbolic link");
    if (!next && errno == ENOTDIR) return denied("is not a folder");
    if (!next) return system_failure(what, errno);
    struct stat info{};
    if (fstat(next.get(), &info) != 0) return system_failure(what, errno);
    if (others_may_change(info)) {
      return denied("and the folders above it must belong to root and be writable by no one else");
    }
    at = std::move(next);
  }
  struct stat info{};
  if (fstat(at.get(), &info) != 0) return system_failure(what, errno);
  if ((info.st_mode & S_ISVTX) != 0 && (info.st_mode & S_IWOTH) != 0) {
    return denied("must be a folder of its own, not a shared one such as /tmp");
  }
  return at;
}

Result<void> check_passable(const std::string& path, std::string_view what) {
  std::string at;
  for (const std::string& component : components_of(path)) {
    at += "/" + component;
    struct stat info{};
    if (stat(at.c_str(), &info) != 0) return system_failure(what, errno);
    if ((info.st_mode & S_IXOTH) != 0) continue;
    return failure(ErrorKind::Denied, std::string(what) +
                                          " cannot be entered by the sandbox's root, "
                                          "who is nobody here: " +
                                          at +
                                          " lets no others pass; chmod o+x it, or choose "
                                          "another folder");
  }
  return {};
}

std::string descriptor_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

}  // namespace sandboxrun::launch
