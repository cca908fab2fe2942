#include "sandbox-image/agent/compress.h"

#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "sandbox-image/agent/digest.h"

namespace sandboxrun::agent {

namespace {

using protocol::ArchiveFormat;

constexpr int kGzipLevel = 6;
constexpr int kZstdLevel = 3;

/// Where compressed bytes end up: hashed, then in the file.
class HashingFile {
 public:
  explicit HashingFile(int fd) : fd_(fd) {}

  Result<void> write(std::span<const std::byte> bytes) {
    hash_.update(bytes);
    total_ += static_cast<std::int64_t>(bytes.size());
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return system_failure("writing the archive", errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
  }
  Compressed finish() { return {.digest = hash_.finish(), .bytes = total_}; }

 private:
  int fd_;
  Sha256 hash_;
  std::int64_t total_ = 0;
};

class GzipEncoder {
 public:
  GzipEncoder() : out_(BlockQueue::kBlockBytes) {
    constexpr int kGzip = 16 + MAX_WBITS;
    constexpr int kMemory = 8;  // zlib's default
    ready_ =
        deflateInit2(&stream_, kGzipLevel, Z_DEFLATED, kGzip, kMemory, Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~GzipEncoder() { deflateEnd(&stream_); }
  GzipEncoder(const GzipEncoder&) = delete;
  GzipEncoder& operator=(const GzipEncoder&) = delete;

  Result<void> put(std::span<const std::byte> bytes, bool last, HashingFile& file) {
    if (!ready_) return failure(ErrorKind::System, "no memory to compress with gzip");
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
      stream_.avail_out = static_cast<uInt>(out_.size());
      if (deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR) {
        return failure(ErrorKind::Internal, "the gzip encoder is in a wrong state");
      }
      auto written = file.write(std::span(out_).first(out_.size() - stream_.avail_out));
      if (!written) return written;
    } while (stream_.avail_out == 0);
    return {};
  }

 private:
  z_stream stream_{};
  std::vector<std::byte> out_;
  bool ready_ = false;
};

class ZstdEncoder {
 public:
  ZstdEncoder() : context_(ZSTD_createCCtx()), out_(ZSTD_CStreamOutSize()) {
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kZstdLevel);
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
  }

  Result<void> put(std::span<const std::byte> bytes, bool last, HashingFile& file) {
    ZSTD_inBuffer from{bytes.data(), bytes.size(), 0};
    std::size_t left = 0;
    do {
      ZSTD_outBuffer to{out_.data(), out_.size(), 0};
      left = ZSTD_compressStream2(context_.get(), &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left) != 0) {
        return failure(ErrorKind::Internal,
                       std::string("zstd encoder: ") + ZSTD_getErrorName(left));
      }
      if (auto written = file.write(std::span(out_).first(to.pos)); !written) return written;
    } while (from.pos < from.size || (last && left > 0));
    return {};
  }

 private:
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  std::unique_ptr<ZSTD_CCtx, Free> context_;
  std::vector<std::byte> out_;
};

template <typename Encoder>
Result<Compressed> encode_all(BlockQueue& queue, int fd) {
  Encoder encoder;
  HashingFile file(fd);
  for (;;) {
    const auto block = queue.next();
    if (auto put = encoder.put(block, block.empty(), file); !put) {
      return std::unexpected(put.error());
    }
    if (block.empty()) return file.finish();
  }
}

}  // namespace

CompressingWriter::CompressingWriter(int file, ArchiveFormat format)
    : thread_([this, file, format] { run(file, format); }) {}

CompressingWriter::~CompressingWriter() {
  queue_.cancel();
  if (thread_.joinable()) thread_.join();
}

void CompressingWriter::run(int file, ArchiveFormat format) {
  auto done = format == ArchiveFormat::TarZstd ? encode_all<ZstdEncoder>(queue_, file)
                                               : encode_all<GzipEncoder>(queue_, file);
  if (done) {
    compressed_ = std::move(*done);
  } else {
    error_ = done.error();
    queue_.cancel();
  }
}

bool CompressingWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (open_block_.empty()) open_block_ = queue_.acquire();
    if (open_block_.empty()) return false;
    const std::size_t part = std::min(bytes.size(), open_block_.size() - filled_);
    std::memcpy(open_block_.data() + filled_, bytes.data(), part);
    filled_ += part;
    bytes = bytes.subspan(part);
    if (filled_ == open_block_.size()) flush();
  }
  return true;
}

void CompressingWriter::flush() {
  if (filled_ > 0) queue_.publish(filled_);
  filled_ = 0;
  open_block_ = {};
}

Result<Compressed> CompressingWriter::finish() {
  flush();
  queue_.finish();
  thread_.join();
  if (error_) return std::unexpected(*error_);
  return std::move(compressed_);
}

}  // namespace sandboxrun::agent
