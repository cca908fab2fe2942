#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/fd.h"
#include "sandbox-image/agent/pack.h"
#include "sandbox-image/agent/unpack.h"
#include "tests/support/temp_dir.h"

namespace sandboxrun::test {

inline UniqueFd open_folder(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/// An empty folder to unpack into, and what came of it.
class UnpackFolder {
 public:
  UnpackFolder() { std::filesystem::create_directory(root()); }

  Result<agent::Unpacked> unpack(std::string_view archive) {
    const std::string file = dir_ / "archive";
    write_file(file, archive);
    const UniqueFd opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd destination = open_folder(root());
    return agent::unpack(opened.get(), destination.get(), options);
  }

  std::string root() const { return dir_ / "tree"; }
  std::string operator/(std::string_view name) const { return root() + "/" + std::string(name); }
  std::string content(std::string_view name) const { return read_file(*this / name); }
  bool is_empty() const { return std::filesystem::is_empty(root()); }
  unsigned mode(std::string_view name) const {
    struct stat status{};
    ::lstat((*this / name).c_str(), &status);
    return status.st_mode & 07777U;
  }
  const TempDir& outside() const { return dir_; }

  agent::UnpackOptions options;

 private:
  TempDir dir_;
};

/// A folder of results, and its archive.
class ResultsFolder {
 public:
  ResultsFolder() {
    std::filesystem::create_directory(root());
    std::filesystem::create_directory(staging());
    options.max_bytes = 1 << 20;
    options.max_entries = 1000;
    options.staging_dir = staging();
  }

  Result<agent::Packed> pack() const {
    const UniqueFd folder = open_folder(root());
    return agent::pack(folder.get(), options);
  }
  static std::string bytes_of(const agent::Packed& packed) {
    std::string bytes(static_cast<std::size_t>(packed.bytes) + 1, '\0');
    const ssize_t got = ::pread(packed.file.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return bytes;
  }

  std::string root() const { return dir_ / "results"; }
  std::string staging() const { return dir_ / "staging"; }
  std::string operator/(std::string_view name) const { return root() + "/" + std::string(name); }

  agent::PackOptions options;

 private:
  TempDir dir_;
};

}  // namespace sandboxrun::test
