#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sandboxrun::test {

/// One tar header, every field of it under the test's control.
struct TarEntry {
  std::string name = {};
  char type = '0';  ///< '0' file, '1' hard link, '2' symbolic link, '3' '4' devices, '5' folder ...
  std::uint32_t mode = 0644;
  std::string link = {};
  std::string content = {};
  std::int64_t declared_size = -1;  ///< -1: that of the content
};

/// Writes tar archives byte by byte (POSIX ustar), also such as no honest program writes.
class TarBuilder {
 public:
  TarBuilder& add(const TarEntry& entry);
  TarBuilder& file(std::string name, std::string content, std::uint32_t mode = 0644) {
    return add({.name = std::move(name), .mode = mode, .content = std::move(content)});
  }
  TarBuilder& folder(std::string name, std::uint32_t mode = 0755) {
    return add({.name = std::move(name), .type = '5', .mode = mode});
  }
  TarBuilder& symlink(std::string name, std::string target) {
    return add({.name = std::move(name), .type = '2', .link = std::move(target)});
  }
  TarBuilder& hard_link(std::string name, std::string existing) {
    return add({.name = std::move(name), .type = '1', .link = std::move(existing)});
  }
  /// A pax header for the entry that follows.
  TarBuilder& pax(const std::vector<std::pair<std::string, std::string>>& records);

  /// What was added so far, without the end marker.
  const std::string& unfinished() const { return bytes_; }
  /// With the end marker of two zero blocks.
  std::string finish() const { return bytes_ + std::string(1024, '\0'); }

 private:
  std::string bytes_;
};

/// One record of a pax header: "LENGTH KEY=VALUE\n".
std::string pax_record(std::string_view key, std::string_view value);

std::string zstd(std::string_view bytes, int window_log = 0);
std::string gzip(std::string_view bytes);
/// `dictionary` in bytes.
std::string xz(std::string_view bytes, std::uint32_t dictionary = 1U << 20);

}  // namespace sandboxrun::test
