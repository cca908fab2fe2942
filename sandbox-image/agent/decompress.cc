#include "sandbox-image/agent/decompress.h"

#include <lzma.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "sandbox-image/agent/read_ahead.h"

namespace sandboxrun::agent {

namespace {

using protocol::ArchiveFormat;

/// What xz needs beside its dictionary is about 1.1 MiB.
constexpr std::uint64_t kXzMemory = (std::uint64_t{1} << kMaxWindowLog) + (std::uint64_t{2} << 20);

std::unexpected<Error> corrupt(std::string message) {
  return failure(ErrorKind::ArchiveCorrupt, std::move(message));
}

constexpr std::string_view kReading = "reading the archive";

/// The compressed bytes, as many at a time as there are.
class Input {
 public:
  explicit Input(int fd) : blocks_(fd, kReading) {}

  /// What is left of the block, or the next one if nothing is; empty at the file's end.
  Result<std::span<const std::byte>> peek() {
    if (left_.empty() && !ended_) {
      const auto block = blocks_.next();
      if (!block) return block;
      left_ = *block;
      ended_ = left_.empty();
    }
    return left_;
  }

  void consume(std::size_t bytes) { left_ = left_.subspan(bytes); }

 private:
  FileBlocks blocks_;
  std::span<const std::byte> left_;
  bool ended_ = false;
};

class ZstdSource final : public ByteSource {
 public:
  explicit ZstdSource(int fd) : input_(fd), context_(ZSTD_createDCtx()) {
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  }

  Result<std::size_t> read(std::span<std::byte> out) override {
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (to.pos < to.size) {
      const auto bytes = input_.peek();
      if (!bytes) return std::unexpected(bytes.error());
      // At the input's end the decoder may still hold output back: it is asked until it is dry.
      ZSTD_inBuffer from{bytes->data(), bytes->size(), 0};
      const std::size_t before = to.pos;
      if (bytes->empty() && frame_done_) {
        if (!any_frame_) return corrupt("the archive is empty");
        break;
      }
      const std::size_t hint = ZSTD_decompressStream(context_.get(), &to, &from);
      if (ZSTD_isError(hint) != 0) return explain(hint);
      input_.consume(from.pos);
      frame_done_ = hint == 0;
      any_frame_ = true;
      if (bytes->empty() && !frame_done_ && to.pos == before) {
        return corrupt("the zstd stream is truncated");
      }
    }
    return to.pos;
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  std::unexpected<Error> explain(std::size_t code) const {
    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge) {
      return failure(ErrorKind::LimitExceeded,
                     "the zstd stream needs a window of more than 64 MiB; compress it again "
                     "without --long or --ultra");
    }
    const bool foreign = any_frame_ && frame_done_;
    return corrupt(foreign ? "bytes that are not zstd follow the zstd stream"
                           : std::string("the zstd stream is damaged: ") + ZSTD_getErrorName(code));
  }

  Input input_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  bool frame_done_ = true;
  bool any_frame_ = false;
};

class GzipSource final : public ByteSource {
 public:
  explicit GzipSource(int fd) : input_(fd) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    ready_ = inflateInit2(&stream_, kGzipOnly) == Z_OK;
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  Result<std::size_t> read(std::span<std::byte> out) override {
    if (!ready_) return failure(ErrorKind::System, "no memory to decompress gzip");
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    while (stream_.avail_out > 0) {
      const auto bytes = input_.peek();
      if (!bytes) return std::unexpected(bytes.error());
      if (bytes->empty()) {
        if (!member_done_ || members_ == 0) return corrupt("the gzip stream is truncated");
        break;
      }
      if (member_done_ && members_ > 0 && inflateReset(&stream_) != Z_OK) {
        return failure(ErrorKind::Internal, "gzip decoder could not be reset");
      }
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes->data()));
      stream_.avail_in = static_cast<uInt>(bytes->size());
      const bool at_start = member_done_;
      member_done_ = false;
      const int code = inflate(&stream_, Z_NO_FLUSH);
      input_.consume(bytes->size() - stream_.avail_in);
      if (code == Z_STREAM_END) {
        member_done_ = true;
        ++members_;
      } else if (code != Z_OK && code != Z_BUF_ERROR) {
        return corrupt(at_start && members_ > 0 ? "bytes that are not gzip follow the gzip stream"
                                                : "the gzip stream is damaged");
      }
    }
    return out.size() - stream_.avail_out;
  }

 private:
  Input input_;
  z_stream stream_{};
  bool ready_ = false;
  bool member_done_ = true;
  std::int64_t members_ = 0;
};

