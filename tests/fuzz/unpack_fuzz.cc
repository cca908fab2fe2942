// Feeds bytes to the tar parser and the tree writer as the parser child runs them, in this process:
// the first byte chooses the format, the rest is the archive. Whatever comes, nothing may crash,
// and nothing may be made outside the destination.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "operator/base/fd.h"
#include "sandbox-image/agent/extract_tar.h"
#include "sandbox-image/agent/tree_walk.h"
#include "sandbox-image/agent/utf8_locale.h"

namespace {

using sandboxrun::UniqueFd;
namespace agent = sandboxrun::agent;
using sandboxrun::protocol::ArchiveFormat;

/// A folder on tmpfs that holds the destination and nothing else.
const std::string& surroundings() {
  static const std::string folder = [] {
    std::string pattern = "/dev/shm/sandboxrun-fuzz-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    static std::string kept = pattern;
    std::filesystem::create_directory(kept + "/tree");
    std::atexit([] { std::filesystem::remove_all(kept); });
    return pattern;
  }();
  return folder;
}

std::ptrdiff_t entries_in(const std::string& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr ArchiveFormat kFormats[] = {ArchiveFormat::Tar, ArchiveFormat::Auto,
                                        ArchiveFormat::TarGzip, ArchiveFormat::TarZstd,
                                        ArchiveFormat::TarXz};
  const UniqueFd archive(::memfd_create("archive", MFD_CLOEXEC));
  if (::write(archive.get(), data + 1, size - 1) != static_cast<ssize_t>(size - 1)) return 0;
  const std::string tree = surroundings() + "/tree";
  const UniqueFd destination(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const agent::Utf8Locale utf8;
  ::umask(0);
  auto source = agent::open_archive(archive.get(), kFormats[data[0] % std::size(kFormats)]);
  if (!source) return 0;
  agent::TreeWriter writer(destination.get());
  const sandboxrun::protocol::ArchiveLimits limits{
      .max_bytes = 1 << 20, .max_entries = 200, .max_depth = 16};
  const auto unpacked = agent::extract_tar(**source, writer, limits, {});
  if (unpacked && (unpacked->bytes > limits.max_bytes || unpacked->entries > limits.max_entries)) {
    std::abort();
  }
  if (entries_in(surroundings()) != 1) std::abort();
  if (!agent::empty_folder(destination.get())) std::abort();
  return 0;
}
