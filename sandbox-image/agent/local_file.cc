#include "sandbox-image/agent/local_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "operator/base/random.h"

namespace sandboxrun::agent {
namespace {

constexpr std::size_t kCopyBlock = std::size_t{1} << 20;

/// Takes the partial file away again unless it was renamed.
class PartialFile {
 public:
  PartialFile(int folder, std::string name) : folder_(folder), name_(std::move(name)) {}
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile() {
    if (!name_.empty()) ::unlinkat(folder_, name_.c_str(), 0);
  }
  const std::string& name() const { return name_; }
  void keep() { name_.clear(); }

 private:
  int folder_;
  std::string name_;
};

Result<void> copy_bytes(int from, int to, std::int64_t bytes, const std::stop_token& stop,
                        const std::function<void(std::int64_t, std::int64_t)>& progress,
                        std::string_view what) {
  std::vector<std::byte> block(kCopyBlock);
  for (std::int64_t done = 0; done < bytes;) {
    if (stop.stop_requested()) return failure(ErrorKind::Cancelled, std::string(what));
    const auto want =
        static_cast<std::size_t>(std::min(bytes - done, static_cast<std::int64_t>(block.size())));
    const ssize_t got = ::pread(from, block.data(), want, done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure("reading what is to be stored", errno);
    if (got == 0) return failure(ErrorKind::System, "what is to be stored ended early");
    for (ssize_t put = 0; put < got;) {
      const ssize_t n = ::write(to, block.data() + put, static_cast<std::size_t>(got - put));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return system_failure(what, errno);
      put += n;
    }
    done += got;
    if (progress) progress(done, bytes);
  }
  return {};
}

/// Gives the partial file its name, but never another file's.
Result<void> publish(int folder, const std::string& from, const std::string& to,
                     std::string_view what) {
  if (::renameat2(folder, from.c_str(), folder, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno == EINVAL || errno == ENOSYS) {
    // A file system without RENAME_NOREPLACE: a hard link never replaces either.
    if (::linkat(folder, from.c_str(), folder, to.c_str(), 0) == 0) {
      ::unlinkat(folder, from.c_str(), 0);
      return {};
    }
  }
  if (errno == EEXIST) {
    return failure(ErrorKind::Denied,
                   std::string(what) + ": the file exists already; nothing was overwritten");
  }
  return system_failure(what, errno);
}

}  // namespace

Result<UniqueFd> open_regular_file(const std::string& path, std::string_view what) {
  const UniqueFd handle(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!handle) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return failure(ErrorKind::NotFound, std::string(what) + " does not exist");
    }
    return system_failure(what, errno);
  }
  struct stat info{};
  if (::fstat(handle.get(), &info) != 0) return system_failure(what, errno);
  if (!S_ISREG(info.st_mode)) {
    return failure(ErrorKind::Denied, std::string(what) + " is not a regular file");
  }
  // Opened through the checked handle: the name could mean something else by now.
  const std::string link = "/proc/self/fd/" + std::to_string(handle.get());
  UniqueFd file(::open(link.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) return system_failure(what, errno);
  return file;
}

Result<Secret> read_secret_file(const std::string& path, std::string_view what,
                                std::size_t max_bytes) {
  auto file = open_regular_file(path, what);
  if (!file) return std::unexpected(file.error());
  std::string text(max_bytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file->get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure(what, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > max_bytes) {
    const Secret wiped(std::move(text));
    return failure(ErrorKind::LimitExceeded,
                   std::string(what) + " is larger than " + std::to_string(max_bytes) + " bytes");
  }
  text.resize(size);
  return Secret(std::move(text));
}

Result<void> store_file(int file, std::int64_t bytes, const std::string& path,
                        const std::stop_token& stop,
                        const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const std::string what = "file " + path;
  const std::size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") {
    return failure(ErrorKind::InvalidInput, what + ": the path does not end in a file's name");
  }
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const UniqueFd folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder && errno == ENOENT) {
    return failure(ErrorKind::NotFound, what + ": its folder does not exist; make it first");
  }
  if (!folder) return system_failure(what, errno);
  PartialFile partial(folder.get(), name + ".partial-" + random_hex(8));
  UniqueFd out(::openat(folder.get(), partial.name().c_str(),
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!out) {
    const int cause = errno;
    partial.keep();
    return system_failure(what, cause);
  }
  if (auto copied = copy_bytes(file, out.get(), bytes, stop, progress, what); !copied) {
    return std::unexpected(copied.error());
  }
  if (::fsync(out.get()) != 0) return system_failure(what, errno);
  if (auto named = publish(folder.get(), partial.name(), name, what); !named) return named;
  partial.keep();
  if (::fsync(folder.get()) != 0) return system_failure(what, errno);
  return {};
}

}  // namespace sandboxrun::agent
