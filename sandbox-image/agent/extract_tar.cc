#include "sandbox-image/agent/extract_tar.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "sandbox-image/agent/entry_name.h"
#include "sandbox-image/agent/read_ahead.h"

namespace sandboxrun::agent {

namespace {

/// Two blocks of zeros end a tar archive (POSIX pax, "ustar Interchange Format").
constexpr std::int64_t kEndMarkerBytes = 1024;
/// Zeros that may follow them: tar pads to its record size, 10 KiB unless told otherwise.
constexpr std::int64_t kMaxPaddingBytes = std::int64_t{1} << 20;
/// What an entry may cost in headers, on average, before the stream counts as a bomb.
constexpr std::int64_t kHeaderBytesPerEntry = 8192;
constexpr std::int64_t kStreamAllowance = std::int64_t{64} << 20;

struct FreeArchive {
  void operator()(archive* handle) const { archive_read_free(handle); }
};

std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
}

std::int64_t max_stream_bytes(const protocol::ArchiveLimits& limits) {
  std::int64_t headers = 0;
  if (__builtin_mul_overflow(limits.max_entries, kHeaderBytesPerEntry, &headers)) {
    headers = std::numeric_limits<std::int64_t>::max();
  }
  return saturating_add(saturating_add(limits.max_bytes, headers), kStreamAllowance);
}

class Extraction {
 public:
  Extraction(ByteSource& source, TreeWriter& writer, const protocol::ArchiveLimits& limits,
             const std::function<void(const Unpacked&)>& progress)
      : ahead_(source),
        writer_(writer),
        limits_(limits),
        max_stream_(max_stream_bytes(limits)),
        progress_(progress),
        archive_(archive_read_new()) {}

  Result<Unpacked> run() {
    Result<void> done = open();
    if (done) done = read_entries();
    const std::optional<Error> cause = ahead_.stop();
    // A source that broke off is the cause of what the tar reader says about the missing bytes, but
    // an entry that was refused before it came to that is what matters.
    const bool by_source = cause && (done || done.error().kind == ErrorKind::ArchiveCorrupt);
    if (by_source) return std::unexpected(*cause);
    if (!done) return std::unexpected(done.error());
    return tally_;
  }

 private:
  static la_ssize_t on_read(archive*, void* self, const void** block) {
    auto& extraction = *static_cast<Extraction*>(self);
    const auto bytes = extraction.ahead_.next();
    if (extraction.ahead_.delivered() > extraction.max_stream_) {
      extraction.stream_too_long_ = true;
      return -1;
    }
    *block = bytes.data();
    extraction.block_ = bytes;
    return static_cast<la_ssize_t>(bytes.size());
  }

  Result<void> open();
  Result<void> read_entries();
  Result<void> check_end(std::int64_t last_entry_end);
  Result<void> take(archive_entry* entry);
  Result<void> refuse_extras(archive_entry* entry) const;
  Result<void> take_link(archive_entry* entry, const std::string& path);
  Result<void> take_file(archive_entry* entry, const std::string& path);
  Result<void> copy_data(std::int64_t size);
  Result<void> skip_data();

  std::unexpected<Error> reader_failure(std::string_view context) const {
    if (stream_too_long_) {
      return failure(ErrorKind::LimitExceeded,
                     "the archive's headers and padding go on beyond all that its entries need");
    }
    const char* text = archive_error_string(archive_.get());
    return failure(ErrorKind::ArchiveCorrupt,
                   std::string(context) + ": " + escaped(text == nullptr ? "damaged" : text));
  }
  std::unexpected<Error> over(std::string_view what, std::int64_t limit) const {
    return failure(ErrorKind::LimitExceeded, "the archive holds more than " +
                                                 std::to_string(limit) + " " + std::string(what));
  }

