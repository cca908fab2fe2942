#include "sandbox-image/agent/tree_writer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace sandboxrun::agent {

namespace {

constexpr std::uint32_t kPermissions = 0777;
constexpr std::uint32_t kOwnerAll = 0700;
constexpr std::uint32_t kImpliedMode = 0755;

std::unexpected<Error> unsafe(std::string message) {
  return failure(ErrorKind::ArchiveUnsafe, std::move(message));
}

std::string_view last_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

std::string_view without_last(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

/// -1 and errno on failure.
int open_beneath(int root, const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  long fd = -1;
  do {
    fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how));
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  return static_cast<int>(fd);
}

std::unexpected<Error> parent_failure(int error_number) {
  if (error_number == ELOOP) return unsafe("it lies behind a symbolic link of the archive");
  if (error_number == ENOTDIR) return unsafe("it lies below something that is not a folder");
  return system_failure("opening its folder", error_number);
}

std::unexpected<Error> creation_failure(std::string_view what, int error_number) {
  if (error_number == EEXIST) return unsafe("the archive holds this name twice");
  return system_failure(what, error_number);
}

}  // namespace

Result<UniqueFd> TreeWriter::make_parents(std::string_view path) const {
  UniqueFd at;
  for (std::size_t end = 0; end != std::string_view::npos;) {
    const std::size_t begin = end == 0 ? 0 : end + 1;
    end = path.find('/', begin);
    const std::string name(path.substr(begin, end == std::string_view::npos ? end : end - begin));
    const int above = at ? at.get() : root_;
    if (::mkdirat(above, name.c_str(), kImpliedMode) != 0 && errno != EEXIST) {
      return system_failure("making its folder", errno);
    }
    UniqueFd next(open_beneath(above, name, O_PATH | O_DIRECTORY));
    if (!next) return parent_failure(errno);
    at = std::move(next);
  }
  return at;
}

Result<int> TreeWriter::parent_of(std::string_view path) {
  const std::string_view parent = without_last(path);
  if (parent.empty()) return root_;
  if (parent_ && parent == parent_path_) return parent_.get();
  UniqueFd opened(open_beneath(root_, std::string(parent), O_PATH | O_DIRECTORY));
  if (!opened && errno != ENOENT) return parent_failure(errno);
  if (!opened) {
    auto made = make_parents(parent);
    if (!made) return std::unexpected(made.error());
    opened = std::move(*made);
  }
  parent_ = std::move(opened);
  parent_path_ = parent;
  return parent_.get();
}

Result<void> TreeWriter::make_directory(std::string_view path, std::uint32_t mode) {
  const auto parent = parent_of(path);
  if (!parent) return std::unexpected(parent.error());
  const std::string name(last_name(path));
  const std::uint32_t permissions = (mode & kPermissions) | kOwnerAll;
  if (::mkdirat(*parent, name.c_str(), permissions) == 0) return {};
  if (errno != EEXIST) return system_failure("making the folder", errno);
  const UniqueFd existing(open_beneath(*parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (!existing) return unsafe("the archive holds this name twice");
  if (::fchmod(existing.get(), permissions) != 0) {
    return system_failure("setting the folder's mode", errno);
  }
  return {};
}

Result<void> TreeWriter::make_symlink(std::string_view path, const std::string& target) {
  const auto parent = parent_of(path);
  if (!parent) return std::unexpected(parent.error());
  const std::string name(last_name(path));
  if (::symlinkat(target.c_str(), *parent, name.c_str()) == 0) return {};
  return creation_failure("making the symbolic link", errno);
}

Result<void> TreeWriter::make_hard_link(std::string_view path, std::string_view existing) {
  const std::string_view folder = without_last(existing);
  UniqueFd from;
  if (!folder.empty()) {
    from.reset(open_beneath(root_, std::string(folder), O_PATH | O_DIRECTORY));
    if (!from) return unsafe("it is a hard link to something that was not unpacked before it");
  }
  const int from_fd = from ? from.get() : root_;
  const std::string from_name(last_name(existing));
  struct stat status{};
  if (::fstatat(from_fd, from_name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return unsafe("it is a hard link to something that was not unpacked before it");
  }
  if (!S_ISREG(status.st_mode)) {
    return unsafe("it is a hard link to something other than a regular file");
  }
  const auto parent = parent_of(path);
  if (!parent) return std::unexpected(parent.error());
  const std::string name(last_name(path));
  if (::linkat(from_fd, from_name.c_str(), *parent, name.c_str(), 0) == 0) return {};
  return creation_failure("making the hard link", errno);
}

Result<void> TreeWriter::begin_file(std::string_view path, std::uint32_t mode) {
  const auto parent = parent_of(path);
  if (!parent) return std::unexpected(parent.error());
  const std::string name(last_name(path));
  file_.reset(::openat(*parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                       mode & kPermissions));
  if (!file_) return creation_failure("making the file", errno);
  return {};
}

Result<void> TreeWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_failure("writing the file", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> TreeWriter::end_file(std::int64_t mtime) {
  const timespec times[2] = {{.tv_sec = mtime, .tv_nsec = 0}, {.tv_sec = mtime, .tv_nsec = 0}};
  const int failed = ::futimens(file_.get(), times);
  const int error_number = errno;
  file_.reset();
  if (failed != 0) return system_failure("setting the file's time", error_number);
  return {};
}

}  // namespace sandboxrun::agent
