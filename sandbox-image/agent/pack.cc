#include "sandbox-image/agent/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "sandbox-image/agent/compress.h"
#include "sandbox-image/agent/entry_name.h"
#include "sandbox-image/agent/tree_walk.h"
#include "sandbox-image/agent/utf8_locale.h"

namespace sandboxrun::agent {

namespace {

constexpr std::size_t kReadBytes = std::size_t{256} << 10;
constexpr int kMaxDepth = 64;
constexpr mode_t kPermissions = 0777;

struct FreeArchive {
  void operator()(archive* handle) const { archive_write_free(handle); }
};
struct FreeEntry {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

std::unexpected<Error> unsafe(std::string message) {
  return failure(ErrorKind::ArchiveUnsafe, std::move(message));
}

/// A file without a name, so that nobody else can open or change what is hashed and sent.
Result<UniqueFd> unlinked_file(const std::string& folder) {
  UniqueFd file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file) return file;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
    return system_failure("making a file in the staging folder", errno);
  }
  // gVisor's file systems have no O_TMPFILE.
  std::string name = folder + "/archive-XXXXXX";
  file.reset(::mkostemp(name.data(), O_CLOEXEC));
  if (!file) return system_failure("making a file in the staging folder", errno);
  if (::unlink(name.c_str()) != 0) return system_failure("unlinking a staging file", errno);
  return file;
}

/// One results archive in the making.
class Packing {
 public:
  Packing(int file, const PackOptions& options)
      : options_(options),
        out_(file, options.format),
        entry_(archive_entry_new()),
        archive_(archive_write_new()),
        buffer_(kReadBytes) {}

  Result<void> open();
  Result<void> add(const WalkEntry& entry);
  Result<Compressed> finish();
  std::int64_t entries() const { return entries_; }

 private:
  static la_ssize_t on_write(archive*, void* self, const void* data, std::size_t size) {
    const bool taken =
        static_cast<Packing*>(self)->out_.write({static_cast<const std::byte*>(data), size});
    return taken ? static_cast<la_ssize_t>(size) : -1;
  }

  Result<void> check(const WalkEntry& entry);
  Result<void> set_link(const WalkEntry& entry);
  Result<void> write_header();
  Result<void> copy(const WalkEntry& entry);