  ReadAhead ahead_;
  TreeWriter& writer_;
  const protocol::ArchiveLimits& limits_;
  std::int64_t max_stream_;
  const std::function<void(const Unpacked&)>& progress_;
  std::unique_ptr<archive, FreeArchive> archive_;
  std::span<const std::byte> block_;  // what libarchive was given last
  bool stream_too_long_ = false;
  std::int64_t headers_ = 0;
  Unpacked tally_;
};

Result<void> Extraction::open() {
  archive* reader = archive_.get();
  if (reader == nullptr) return failure(ErrorKind::System, "no memory to read an archive");
  // One format and no filter: nothing nested is undone, no helper program is ever started.
  if (archive_read_support_format_tar(reader) != ARCHIVE_OK ||
      archive_read_open(reader, this, nullptr, on_read, nullptr) != ARCHIVE_OK) {
    return reader_failure("the archive is not a tar archive");
  }
  return {};
}

Result<void> Extraction::read_entries() {
  for (;;) {
    const std::int64_t position = archive_filter_bytes(archive_.get(), 0);
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(archive_.get(), &entry);
    if (code == ARCHIVE_EOF) return check_end(position);
    if (code != ARCHIVE_OK) return reader_failure("the archive is damaged");
    if (auto taken = take(entry); !taken) {
      const char* name = archive_entry_pathname(entry);
      // What concerns the archive as a whole is said without the entry at which it came to light.
      if (stream_too_long_ || name == nullptr) return taken;
      return failure_within("archive entry " + quote_name(name), taken.error());
    }
    if (progress_) progress_(tally_);
  }
}

/// libarchive takes a stream that stops between two entries for a whole archive, and doesn't look
/// behind the end marker. Both are told apart here by where it stopped.
Result<void> Extraction::check_end(std::int64_t last_entry_end) {
  const std::int64_t end = archive_filter_bytes(archive_.get(), 0);
  if (end - last_entry_end < kEndMarkerBytes) {
    return failure(ErrorKind::ArchiveCorrupt,
                   "the archive is truncated: it has no end-of-archive marker");
  }
  auto rest = block_.last(static_cast<std::size_t>(std::clamp<std::int64_t>(
      ahead_.delivered() - end, 0, static_cast<std::int64_t>(block_.size()))));
  while (!rest.empty()) {
    if (!std::ranges::all_of(rest, [](std::byte b) { return b == std::byte{0}; })) {
      return failure(ErrorKind::ArchiveUnsafe, "data follows the end of the archive");
    }
    if (ahead_.delivered() - end > kMaxPaddingBytes) {
      return failure(ErrorKind::LimitExceeded,
                     "more than 1 MiB of padding follows the end of the archive");
    }
    rest = ahead_.next();
  }
  return {};
}

Result<void> Extraction::take(archive_entry* entry) {
  if (++headers_ > limits_.max_entries) return over("entries", limits_.max_entries);
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr) {
    return failure(ErrorKind::ArchiveUnsafe, "the archive holds a name that is not valid UTF-8");
  }
  const auto path = entry_path(name);
  if (!path) return std::unexpected(path.error());
  if (depth_of(*path) > limits_.max_depth) {
    return failure(ErrorKind::LimitExceeded,
                   "it lies more than " + std::to_string(limits_.max_depth) + " folders deep");
  }
  if (auto checked = refuse_extras(entry); !checked) return checked;
  const bool directory = archive_entry_filetype(entry) == AE_IFDIR;
  if (path->empty()) {
    if (directory && archive_entry_hardlink(entry) == nullptr) return skip_data();
    return failure(ErrorKind::ArchiveUnsafe,
                   "it would replace the folder that it is unpacked into");
  }
  ++tally_.entries;
  if (archive_entry_hardlink(entry) != nullptr || archive_entry_filetype(entry) == AE_IFLNK) {
    return take_link(entry, *path);
  }
  if (directory) {
    auto made = writer_.make_directory(*path, archive_entry_perm(entry));
    return made ? skip_data() : made;
  }
  return take_file(entry, *path);
}

