#include "operator/launch/layers.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstring>
#include <memory>

#include "operator/base/fd.h"
#include "operator/launch/layer_writer.h"
#include "sandbox-image/agent/decompress.h"
#include "sandbox-image/agent/digest.h"

namespace sandboxrun::launch {
namespace {

constexpr std::size_t kBlockBytes = 256 * 1024;
constexpr int kProgressEvery = 256;     // entries
constexpr int kPollMilliseconds = 100;  // how soon a cancellation is seen
constexpr std::size_t kMaxErrorBytes = 4096;
constexpr std::string_view kOtherTar = "a layer unpacks to ";

/// What the child says: 'p' and a count for progress, 'e' and a sentence for its end.
void say(int channel, char kind, std::string_view text) {
  std::string line(1, kind);
  line += text;
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t put = ::write(channel, rest.data(), rest.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return;
    rest.remove_prefix(static_cast<std::size_t>(put));
  }
}

protocol::ArchiveFormat format_of(Compression compression) {
  switch (compression) {
    case Compression::None:
      return protocol::ArchiveFormat::Tar;
    case Compression::Gzip:
      return protocol::ArchiveFormat::TarGzip;
    case Compression::Zstd:
      break;
  }
  return protocol::ArchiveFormat::TarZstd;
}

/// One layer's tar: decompressed, hashed and read by libarchive.
class LayerReader {
 public:
  explicit LayerReader(const Layer& layer)
      : block_(kBlockBytes), reader_(archive_read_new(), &archive_read_free) {
    auto source = agent::open_archive(layer.blob.get(), format_of(layer.compression));
    if (!source) return;
    source_ = std::move(*source);
    archive_read_support_format_tar(reader_.get());
    opened_ =
        archive_read_open(reader_.get(), this, nullptr, &LayerReader::give, nullptr) == ARCHIVE_OK;
  }
  LayerReader(const LayerReader&) = delete;
  LayerReader& operator=(const LayerReader&) = delete;

  bool opened() const { return opened_; }
  archive* get() const { return reader_.get(); }
  /// The digest of the whole tar, also of what lies behind its end. Empty: it is damaged there.
  std::string finish() {
    std::span<const std::byte> block = next();
    while (!block.empty()) block = next();
    return failed_ ? "" : hash_.finish();
  }

 private:
  static la_ssize_t give(archive*, void* self, const void** bytes) {
    auto* const reader = static_cast<LayerReader*>(self);
    const auto block = reader->next();
    *bytes = block.data();
    return reader->failed_ ? ARCHIVE_FATAL : static_cast<la_ssize_t>(block.size());
  }

  std::span<const std::byte> next() {
    const auto got = failed_ ? Result<std::size_t>(std::size_t{0}) : source_->read(block_);
    if (!got) failed_ = true;
    const std::span<const std::byte> block = std::span(block_).first(got.value_or(0));
    hash_.update(block);
    return block;
  }