  const PackOptions& options_;
  CompressingWriter out_;
  std::unique_ptr<archive_entry, FreeEntry> entry_;
  std::unique_ptr<archive, FreeArchive> archive_;  // destroyed first: it may still write to out_
  std::vector<std::byte> buffer_;
  std::int64_t entries_ = 0;
  std::int64_t bytes_ = 0;
};

Result<void> Packing::open() {
  archive* writer = archive_.get();
  // Plain ustar where it suffices, a pax header only for what doesn't fit: the most readable form.
  if (archive_write_set_format_pax_restricted(writer) != ARCHIVE_OK ||
      archive_write_set_bytes_per_block(writer, static_cast<int>(kReadBytes)) != ARCHIVE_OK ||
      archive_write_set_bytes_in_last_block(writer, 1) != ARCHIVE_OK ||
      archive_write_open(writer, this, nullptr, on_write, nullptr) != ARCHIVE_OK) {
    return failure(ErrorKind::Internal, "a tar archive could not be begun");
  }
  return {};
}

Result<void> Packing::check(const WalkEntry& entry) {
  const mode_t mode = entry.status.st_mode;
  if (entry.path.size() >= PATH_MAX) return unsafe("its path is longer than 4095 bytes");
  if (S_ISFIFO(mode)) return unsafe("it is a named pipe");
  if (S_ISSOCK(mode)) return unsafe("it is a socket");
  if (S_ISCHR(mode) || S_ISBLK(mode)) return unsafe("it is a device");
  if (!S_ISREG(mode)) return {};
  if (entry.status.st_size > options_.max_bytes - bytes_) {
    return failure(ErrorKind::LimitExceeded, "with it the files hold more than " +
                                                 std::to_string(options_.max_bytes) + " bytes");
  }
  bytes_ += entry.status.st_size;
  return {};
}

Result<void> Packing::add(const WalkEntry& entry) {
  if (options_.stop.stop_requested()) {
    return failure(ErrorKind::Cancelled, "archiving was cancelled");
  }
  if (auto checked = check(entry); !checked) return checked;
  ++entries_;
  const mode_t mode = entry.status.st_mode;
  archive_entry* header = archive_entry_clear(entry_.get());
  archive_entry_set_pathname(header, entry.path.c_str());
  archive_entry_set_filetype(header, mode & S_IFMT);
  archive_entry_set_perm(header, mode & kPermissions);
  archive_entry_set_uid(header, 0);
  archive_entry_set_gid(header, 0);
  archive_entry_set_uname(header, "");
  archive_entry_set_gname(header, "");
  archive_entry_set_mtime(header, std::max<time_t>(entry.status.st_mtim.tv_sec, 0), 0);
  archive_entry_set_size(header, S_ISREG(mode) ? entry.status.st_size : 0);
  if (S_ISLNK(mode)) {
    if (auto linked = set_link(entry); !linked) return linked;
  }
  if (auto written = write_header(); !written) return written;
  if (S_ISREG(mode)) {
    if (auto copied = copy(entry); !copied) return copied;
  }
  if (options_.progress) options_.progress(entries_, bytes_);
  return {};
}

Result<void> Packing::set_link(const WalkEntry& entry) {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = ::readlinkat(entry.fd, "", text.data(), text.size());
  if (size < 0) return system_failure("reading the link", errno);
  const std::string target(text.data(), static_cast<std::size_t>(size));
  if (auto checked = check_link_target(entry.path, target); !checked) return checked;
  archive_entry_set_symlink(entry_.get(), target.c_str());
  return {};
}

Result<void> Packing::write_header() {
  const int code = archive_write_header(archive_.get(), entry_.get());
  // A warning says that the name is not UTF-8 and was written byte for byte (hdrcharset=BINARY).
  if (code == ARCHIVE_OK || code == ARCHIVE_WARN) return {};
  const char* text = archive_error_string(archive_.get());
  return failure(ErrorKind::Internal,
                 "its header could not be written: " + escaped(text == nullptr ? "?" : text));
}

Result<void> Packing::copy(const WalkEntry& entry) {
  // Opens the very file that was looked at, whatever its name belongs to by now.
  const std::string itself = "/proc/self/fd/" + std::to_string(entry.fd);
  const UniqueFd file(::open(itself.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file) return system_failure("opening it", errno);
  std::int64_t left = entry.status.st_size;
  while (left > 0) {
    if (options_.stop.stop_requested()) {
      return failure(ErrorKind::Cancelled, "archiving was cancelled");
    }
    const auto wanted = static_cast<std::size_t>(
        std::min<std::int64_t>(left, static_cast<std::int64_t>(buffer_.size())));
    const ssize_t got = ::read(file.get(), buffer_.data(), wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure("reading it", errno);
    if (got == 0) return unsafe("it shrank while it was archived");
    if (archive_write_data(archive_.get(), buffer_.data(), static_cast<std::size_t>(got)) != got) {
      return failure(ErrorKind::Internal, "its content could not be archived");
    }
    left -= got;
  }
  return {};
}

Result<Compressed> Packing::finish() {
  const bool closed = archive_write_close(archive_.get()) == ARCHIVE_OK;
  auto compressed = out_.finish();
  if (compressed && !closed) return failure(ErrorKind::Internal, "the archive could not be ended");
  return compressed;
}

}  // namespace

Result<Packed> pack(int root_fd, const PackOptions& options) {
  using protocol::ArchiveFormat;
  if (options.format != ArchiveFormat::TarGzip && options.format != ArchiveFormat::TarZstd) {
    return failure(ErrorKind::InvalidInput, "results are archived as TarGzip or TarZstd only");
  }
  auto file = unlinked_file(options.staging_dir);
  if (!file) return std::unexpected(file.error());
  const Utf8Locale utf8;
  Packing packing(file->get(), options);
  if (auto opened = packing.open(); !opened) return std::unexpected(opened.error());
  const auto walked =
      walk_tree(root_fd, {.max_entries = options.max_entries, .max_depth = kMaxDepth},
                [&](const WalkEntry& entry) { return packing.add(entry); });
  // When the disk is full, reading fails for want of a taker: the writer's error is the cause.
  auto compressed = packing.finish();
  if (!walked && (compressed || walked.error().kind != ErrorKind::Internal)) {
    return failure_within("results", walked.error());
  }
  if (!compressed) return failure_within("results", compressed.error());
  if (::lseek(file->get(), 0, SEEK_SET) != 0) return system_failure("rewinding the archive", errno);
  return Packed{.file = std::move(*file),
                .digest = std::move(compressed->digest),
                .bytes = compressed->bytes,
                .entries = packing.entries()};
}

}  // namespace sandboxrun::agent