Result<void> Extraction::refuse_extras(archive_entry* entry) const {
  const auto refuse = [](std::string message) {
    return failure(ErrorKind::ArchiveUnsafe, std::move(message));
  };
  const auto type = archive_entry_filetype(entry);
  const bool link = archive_entry_hardlink(entry) != nullptr;
  if (type == AE_IFCHR || type == AE_IFBLK) return refuse("it is a device");
  if (type == AE_IFIFO) return refuse("it is a named pipe");
  if (type == AE_IFSOCK) return refuse("it is a socket");
  if (!link && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK) {
    return refuse("it is neither file, folder nor link");
  }
  constexpr unsigned kSetId = 06000;
  if (type == AE_IFREG && (archive_entry_perm(entry) & kSetId) != 0) {
    return refuse("it is a file with the setuid or setgid bit");
  }
  if (archive_entry_sparse_count(entry) > 0) return refuse("it is a sparse file");
  if (archive_entry_xattr_count(entry) > 0) {
    return refuse("it carries extended attributes; archive without them (tar --no-xattrs)");
  }
  if (archive_entry_acl_types(entry) != 0) {
    return refuse("it carries an access control list; archive without it (tar --no-acls)");
  }
  return {};
}

Result<void> Extraction::take_link(archive_entry* entry, const std::string& path) {
  Result<void> made;
  if (const char* existing = archive_entry_hardlink(entry); existing != nullptr) {
    const auto from = entry_path(existing);
    if (!from)
      return failure(ErrorKind::ArchiveUnsafe, "it is a hard link to " + quote_name(existing) +
                                                   ", which is no name inside the archive");
    if (archive_entry_size(entry) > 0) {
      return failure(ErrorKind::ArchiveUnsafe, "it is a hard link with content of its own");
    }
    made = writer_.make_hard_link(path, *from);
  } else {
    const char* target = archive_entry_symlink(entry);
    const std::string text = target == nullptr ? "" : target;
    made = check_link_target(path, text);
    if (made) made = writer_.make_symlink(path, text);
  }
  return made ? skip_data() : made;
}

Result<void> Extraction::take_file(archive_entry* entry, const std::string& path) {
  const std::int64_t size = archive_entry_size(entry);
  if (size < 0) return failure(ErrorKind::ArchiveCorrupt, "its size is negative");
  if (size > limits_.max_bytes - tally_.bytes) return over("bytes of files", limits_.max_bytes);
  if (auto begun = writer_.begin_file(path, archive_entry_perm(entry)); !begun) return begun;
  if (auto copied = copy_data(size); !copied) return copied;
  return writer_.end_file(std::max<std::int64_t>(archive_entry_mtime(entry), 0));
}

Result<void> Extraction::copy_data(std::int64_t size) {
  std::int64_t written = 0;
  for (;;) {
    const void* data = nullptr;
    std::size_t bytes = 0;
    la_int64_t offset = 0;
    const int code = archive_read_data_block(archive_.get(), &data, &bytes, &offset);
    if (code == ARCHIVE_EOF) break;
    if (code != ARCHIVE_OK) return reader_failure("the archive is damaged");
    if (bytes == 0) continue;
    // A gap, or more than was declared, would be a sparse file under another name.
    if (offset != written || std::cmp_greater(bytes, size - written)) {
      return failure(ErrorKind::ArchiveUnsafe, "it is a sparse file");
    }
    auto put = writer_.write({static_cast<const std::byte*>(data), bytes});
    if (!put) return put;
    written += static_cast<std::int64_t>(bytes);
    tally_.bytes += static_cast<std::int64_t>(bytes);
  }
  if (written != size) return failure(ErrorKind::ArchiveUnsafe, "it is a sparse file");
  return {};
}

/// Reads over content that the entry should not have, so that the position behind it is known.
Result<void> Extraction::skip_data() {
  for (;;) {
    const void* data = nullptr;
    std::size_t bytes = 0;
    la_int64_t offset = 0;
    const int code = archive_read_data_block(archive_.get(), &data, &bytes, &offset);
    if (code == ARCHIVE_EOF) return {};
    if (code != ARCHIVE_OK) return reader_failure("the archive is damaged");
    if (bytes > 0) {
      return failure(ErrorKind::ArchiveUnsafe, "it has content although it is not a file");
    }
  }
}

}  // namespace

Result<Unpacked> extract_tar(ByteSource& source, TreeWriter& writer,
                             const protocol::ArchiveLimits& limits,
                             const std::function<void(const Unpacked&)>& progress) {
  return Extraction(source, writer, limits, progress).run();
}

}  // namespace sandboxrun::agent