  std::vector<std::byte> block_;
  std::unique_ptr<agent::ByteSource> source_;
  agent::Sha256 hash_;
  bool failed_ = false;
  bool opened_ = false;
  std::unique_ptr<archive, int (*)(archive*)> reader_;
};

/// In the child. Returns the error, or "".
std::string apply_all(std::span<const Layer> layers, int destination, int channel) {
  LayerWriter writer(destination);
  std::int64_t entries = 0;
  for (const Layer& layer : layers) {
    LayerReader reader(layer);
    if (!reader.opened()) return "a layer is not a tar archive of its media type";
    writer.begin_layer();
    archive_entry* entry = nullptr;
    int status = ARCHIVE_OK;
    while ((status = archive_read_next_header(reader.get(), &entry)) == ARCHIVE_OK ||
           status == ARCHIVE_WARN) {
      if (!writer.write(reader.get(), entry)) return writer.error();
      if (++entries % kProgressEvery == 0) say(channel, 'p', std::to_string(entries));
    }
    const std::string found = status == ARCHIVE_EOF ? reader.finish() : "";
    if (found.empty()) return "a layer is damaged or cut short";
    if (found != layer.diff_id) {
      return std::string(kOtherTar) + found + ", but the image's config lists " + layer.diff_id +
             " (rootfs.diff_ids); build the image again";
    }
  }
  return writer.finish() ? "" : writer.error();
}

/// In the child: gives up every right that writing files does not need.
bool confine(std::uint32_t owner, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) return false;
  // No way to the network; nothing that is done here needs one.
  if (unshare(CLONE_NEWNET | CLONE_NEWIPC) != 0) return false;
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  if (setgroups(0, nullptr) != 0 || setresgid(owner, owner, owner) != 0 ||
      setresuid(owner, owner, owner) != 0) {
    return false;
  }
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a change of ids clears it
  return getppid() == parent && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/// In the child: moves what is needed to low numbers and closes all the rest.
/// The numbers are known to be free of each other: every source is moved high first.
void keep_only(std::span<const Layer> layers, int& destination, int& channel,
               std::vector<Layer>& kept) {
  const int high = 3 + 2 + static_cast<int>(layers.size());
  destination = fcntl(destination, F_DUPFD, high);
  channel = fcntl(channel, F_DUPFD, high);
  for (const Layer& layer : layers) {
    kept.push_back({.blob = UniqueFd(fcntl(layer.blob.get(), F_DUPFD, high)),
                    .compression = layer.compression,
                    .diff_id = layer.diff_id});
  }
  int next = 3;
  const auto lower = [&next](int fd) {
    dup2(fd, next);
    return next++;
  };
  destination = lower(destination);
  channel = lower(channel);
  for (Layer& layer : kept) {
    const int low = lower(layer.blob.get());
    static_cast<void>(layer.blob.release());
    layer.blob.reset(low);
  }
  const UniqueFd null(open("/dev/null", O_RDWR));
  for (int fd = 0; fd < 3; ++fd) dup2(null.get(), fd);
  close_range(static_cast<unsigned>(next), ~0U, 0);
}

[[noreturn]] void run_child(std::span<const Layer> layers, int destination, int channel,
                            std::uint32_t owner, pid_t parent) {
  std::vector<Layer> kept;
  keep_only(layers, destination, channel, kept);
  umask(0);
  clearenv();
  setlocale(LC_CTYPE, "C.UTF-8");
  if (!confine(owner, parent)) {
    say(channel, 'e', "the unpacker could not be confined");
  } else {
    say(channel, 'e', apply_all(kept, destination, channel));
  }
  _exit(0);
}

ErrorKind kind_of(const std::string& message) {
  if (message.starts_with(kOtherTar)) return ErrorKind::DigestMismatch;
  if (message.find("could not be") != std::string::npos) return ErrorKind::System;
  return message.starts_with("a layer is") ? ErrorKind::ArchiveCorrupt : ErrorKind::ArchiveUnsafe;
}

/// Reads what the child says until it ends. Nothing: it died without a last word.
std::optional<std::string> listen(int channel, const ApplyOptions& options) {
  std::string text;
  std::array<char, 4096> buffer;
  while (!options.stop.stop_requested()) {
    pollfd waiting{.fd = channel, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, kPollMilliseconds) <= 0) continue;
    const ssize_t got = ::read(channel, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
      const std::string line = text.substr(0, end);
      text.erase(0, end + 1);
      if (line.starts_with('e')) return line.substr(1);
      if (options.progress) options.progress(std::strtoll(line.c_str() + 1, nullptr, 10));
    }
    if (text.size() > kMaxErrorBytes) return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

Result<void> apply_layers(std::span<const Layer> layers, int destination,
                          const ApplyOptions& options) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return system_failure("unpacking an image", errno);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return system_failure("unpacking an image", errno);
  if (child == 0) run_child(layers, destination, writing.get(), options.owner, parent);
  writing.reset();
  const auto last_word = listen(reading.get(), options);
  if (!last_word) kill(child, SIGKILL);
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (options.stop.stop_requested()) return failure(ErrorKind::Cancelled, "cancelled");
  if (!last_word) return failure(ErrorKind::ArchiveCorrupt, "a layer made the unpacker fail");
  if (!last_word->empty()) return failure(kind_of(*last_word), *last_word);
  return {};
}

}  // namespace sandboxrun::launch