class XzSource final : public ByteSource {
 public:
  explicit XzSource(int fd) : input_(fd) {
    ready_ = lzma_stream_decoder(&stream_, kXzMemory, LZMA_CONCATENATED) == LZMA_OK;
  }
  ~XzSource() override { lzma_end(&stream_); }

  Result<std::size_t> read(std::span<std::byte> out) override {
    if (!ready_) return failure(ErrorKind::System, "no memory to decompress xz");
    stream_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream_.avail_out = out.size();
    while (stream_.avail_out > 0 && !done_) {
      const auto bytes = input_.peek();
      if (!bytes) return std::unexpected(bytes.error());
      stream_.next_in = reinterpret_cast<const std::uint8_t*>(bytes->data());
      stream_.avail_in = bytes->size();
      const lzma_ret code = lzma_code(&stream_, bytes->empty() ? LZMA_FINISH : LZMA_RUN);
      input_.consume(bytes->size() - stream_.avail_in);
      if (code == LZMA_STREAM_END) {
        done_ = true;
      } else if (code != LZMA_OK) {
        return explain(code);
      }
    }
    return out.size() - stream_.avail_out;
  }

 private:
  std::unexpected<Error> explain(lzma_ret code) {
    switch (code) {
      case LZMA_MEMLIMIT_ERROR:
        return failure(ErrorKind::LimitExceeded,
                       "the xz stream needs " + std::to_string(lzma_memusage(&stream_) >> 20) +
                           " MiB for its dictionary, and at most 64 are allowed; compress it again "
                           "with xz -9 or less");
      case LZMA_FORMAT_ERROR:
        return corrupt(stream_.total_out > 0 ? "bytes that are not xz follow the xz stream"
                                             : "it is not an xz stream");
      case LZMA_BUF_ERROR:
        return corrupt("the xz stream is truncated");
      case LZMA_MEM_ERROR:
        return failure(ErrorKind::System, "no memory to decompress xz");
      default:
        return corrupt("the xz stream is damaged");
    }
  }

  Input input_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool ready_ = false;
  bool done_ = false;
};

/// The format that the file's first bytes belong to. Plain tar has its mark at offset 257 (both
/// POSIX "ustar\0" and GNU "ustar  ").
Result<ArchiveFormat> detect(int fd) {
  std::array<char, 512> head{};
  const ssize_t got = ::pread(fd, head.data(), head.size(), 0);
  if (got < 0) return system_failure(kReading, errno);
  const std::string_view bytes(head.data(), static_cast<std::size_t>(got));
  const bool skippable = bytes.size() >= 4 && (bytes[0] & 0xf0) == 0x50 &&
                         bytes.substr(1, 3) == std::string_view("\x2a\x4d\x18", 3);
  if (bytes.starts_with("\x28\xb5\x2f\xfd") || skippable) return ArchiveFormat::TarZstd;
  if (bytes.starts_with("\x1f\x8b")) return ArchiveFormat::TarGzip;
  if (bytes.starts_with(std::string_view("\xfd\x37zXZ\0", 6))) return ArchiveFormat::TarXz;
  const bool empty_tar =
      bytes.size() == head.size() && std::ranges::all_of(bytes, [](char c) { return c == '\0'; });
  if (empty_tar || (bytes.size() > 262 && bytes.substr(257, 5) == "ustar")) {
    return ArchiveFormat::Tar;
  }
  return corrupt(
      "it is neither tar nor tar compressed with zstd, gzip or xz; a tar of another "
      "make must be named by its format");
}

}  // namespace

Result<std::unique_ptr<ByteSource>> open_archive(int archive_fd, ArchiveFormat format) {
  if (format == ArchiveFormat::Auto) {
    const auto found = detect(archive_fd);
    if (!found) return std::unexpected(found.error());
    format = *found;
  }
  switch (format) {
    case ArchiveFormat::Tar:
      return std::make_unique<FileSource>(archive_fd, kReading);
    case ArchiveFormat::TarGzip:
      return std::make_unique<GzipSource>(archive_fd);
    case ArchiveFormat::TarZstd:
      return std::make_unique<ZstdSource>(archive_fd);
    case ArchiveFormat::TarXz:
      return std::make_unique<XzSource>(archive_fd);
    case ArchiveFormat::Auto:
    case ArchiveFormat::PixiPack:
      break;
  }
  return failure(ErrorKind::Internal, "this format is not a tar stream");
}

}  // namespace sandboxrun::agent
