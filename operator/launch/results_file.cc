#include "operator/launch/results_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "operator/base/fd.h"
#include "operator/base/random.h"
#include "operator/launch/files.h"

namespace sandboxrun::launch {

Result<std::string> store_archive(int archive, std::int64_t bytes, const std::string& folder,
                                  const run::Plan& plan) {
  const bool zstd = plan.results->format == protocol::ArchiveFormat::TarZstd;
  const std::string stem = plan.name.empty() ? "results" : plan.name;
  const std::string extension = zstd ? ".tar.zst" : ".tar.gz";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const UniqueFd directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return system_failure("the results folder (--results)", errno);

  const std::string partial = "." + stem + "." + random_hex(8) + ".partial";
  const auto failed = [&](int number) {
    unlinkat(directory.get(), partial.c_str(), 0);
    return system_failure("storing the results archive", number);
  };
  const UniqueFd file(openat(directory.get(), partial.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file) return system_failure("storing the results archive", errno);
  off_t offset = 0;
  while (offset < bytes) {
    const ssize_t sent =
        sendfile(file.get(), archive, &offset, static_cast<std::size_t>(bytes - offset));
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return failed(errno);
    if (sent == 0) return failed(EIO);
  }
  for (int number = 1;; ++number) {
    const std::string name = stem + (number > 1 ? "." + std::to_string(number) : "") + extension;
    if (renameat2(directory.get(), partial.c_str(), directory.get(), name.c_str(),
                  RENAME_NOREPLACE) == 0) {
      return (std::filesystem::path(folder) / name).string();
    }
    if (errno != EEXIST) return failed(errno);
  }
}

}  // namespace sandboxrun::launch
