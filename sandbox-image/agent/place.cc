#include "sandbox-image/agent/place.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace sandboxrun::agent {
namespace {

struct Location {
  UniqueFd parent;
  std::string name;
};

int open_without_links(const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how));
}

std::unexpected<Error> refused(const std::string& path, int error_number) {
  if (error_number == ELOOP) {
    return failure(ErrorKind::Denied, path + ": a symbolic link is on the way");
  }
  if (error_number == EEXIST) {
    return failure(ErrorKind::Denied, path + ": something is there already");
  }
  if (error_number == ENOTDIR) {
    return failure(ErrorKind::Denied, path + ": something that is not a folder is in the way");
  }
  return system_failure(path, error_number);
}

Result<Location> locate(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (path.empty() || path.front() != '/' || slash + 1 == path.size()) {
    return failure(ErrorKind::InvalidInput, path + ": not an absolute path of a file or folder");
  }
  const std::string parent = slash == 0 ? "/" : path.substr(0, slash);
  UniqueFd fd(open_without_links(parent, O_PATH | O_DIRECTORY));
  if (!fd) return refused(parent, errno);
  return Location{std::move(fd), path.substr(slash + 1)};
}

Result<UniqueFd> open_directory(const Location& location, const std::string& path) {
  UniqueFd fd(openat(location.parent.get(), location.name.c_str(),
                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return refused(path, errno);
  return fd;
}

Result<void> set_owner_and_mode(int fd, const std::string& path, std::uint32_t mode,
                                const Owner& owner) {
  if (owner && fchown(fd, owner->first, owner->second) != 0) return system_failure(path, errno);
  if (fchmod(fd, mode) != 0) return system_failure(path, errno);
  return {};
}

struct CloseDirectory {
  void operator()(DIR* stream) const { closedir(stream); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

bool is_dot(const char* name) {
  return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0;
}

Result<std::vector<std::string>> names_in(int directory) {
  UniqueFd copy(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return system_failure("reading a folder", errno);
  const Directory stream(fdopendir(copy.get()));
  if (!stream) return system_failure("reading a folder", errno);
  (void)copy.release();  // the stream closes it
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream.get())) {
    if (!is_dot(entry->d_name)) names.emplace_back(entry->d_name);
  }
  return names;
}

Result<void> copy_bytes(int source, int target, std::int64_t bytes, const std::string& path) {
  off_t from = 0;
  while (from < bytes) {
    const auto wanted = static_cast<std::size_t>(bytes - from);
    ssize_t copied = copy_file_range(source, &from, target, nullptr, wanted, 0);
    if (copied > 0) continue;
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
      return system_failure(path, errno);
    }
    // Not between these file systems: through a buffer.
    std::vector<char> buffer(std::min<std::size_t>(wanted, 1U << 20));
    const ssize_t got = pread(source, buffer.data(), buffer.size(), from);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure(path, errno);
    if (got == 0) return failure(ErrorKind::Internal, path + ": the fetched file is too short");
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = write(target, buffer.data() + done, static_cast<std::size_t>(got - done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return system_failure(path, errno);
      done += put;
    }
    from += got;
  }
  return {};
}

}  // namespace

Result<void> make_directory(const std::string& path, std::uint32_t mode, const Owner& owner) {
  auto location = locate(path);
  if (!location) return std::unexpected(location.error());
  const bool made = mkdirat(location->parent.get(), location->name.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return refused(path, errno);
  auto fd = open_directory(*location, path);
  if (!fd) return std::unexpected(fd.error());
  return set_owner_and_mode(fd->get(), path, mode, made ? owner : Owner{});
}

Result<UniqueFd> open_empty_directory(const std::string& path, const Owner& owner) {
  auto location = locate(path);
  if (!location) return std::unexpected(location.error());
  const bool made = mkdirat(location->parent.get(), location->name.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return refused(path, errno);
  auto fd = open_directory(*location, path);
  if (!fd) return fd;
  if (made) {
    if (auto set = set_owner_and_mode(fd->get(), path, 0755, owner); !set) {
      return std::unexpected(set.error());
    }
    return fd;
  }
  auto names = names_in(fd->get());
  if (!names) return std::unexpected(names.error());
  if (!names->empty()) {
    return failure(ErrorKind::Denied, path +
                                          ": the folder is not empty; an archive is unpacked "
                                          "into a fresh one only");
  }
  return fd;
}

Result<void> place_file(int source, std::int64_t bytes, const std::string& path, std::uint32_t mode,
                        const Owner& owner) {
  auto location = locate(path);
  if (!location) return std::unexpected(location.error());
  UniqueFd target(openat(location->parent.get(), location->name.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!target) return refused(path, errno);
  auto placed = copy_bytes(source, target.get(), bytes, path);
  if (placed) placed = set_owner_and_mode(target.get(), path, mode, owner);
  if (!placed) unlinkat(location->parent.get(), location->name.c_str(), 0);
  return placed;
}

namespace {

// The group's and others' right to write, as the owner has it.
mode_t writable(mode_t mode) {
  return (mode & 0777) | ((mode & 0200) != 0 ? 0022 : 0);
}

// Opens what is at `path` below `root`; "" is the root itself.
UniqueFd open_below(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  return UniqueFd(static_cast<int>(syscall(SYS_openat2, root, name, &how, sizeof how)));
}

// Opens one folder's files to others and adds its sub-folders to `pending`.
Result<void> let_others_write_in(int root, const std::string& path,
                                 std::vector<std::string>& pending) {
  const UniqueFd current = open_below(root, path);
  if (!current) return system_failure("opening a folder of a writable asset", errno);
  struct stat status{};
  if (fstat(current.get(), &status) != 0 || fchmod(current.get(), writable(status.st_mode)) != 0) {
    return system_failure("a folder of a writable asset", errno);
  }
  auto names = names_in(current.get());
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (fstatat(current.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return system_failure("a file of a writable asset", errno);
    }
    if (S_ISDIR(status.st_mode)) {
      pending.push_back(path.empty() ? name : path + "/" + name);
    } else if (S_ISREG(status.st_mode) &&
               fchmodat(current.get(), name.c_str(), writable(status.st_mode), 0) != 0) {
      return system_failure("a file of a writable asset", errno);
    }
  }
  return {};
}

}  // namespace

Result<void> let_others_write(int directory) {
  // Paths, not descriptors, are kept: a tree may be wider than the descriptor table.
  std::vector<std::string> pending = {""};
  while (!pending.empty()) {
    const std::string path = std::move(pending.back());
    pending.pop_back();
    if (auto done = let_others_write_in(directory, path, pending); !done) return done;
  }
  return {};
}

}  // namespace sandboxrun::agent
