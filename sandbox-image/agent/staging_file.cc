#include "sandbox-image/agent/staging_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "operator/base/random.h"

namespace sandboxrun::agent {
namespace {

constexpr std::string_view kWhat = "the staging folder";

/// For file systems without O_TMPFILE (gVisor's tmpfs, some network ones).
Result<UniqueFd> create_and_unlink(const std::string& folder) {
  const UniqueFd parent(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent) return system_failure(kWhat, errno);
  const std::string name = ".fetch-" + random_hex(8);
  UniqueFd file(::openat(parent.get(), name.c_str(),
                         O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return system_failure(kWhat, errno);
  if (::unlinkat(parent.get(), name.c_str(), 0) != 0) return system_failure(kWhat, errno);
  return file;
}

}  // namespace

Result<StagingFile> StagingFile::create(const std::string& folder, std::int64_t max_bytes) {
  // O_EXCL: nobody can give the file a name later either.
  UniqueFd file(::open(folder.c_str(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (file) return StagingFile(std::move(file), max_bytes);
  if (errno != EOPNOTSUPP && errno != EISDIR) return system_failure(kWhat, errno);
  auto unlinked = create_and_unlink(folder);
  if (!unlinked) return std::unexpected(unlinked.error());
  return StagingFile(std::move(*unlinked), max_bytes);
}

Result<void> StagingFile::write(std::span<const std::byte> bytes) {
  if (static_cast<std::int64_t>(bytes.size()) > max_bytes_ - bytes_) {
    return failure(ErrorKind::LimitExceeded,
                   "more than the allowed " + std::to_string(max_bytes_) + " bytes");
  }
  hash_.update(bytes);
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(file_.get(), bytes.data(), bytes.size(), bytes_);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return system_failure("writing to the staging folder", errno);
    bytes_ += put;
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Result<void> StagingFile::restart() {
  if (::ftruncate(file_.get(), 0) != 0) return system_failure(kWhat, errno);
  hash_ = Sha256();
  bytes_ = 0;
  return {};
}

Result<Fetched> StagingFile::finish() && {
  if (::lseek(file_.get(), 0, SEEK_SET) != 0) return system_failure(kWhat, errno);
  return Fetched{std::move(file_), hash_.finish(), bytes_};
}

}  // namespace sandboxrun::agent
