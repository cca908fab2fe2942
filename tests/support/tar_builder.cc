#include "tests/support/tar_builder.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace sandboxrun::test {

namespace {

constexpr std::size_t kBlock = 512;

void put(std::string& header, std::size_t at, std::size_t width, std::string_view text) {
  header.replace(at, std::min(width, text.size()), text.substr(0, width));
}

std::string octal(std::int64_t value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%0*llo", digits, static_cast<long long>(value));
  return text;
}

}  // namespace

TarBuilder& TarBuilder::add(const TarEntry& entry) {
  const auto content = static_cast<std::int64_t>(entry.content.size());
  std::string header(kBlock, '\0');
  put(header, 0, 100, entry.name);
  put(header, 100, 8, octal(entry.mode, 7));
  put(header, 108, 8, octal(1000, 7));
  put(header, 116, 8, octal(1000, 7));
  put(header, 124, 12, octal(entry.declared_size < 0 ? content : entry.declared_size, 11));
  put(header, 136, 12, octal(1'700'000'000, 11));
  put(header, 148, 8, "        ");
  header[156] = entry.type;
  put(header, 157, 100, entry.link);
  put(header, 257, 8, std::string_view("ustar\00000", 8));
  put(header, 265, 32, "somebody");
  put(header, 329, 8, octal(1, 7));
  put(header, 337, 8, octal(3, 7));
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(header, 148, 8, octal(sum, 6) + std::string("\0 ", 2));
  bytes_ += header + entry.content;
  bytes_.append((kBlock - bytes_.size() % kBlock) % kBlock, '\0');
  return *this;
}

std::string pax_record(std::string_view key, std::string_view value) {
  const std::string rest = " " + std::string(key) + "=" + std::string(value) + "\n";
  std::size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

TarBuilder& TarBuilder::pax(const std::vector<std::pair<std::string, std::string>>& records) {
  std::string body;
  for (const auto& [key, value] : records) body += pax_record(key, value);
  return add({.name = "PaxHeader", .type = 'x', .content = body});
}

std::string zstd(std::string_view bytes, int window_log) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  if (window_log > 0) ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  // Without the size in the frame's header, the window stays as large as it was asked for.
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, window_log > 0 ? 0 : 1);
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  ZSTD_inBuffer from{bytes.data(), bytes.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  // In two calls: a single one would shrink the window to what the input needs.
  if (window_log > 0) ZSTD_compressStream2(context, &to, &from, ZSTD_e_continue);
  const std::size_t left = ZSTD_compressStream2(context, &to, &from, ZSTD_e_end);
  ZSTD_freeCCtx(context);
  if (left != 0) throw std::runtime_error("zstd");
  out.resize(to.pos);
  return out;
}

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int code = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (code != Z_STREAM_END) throw std::runtime_error("gzip");
  return out;
}

std::string xz(std::string_view bytes, std::uint32_t dictionary) {
  lzma_options_lzma options{};
  lzma_lzma_preset(&options, 0);
  options.dict_size = dictionary;
  const lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}};
  std::string out(lzma_stream_buffer_bound(bytes.size()), '\0');
  std::size_t size = 0;
  const lzma_ret code =
      lzma_stream_buffer_encode(const_cast<lzma_filter*>(filters), LZMA_CHECK_CRC64, nullptr,
                                reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                                reinterpret_cast<std::uint8_t*>(out.data()), &size, out.size());
  if (code != LZMA_OK) throw std::runtime_error("xz");
  out.resize(size);
  return out;
}

}  // namespace sandboxrun::test
